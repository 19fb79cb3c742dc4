"""Cleaning the pictures of a collection on all cores, once."""

from __future__ import annotations

import base64
import errno
import hashlib
import logging
import os
import pickle
import platform
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from artjax.data.reports import SourceFacts
from artjax.errors import DataError, ImageError
from artjax.files import replacing
from artjax.prepare import picture_decoding
from artjax.prepare.beam_runner import counted
from artjax.prepare.catalogue import Work
from artjax.prepare.forecast import Forecast, sample_first
from artjax.prepare.near_duplicates import Fingerprint, fingerprint_of
from artjax.prepare.previous import StoredPicture
from artjax.prepare.processes import map_in_processes
from artjax.prepare.source_facts import facts_of_file, source_facts

NO_SUCH_FILE = "no such file"
_FEW_WORKS = 64


class SourceFile(NamedTuple):
    """A picture file as it was cleaned: size in bytes, times in nanoseconds, SHA-256 of its content.

    `changed_ns` is of the content, `status_ns` of the file: copying or unpacking another file over it
    can set the first back, but not the second.
    """

    bytes: int
    changed_ns: int
    status_ns: int
    sha256: str

    @classmethod
    def of(cls, file: Path, sha256: str) -> SourceFile:
        """Of a file whose digest is known."""
        status = file.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, sha256)


def digest_of_file(file: Path) -> str:
    """The SHA-256 of the content of a file, hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class CleanedWork:
    """A picture that was cleaned.

    Attributes:
      jpeg: its file, or its place in the set of the build before; None if there is none.
      problem: the reason if there is none.
      sha256: of the bytes of the JPEG, hex.
      size: width and height of the original picture in pixels, upright.
      fingerprint: for finding near-duplicates. Those of two versions of the code never meet, see
        `artjax.prepare.reuse`.
      facts: what is no painting, of the file and of the JPEG; None for a picture that is drawn.
      source: the file that was cleaned; None for a picture that is drawn.
    """

    jpeg: Path | StoredPicture | None
    problem: str = ""
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    fingerprint: Fingerprint | None = None
    facts: SourceFacts | None = None
    source: SourceFile | None = None


def clean_works(
    works: Sequence[Work],
    folder: Path,
    short_side_px: int,
    max_pixels: int = picture_decoding.MAX_PIXELS,
    processes: int | None = None,
    beam: tuple[Any, Any] | None = None,
    stored: int = 0,
) -> list[CleanedWork]:
    """Cleans pictures to upright sRGB JPEGs in `folder`. Those that exist already are not cleaned again.

    Args:
      works: their pictures are files, or objects with a `draw()`.
      folder: made if it is not there. Every file in it was written whole.
      short_side_px: longest shorter side, see `picture_decoding.decode`.
      max_pixels: larger pictures are refused.
      processes: default: one for each core. The bytes do not depend on it.
      beam: a runner and options of Apache Beam (either may be None), which then distribute the work
        instead; `folder` must be the same for all its workers.
      stored: bytes of pictures that are used as they are, to say what the build needs; see `Forecast`.

    Returns:
      For each work, in order, its JPEG or the reason why there is none.

    Raises:
      DataError: if `folder` cannot be written or is too small, or workers of Beam do not see it or the
        pictures.
    """
    folder = folder.absolute()  # Beam's workers may have been started anywhere
    folder.mkdir(parents=True, exist_ok=True)
    clean = partial(clean_work, folder=folder, short_side_px=short_side_px, max_pixels=max_pixels)
    if beam is not None:
        return _by_beam(works, clean, folder, *beam)
    processes = processes or os.cpu_count() or 1
    there = sum(work.picture is not None for work in works)
    forecast = Forecast(folder.parent, there, processes, stored)
    results: list[CleanedWork | None] = [None] * len(works)
    with tqdm(total=len(works), desc="cleaning pictures", unit="work", delay=1) as bar:
        for i, result in _results(works, clean, processes):
            results[i] = result
            bar.update()
            if works[i].picture is not None:
                forecast.add(result.jpeg if isinstance(result.jpeg, Path) else None)
    return [result for result in results if result is not None]


def _by_beam(
    works: Sequence[Work],
    clean: Callable[[Work], CleanedWork],
    folder: Path,
    runner: Any,
    options: Any,
) -> list[CleanedWork]:
    import apache_beam as beam

    # A name of its own, since workers of a run that was killed may still be writing theirs.
    results_dir = folder / f"results.{uuid.uuid4().hex}"
    with (
        counted(folder, len(works)),
        beam.Pipeline(runner=runner, options=options) as pipeline,
    ):
        (
            pipeline
            | beam.Create(list(enumerate(works)))
            | beam.Reshuffle()
            | beam.Map(_line, clean=clean)
            | beam.io.WriteToText(str(results_dir / "part"))
        )
    results: dict[int, CleanedWork | DataError] = {}
    for file in results_dir.glob("part*"):
        with file.open("rb") as lines:
            results.update(pickle.loads(base64.b64decode(line)) for line in lines)
    shutil.rmtree(results_dir, ignore_errors=True)
    return [_checked(work, results.get(i), folder) for i, work in enumerate(works)]


def _line(numbered: tuple[int, Work], clean: Callable[[Work], CleanedWork]) -> str:
    number, work = numbered
    # Beam's workers show what libraries log as INFO: of libvips six lines a picture.
    logging.getLogger("pyvips").setLevel(logging.WARNING)
    result: CleanedWork | DataError
    try:
        result = clean(work)
    except DataError as error:  # raised here, Beam would try it again and show it as its own
        result = DataError(f"on Apache Beam's worker {platform.node()}: {error}")
    return base64.b64encode(pickle.dumps((number, result))).decode()


def _checked(work: Work, result: CleanedWork | DataError | None, folder: Path) -> CleanedWork:
    """The result; raises `DataError` if the worker did not see the files that are here."""
    if isinstance(result, DataError):
        raise result
    unseen = None
    if result is None or (isinstance(result.jpeg, Path) and not result.jpeg.is_file()):
        unseen = folder
    elif result.problem == os.strerror(errno.ENOENT) and (file := work.file) and file.is_file():
        unseen = file
    if result is None or unseen is not None:
        raise DataError(
            f"workers of Apache Beam do not see {unseen}; pictures and --data_dir must be on a disk "
            "that all of them share, under the same path"
        )
    return result


def _results(
    works: Sequence[Work], clean: Callable[[Work], CleanedWork], processes: int
) -> Iterator[tuple[int, CleanedWork]]:
    there = sample_first([i for i, work in enumerate(works) if work.picture is not None])
    for i, work in enumerate(works):
        if work.picture is None:
            yield i, CleanedWork(None, problem=NO_SUCH_FILE)
    if processes == 1 or len(there) <= _FEW_WORKS:  # fewer than it takes to start a process
        for i in there:
            yield i, clean(works[i])
        return
    suspects = []
    for k, result in map_in_processes(clean, [works[i] for i in there], processes):
        if result is None:
            suspects.append(there[k])
        else:
            yield there[k], result
    # What crashed beside others, such as for lack of memory, may succeed alone.
    for k, result in map_in_processes(clean, [works[i] for i in suspects], 1):
        crashed = CleanedWork(None, problem="its decoder crashed, or ran out of memory")
        yield suspects[k], result or crashed


def clean_work(work: Work, folder: Path, short_side_px: int, max_pixels: int) -> CleanedWork:
    """Cleans one picture into `folder`, as `clean_works` does, unless it is there already."""
    if work.picture is None:
        return CleanedWork(None, problem=NO_SUCH_FILE)
    of_file = source = None
    try:
        path = folder / f"{_key(work, short_side_px)}.jpg"
        there = path.is_file()
        if file := work.file:
            # Before it is read: a file that changes meanwhile is then cleaned again.
            source = SourceFile.of(file, "")
            size = picture_decoding.upright_size(file)
            source = source._replace(sha256=digest_of_file(file))
            of_file = facts_of_file(file)
            jpeg = b"" if there else picture_decoding.clean(file, short_side_px, max_pixels).jpeg
        else:
            picture = work.picture.draw()
            size = (picture.shape[1], picture.shape[0])
            jpeg = b"" if there else picture_decoding.encode(picture).jpeg
    except ImageError as error:
        return CleanedWork(None, problem=str(error))
    except OSError as error:  # the file went away, or may not be read
        return CleanedWork(None, problem=error.strerror or str(error))
    try:
        if there:
            jpeg = path.read_bytes()
        else:
            _write_whole(path, jpeg)
    except OSError as error:  # a full disk, say, which must not cost a picture
        raise DataError(f"cannot keep the cleaned picture {path}: {error.strerror}") from error
    return CleanedWork(
        path,
        sha256=hashlib.sha256(jpeg).hexdigest(),
        size=size,
        fingerprint=fingerprint_of(jpeg),
        facts=of_file and source_facts(size, of_file, jpeg),
        source=source,
    )


def _write_whole(path: Path, data: bytes) -> None:
    # Not by process id: processes on several machines have the same, and threads of one share it.
    # Not synced to the disk: a picture that is lost in a power cut is cleaned again.
    with replacing(path, mark=f".{uuid.uuid4().hex}", sync=False) as partial:
        partial.write_bytes(data)


def _key(work: Work, short_side_px: int) -> str:
    """Changes when the file, or what is done to it, does."""
    described = repr(work.picture)
    if file := work.file:
        status = file.stat()
        described = f"{file.absolute()}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.sha256(
        f"{described}\0{short_side_px}".encode("utf-8", "surrogateescape")
    ).hexdigest()

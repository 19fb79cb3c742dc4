"""What a build knows of the pictures that it has cleaned, so that the next one cleans only what is new.

The JPEGs are in the prepared set itself. What was made of each picture beside its JPEG is kept in a file
beside the set; both are used only for files with the same content, by the same code and libraries.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artjax.data import decoding
from artjax.data.reports import SourceFacts
from artjax.files import replacing
from artjax.prepare import (
    borders,
    deep_samples,
    near_duplicates,
    picture_decoding,
    source_facts,
)
from artjax.prepare.catalogue import Work
from artjax.prepare.cleaning import CleanedWork, SourceFile, clean_works, digest_of_file
from artjax.prepare.near_duplicates import SIDE_PX, TURNS, Fingerprint, View
from artjax.prepare.previous import PreviousSet

# What decides the bytes of a cleaned picture, and what is measured of it.
_CODE = (borders, decoding, deep_samples, near_duplicates, picture_decoding, source_facts)
_MOST_READ = 1_000
_LIBRARIES = ("numpy", "pillow", "pi-heif", "pyvips", "pyvips-binary", "scipy")


class Known(NamedTuple):
    """What was made of a picture, without the JPEG itself."""

    source: SourceFile
    sha256: str
    size: tuple[int, int]
    facts: SourceFacts
    fingerprint: Fingerprint


def file_beside(folder: Path) -> Path:
    """The file of a prepared set's folder."""
    return folder.with_name(f"pictures.{folder.name}.npz")


def cleaned_dir(folder: Path) -> Path:
    """Where pictures are kept until a build is complete, so that one that was stopped can go on."""
    return folder.with_name(f"cleaned.{folder.name}")


@cache
def made_with() -> dict[str, str]:
    """The code and the versions of the libraries that clean pictures."""
    code = hashlib.sha256()
    for module in _CODE:
        assert module.__file__ is not None
        code.update(Path(module.__file__).read_bytes())
    return {"artjax": code.hexdigest()[:16], **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def write(file: Path, settings: Sequence[int], kept: Iterable[tuple[Work, CleanedWork]]) -> None:
    """Notes what was made of pictures that come as files.

    Args:
      file: see `file_beside`.
      settings: those that decide what becomes of a picture.
      kept: the works that are prepared.
    """
    rows: list[Any] = []
    views: list[View] = []
    for work, picture in kept:
        if picture.source is None or picture.facts is None or picture.fingerprint is None:
            continue
        of_picture = picture.fingerprint.views
        views += of_picture
        row = [picture.source, picture.sha256, picture.size, picture.facts, len(of_picture)]
        rows.append([work.file_name, *row])
    if not rows:  # drawn pictures
        return
    said = {"made_with": made_with(), "settings": list(settings), "rows": rows}
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez(
            stream,
            rows=np.frombuffer(json.dumps(said).encode(), np.uint8),
            hashes=np.array([view.hashes for view in views], np.uint64).reshape(-1, TURNS),
            grey=np.frombuffer(b"".join(view.grey for view in views), np.uint8),
            wide_border=np.array([view.wide_border for view in views], bool),
        )


def read(file: Path, settings: Sequence[int]) -> tuple[dict[str, Known], str]:
    """What a build before noted, by `file_name`, and in words why that cannot be used, if it cannot."""
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            said = json.loads(kept["rows"].tobytes())
            why = _differs(said["made_with"], said["settings"], settings)
            return ({}, why) if why else (_known(said["rows"], kept), "")
    except FileNotFoundError:
        return {}, ""
    # Half a file, as a copy that was stopped leaves it, is none.
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return {}, f"{file} cannot be read"


def _differs(before: dict[str, str], settings: Any, now: Sequence[int]) -> str:
    words = [
        f"{name} {before.get(name) or '?'}, now {version or '?'}"
        for name, version in made_with().items()
        if before.get(name) != version
    ]
    words += ["other settings"] * (list(settings) != list(now))
    return f"the build before had {'; '.join(words)}" if words else ""


def _known(rows: Sequence[Any], kept: Any) -> dict[str, Known]:
    grey = kept["grey"].reshape(-1, SIDE_PX * SIDE_PX)
    views = [
        View(tuple(hashes), small.tobytes(), wide)
        for hashes, small, wide in zip(
            kept["hashes"].tolist(), grey, kept["wide_border"].tolist(), strict=True
        )
    ]
    known, start = {}, 0
    for name, source, sha256, size, facts, count in rows:
        fingerprint = Fingerprint(tuple(views[start : start + count]))
        start += count
        known[name] = Known(
            SourceFile(*source), sha256, (size[0], size[1]), SourceFacts(*facts), fingerprint
        )
    return known


def clean_new(
    works: Sequence[Work],
    folder: Path,
    previous: PreviousSet,
    settings: tuple[int, int],
    beam: tuple[Any, Any] | None,
) -> list[CleanedWork]:
    """As `clean_works`, but pictures of the set that is replaced are used again where they can be.

    Args:
      works: all works of the catalogue.
      folder: the version folder of the set, where it will be.
      previous: the set that is replaced.
      settings: `short_side_px` and `max_pixels`.
      beam: as for `clean_works`.
    """
    known, why = read(file_beside(folder), settings) if previous.works else ({}, "")
    found = unchanged(works, known, previous)
    if why:
        print(f"all pictures are cleaned again: {why}", flush=True)
    if found:
        print(
            f"{len(found):,} of {len(works):,} pictures are as they were; the others are cleaned",
            flush=True,
        )
    stored = sum(previous.works[works[i].file_name].jpeg.length for i in found)
    rest = iter(
        clean_works(
            [work for i, work in enumerate(works) if i not in found],
            cleaned_dir(folder),
            *settings,
            beam=beam,
            stored=stored,
        )
    )
    return [found[i] if i in found else next(rest) for i in range(len(works))]


def unchanged(
    works: Sequence[Work], known: dict[str, Known], previous: PreviousSet
) -> dict[int, CleanedWork]:
    """The works, by index, whose files have the content that they had; with their pictures."""
    found = {}
    for i, work in enumerate(works):
        before, stored = known.get(work.file_name), previous.works.get(work.file_name)
        # The JPEG decides: records may belong to a build that failed.
        if before is None or stored is None or before.sha256 != stored.sha256:
            continue
        if (file := work.file) and (now := _same(file, before.source)):
            found[i] = CleanedWork(
                stored.jpeg,
                sha256=before.sha256,
                size=before.size,
                fingerprint=before.fingerprint,
                facts=before.facts,
                source=now,
            )
    return found


def replaced(works: Sequence[Work], folder: Path) -> set[str]:
    """The works whose pictures have other content than when they were cleaned, by `file_name`.

    Files of the same size are read where their times differ. If that is so of more than a thousand, the
    folder was copied, and their sizes alone decide: reading them would take as long as cleaning them.

    Args:
      works: those of the catalogue.
      folder: the version folder of the set.
    """
    before = _sources(file_beside(folder))
    found, touched = set(), []
    for work in works:
        file, source = work.file, before.get(work.file_name)
        if file is None or source is None:
            continue
        try:
            now = SourceFile.of(file, source.sha256)
        except OSError:
            continue  # one that cannot be read now is not known to be another
        if now.bytes != source.bytes:
            found.add(work.file_name)
        elif now != source:
            touched.append((work.file_name, file, source))
    if len(touched) <= _MOST_READ:
        found |= {name for name, file, source in touched if _same(file, source) is None}
    return found


def _sources(file: Path) -> dict[str, SourceFile]:
    """The picture files as the build before saw them; none where nothing can be read."""
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            rows = json.loads(kept["rows"].tobytes())["rows"]
            return {name: SourceFile(*source) for name, source, *_ in rows}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return {}


def _same(file: Path, before: SourceFile) -> SourceFile | None:
    """What the file is now, if its content is the same; a file that moved is read to see that."""
    try:
        now = SourceFile.of(file, before.sha256)
        if now == before:
            return now
        if now.bytes != before.bytes or digest_of_file(file) != before.sha256:
            return None
    except OSError:
        return None
    return now

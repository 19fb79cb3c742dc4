"""Which works the network of a run has learnt from, kept in its workdir for runs that take its weights.

A test work that the weights have learnt from is not unseen, whatever split it is in now, and from which
scan of it. So every run writes `learnt_from.npz`: the works of its train split, those of its validation
split (they chose the checkpoint), and those that its own pretrained weights had learnt from.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artjax.data import collections, reports
from artjax.data.canvases import Canvases
from artjax.data.prepared import Prepared
from artjax.data.works import Split
from artjax.errors import WorkdirError
from artjax.files import kept_in, replacing
from artjax.prepare.fingerprints import fingerprints_of, made_from
from artjax.prepare.near_duplicates import RULE, looks_like_any
from artjax.runs import fingerprints as fingerprints_lib
from artjax.runs.fingerprints import NONE, Fingerprints
from artjax.runs.record import Record

FILE = "learnt_from.npz"
_KEPT = "looks_learnt_from.json"
# Of what is in the file, and how works are turned into digests: those of another version say nothing.
_VERSION = 2
_OWN, _WEIGHTS = "own", "weights"
_HELD_OUT = ("validation", "test")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Seen(NamedTuple):
    """Which works of a split were learnt from.

    Attributes:
      pictures: for each picture, whether its work was, bool [N].
      unknown: why more of them may have been; empty if all is known.
    """

    pictures: np.ndarray
    unknown: str


@dataclass(frozen=True)
class LearntFrom:
    """The works that a network has learnt from, as digests of 64 bits.

    A picture is known by its counted colours (`artjax.data.colours`). They are the same for canvases of
    all sizes and are copied with them; the JPEG itself is not there where only canvases were copied.

    Attributes:
      works: of the work id together with the name of the collection, and with its source (see `_keys`),
        uint64, sorted.
      pictures: of the counted colours of each picture, uint64, sorted; none if they are not counted.
      fingerprints: how the pictures look, by which other scans of them are known.
      unknown: what is missing, in words; empty if nothing is.
    """

    works: np.ndarray
    pictures: np.ndarray
    fingerprints: Fingerprints = NONE
    unknown: tuple[str, ...] = ()

    def seen(self, data: Canvases, split: Split) -> Seen:
        """Which works of a split of a collection are among them.

        They are those with the same work id in a collection of the same name or source, those with the
        same picture or one that looks the same in any collection, and all other pictures of these works.
        """
        works, pictures = _work_ids(split), _pictures(data, split)
        seen = np.isin([_works(key, split) for key in _keys(data.prepared)], self.works).any(axis=0)
        if pictures is not None:
            seen |= np.isin(pictures, self.pictures)
        seen = np.isin(works, works[seen])
        seen[self._alike(data, split, np.flatnonzero(~seen))] = True
        return Seen(np.isin(works, works[seen]), "; ".join(self.unknown))

    def _alike(self, data: Canvases, split: Split, asked: np.ndarray) -> np.ndarray:
        """Which of the pictures asked for look the same as one of them, as indices in the split."""
        known = self.fingerprints
        if reports.read_near_duplicates(data.reports) is None:
            # Its works were cut apart without such a search, because different ones may look the same,
            # such as those that the studio draws. So within its own source only names tell.
            known = known.only(known.sources != _source(data.prepared))
        if not (len(known.sources) and len(asked)):
            return np.empty(0, np.int64)
        split = split.only(asked)

        def compute() -> list[int]:
            views = fingerprints_of(data, split)
            found: list[int] = np.unique(
                views.picture[looks_like_any(views, known.views())]
            ).tolist()
            return found

        # Asked at the start of a run and at each evaluation: half a minute with 80,000 works.
        found = kept_in(data.directory / _KEPT, _digest(known, data, split), compute)
        return asked[np.asarray(found, np.int64)]


def _digest(known: Fingerprints, data: Canvases, asked: Split) -> str:
    """Of everything that decides which of the pictures asked for look like one that is known."""
    digest = hashlib.blake2b(repr((RULE, *made_from(data), asked.source)).encode(), digest_size=16)
    for of in (*known, asked.rows):
        digest.update(np.ascontiguousarray(of).data)
    return digest.hexdigest()


def of_splits(data: Canvases, splits: Iterable[Split]) -> LearntFrom:
    """The works of some splits of a collection."""
    parts = []
    for split in splits:
        pictures = _pictures(data, split)
        pictures = np.empty(0, np.uint64) if pictures is None else pictures
        works = np.concatenate([_works(key, split) for key in _keys(data.prepared)])
        fingerprints = Fingerprints.of(fingerprints_of(data, split), _source(data.prepared))
        parts.append(LearntFrom(works, pictures, fingerprints))
    return joined(parts)


def joined(parts: Sequence[LearntFrom]) -> LearntFrom:
    """The works of one or more together."""

    return LearntFrom(
        np.unique(np.concatenate([part.works for part in parts])),
        np.unique(np.concatenate([part.pictures for part in parts])),
        fingerprints_lib.joined([part.fingerprints for part in parts]),
        tuple(sorted({text for part in parts for text in part.unknown})),
    )


def save(workdir: Path, own: LearntFrom, weights: LearntFrom | None) -> None:
    """Writes `learnt_from.npz` atomically.

    Args:
      workdir: the folder of a run.
      own: the works that the run itself learns from.
      weights: those that its pretrained weights have learnt from; None if they are not of a run.

    Raises:
      WorkdirError: if it cannot be written.
    """
    parts = {_OWN: own} if weights is None else {_OWN: own, _WEIGHTS: weights}
    arrays: dict[str, Any] = {"version": np.asarray(_VERSION)}
    for name, part in parts.items():
        arrays |= {f"{name}/works": part.works, f"{name}/pictures": part.pictures}
        arrays |= {
            f"{name}/fingerprints/{field}": of for field, of in part.fingerprints._asdict().items()
        }
        arrays[f"{name}/unknown"] = np.asarray(part.unknown, np.str_)
    try:
        with replacing(workdir / FILE) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise WorkdirError(f"cannot write {workdir / FILE}: {error.strerror or error}") from error


def is_there(workdir: Path) -> bool:
    """Whether a workdir has a `learnt_from.npz` that can be read."""
    return _read(workdir) is not None


def of_run(workdir: Path) -> LearntFrom:
    """All works that the network of a run has learnt from, with those of its pretrained weights."""
    parts = _read(workdir)
    return _unknown(workdir) if parts is None else joined(list(parts.values()))


def of_weights(workdir: Path, record: Record) -> LearntFrom | None:
    """The works that the pretrained weights of a run have learnt from; None if they are not of a run."""
    parts = _read(workdir)
    if parts is not None:
        return parts.get(_WEIGHTS)
    # Only the weights of a run have a step.
    return _unknown(workdir) if "step" in record.pretrained else None


def warnings(weights: LearntFrom, data: Canvases, splits: Mapping[str, Split]) -> list[str]:
    """What is to be said of weights before a training: which works held out from it they know."""
    found = {name: weights.seen(data, splits[name]) for name in _HELD_OUT}
    counts = []
    for name, seen in found.items():
        works = _work_ids(splits[name])
        known = len(np.unique(works[seen.pictures]))
        if known:
            counts.append(f"{known:,} of the {len(np.unique(works)):,} {name} works")
    lines = []
    if counts:
        lines.append(
            f"warning: the weights have learnt from {' and '.join(counts)}: their score is not one of "
            "unseen works; each result has one without them, too"
        )
    if unknown := found[_HELD_OUT[0]].unknown:
        lines.append(
            "warning: it cannot be known which works the weights have learnt from "
            f"({unknown}): their scores may be those of works that they have seen"
        )
    return lines


def _unknown(workdir: Path) -> LearntFrom:
    none = np.empty(0, np.uint64)
    return LearntFrom(none, none, unknown=(_why_unknown(workdir),))


def _why_unknown(workdir: Path) -> str:
    file = workdir / FILE
    if not file.exists():
        return f"{file} is missing"
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            version = int(arrays["version"])
    except _UNREADABLE:
        version = _VERSION
    problem = "cannot be read" if version == _VERSION else "is of another version of artjax"
    return f"{file} {problem}"


def _read(workdir: Path) -> dict[str, LearntFrom] | None:
    """What `save` wrote, `own` and perhaps `weights`; None if it is missing, damaged or of others."""
    try:
        with (workdir / FILE).open("rb") as stream, np.load(stream) as file:
            if int(file["version"]) != _VERSION:
                return None
            return {
                name: LearntFrom(
                    file[f"{name}/works"],
                    file[f"{name}/pictures"],
                    Fingerprints(
                        *(file[f"{name}/fingerprints/{field}"] for field in Fingerprints._fields)
                    ),
                    tuple(file[f"{name}/unknown"].tolist()),
                )
                for name in (_OWN, _WEIGHTS)
                if name == _OWN or f"{name}/works" in file
            }
    except _UNREADABLE:
        return None


def _keys(prepared: Prepared) -> tuple[str, ...]:
    """In which sets a work id means the same work: those of the same name, and of the same source.

    The configs of a published collection have one source: `wikiart/artist` and `wikiart/genre` list the
    same files. Those of anybody's own pictures have one where they were built from the same folder.
    """
    builder = prepared.name.partition("/")[0]
    entry = collections.find(builder)
    if entry is None:
        return (prepared.name,)
    if entry.one_source:
        return prepared.name, f"{builder}/"
    folder = prepared.metadata.get("manual_dir")
    return (prepared.name, f"{builder}/\0{folder}") if folder else (prepared.name,)


def _source(prepared: Prepared) -> int:
    """A digest of the source, which all sets of it share."""
    return int(_digests([_keys(prepared)[-1].encode()])[0])


def _works(key: str, split: Split) -> np.ndarray:
    """A digest of the work of each picture, together with one of `_keys`, uint64 [N]."""
    return _digests(f"{key}\0{work}".encode() for work in _work_ids(split).tolist())


def _work_ids(split: Split) -> np.ndarray:
    return split.work_ids if len(split.work_ids) else split.file_names


def _pictures(data: Canvases, split: Split) -> np.ndarray | None:
    """A digest of each picture, uint64 [N]; None if its colours are not counted."""
    counts = data.colours(split)
    return None if counts is None else _digests(of_work.tobytes() for of_work in counts)


def _digests(contents: Iterable[bytes]) -> np.ndarray:
    # Of 100,000 works on each side, two different ones are taken for the same once in a billion times.
    digests = (hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)

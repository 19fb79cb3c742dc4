"""The files below a folder, found by the names that catalogues give them."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from artjax.data.splits import split_of_folders
from artjax.prepare.catalogue import Work
from artjax.prepare.picture_paths import leads_up
from artjax.prepare.readers.filename_repair import canonical_name
from artjax.prepare.readers.similar_names import Found, SimilarNames

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".tif", ".tiff"),
        *(".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".ppm", ".pgm"),
    )
)

# Folders that systems and programs put between pictures: previews of Synology and QNAP, the Mac's half
# of an archive, deleted files. No collection is in them. Those that begin with a point are hidden.
_OF_PROGRAMS = frozenset(
    (
        *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__macosx"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    )
)
# Small copies of pictures that are elsewhere; where there are no others, these are the pictures.
_OF_COPIES = frozenset(("thumbs", "thumb", "_thumbs", "thumbnails", "_thumbnails", "previews"))
_NAMED = 3

_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"RIFF", b"P5", b"P6"),
    *(b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)


def begins_like_picture(file: Path) -> bool:
    """Whether a file begins as the formats do that are read."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            begin = opened.read(12)
    except OSError:
        return False
    return begin.startswith(_BEGINNINGS) or begin[4:8] == b"ftyp"


def is_picture(name: str) -> bool:
    """Whether the suffix is one of a picture."""
    return _suffix(name) in PICTURE_SUFFIXES


class PictureFiles:
    """The files below a folder, found by name even where an accent was mangled on the way.

    Hidden files and folders are ignored, as are those that systems and programs put between pictures
    (`@eaDir`, `__MACOSX`); links to folders are followed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._passed_over: Counter[str] = Counter()
        self._names = sorted(self._files_below(folder))
        self._exact = frozenset(self._names)

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        # Made where a list names a file that is not there: mostly, all are.
        alike: dict[str, list[str]] = {}
        for name in self._names:
            alike.setdefault(canonical_name(name), []).append(name)
        return alike

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def pictures(self) -> frozenset[str]:
        """The files that are pictures by their suffix, or without a suffix by how they begin.

        Small copies in folders such as `thumbs` are none, where there are other pictures.
        """
        pictures = [
            name
            for name in self._names
            if is_picture(name) or (not _suffix(name) and begins_like_picture(self.folder / name))
        ]
        originals = [name for name in pictures if not _in_copies(name)] or pictures
        # Where all are, no second set of half a million.
        return self._exact if len(originals) == len(self._names) else frozenset(originals)

    @cached_property
    def copies(self) -> frozenset[str]:
        """Pictures in folders of small copies, where there are others."""
        return frozenset(
            name
            for name in self._names
            if is_picture(name) and _in_copies(name) and name not in self.pictures
        )

    def passed_over(self) -> list[str]:
        """A line for the user about the folders that were not looked into, if there are any."""
        counts = self._passed_over + Counter(map(_in_copies, self.copies))
        if not counts:
            return []
        folders = ", ".join(f"{count:,} in {name}" for name, count in counts.most_common(_NAMED))
        return [f"pictures passed over, as made by other programs: {folders}"]

    def names(self) -> list[str]:
        """Relative paths of all files, sorted."""
        return list(self._names)

    def find(self, name: str) -> Path | None:
        """The file that a catalogue calls `name`, or None; see `find_name`."""
        found = self.find_name(name)
        return None if found is None else self.folder / found

    def find_name(self, name: str) -> str | None:
        """The relative path of the file that a catalogue calls `name`, or None.

        A file of exactly that name comes first. One with a similar spelling is taken if it is the only
        one, since a guess between `IMG.jpg` and `img.jpg` might show the wrong picture.
        """
        if name in self._exact:
            return name
        alike = self._alike.get(canonical_name(name), [])
        return alike[0] if len(alike) == 1 else None

    def _files_below(self, folder: Path) -> Iterator[str]:
        for parent, folders, names in os.walk(folder, followlinks=True):
            for name in [name for name in folders if name.lower() in _OF_PROGRAMS]:
                self._passed_over[name] += _pictures_below(Path(parent, name))
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".")
                and name.lower() not in _OF_PROGRAMS
                and not leads_up(Path(parent, name))
            )
            relative = Path(parent).relative_to(folder).as_posix()
            start = "" if relative == "." else f"{relative}/"
            for name in names:
                if not name.startswith("."):
                    yield start + name


class ListedPictures:
    """Finds the pictures of a list: by path, by a name that occurs only once, or by one spelt alike."""

    def __init__(self, files: PictureFiles) -> None:
        self.folder = files.folder
        self._files = files

    @cached_property
    def _names(self) -> list[str]:
        return [
            name
            for name in self._files.names()
            if is_picture(name) and name in self._files.pictures
        ]

    @cached_property
    def _called(self) -> dict[str, list[str]]:
        called: dict[str, list[str]] = {}
        for name in self._names:
            path = PurePosixPath(canonical_name(name))
            for key in (path.name, path.stem):  # ids come without a suffix
                called.setdefault(key, []).append(name)
        return called

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _similar(self) -> SimilarNames:
        return SimilarNames(self._names, PICTURE_SUFFIXES)

    def find(
        self,
        listed: Iterable[str],
        folder: PurePosixPath,
        split: str | None = None,
        *,
        other_folders: bool = True,
    ) -> Found:
        """The relative paths of the pictures of a list; None for those that are missing.

        Args:
          listed: paths, names, or names without a suffix, as the list has them.
          folder: where the list lies.
          split: the split that the list belongs to, if any.
          other_folders: whether a picture may lie in another folder than its path says.
        """
        paths = tuple(path.replace("\\", "/") for path in listed)
        found = [self._called_so(path, str(folder)) if path else None for path in paths]
        if None not in found:
            return Found(paths, tuple(found))
        # Of Ada/1.jpg and Bo/1.jpg one may be missing; then the other is not it.
        times = Counter(map(_last_part, set(paths)))
        anywhere = {
            path
            for path in paths
            if times[_last_part(path)] == 1 and (other_folders or "/" not in path)
        }
        found = [
            self._find(path, split, by_name=path in anywhere) if path and file is None else file
            for path, file in zip(paths, found, strict=True)
        ]
        missing = [path for path, file in zip(paths, found, strict=True) if path and file is None]
        if not missing:
            return Found(paths, tuple(found))
        taken = frozenset(file for file in found if file)
        similar = self._similar.match(missing, taken, anywhere)
        lost = [path for path in dict.fromkeys(missing) if path not in similar]
        return Found(
            paths,
            tuple(file or similar.get(path) for path, file in zip(paths, found, strict=True)),
            similar,
            self._similar.nearest(lost[:_NAMED]),
        )

    def _called_so(self, path: str, folder: str) -> str | None:
        for start in (folder, ""):
            file = self._files.find_name(posixpath.normpath(posixpath.join(start, path)))
            if file is not None:
                return file
        return None

    def _find(self, path: str, split: str | None, *, by_name: bool) -> str | None:
        key = "/" + canonical_name(path).strip("/")
        called = self._called.get(PurePosixPath(key).name, [])
        ends = [name for name in called if _ends_in(name, key)]
        for names in (ends, called if by_name else []):
            # train/1.jpg and test/1.jpg: the list of a split means the picture of its split.
            of_split = [name for name in names if split and split_of_folders(name) == split]
            for few in (names, of_split):
                if len(few) == 1:
                    return few[0]
        return None


def _suffix(name: str) -> str:
    # Not PurePosixPath, which takes ten times as long: seconds for half a million files.
    return posixpath.splitext(name)[1].lower().rstrip(".")


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _ends_in(name: str, key: str) -> bool:
    """Whether one path is the end of the other: lists name folders of another machine."""
    path = PurePosixPath("/" + canonical_name(name))
    full, bare = str(path), str(path.with_suffix(""))
    return any(
        end.endswith(key) or (end.count("/") > 1 and key.endswith(end)) for end in (full, bare)
    )


def _pictures_below(folder: Path) -> int:
    return sum(is_picture(name) for _, _, names in os.walk(folder) for name in names)


def _in_copies(name: str) -> str:
    """The folder of small copies that a file is in; empty if it is in none."""
    folders = name.split("/")[:-1]
    return next((folder for folder in folders if folder.lower() in _OF_COPIES), "")


def no_pictures(works: Sequence[Work], files: PictureFiles) -> str:
    """The message if no work has a picture among the files."""
    return (
        f"none of the {len(works):,} listed pictures is below {files.folder}: it holds {len(files):,} "
        f"files; expected are paths like {files.folder / works[0].file_name}"
    )

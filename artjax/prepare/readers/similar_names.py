"""Listed names spelt a little otherwise than the files: matched where there is one candidate."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from artjax.prepare.readers.filename_repair import canonical_name

_SEPARATORS = re.compile(r"[\s_.,\-\u2010-\u2015]+")
# What a spreadsheet or a data frame makes of the id 436535 where another row has none.
_FLOAT = re.compile(r"(\d+)\.0")
# An identifier, and what is shown or how large: A00001_10, 436535_main. Shorter ones are years.
_WITH_VIEW = re.compile(r"(?=[^_]*\d)(?P<id>[^_]{5,})_[^_]+")
_NEAREST_OF = 20_000  # more files take seconds to compare with


def loose_name(name: str, suffixes: frozenset[str]) -> str:
    """The same key for all spellings of a path that differ in what people change when they save a file.

    Beside what `canonical_name` undoes: spaces, dashes, underscores and points, `%20` and the like,
    accents, apostrophes and other compatible Unicode forms, and the suffix of a picture.

    Args:
      name: a relative path.
      suffixes: of pictures, in lower case, with their points.

    Returns:
      A key to compare by.
    """
    if _FLOAT.fullmatch(name):
        name = name[:-2]
    name = canonical_name(unquote(name))
    suffix = PurePosixPath(name).suffix
    if suffix in suffixes:
        name = name[: -len(suffix)]
    if not name.isascii():
        decomposed = unicodedata.normalize("NFKD", name.replace("\u2019", "'"))
        name = "".join(char for char in decomposed if not unicodedata.combining(char))
    return "/".join(_SEPARATORS.sub("-", part).strip("-") for part in name.split("/"))


def _digits(key: str) -> str:
    return "".join(filter(str.isdecimal, key))


def _number(key: str) -> str:
    """A number without its leading zeros, which spreadsheets drop; empty for other keys."""
    return key.lstrip("0") if key.isdecimal() else ""


@dataclass(frozen=True)
class Found:
    """The files of a list's pictures.

    Attributes:
      listed: paths, names or ids, as the list has them.
      paths: of each, the file's relative path, or None if there is none or it is not clear which.
      similar: by what is listed, the file that is only spelt alike.
      nearest: by what is listed and not found, a file with a similar name; for the first few.
    """

    listed: tuple[str, ...]
    paths: tuple[str | None, ...]
    similar: Mapping[str, str] = field(default_factory=dict)
    nearest: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def there(self) -> int:
        """The number of those that were found."""
        return len(self.paths) - self.paths.count(None)

    def lines(self, *, nearest: bool = True) -> list[str]:
        """For the user: how many were found by a similar name, and what is near those that were not."""
        lines = []
        if self.similar:
            alike = sum(listed in self.similar for listed in self.listed)
            listed, path = next(iter(self.similar.items()))
            lines.append(
                f"{self.there:,} pictures: {self.there - alike:,} by their path or name, {alike:,} by a "
                f"similar name (such as '{path}' for '{listed}')"
            )
        for listed, path in self.nearest.items() if nearest else ():
            lines.append(f"'{listed}' is not there; '{path}' is")
        return lines


class SimilarNames:
    """The files below a folder by their loose names."""

    def __init__(self, names: Iterable[str], suffixes: frozenset[str]) -> None:
        self._suffixes = suffixes
        self._by_path: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_number: dict[str, list[str]] = {}
        self._by_folder: dict[str, list[str]] = {}
        self._by_id: dict[str, list[str]] = {}
        for name in names:
            key = loose_name(name, suffixes)
            last = key.rpartition("/")[2]
            self._by_path.setdefault(key, []).append(name)
            self._by_name.setdefault(last, []).append(name)
            if number := _number(last):
                self._by_number.setdefault(number, []).append(name)
            if view := _WITH_VIEW.fullmatch(PurePosixPath(name).stem):
                self._by_id.setdefault(loose_name(view["id"], suffixes), []).append(name)
            for folder in key.split("/")[:-1]:
                self._by_folder.setdefault(folder, []).append(name)

    def match(self, listed: Sequence[str], taken: Set[str], anywhere: Set[str]) -> dict[str, str]:
        """The file that each listed name means, where one and only one is spelt alike.

        Args:
          listed: those that no file is called exactly.
          taken: files that the list calls by their own names; they are no other picture.
          anywhere: those of `listed` that may lie in another folder than the list says.

        Returns:
          By what is listed, the file. A file that two of them could mean is neither's.
        """
        candidates = {
            name: self._candidate(name, name in anywhere) for name in dict.fromkeys(listed)
        }
        claims = Counter(file for file in candidates.values() if file)
        return {
            name: file
            for name, file in candidates.items()
            if file and file not in taken and claims[file] == 1
        }

    def _candidate(self, listed: str, anywhere: bool) -> str | None:
        key = loose_name(listed, self._suffixes)
        last = key.rpartition("/")[2]
        keys = [(self._by_path, key)]
        if anywhere:
            # An accession number such as 1990/12 is one name, not a folder and a name.
            keys += [(self._by_name, last), (self._by_name, key.replace("/", "-"))]
            # IIIF keeps each image in a folder of its own: IDENTIFIER/full/max/0/default.jpg.
            keys += [(self._by_number, _number(last)), (self._by_folder, last)]
            # 436535 may be 436535_main.jpg, but 436535.jpg is not 436535_back.jpg.
            if PurePosixPath(listed).suffix.lower() not in self._suffixes:
                keys += [(self._by_id, last)]
        for files, wanted in keys:
            alike = files.get(wanted, []) if wanted else []
            if alike:
                return alike[0] if len(alike) == 1 else None
        return None

    def nearest(self, listed: Iterable[str]) -> dict[str, str]:
        """By what is listed, the file with the most similar name, if one is similar at all."""
        found = {}
        if len(self._by_name) <= _NEAREST_OF:
            for name in listed:
                key = loose_name(name, self._suffixes).rpartition("/")[2]
                near = difflib.get_close_matches(key, self._by_name, n=1, cutoff=0.8)
                # With another number it is another work.
                if near and _digits(near[0]) == _digits(key):
                    found[name] = self._by_name[near[0]][0]
        return found

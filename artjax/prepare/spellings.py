"""Class names that are likely one: "Rijn, Rembrandt van" and "REMBRANDT VAN RIJN"."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process

from artjax.data.reports import Double
from artjax.prepare.names import folded, names_in, qualified

# Chosen on made-up lists of painters and of techniques, see the tests: lower ones join Northern and
# Southern Song, higher ones miss "Goijen".
_ALIKE = 84.0  # whole names, in percent (2 × the letters in common, of all)
_WORDS_ALIKE = 80.0  # the words in which people's names differ
_OTHER_WORDS_ALIKE = 90.0  # those of other labels: "etching" and "etchings"
_LONG = 5  # letters; shorter words that differ are different
_ROWS = 1000  # of the table of all names by all names that are compared at once: 20 MB of 20,000

_PARTICLES = frozenset(
    (
        *(
            "the",
            "of",
            "van",
            "von",
            "de",
            "den",
            "der",
            "des",
            "du",
            "del",
            "della",
            "di",
            "da",
            "do",
        ),
        *("dos", "la", "le", "les", "los", "y", "zu", "zum"),
    )
)
_GENERATIONS = {
    **dict.fromkeys(("elder", "older", "senior", "sr", "vecchio", "altere", "ancien", "pere"), 1),
    **dict.fromkeys(("younger", "junior", "jr", "giovane", "jungere", "jeune", "fils", "ii"), 2),
    **dict.fromkeys(("iii",), 3),
    **dict.fromkeys(("iv",), 4),
}
_NOBODY = frozenset(("anonymous", "anonym", "anonyme", "anonimo", "master", "unknown", "various"))
_DATED = re.compile(
    r"[(\[][^)\]]*\d{3}[^)\]]*[)\]]|,?\s*\b(?:born|died|b\.|d\.|active|fl\.)?\s*\d{3,4}.*$"
)


@dataclass(frozen=True)
class _Name:
    """A class name as it is compared: its words in small letters, sorted, and what must be equal."""

    words: tuple[str, ...]
    kind: str  # "workshop of" and the like
    generation: int

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def own_words(self) -> tuple[str, ...]:
        return tuple(word for word in self.words if word not in _PARTICLES)


def likely_doubles(label: str, works: Mapping[str, int], people: bool) -> list[Double]:
    """The class names of a label that are likely spellings of one class, by name.

    Names are alike if they have the same words in any order, without accents, capitals, brackets with
    years and punctuation; or if the words in which they differ have nearly the same letters. Names of
    people are alike too if one has initials, or if one is a part of exactly one other. Names with
    different numbers, generations ("the Elder") or qualifiers ("workshop of") are not.

    Args:
      label: its name.
      works: the number of works of each class.
      people: whether the classes are people.
    """
    names = {name: _parsed(name, people) for name in works if len(names_in(name, people)) == 1}
    spellings: dict[_Name, list[str]] = defaultdict(list)
    for name, parsed in names.items():
        if parsed.own_words:
            spellings[parsed].append(name)
    keys = sorted(spellings, key=lambda key: (key.words, key.kind, key.generation))
    pairs = [(i, i, "the same words") for i, key in enumerate(keys) if len(spellings[key]) > 1]
    if people:
        pairs += [(i, j, "initials") for i, j in _initials(keys)]
        pairs += [(i, j, "a part of the name") for i, j in _parts(keys)]
    pairs += [(i, j, "nearly the same letters") for i, j in _alike(keys, people)]
    return _rows(label, works, keys, spellings, pairs)


def same_words(name: str) -> tuple[tuple[str, ...], int]:
    """What is the same for two spellings of a person's name that have the same words."""
    parsed = _parsed(name, people=True)
    return parsed.words, parsed.generation


def _parsed(name: str, people: bool) -> _Name:
    kind, text = (qualified(name) if people else None) or ("", name)
    plain = folded(text)
    if people:
        plain = _DATED.sub(" ", plain)
        # German "d. Ä." and "d. J.", which have lost their accents.
        plain = re.sub(r"\bd\. ?a\.", " elder ", plain)
        plain = re.sub(r"\bd\. ?j\.", " younger ", plain)
    words = re.findall(r"\w+\.?", plain)
    generation = 0
    rest = []
    for place, word in enumerate(words):
        bare = word.rstrip(".")
        if people and (bare in _GENERATIONS or (bare == word == "i" and place)):
            generation = _GENERATIONS.get(bare, 1)
        else:
            rest.append(bare)
    if generation:
        rest = [word for word in rest if word not in ("the", "il", "der", "le", "l")]
    return _Name(tuple(sorted(rest)), kind, generation)


def _rows(
    label: str,
    works: Mapping[str, int],
    keys: Sequence[_Name],
    spellings: Mapping[_Name, Sequence[str]],
    pairs: Sequence[tuple[int, int, str]],
) -> list[Double]:
    """A row for each name of a group but the one with the most works."""
    group = list(range(len(keys)))

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    why: dict[int, str] = {}
    for i, j, reason in pairs:
        for one in (i, j):
            why.setdefault(one, reason)
        group[root(j)] = root(i)
    members: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for i in why:
        members[root(i)] += [(name, why[i]) for name in spellings[keys[i]]]
    rows = []
    for of_group in members.values():
        use = max((name for name, _ in of_group), key=lambda name: (works[name], _plainness(name)))
        rows += [Double(label, name, works[name], use, w) for name, w in of_group if name != use]
    return sorted(rows, key=lambda row: (row.use, row.name))


def _plainness(name: str) -> tuple[bool, bool, bool, int]:
    """Of spellings with as many works, the one with more of these is taken."""
    return (
        not re.search(r"\d", name),
        "," not in name,
        not (name.isupper() or name.islower()),
        -len(name),
    )


def _by_word(keys: Sequence[_Name]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        for word in set(key.own_words):
            found[word].append(i)
    return found


def _same_kind(one: _Name, other: _Name) -> bool:
    return (one.kind, one.generation) == (other.kind, other.generation)


def _initials(keys: Sequence[_Name]) -> Iterator[tuple[int, int]]:
    """Pairs like "P. P. Rubens" and "Peter Paul Rubens", where only one name fits the initials."""
    by_word = _by_word(keys)
    for i, key in enumerate(keys):
        full = [word for word in key.own_words if len(word) > 2]
        if not full or len(full) == len(key.own_words):
            continue
        rarest = min(full, key=lambda word: len(by_word[word]))
        fitting = [j for j in by_word[rarest] if j != i and _fits_initials(key, keys[j])]
        if len(fitting) == 1:
            yield fitting[0], i


def _fits_initials(short: _Name, other: _Name) -> bool:
    mine, its = Counter(short.own_words), Counter(other.own_words)
    left, right = list((mine - its).elements()), list((its - mine).elements())
    return (
        _same_kind(short, other)
        and len(left) == len(right) > 0
        and all(len(word) == 1 for word in left)
        and sorted(left) == sorted(word[0] for word in right)
    )


def _parts(keys: Sequence[_Name]) -> Iterator[tuple[int, int]]:
    """Pairs like "Rembrandt" and "Rembrandt van Rijn", where no other name has all of its words."""
    by_word = _by_word(keys)
    for i, key in enumerate(keys):
        words = set(key.own_words)
        if any(len(word) < 4 for word in words) or words <= _NOBODY:
            continue
        rarest = min(words, key=lambda word: len(by_word[word]))
        longer = [
            j
            for j in by_word[rarest]
            if j != i and keys[j].kind == key.kind and words <= set(keys[j].own_words)
        ]
        # All generations count, so that "Jan Brueghel" is no part of "Jan Brueghel the Elder".
        if len(longer) == 1 and _same_kind(key, keys[longer[0]]):
            yield longer[0], i


def _alike(keys: Sequence[_Name], people: bool) -> Iterator[tuple[int, int]]:
    texts = [key.text for key in keys]
    for start in range(0, len(texts), _ROWS):
        table = process.cdist(
            texts[start : start + _ROWS],
            texts[start:],
            scorer=fuzz.ratio,
            score_cutoff=_ALIKE,
            dtype=np.uint8,
            workers=-1,
        )
        for i, j in np.argwhere(table):
            i, j = int(i) + start, int(j) + start
            if i < j and _same_kind(keys[i], keys[j]) and _words_alike(keys[i], keys[j], people):
                yield i, j


def _words_alike(one: _Name, other: _Name, people: bool) -> bool:
    """Whether each word of one name that the other has not is nearly one of the other's."""
    mine, its = Counter(one.words), Counter(other.words)
    left, right = sorted((mine - its).elements()), sorted((its - mine).elements())
    least = _WORDS_ALIKE if people else _OTHER_WORDS_ALIKE
    return len(left) == len(right) and all(
        min(len(a), len(b)) >= _LONG
        and a[0] == b[0]
        and not re.search(r"\d", a + b)
        and fuzz.ratio(a, b) >= least
        for a, b in zip(left, right, strict=True)
    )

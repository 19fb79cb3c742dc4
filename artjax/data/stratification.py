"""Splits and folds that have their share of every class, cut between groups of works."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Set
from dataclasses import dataclass, field

_ALL = object()  # the class of all groups
_PASSES = 10  # a few are enough; each is over all groups
_OF_SIZE = 1e-3


def stratify(
    groups: Mapping[str, Iterable[Hashable]],
    shares: Mapping[str, float],
    assigned: Mapping[str, str],
    *,
    by_pictures: bool = False,
    seed: int = 0,
) -> dict[str, str]:
    """Assigns groups to splits, so that each split has its share of every class and of all groups.

    Iterative stratification: Sechidis, Tsoumakas & Vlahavas, On the Stratification of Multi-Label Data
    (2011), section 3. The rarest class goes first; each of its groups goes to the split that lacks most
    of this class, and of all groups where splits lack the same.

    What is added to the paper: single groups then move while that brings the classes nearer to their
    shares, since the first class of a group alone decided. A class with at least as many groups as there
    are splits gets one in each; a smaller class gets one in the largest split first; a class of a single
    group, which cannot be divided, gives way to that group's other classes. Groups with many pictures
    are assigned before the others of their class, while the largest split still lacks most.

    Args:
      groups: by key, the classes of the group's pictures. A class that occurs several times has as many
        pictures. Groups of a class are otherwise assigned in the order of a hash of their keys.
      shares: of each split, in groups; each is above 0, and they sum to 1.
      assigned: the split of groups that are assigned already, and stay.
      by_pictures: whether shares are of pictures, where groups differ much in size (all works of an
        artist); otherwise each group counts once.
      seed: of the hash, so that another one gives other splits.

    Returns:
      The split of every group.
    """
    counted = {key: Counter(names) for key, names in groups.items()}
    state = _State(counted, shares, by_pictures, seed)
    for key in groups:
        if key in assigned:
            state.assign(key, assigned[key])
    for name in state.rarest_first():
        for key in state.large_first(name):
            if key not in state.split_of:
                state.assign(key, state.most_lacking(name))
    state.balance(assigned.keys())
    for name in state.rarest_first():
        state.cover(name, assigned.keys())
    return state.split_of


@dataclass
class _State:
    """Which groups are where, and what each split lacks of each class.

    Attributes:
      groups: by key, the number of pictures by class.
      shares: of each split.
      by_pictures: whether a group counts as often as it has pictures.
      seed: of the hashes.
      split_of: the groups that are assigned.
      members: the groups of each class, in the order of their hashes; `_ALL` has all of them.
      lacking: by class and split, the number of groups, or of their pictures, that it still wants.
      there: the number of groups by class and split.
    """

    groups: Mapping[str, Counter[Hashable]]
    shares: Mapping[str, float]
    by_pictures: bool = False
    seed: int = 0
    split_of: dict[str, str] = field(default_factory=dict)
    members: dict[Hashable, list[str]] = field(default_factory=dict)
    lacking: dict[Hashable, dict[str, float]] = field(default_factory=dict)
    there: Counter[tuple[Hashable, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for key in sorted(self.groups, key=lambda key: _place(key, self.seed)):
            for name in (*self.groups[key], _ALL):
                self.members.setdefault(name, []).append(key)
        self.lacking = {
            name: _wanted(len(keys), self.shares, sum(self._size(key, name) for key in keys))
            for name, keys in self.members.items()
        }

    def rarest_first(self) -> list[Hashable]:
        def rank(name: Hashable) -> tuple[bool, bool, int, str]:
            return name is _ALL, self._is_single(name), len(self.members[name]), str(name)

        return sorted(self.members, key=rank)

    def large_first(self, name: Hashable) -> list[str]:
        """The groups of a class; first those that alone are more than the smallest split's share."""
        pictures = {key: self.groups[key][name] for key in self.members[name]}
        share = min(self.shares.values()) * sum(pictures.values())
        return sorted(pictures, key=lambda key: -pictures[key] if pictures[key] > share else 0)

    def most_lacking(self, name: Hashable) -> str:
        """The split that lacks most of a class; among equals, most of all groups, then the first."""

        def lack(split: str) -> tuple[bool, float, float]:
            # Rounded, since sums of floats that should be equal are not.
            of_all = round(self.lacking[_ALL][split], 6)
            # A thousand classes of one group each would otherwise all be in the largest split.
            return (
                not self._is_single(name) or of_all > 0,
                round(self.lacking[name][split], 6),
                of_all,
            )

        return max(self.shares, key=lack)

    def assign(self, key: str, split: str) -> None:
        self.split_of[key] = split
        self._count(key, split, 1)

    def balance(self, fixed: Set[str]) -> None:
        """Moves single groups as long as that lowers the sum, over classes, of lacks² / groups."""
        for _ in range(_PASSES):
            moved = False
            for key in self.members.get(_ALL, ()):
                left = self.split_of[key]
                if key in fixed or not self._may_leave(key, left):
                    continue
                change = {s: self._change(key, left, s) for s in self.shares if s != left}
                best = min(change, key=change.__getitem__, default=left)
                if best != left and change[best] < -1e-9:
                    self._move(key, best)
                    moved = True
            if not moved:
                return

    def cover(self, name: Hashable, fixed: Set[str]) -> None:
        """Moves single groups, so that a class with enough groups has one in each split.

        With several labels, the groups of a class can be assigned before its turn. A group moves only if
        none of its classes loses the last one in the split that it leaves.
        """
        if len(self.members[name]) < len(self.shares):
            return
        for split in self.shares:
            if self.there[name, split]:
                continue
            can_move = [
                key
                for key in self.members[name]
                if key not in fixed and self._may_leave(key, self.split_of[key])
            ]
            if can_move:
                key = min(can_move, key=lambda key: self.lacking[name][self.split_of[key]])
                self._move(key, split)

    def _may_leave(self, key: str, split: str) -> bool:
        """Whether none of a group's classes loses its last group in the split."""
        return all(self.there[c, split] > 1 or self._is_single(c) for c in self.groups[key])

    def _change(self, key: str, left: str, split: str) -> float:
        """The change of the sum that `balance` lowers, if a group moves from one split to another."""
        classes = sum(self._change_of(key, c, left, split) for c in self.groups[key])
        # The size of a split decides only where the classes do not: a build before may have filled it.
        return classes + _OF_SIZE * self._change_of(key, _ALL, left, split)

    def _change_of(self, key: str, name: Hashable, left: str, split: str) -> float:
        if self._is_single(name):
            return 0.0
        size = self._size(key, name)
        more = size + self.lacking[name][left] - self.lacking[name][split]
        return 2 * size * more / len(self.members[name])

    def _move(self, key: str, split: str) -> None:
        self._count(key, self.split_of[key], -1)
        self.assign(key, split)

    def _is_single(self, name: Hashable) -> bool:
        return len(self.members[name]) == 1

    def _count(self, key: str, split: str, number: int) -> None:
        for name in (*self.groups[key], _ALL):
            self.there[name, split] += number
            if split in self.shares:
                self.lacking[name][split] -= number * self._size(key, name)

    def _size(self, key: str, name: Hashable) -> int:
        """What a group counts for a class: 1, or the number of its pictures."""
        if not self.by_pictures:
            return 1
        of_group = self.groups[key]
        # At least 1: a group without a known class is one of all groups, too.
        return max(1, *of_group.values()) if name is _ALL and of_group else max(1, of_group[name])


def _wanted(groups: int, shares: Mapping[str, float], count: int) -> dict[str, float]:
    """How many of the `count` groups of a class, or of their pictures, each split wants.

    Its share, but one at least. A class with fewer groups than splits wants one in the largest; the
    others go where most is lacking of all groups.
    """
    largest = max(shares, key=lambda split: shares[split])
    if groups < len(shares):
        return {split: count / groups * (split == largest) for split in shares}
    wanted = {split: max(1.0, share * count) for split, share in shares.items()}
    wanted[largest] -= sum(wanted.values()) - count
    return wanted


def _place(key: str, seed: int) -> bytes:
    salt = f"{seed}\0" if seed else ""  # splits that were once cut stay
    text = f"artjax\0{salt}{unicodedata.normalize('NFC', key)}"
    return hashlib.sha256(text.encode()).digest()

"""What runs say of pictures, label by label, as many tests compare it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import answers, check_same_classes, judges_of, ranked
from artjax.prepare.picture_paths import files_of
from artjax.runs import Run


class Guess(NamedTuple):
    """One label of a picture: `rank` 1 is the most probable."""

    path: Path
    task: str
    rank: int
    label: str
    probability: float
    unsure: bool | None
    unlikeness: float | None

    @property
    def unlike_train(self) -> bool | None:
        """Whether the picture is unlike anything in train."""
        return None if self.unlikeness is None else self.unlikeness > 1


class Result(NamedTuple):
    """All labels of all usable pictures; (path, reason) of the others; the judges."""

    guesses: list[Guess]
    unusable: list[tuple[Path, str]]
    judges: tuple[Judge, ...]


def predict(runs: Sequence[Run], paths: Sequence[Path], views: int | None = None) -> Result:
    """Predicts files and folders."""
    check_same_classes(runs)
    judges = judges_of(runs, views)
    found = files_of(paths)
    guesses, unusable = [], list(found.missing)
    for answer in (one for batch in answers(runs, found.files, judges) for one in batch):
        if answer.reason:
            unusable.append((answer.file, answer.reason))
        for task, shares in answer.probabilities.items():
            names, said = runs[0].classes[task], (answer.unsure[task], answer.unlikeness)
            guesses += [
                Guess(answer.file, task, rank, names[c], float(shares[c]), *said)
                for rank, c in enumerate(ranked(shares), start=1)
            ]
    return Result(guesses, unusable, judges)

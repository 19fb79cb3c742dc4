"""What each check concludes from its numbers: `ok`, `FAILED` …, and one sentence."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OK, FAILED, CANNOT_TELL = "ok", "FAILED", "cannot tell"
WARNING = "warning"  # the set-up learns, but what it learns may not be what is meant

# The heads start at zero, so the loss is ln(classes) up to rounding; this allows for other heads.
_INITIAL_LOSS_TOLERANCE = 0.05
# Of the range 0 to 255. JPEG leaves less noise than this in a picture of one colour.
_CONSTANT = 1.0
_MOST_CONSTANT = 0.1
_MOST_SAME = 0.5
# Of a parameter whose gradient is this much smaller than the largest one, mathematics may expect none,
# such as of the bias of attention's keys.
_TINY_GRADIENT = 1e-6
# Of its norm. A training that changes a parameter by less in a hundred steps does not train it.
_LEAST_MOVEMENT = 1e-6
_SHOWN = 4
_INPUT = "put the input right first, see above (--config.preprocessing.preset)"
# The labels of works that were not trained on.
_SURE, _DOUBTFUL = 0.001, 0.05
_LEAST_HELD = 40
_MEMORISED = 0.9
_USEFUL_EXCESS = 0.2


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    Attributes:
      name: name of the check.
      verdict: `OK`, `FAILED`, `CANNOT_TELL` or `WARNING`.
      text: the measured numbers; of a failure also what it means, and what to do.
      numbers: the numbers again, for `check.json`.
    """

    name: str
    verdict: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}: {self.text}"


def first_loss(
    losses: Mapping[str, float], classes: Mapping[str, int], trained: Collection[str]
) -> Verdict:
    """Compares the loss of the untrained network with the loss of uniform guessing.

    Args:
      losses: the mean cross-entropy of each task on the first batch; nan without a known label.
      classes: number of classes of each task.
      trained: the tasks whose head comes with pretrained weights, so that nothing is expected.
    """
    name = "first loss"
    shown = ", ".join(
        f"{task} {loss:.4f} (ln {classes[task]} = {math.log(classes[task]):.4f})"
        for task, loss in losses.items()
    )
    numbers = {"loss": dict(losses), "expected": {t: math.log(n) for t, n in classes.items()}}
    compared = [task for task in losses if task not in trained]
    expected = {task: math.log(classes[task]) for task in compared}
    wrong = [
        task
        for task in compared
        if not abs(losses[task] - expected[task]) <= _INITIAL_LOSS_TOLERANCE * expected[task]
    ]
    if wrong:
        return Verdict(
            name,
            FAILED,
            f"{shown}: an untrained head must guess all classes alike; the outputs of the network are "
            "not finite, the heads do not start at zero, or no label of the batch is known",
            numbers,
        )
    if trained:
        shown += (
            f"; not compared for {', '.join(sorted(trained))}, whose head comes with the weights"
        )
    return Verdict(name, OK, shown, numbers)


def pictures(images: np.ndarray) -> Verdict:
    """Whether the pictures of a batch are pictures, and differ.

    Args:
      images: as evaluation sees them, uint8 [B, H, W, 3].
    """
    flat = images.reshape(len(images), -1)
    spreads = images.std(axis=(1, 2)).max(axis=-1)
    constant = float((spreads < _CONSTANT).mean())
    same = 1 - (len(np.unique(flat, axis=0)) - 1) / max(1, len(flat) - 1) if len(flat) > 1 else 0.0
    mean, black = float(images.mean()), float((flat.max(axis=1) <= _CONSTANT).mean())
    text = (
        f"{len(images)} of the first batch, mean {mean:.0f} and standard deviation "
        f"{float(spreads.mean()):.0f} of 255; {constant:.0%} of one colour, {same:.0%} copies of others"
    )
    numbers = {"mean": mean, "deviation": float(spreads.mean()), "constant": constant, "same": same}
    if black == 1:
        problem = "all pictures are black"
    elif constant > _MOST_CONSTANT:
        problem = "many pictures are of one colour"
    elif same > _MOST_SAME:
        problem = "most pictures are the same"
    else:
        return Verdict("pictures", OK, text, numbers)
    return Verdict(
        "pictures",
        FAILED,
        f"{text}: {problem}, so there is nothing to learn from them; look at them with --mode describe, "
        "then repair the files and build the collection again",
        numbers,
    )


def classes_of_batch(labels: Mapping[str, np.ndarray], classes: Mapping[str, int]) -> Verdict:
    """Whether the first batch has more than one class of each task.

    Args:
      labels: of each task, int [B], -1 = unknown.
      classes: number of classes of each task.
    """
    seen = {task: len(np.unique(of_task[of_task >= 0])) for task, of_task in labels.items()}
    known = {task: int((of_task >= 0).sum()) for task, of_task in labels.items()}
    text = ", ".join(
        f"{task} {seen[task]} of {classes[task]} classes in {known[task]} works" for task in labels
    )
    numbers = {"classes": seen, "known": known}
    single = [task for task in labels if seen[task] < 2]
    if not single:
        return Verdict("classes", OK, text, numbers)
    if all(known[task] < 2 for task in single):
        return Verdict(
            "classes", CANNOT_TELL, f"{text}: hardly a label of the first batch is known", numbers
        )
    return Verdict(
        "classes",
        FAILED,
        f"{text}: whoever always names this class is right; the collection has hardly more than one "
        "class, or its labels were read wrongly: look at it with --mode describe",
        numbers,
    )


def frozen(frozen_paths: Sequence[str], untrained: Sequence[str], parameters: int) -> Verdict:
    """Whether only layers with pretrained weights are frozen.

    Args:
      frozen_paths: the parameters that `optim.groups` freezes.
      untrained: which of them have no pretrained values, and are random or in a head.
      parameters: how many numbers the frozen ones hold.
    """
    if not frozen_paths:
        return Verdict("frozen", OK, "no parameter is frozen", {"frozen": []})
    text = f"{len(frozen_paths)} parameters ({parameters:,} numbers): {_some(frozen_paths)}"
    numbers = {"frozen": list(frozen_paths), "untrained": list(untrained)}
    if untrained:
        return Verdict(
            "frozen",
            FAILED,
            f"{text}; of these {_some(untrained)} would keep their first, random values for ever, "
            "because no pretrained weights set them: correct the patterns of --config.optim.groups, or "
            "set --config.model.weights",
            numbers,
        )
    return Verdict("frozen", OK, text, numbers)


def gradients(largest: Mapping[str, float], finite: Mapping[str, bool], steps: int) -> Verdict:
    """Whether every trained parameter has a gradient.

    Args:
      largest: for each parameter the largest finite norm of its gradient in these steps.
      finite: whether all its gradients were finite.
      steps: number of steps.
    """
    broken = [path for path, fine in finite.items() if not fine]
    without = [path for path, norm in largest.items() if norm == 0 and finite[path]]
    numbers = {"norms": dict(largest), "not_finite": broken, "zero": without}
    if broken:
        return Verdict(
            "gradients",
            FAILED,
            f"not finite in {_some(broken)} within {steps} steps: the training diverges (lower "
            "--config.optim.peak_lr), or --config.precision is too coarse",
            numbers,
        )
    if without:
        return Verdict(
            "gradients",
            FAILED,
            f"always 0 in {_some(without)} within {steps} steps: these parameters are trained, and the "
            "loss does not depend on them; they are behind dead units, or not connected",
            numbers,
        )
    low, high = min(largest, key=largest.__getitem__), max(largest, key=largest.__getitem__)
    return Verdict(
        "gradients",
        OK,
        f"finite, and not 0, in all {len(largest)} trained parameters; largest norms from "
        f"{largest[low]:.2g} ({low}) to {largest[high]:.2g} ({high})",
        numbers,
    )


def movement(moved: Mapping[str, float], largest: Mapping[str, float], steps: int) -> Verdict:
    """Whether every trained parameter with a gradient has moved.

    Args:
      moved: for each parameter the norm of its change, as a share of its first norm (or of 1, if that
        was 0).
      largest: as for `gradients`.
      steps: number of steps.
    """
    expected = _TINY_GRADIENT * max(largest.values())
    still = [path for path, share in moved.items() if share < _LEAST_MOVEMENT]
    stuck = [path for path in still if largest[path] > expected]
    numbers = {"moved": dict(moved), "stuck": stuck}
    if stuck:
        return Verdict(
            "movement",
            FAILED,
            f"{len(stuck)} of {len(moved)} trained parameters have hardly moved after {steps} steps: "
            f"{_some(stuck)}; their learning rate is too small: raise --config.optim.peak_lr, or their "
            "factor in --config.optim.groups",
            numbers,
        )
    shares = {path: share for path, share in moved.items() if path not in still}
    if not shares:
        return Verdict("movement", FAILED, "nothing moved, because there are no gradients", numbers)
    low = min(shares, key=shares.__getitem__)
    text = (
        f"{len(shares)} trained parameters moved in {steps} steps; least {low}, by {shares[low]:.2g} of "
        "its norm"
    )
    if still:
        text += f"; not {_some(still)}, which have next to no gradient"
    return Verdict("movement", OK, text, numbers)


def one_batch(
    losses: Sequence[float],
    top1: Sequence[float],
    goal: float,
    works: int,
    peak_lr: float,
    input_first: bool = False,
) -> Verdict:
    """Whether a batch that stays the same is learnt by heart.

    Args:
      losses: the loss before each step.
      top1: the top-1 before each step, in [0, 1].
      goal: the loss to reach, with a top-1 of 1.
      works: number of works in the batch.
      peak_lr: the learning rate.
      input_first: whether the input of the network is not as expected, so that the rate is not to blame.
    """
    steps = len(losses)
    finite = [loss for loss in losses if math.isfinite(loss)]
    rate = f"--config.optim.peak_lr (now {peak_lr:g})"
    numbers = {"loss": list(losses), "top1": list(top1), "works": works, "goal": goal}
    if len(finite) < steps:
        return Verdict(
            "one batch",
            FAILED,
            f"the loss of {works} works was not finite after {len(finite)} steps: "
            + (_INPUT if input_first else f"lower {rate} or --config.optim.clip_norm"),
            numbers,
        )
    text = (
        f"the loss of {works} works went from {losses[0]:.3f} to {losses[-1]:.3f} in {steps} steps, "
        f"top-1 {top1[-1]:.0%}"
    )
    if losses[-1] <= goal and top1[-1] == 1:
        return Verdict("one batch", OK, text, numbers)
    if input_first:
        advice = _INPUT
    elif min(losses) > 0.98 * losses[0]:
        advice = (
            f"nothing is learnt; raise {rate}; if that does not help, the pictures do not reach the "
            "network"
        )
    elif max(losses) > 2 * losses[0]:
        advice = f"the training diverges; lower {rate}"
    else:
        advice = (
            f"a network that learns gets below {goal:g} and 100 %; try another {rate}; too much may be "
            "frozen, or equal pictures have different labels"
        )
    return Verdict("one batch", FAILED, f"{text}: {advice}", numbers)


@dataclass(frozen=True)
class HeldOut:
    """What a network that was trained on some works says of others.

    Attributes:
      fitted: number of works that it was trained on.
      fitted_top1: top-1 on these at the end, in training, in [0, 1].
      held: number of other works.
      top1: top-1 on these, in [0, 1].
      permuted: the mean of the same with permuted labels.
      needed: the top-1 that permuted labels exceed once in 1,000 times.
      p: share of the permutations that are at least as good as the true labels.
    """

    fitted: int
    fitted_top1: float
    held: int
    top1: float
    permuted: float
    needed: float
    p: float


def held_out(
    predicted: np.ndarray, labels: np.ndarray, permutations: int, seed: int
) -> tuple[float, float, float, float]:
    """A permutation test of whether predictions have to do with labels.

    If they have nothing to do with each other, every order of the labels is as likely as the true one.
    So the test is exact for any number of works and any share of the classes. The true order counts as
    one of the permutations: Phipson & Smyth, Permutation P-values Should Never Be Zero (2010).

    Args:
      predicted: int [N].
      labels: int [N]; each is of another work.
      permutations: how many are drawn.
      seed: of their order.

    Returns:
      Top-1, the mean top-1 of the permutations, their quantile 0.999, and p.
    """
    rng = np.random.default_rng(seed)
    right = int((predicted == labels).sum())
    drawn = np.asarray(
        [int((predicted == rng.permutation(labels)).sum()) for _ in range(permutations)]
    )
    n = len(labels)
    p = (1 + int((drawn >= right).sum())) / (1 + permutations)
    return right / n, float(drawn.mean()) / n, float(np.quantile(drawn, 1 - _SURE)) / n, p


def labels(task: str, found: HeldOut | None, why_not: str = "") -> Verdict:
    """Whether the labels belong to the pictures.

    Args:
      task: its name.
      found: None if nothing was trained.
      why_not: the reason for that.
    """
    name = f"labels of {task}"
    if found is None:
        return Verdict(name, CANNOT_TELL, why_not)
    text = (
        f"trained on {found.fitted} works (top-1 {found.fitted_top1:.0%} there), the network names "
        f"{found.top1:.1%} of {found.held} others; with permuted labels {found.permuted:.1%}, and once "
        f"in 1,000 times above {found.needed:.1%} (p = {found.p:.2g})"
    )
    numbers = vars(found) | {}
    if found.held < _LEAST_HELD:
        return Verdict(name, CANNOT_TELL, f"{text}: {_LEAST_HELD} others are needed", numbers)
    if found.p <= _SURE:
        return Verdict(name, OK, text, numbers)
    if found.p <= _DOUBTFUL:
        return Verdict(name, CANNOT_TELL, f"{text}: the difference may be chance", numbers)
    if found.fitted_top1 < _MEMORISED:
        return Verdict(
            name,
            CANNOT_TELL,
            f"{text}: the training was too short to learn even its own works",
            numbers,
        )
    if found.needed - found.permuted > _USEFUL_EXCESS:
        return Verdict(
            name, CANNOT_TELL, f"{text}: there are too few works to notice a difference", numbers
        )
    return Verdict(
        name,
        FAILED,
        f"{text}: the labels say nothing about the pictures; they are shuffled, or cannot be seen at "
        "this --config.image_size: compare pictures and labels with --mode describe",
        numbers,
    )


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown

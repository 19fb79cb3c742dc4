"""What a run has switched on, and what each is expected to do, in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from artjax.training import optim

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict


class Switch(NamedTuple):
    """Something that a run can do beyond the plainest training.

    Attributes:
      is_on: whether a configuration has it.
      name: what it is, in a few words, with its number.
      expected: what it is expected to do.
    """

    is_on: Callable[[ConfigDict], bool]
    name: Callable[[ConfigDict], str]
    expected: Callable[[ConfigDict], str] | str


SWITCHES = (
    Switch(
        lambda c: c.optim.name != "sgd",
        lambda c: c.optim.name,
        lambda c: (
            optim.OPTIMIZERS[c.optim.name].words
            + ("" if optim.is_solved(c) else f"; learning rate {optim.peak_lr(c.optim):g}")
        ),
    ),
    Switch(
        lambda c: c.optim.schedule != "cosine",
        lambda c: f"schedule {c.optim.schedule}",
        lambda c: optim.SCHEDULES[c.optim.schedule].words,
    ),
    Switch(
        lambda c: c.optim.sam_rho > 0,
        lambda c: f"SAM {c.optim.sam_rho:g}",
        "looks for flat minima, which often generalise better; a step takes twice the time",
    ),
    Switch(
        lambda c: c.optim.head_solved,
        lambda c: "solved heads first",
        "starts as a linear probe of the pretrained trunk, so the first loss is already low; with few "
        "works training further may make the probabilities worse",
    ),
    Switch(
        lambda c: c.ema_decay > 0,
        lambda c: f"EMA {c.ema_decay:g}",
        "the average of the parameters is evaluated, which varies less from step to step",
    ),
    Switch(
        lambda c: c.sampling == "balanced",
        lambda c: "balanced sampling",
        "rare classes are seen as often as frequent ones: macro-F1 should rise, top-1 may fall; the "
        "few works of rare classes are soon known by heart",
    ),
    Switch(
        lambda c: c.loss.class_weights != "none",
        lambda c: f"class weights {c.loss.class_weights}",
        "works of rare classes count more: macro-F1 should rise, top-1 may fall; the loss of train no "
        "longer compares with that of validation",
    ),
    Switch(
        lambda c: c.loss.focal_gamma > 0,
        lambda c: f"focal loss {c.loss.focal_gamma:g}",
        "works that are recognised already count less; the loss of train no longer compares with that "
        "of validation",
    ),
    Switch(
        lambda c: c.optim.label_smoothing > 0,
        lambda c: f"label smoothing {c.optim.label_smoothing:g}",
        "reduces overconfidence; the loss of train stays above 0",
    ),
    Switch(
        lambda c: c.augment.policy != "none",
        lambda c: f"augmentation policy {c.augment.policy}",
        "colours, blur, noise and gaps are drawn for each image against learning by heart; top-1 of "
        "train falls",
    ),
    Switch(
        lambda c: c.augment.mixup > 0,
        lambda c: f"mixup {c.augment.mixup:g}",
        "trains on mixtures of two images against learning by heart; top-1 of train falls",
    ),
    Switch(
        lambda c: c.augment.cutmix > 0,
        lambda c: f"CutMix {c.augment.cutmix:g}",
        "trains on images with a box of another one against learning by heart; top-1 of train falls",
    ),
    Switch(
        lambda c: c.early_stop_patience > 0,
        lambda c: f"early stopping {c.early_stop_patience}",
        lambda c: (
            f"ends the run after {c.early_stop_patience} validations with neither a better checkpoint "
            "nor a lower loss; under a falling learning rate the best often comes last, so be patient"
        ),
    ),
)
"""All switches. Whoever adds one to the configuration enters it here."""


def in_words(config: ConfigDict) -> list[str]:
    """One line for each switch that is on: its name, and what it is expected to do."""
    return [
        f"with {switch.name(config)}: "
        + (switch.expected if isinstance(switch.expected, str) else switch.expected(config))
        for switch in SWITCHES
        if switch.is_on(config)
    ]


def in_brief(config: ConfigDict) -> str:
    """The names of the switches that are on, as `trained with …`; empty if none is."""
    names = [switch.name(config) for switch in SWITCHES if switch.is_on(config)]
    return f"trained with {', '.join(names)}" if names else ""

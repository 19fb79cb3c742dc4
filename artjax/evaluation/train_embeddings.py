"""The embeddings of a run's train works, kept in its workdir: what is near them is like train."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artjax import config as config_lib
from artjax.data.works import Split
from artjax.errors import WorkdirError
from artjax.evaluation.embeddings import embed
from artjax.files import replacing
from artjax.runs import OpenRun

FILE = "train_embeddings.npz"


@dataclass(frozen=True)
class TrainEmbeddings:
    """Embeddings of train works by the network of one checkpoint.

    Attributes:
      step: of the checkpoint.
      indices: of these works in the train split, int64 [M], ascending.
      works: their embeddings, float16 [M, C], each of length 1 but for rounding.
    """

    step: int
    indices: np.ndarray
    works: np.ndarray


def of_works(opened: OpenRun, split: Split, indices: np.ndarray | None = None) -> np.ndarray:
    """The embeddings of works, float32 [N, C], from the features of the run where it has these.

    Args:
      opened: the run, with its data.
      split: a whole split of it.
      indices: of some of its works, int [N]; None for all.
    """
    split = as_features(opened, split)  # of the whole split, whose features are on the disk
    if indices is not None:
        split = split.only(indices)
    return embed(opened.run.network, opened.run.variables, split)


def as_features(opened: OpenRun, split: Split) -> Split:
    """A split whose images are the outputs of the last stage, where the run keeps these; else itself."""
    if opened.features is None or not opened.run.network.freezes_trunk:
        return split
    return opened.features.seen(split)


def of_train(opened: OpenRun, most: int) -> TrainEmbeddings:
    """The embeddings of the train works of a run: one pass over them.

    Args:
      opened: the run, with its data.
      most: of so many works at most; they are drawn at random by the run's seed, without replacement.
    """
    run = opened.run
    train = opened.data.split("train", config_lib.label_features(run.config))
    indices = np.arange(len(train))
    if most < len(train):
        rng = np.random.default_rng(run.config.seed)
        indices = np.sort(rng.choice(len(train), most, replace=False))
    return TrainEmbeddings(run.step, indices, of_works(opened, train, indices).astype(np.float16))


def keep(workdir: Path, embeddings: TrainEmbeddings) -> None:
    """Writes `train_embeddings.npz` into a workdir, atomically.

    Raises:
      WorkdirError: if it cannot be written.
    """
    try:
        with replacing(workdir / FILE) as partial, partial.open("wb") as file:
            np.savez(file, step=embeddings.step, indices=embeddings.indices, works=embeddings.works)
    except OSError as error:
        raise WorkdirError(f"cannot write {workdir / FILE}: {error.strerror or error}") from error


def kept(workdir: Path, step: int) -> TrainEmbeddings | None:
    """What `keep` wrote for a checkpoint.

    Returns:
      None if the file is missing or damaged, or of another checkpoint.
    """
    try:
        with (workdir / FILE).open("rb") as stream, np.load(stream) as file:
            found = TrainEmbeddings(int(file["step"]), file["indices"], file["works"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if found.step == step else None

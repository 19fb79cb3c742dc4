"""What the network sees of the first works of a run, pixel by pixel, by the training step's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from artjax import augment
from artjax import config as config_lib
from artjax.data import batches, sources
from artjax.data.works import Split
from artjax.models import Preprocessing
from artjax.training.step import keys_of_step
from artjax.training.training import create_crop_boxes

_WORKS = 8
_GAP_PX = 4
_MOST_DRAWS = 6
_FEWEST_DRAWS = 2
_ROW_PX = 948  # of the page, beside the prepared picture


class SeenWork(NamedTuple):
    """A work as the network sees it, once for each key.

    Attributes:
      file_name: of the work.
      partner: file name of the work that it is mixed with; empty where works are not mixed.
      own_shares: of the work in each picture, in [0, 1]; empty where works are not mixed.
      paths: of the pictures, relative to the page.
    """

    file_name: str
    partner: str
    own_shares: tuple[float, ...]
    paths: tuple[str, ...]


class Seen(NamedTuple):
    """The network's input.

    Attributes:
      works: indices of the works in the training split, int64 [n].
      partners: indices of the works that they are mixed with, int64 [n].
      images: float32 [draws, n, size, size, 3] on the scale [0, 255].
      own_shares: float32 [draws, n], or None where works are not mixed.
    """

    works: np.ndarray
    partners: np.ndarray
    images: np.ndarray
    own_shares: np.ndarray | None


def seen_of(config: ConfigDict, train: Split, preprocessing: Preprocessing) -> Seen:
    """What the network sees of the first works of a run.

    The first draw is the input of step 0; the others are the same works with the keys of the steps after
    it. The first nine of the batch are enough: every random number is one of its key and its place in
    the batch (JAX' partitionable threefry, its default), and a work needs the one before it to be mixed
    with. So the first of the nine, whose partner is the last of the whole batch, is left out.

    Args:
      config: `seed`, `sampling`, `task`, `batch_size` (0, or auto: as for nine and more), `image_size`
        and `augment` are read.
      train: the training split.
      preprocessing: that of the network, with the interpolation of the crops.
    """
    count = min(config.batch_size or _WORKS + 1, _WORKS + 1)
    indices = batches.create_order(config_lib.changed(config, {"batch_size": count}), train)(0)
    shown = slice(-_WORKS, None)
    base_key = jax.random.key(config.seed)

    @jax.jit
    def augmented(step: int, works: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array | None]:
        key, _ = keys_of_step(base_key, step)
        return augment.augmented(
            key,
            works["image"],
            works.get("aspect"),
            config.augment,
            config.image_size,
            preprocessing.interpolation,
        )

    if sources.crops_before_step(config, train):
        draw_boxes = create_crop_boxes(config)

        def works_of(step: int) -> dict[str, np.ndarray]:
            boxes = draw_boxes(step, train.aspect[indices])
            return sources.gather_crops(train, indices, boxes, config.image_size)

    else:
        whole = train.gather(indices)

        def works_of(step: int) -> dict[str, np.ndarray]:
            return whole

    images, shares = [], []
    for step in range(_draws(config.image_size)):
        seen, share = augmented(step, works_of(step))
        images.append(np.asarray(seen)[shown])
        shares += [] if share is None else [np.asarray(share)[shown]]
    return Seen(
        indices[shown],
        np.roll(indices, 1)[shown],
        np.stack(images),
        np.stack(shares) if shares else None,
    )


def write_seen(seen: Seen, train: Split, folder: Path) -> list[SeenWork]:
    """Writes what the network sees into `folder`, which exists, as PNG, which keeps noise as it is."""
    works = []
    for place, work in enumerate(seen.works):
        paths = []
        for step, image in enumerate(seen.images[:, place]):
            path = folder / f"{place}-{step}.png"
            Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)).save(path)
            paths.append(f"{folder.name}/{path.name}")
        shown = SeenWork(str(train.file_names[work]), "", (), tuple(paths))
        if seen.own_shares is not None:
            shown = shown._replace(
                partner=str(train.file_names[seen.partners[place]]),
                own_shares=tuple(float(share) for share in seen.own_shares[:, place]),
            )
        works.append(shown)
    return works


def augmentations_in_words(magnitudes: ConfigDict) -> str:
    """Augmentations that are on, with their magnitudes; those that are off; what is not default."""
    default = config_lib.default_config().augment
    on, added, off = [], [], []
    for name in ("min_area", "max_stretch", "flip", *config_lib.AUGMENT_LIMITS):
        value, usual = magnitudes[name], default[name]
        note = "" if value == usual else f" (default {_magnitude(usual)})"
        if not value:
            off.append(f"{name}{note}")
        elif not usual:
            added.append(f"{name} {_magnitude(value)}")
        else:
            on.append(f"{name} {_magnitude(value)}{note}")
    if magnitudes.policy == "rand":
        settings = "policy_transforms", "policy_magnitude"
        rand = ", ".join(f"{name} {magnitudes[name]:g}" for name in settings)
        added.append(f"policy rand ({rand})")
    elif magnitudes.policy != "none":
        added.append(f"policy {magnitudes.policy}")
    parts = [f"On: {', '.join(on)}"]
    parts += [f"also, off by default: {', '.join(added)}"] if added else []
    parts += [f"off: {', '.join(off)}"] if off else []
    rest = "All" if magnitudes.to_dict() == default.to_dict() else "All others"
    return f"{'; '.join(parts)}. {rest} are the defaults (docs/config.md)."


def _magnitude(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}"


def _draws(size: int) -> int:
    """As many as stand side by side on the page at their true size, within reason."""
    fit = (_ROW_PX + _GAP_PX) // (size + _GAP_PX)
    return max(_FEWEST_DRAWS, min(_MOST_DRAWS, fit))

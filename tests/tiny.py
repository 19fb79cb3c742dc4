"""A tiny collection whose painters are told apart by the direction of their stripes."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from artjax.config import collection_settings, default_config
from artjax.data.canvases import Canvases, Request, open_collection

# Every augmentation on, at once.
AUGMENTED = {
    "augment__rotate_degrees": 10.0,
    "augment__brightness": 0.2,
    "augment__contrast": 0.2,
    "augment__saturation": 0.2,
    "augment__hue": 0.05,
    "augment__pca_color": 0.1,
    "augment__blur": 0.5,
    "augment__noise": 0.05,
    "augment__drop_pixels": 0.1,
    "augment__erase": 0.2,
    "augment__mixup": 0.2,
    "augment__cutmix": 1.0,
}

ARTISTS = ("ada", "bo", "cy")
GENRES = ("portrait", "still life")
SPLITS = {"train": 60, "validation": 20, "test": 19}


def stripes(artist: int, rng: np.random.Generator) -> Image.Image:
    """A picture whose painter shows in the direction of its stripes, in any format and colour."""
    height, width = (int(side) for side in rng.integers(50, 90, 2))
    y, x = np.mgrid[:height, :width]
    wave = np.sin([x, y, 0.7 * (x + y)][artist]) * 60 + rng.normal(0, 20, (height, width))
    return Image.fromarray(
        np.clip(wave[..., None] + rng.uniform(80, 180, 3), 0, 255).astype(np.uint8)
    )


def write_museum(folder: Path) -> None:
    """Ten pictures of each painter, in a folder for each: a collection that is not prepared."""
    rng = np.random.default_rng(0)
    for number, artist in enumerate(ARTISTS):
        (folder / artist).mkdir()
        for i in range(10):
            stripes(number, rng).save(folder / artist / f"{i}.png")


def encoded(picture: Image.Image) -> bytes:
    """The bytes of a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def store(
    data_dir: Path,
    name: str,
    labels: Mapping[str, Sequence[str]],
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Prepares a collection with TFDS.

    Args:
      data_dir: TFDS's data directory.
      name: of the collection.
      labels: class names by label.
      splits: by split its examples: `image` (bytes of a JPEG), `file_name`, `work_id` and a number for
        each label, -1 = unknown.
    """
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            **{label: tfds.features.ClassLabel(names=names) for label, names in labels.items()},
            "title": tfds.features.Text(),
            "year": np.int32,
            "file_name": tfds.features.Text(),
            "work_id": tfds.features.Text(),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        "1.0.0",
        features=features,
        split_datasets={
            split: [(e["file_name"], {"title": "", "year": 1900, **e}) for e in examples]
            for split, examples in splits.items()
        },
        data_dir=data_dir,
    )


def write_tiny(data_dir: Path, name: str = "tiny", splits: dict[str, int] | None = None) -> None:
    """Prepares a collection: 3 artists, 2 genres with a third of the labels unknown."""
    rng = np.random.default_rng(0)

    def example(split: str, number: int) -> dict[str, Any]:
        artist = number % len(ARTISTS)
        return {
            "image": encoded(stripes(artist, rng)),
            "artist": artist,
            "genre": number % 3 - 1,
            "file_name": f"{split}/{number}.jpg",
            "work_id": f"{split}/{number}",
        }

    store(
        data_dir,
        name,
        {"artist": ARTISTS, "genre": GENRES},
        {
            split: [example(split, number) for number in range(works)]
            for split, works in (splits or SPLITS).items()
        },
    )


def tiny_config(**changes: object) -> ConfigDict:
    """A configuration that learns `tiny` in seconds; changes are dotted names with `__` for `.`."""
    config = default_config()
    config.collection = "tiny"
    config.image_size = 32
    config.canvas_size = 40
    config.batch_size = 16
    config.epochs = 0.0
    config.steps = 12
    config.eval_every = 6
    config.log_every = 4
    config.model.name = "vgg_small"
    config.model.dropout = 0.2
    config.eval.report = False  # it takes longer than the training
    config.optim.peak_lr = 0.05
    for name, value in changes.items():
        section, _, leaf = name.rpartition("__")
        (config[section] if section else config)[leaf] = value
    return config


def open_canvases(config: ConfigDict, data_dir: Path, canvas_dir: Path | None) -> Canvases:
    """The collection of a configuration."""
    return open_collection(Request(**collection_settings(config)), data_dir, canvas_dir)

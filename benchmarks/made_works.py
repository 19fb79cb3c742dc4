"""Pictures made by code, written as the benchmarks need them: as JPEGs, TFRecords or canvases."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from artjax.data.decoding import squash
from artjax.data.prepared import Prepared
from artjax.studio import catalogue

NAME, VERSION = "bench", "1.0.0"
SIDES = ((1152, 900), (900, 1152), (1024, 1024), (1300, 800))
_CLASSES = ("0", "1")


def make_works(count: int, sides: Sequence[tuple[int, int]] = SIDES) -> list[bytes]:
    """JPEGs (quality 90) with the edges, textures and grain of photographed paintings.

    Args:
      count: number of pictures.
      sides: widths and heights in pixels, which the pictures take in turns; default: about a megapixel.
    """
    works = []
    for i, painting in enumerate(catalogue()[:count]):
        rng = np.random.default_rng(i)
        drawn = Image.fromarray(painting.draw())
        pixels = np.asarray(drawn.resize(sides[i % len(sides)], Image.Resampling.BICUBIC))
        grain = rng.normal(0, 2, (*pixels.shape[:2], 1)) + rng.normal(0, 1, pixels.shape)
        buffer = io.BytesIO()
        noisy = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        works.append(buffer.getvalue())
    return works


def missing_for_records() -> str:
    """The first library that TFRecords need and that is not installed; empty if both are there."""
    names = ("tensorflow", "tensorflow_datasets")
    return next((name for name in names if importlib.util.find_spec(name) is None), "")


def write_records(works: list[bytes], repeats: int, folder: Path) -> None:
    """Writes the works as a prepared TFDS set, `repeats` copies of each; needs TensorFlow and TFDS."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "artist": tfds.features.ClassLabel(num_classes=len(_CLASSES)),
    }
    splits = {
        "train": [
            (f"{i}", {"image": works[i % len(works)], "artist": i % 2})
            for i in range(repeats * len(works))
        ],
        **{split: [(split, {"image": works[0], "artist": 0})] for split in ("validation", "test")},
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        NAME,
        VERSION,
        features=tfds.features.FeaturesDict(features),
        split_datasets=splits,
        data_dir=folder,
    )


def write_files(works: list[bytes], repeats: int, folder: Path) -> None:
    """Writes `repeats` copies of each work as files, for loaders that read a folder."""
    folder.mkdir(parents=True)
    for i in range(repeats * len(works)):
        (folder / f"{i:06d}.jpg").write_bytes(works[i % len(works)])


def write_canvases(works: list[bytes], repeats: int, data_dir: Path, size: int) -> None:
    """Writes the same set as canvases alone, in the form in which they are copied between machines.

    That needs neither TensorFlow nor TFDS.
    """
    folder = data_dir / "canvases" / NAME / VERSION / f"{size}px"
    folder.mkdir(parents=True)
    canvases, aspects = zip(*(squash(work, size) for work in works), strict=True)
    rows = {"train": np.arange(repeats * len(works)) % len(works)}
    rows |= {split: np.zeros(1, np.int64) for split in ("validation", "test")}
    for split, of_work in rows.items():
        names = np.asarray([f"{split}-{i:06d}" for i in range(len(of_work))])
        np.save(folder / f"{split}.images.npy", np.stack(canvases)[of_work])
        np.savez(
            folder / f"{split}.works.npz",
            file_name=names,
            work_id=names,
            aspect=np.asarray(aspects, np.float32)[of_work],
            year=np.full(len(of_work), -1, np.int32),
            **{"label/artist": np.arange(len(of_work), dtype=np.int32) % 2},
        )
    prepared = Prepared(
        name=NAME,
        version=VERSION,
        directory=data_dir,
        splits={split: len(of_work) for split, of_work in rows.items()},
        labels={"artist": _CLASSES},
    )
    description = dataclasses.asdict(prepared) | {"directory": str(data_dir)}
    (folder / "canvases.json").write_text(
        json.dumps({"size": size, "image_feature": "image", "prepared": description})
    )

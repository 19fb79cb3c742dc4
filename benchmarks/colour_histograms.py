"""How far colour alone gets: logistic regression on colour histograms, for any prepared collection.

python benchmarks/colour_histograms.py --config configs/artist.py:studio

A network's number means little until it stands beside this one. Three kinds of histogram, four strengths
of regularisation; as for a network, the one that does best on validation is tested.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

from artjax import config as config_lib
from artjax import errors
from artjax.data import prepared
from artjax.data.canvases import open_collection

KINDS = ("RGB 8x8x8", "32 bins a channel", "HSV 12x6x6")
STRENGTHS = (0.3, 3.0, 30.0, 300.0)


def histogram(picture: np.ndarray, kind: str) -> np.ndarray:
    """Square roots of the shares (Hellinger's kernel) of a uint8 RGB picture [H, W, 3]; float [bins]."""
    pixels = picture.reshape(-1, 3)
    if kind == "32 bins a channel":
        counts = np.concatenate(
            [np.histogram(pixels[:, c], bins=32, range=(0, 256))[0] for c in range(3)]
        )
    else:
        bins = (8, 8, 8)
        if kind == "HSV 12x6x6":
            pixels, bins = (
                np.asarray(Image.fromarray(picture).convert("HSV")).reshape(-1, 3),
                (12, 6, 6),
            )
        counts = np.histogramdd(pixels, bins=bins, range=[(0, 256)] * 3)[0].ravel()
    return np.sqrt(counts / len(pixels))


def histograms(pictures: Iterable[np.ndarray], kind: str) -> np.ndarray:
    """Histograms of many pictures, float [N, bins]."""
    return np.stack([histogram(picture, kind) for picture in pictures])


def fit(features: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    """A logistic regression; a larger strength regularises less."""
    return LogisticRegression(C=strength, max_iter=500).fit(features, labels)


def main() -> None:
    """Prints a row for each kind of histogram."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", default="configs/artist.py:studio")
    parser.add_argument("--data_dir", type=Path, default=prepared.default_data_dir())
    args = parser.parse_args()
    file, _, collection = args.config.partition(":")
    config = config_lib.load_config_file(file, collection or "studio")
    data = open_collection(config, args.data_dir, None)
    task = config.task[0]
    splits = {}
    for name in ("train", "validation", "test"):
        split = data.split(name, config_lib.label_features(config))
        known = np.flatnonzero(split.labels[task] >= 0)
        splits[name] = split.gather(known)
    print(f"{task} on {data.prepared.name}: top-1 of logistic regression on colour histograms")
    for kind in KINDS:
        features = {name: histograms(works["image"], kind) for name, works in splits.items()}
        labels = {name: works[f"label/{task}"] for name, works in splits.items()}
        models = [fit(features["train"], labels["train"], strength) for strength in STRENGTHS]
        scores = [model.score(features["validation"], labels["validation"]) for model in models]
        best = models[int(np.argmax(scores))]
        test = best.score(features["test"], labels["test"])
        print(f"  {kind:18} validation {max(scores):.1%}  test {test:.1%}  (C = {best.C:g})")


if __name__ == "__main__":
    errors.show_plainly()
    main()

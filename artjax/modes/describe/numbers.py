"""What can be known about a prepared collection before a network is trained, as plain JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from artjax import config as config_lib
from artjax.data import reports
from artjax.data.canvases import Canvases
from artjax.data.reports import NearDuplicateRow
from artjax.data.splits import uncovered, uncovered_in_words
from artjax.data.works import Split
from artjax.evaluation import baselines, painters
from artjax.evaluation.colour_histograms import kept_colour_baseline
from artjax.modes.describe.sources import sources_of
from artjax.prepare import near_duplicates

# Upper limits of width / height, and their names.
_ASPECTS = (
    (0.5, "narrower than 1 : 2"),
    (0.67, "1 : 2 to 2 : 3"),
    (0.8, "2 : 3 to 4 : 5"),
    (0.95, "4 : 5 to square"),
    (1.05, "square"),
    (1.25, "square to 5 : 4"),
    (1.5, "5 : 4 to 3 : 2"),
    (2.0, "3 : 2 to 2 : 1"),
    (np.inf, "wider than 2 : 1"),
)
_SHORT_SIDES_PX = (128, 256, 512, 1024, 2048, 4096)
_MOST_YEAR_BARS = 40


def numbers_of(config: ConfigDict, data: Canvases, splits: Mapping[str, Split]) -> dict[str, Any]:
    """All numbers of `describe/summary.json`, with a section for each task."""
    prepared = data.prepared
    features = config_lib.label_features(config)
    return {
        "collection": f"{prepared.name}/{prepared.version}",
        "synthetic": bool(prepared.metadata.get("synthetic")),
        "works": {name: len(split) for name, split in splits.items()},
        "without_label": {name: split.left_out for name, split in splits.items()},
        "official": {
            name: official
            for name in splits
            if (official := prepared.official_works(name)) is not None
        },
        "tasks": {
            task: _of_task(task, prepared.labels[feature], splits, data)
            for task, feature in features.items()
        },
        "years": _years(splits),
        "aspects": _aspects(splits),
        "short_sides_px": _short_sides(data),
        "skipped": _skipped(data),
        "left_out_classes": prepared.metadata.get("left_out_classes", {}),
        "likely_doubles": [
            row._asdict()
            for row in reports.read_likely_doubles(data.reports)
            if row.label in features.values()
        ],
    }


def near_duplicate_rows(
    config: ConfigDict, data: Canvases, splits: Mapping[str, Split]
) -> list[NearDuplicateRow]:
    """Near-duplicates that the build found; if it did not look for them, those among the canvases."""
    listed = reports.read_near_duplicates(data.reports)
    names = {name for split in splits.values() for name in split.file_names}
    if listed is not None:
        return [row for row in listed if row.file_name in names and row.near_duplicate in names]
    works = [(split, i) for split in splits.values() for i in range(len(split))]
    fingerprints = []
    for split, i in works:
        canvas = Image.fromarray(split.images[split.rows[i]]).convert("L")
        fingerprints.append(near_duplicates.fingerprint_of_grey(canvas))
    rows = []
    for found in near_duplicates.find_near_duplicates(fingerprints):
        (one, i), (other, j) = works[found.first], works[found.second]
        conflict = [
            feature
            for task, feature in config_lib.label_features(config).items()
            if -1 not in (pair := {one.labels[task][i], other.labels[task][j]}) and len(pair) > 1
        ]
        rows.append(
            NearDuplicateRow(
                str(one.file_names[i]),
                one.name,
                str(other.file_names[j]),
                other.name,
                found.distance,
                found.correlation,
                " ".join(conflict),
            )
        )
    return rows


def near_duplicate_summary(rows: Sequence[NearDuplicateRow]) -> dict[str, Any]:
    """The numbers of pairs, of pairs with different labels, and of works with one in train."""
    in_train = reports.with_near_duplicate_in_train(rows)
    return {
        "pairs": len(rows),
        "conflicts": sum(bool(row.conflict) for row in rows),
        "with_near_duplicate_in_train": {
            name: len(works) for name, works in sorted(in_train.items())
        },
    }


def _of_task(
    task: str, names: Sequence[str], splits: Mapping[str, Split], data: Canvases
) -> dict[str, Any]:
    counts = {
        name: np.bincount(split.labels[task][split.labels[task] >= 0], minlength=len(names))
        for name, split in splits.items()
    }
    train = counts["train"]
    order = np.argsort(-sum(counts.values()), kind="stable")
    shares = train[train > 0] / max(1, train.sum())
    labels = {name: split.labels[task] for name, split in splits.items()}
    without = uncovered(
        names,
        {name: dict(zip(names, map(int, of), strict=True)) for name, of in counts.items()},
    )
    colour = kept_colour_baseline(data, splits, task)
    return {
        "classes": [
            {"name": names[c]} | {name: int(of[c]) for name, of in counts.items()} for c in order
        ],
        "known": {name: int(of.sum()) for name, of in counts.items()},
        "chance": 1 / len(names),
        # Exponential of the entropy: as many equally frequent classes are as hard to guess.
        "effective_classes": float(np.exp(-(shares * np.log(shares)).sum())),
        "largest_to_smallest": float(train.max() / max(1, train.min())),
        "uncovered": without,
        "uncovered_in_words": uncovered_in_words(task, len(names), without),
        "majority_class": names[int(train.argmax())],
        "majority_top1": {
            name: baselines.majority_top1(labels["train"], of)
            for name, of in labels.items()
            if name != "train" and (of >= 0).any()
        },
        "colour_histograms": colour
        and {key: value for key, value in colour.items() if not key.endswith("_right")},
        "source_facts": sources_of(data, splits, task, names),
        "artists_in_train": _artists_in_train(task, splits, data),
    }


def _artists_in_train(task: str, splits: Mapping[str, Split], data: Canvases) -> str:
    """How many test works with a known label are by artists of train, in words; empty if none is."""
    test = splits["test"]
    known = test.labels[task] >= 0
    artists = painters.painters_of(data, test, splits["train"])
    if artists is None or artists.is_task(test.labels[task]) or not artists.in_train[known].any():
        return ""
    works = int(artists.in_train[known].sum())
    official = data.prepared.official_works("test") is not None
    said = painters.in_words(artists.label, works, task, official)
    return f"of the {int(known.sum()):,} test works with a known {task}, {said}"


def _years(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Bars of 1, 5, 10, 25, 50 or 100 years, so that there are at most forty."""
    years = np.concatenate([split.years for split in splits.values()])
    known = years[years >= 0]
    if not len(known):
        return {"known": 0, "unknown": len(years), "bars": []}
    # A few works of another age do not make all the other bars thin: they stand at the ends.
    low, high = (int(edge) for edge in np.percentile(known, [0.5, 99.5]))
    widths = (1, 5, 10, 25, 50, 100)
    width = next((w for w in widths if (high - low) / w < _MOST_YEAR_BARS), 250)
    first, last = low // width, high // width
    bars = Counter(int(year) for year in np.clip(known // width, first, last))
    return {
        "known": len(known),
        "unknown": int((years < 0).sum()),
        "earliest": int(known.min()),
        "latest": int(known.max()),
        "years_per_bar": width,
        "bars": [[bar * width, bars[bar]] for bar in range(first, last + 1)],
    }


def _aspects(splits: Mapping[str, Split]) -> list[list[Any]]:
    aspects = np.concatenate([split.aspect for split in splits.values()])
    places = np.searchsorted([edge for edge, _ in _ASPECTS], aspects, side="right")
    counts = np.bincount(np.minimum(places, len(_ASPECTS) - 1), minlength=len(_ASPECTS))
    return [[name, int(count)] for (_, name), count in zip(_ASPECTS, counts, strict=True)]


def _short_sides(data: Canvases) -> list[list[Any]]:
    """Shorter sides of the original pictures; empty where they are not recorded."""
    placed = reports.read_split_rows(data.reports / reports.SPLITS_CSV)
    if not placed:
        return []
    sides = [min(row.width, row.height) for row in placed]
    places = np.searchsorted(_SHORT_SIDES_PX, sides, side="right")
    counts = np.bincount(places, minlength=len(_SHORT_SIDES_PX) + 1)
    edges = [0, *_SHORT_SIDES_PX]
    names = [f"{low} to {high - 1} px" for low, high in pairwise(edges)]
    names += [f"{edges[-1]} px and more"]
    return [[name, int(count)] for name, count in zip(names, counts, strict=True)]


def _skipped(data: Canvases) -> dict[str, Any]:
    rows = reports.read_skipped(data.reports)
    reasons = Counter(row.kind for row in rows)
    examples: dict[str, list[str]] = {}
    for row in rows:
        examples.setdefault(row.kind, []).append(row.file_name)
    return {
        "works": len(rows),
        "reasons": [
            {"reason": reason, "works": count, "examples": examples[reason][:3]}
            for reason, count in reasons.most_common()
        ],
    }

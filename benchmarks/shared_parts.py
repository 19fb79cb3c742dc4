"""Details, large crops and framed copies: what is found, what is paired wrongly, and how long it takes.

Each tenth picture of a folder is altered in each way and looked up among all of them; without a folder,
drawn pictures. Then a collection of many pictures is made of the features of these: each of its
features is the mean of two, so that they are as common as real ones and none is twice. A fortieth are
copies with two thirds of the points, half as large.

    python benchmarks/shared_parts.py --pictures FOLDER --works 40000 --json shared_parts.json
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
import psutil
from PIL import Image, ImageDraw, ImageOps

from artjax.prepare.local_features import LocalFeatures, local_features_of
from artjax.prepare.shared_parts import extract, find_candidates, find_shared_parts, verify

_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".webp")
Picture = Image.Image
Alter = Callable[[Picture, np.random.Generator], Picture]


def drawn(rng: np.random.Generator) -> Picture:
    """300 x 240 pixels with some eighty shapes."""
    picture = Image.new("RGB", (300, 240), tuple(rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(80):
        x, y, w, h = rng.integers(0, (300, 240, 60, 60))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(rng.integers(0, 256, 3)))
    return picture


def cut(picture: Picture, left: float, upper: float, side: float) -> Picture:
    """A part; all in shares of the sides."""
    w, h = picture.size
    box = (left * w, upper * h, (left + side) * w, (upper + side) * h)
    return picture.crop(tuple(round(edge) for edge in box))


def crop(share: float) -> Alter:
    """Without so much of each side."""
    return lambda picture, rng: cut(picture, share, share, 1 - 2 * share)


def detail(area: float) -> Alter:
    """A part of the area, anywhere."""
    side = area**0.5
    return lambda picture, rng: cut(picture, *rng.uniform(0, 1 - side, 2), side)


def carved(picture: Picture, rng: np.random.Generator) -> Picture:
    """In a gilt frame of 12 % of the longer side, with mouldings and an ornament that repeats."""
    width = round(0.12 * max(picture.size))
    w, h = picture.width + 2 * width, picture.height + 2 * width
    y, x = np.mgrid[:h, :w]
    across, down = np.minimum(x, w - 1 - x), np.minimum(y, h - 1 - y)
    depth = np.minimum(across, down) / width
    along = np.where(across < down, y, x) / (width * rng.uniform(0.4, 1))
    relief = 60 * np.sin(9 * depth) + 50 * np.sin(2 * np.pi * along) * np.sin(np.pi * depth)
    levels = 120 + relief + rng.normal(0, 12, (h, w))
    gilt = np.clip(levels[..., None] * (1, 0.8, 0.45), 0, 255).astype(np.uint8)
    framed = Image.fromarray(gilt)
    framed.paste(picture, (width, width))
    return framed


def caption(picture: Picture, rng: np.random.Generator) -> Picture:
    """Over a white strip of 15 % with three lines of text."""
    strip = round(0.15 * picture.height)
    result = Image.new("RGB", (picture.width, picture.height + strip), "white")
    result.paste(picture)
    draw = ImageDraw.Draw(result)
    for line in range(3):
        place = (5, picture.height + 2 + line * strip // 3)
        text = f"Museum of Fine Arts, oil on canvas, inv. {rng.integers(10**6)} " * 3
        draw.text(place, text, fill="black", font_size=max(8, strip // 4))
    return result


def recoloured(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another gamma and white balance."""
    levels = (np.asarray(picture) / 255) ** rng.uniform(0.6, 1.6) * rng.uniform(0.8, 1.1, 3)
    return Image.fromarray(np.clip(255 * levels, 0, 255).astype(np.uint8))


def encoded(picture: Picture, quality: int) -> Picture:
    """As a JPEG."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


WAYS: dict[str, Alter] = {
    "JPEG quality 40": lambda picture, rng: encoded(picture, 40),
    "other gamma and white balance": recoloured,
    "mirrored": lambda picture, rng: ImageOps.mirror(picture),
    "turned by 5 degrees": lambda p, rng: p.rotate(5, Image.Resampling.BICUBIC),
    "crop of 10 % of each side": crop(0.1),
    "crop of 20 %": crop(0.2),
    "crop of 30 %": crop(0.3),
    "detail of 50 % of the area": detail(0.5),
    "detail of 25 %": detail(0.25),
    "detail of 10 %": detail(0.1),
    "detail of 25 %, mirrored, JPEG quality 50": lambda picture, rng: encoded(
        ImageOps.mirror(detail(0.25)(picture, rng)), 50
    ),
    "carved frame of 12 %": carved,
    "strip of 15 % with a caption": caption,
}


def features_on_canvas(picture: Picture, side: int) -> LocalFeatures:
    """As evaluation sees a picture: squashed to a square canvas."""
    canvas = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return local_features_of(canvas, picture.width / picture.height)


def found_copies(pictures: Sequence[Picture], side: int) -> dict[str, Any]:
    """By way, the shares found: compared with the original, and looked up among all pictures."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    originals = extract(lambda i: features_on_canvas(pictures[i], side), len(pictures))
    extraction = (time.process_time() - start) / len(pictures)
    chosen = range(0, len(pictures), 10)
    rows = {}
    for way, alter in WAYS.items():
        copies = [features_on_canvas(alter(pictures[i], rng), side) for i in chosen]
        own = np.stack([np.arange(len(copies)), chosen], axis=1)
        compared = {part.first for part in verify(copies, originals, own)}
        found = verify(copies, originals, find_candidates(copies, originals))
        right = {part.first for part in found if part.second == chosen[part.first]}
        rows[way] = {"compared": len(compared) / len(own), "looked_up": len(right) / len(own)}
    all_pairs = np.stack(np.triu_indices(len(originals), 1), axis=1)
    some = all_pairs[:: max(1, len(all_pairs) // 20_000)]
    start = time.process_time()
    paired = verify(originals, originals, some)
    return {
        "canvas": side,
        "rows": rows,
        "extraction_ms": 1000 * extraction,
        "comparison_ms": 1000 * (time.process_time() - start) / len(some),
        "compared_originals": len(some),
        "paired_originals": [tuple(part) for part in paired],
    }


def many(features: Sequence[LocalFeatures], count: int) -> list[LocalFeatures]:
    """Made pictures; of the last fortieth, number i is a copy of picture i."""
    rng = np.random.default_rng(0)
    pool = np.concatenate([picture.descriptors for picture in features])
    sizes = [len(picture.places) for picture in features]
    made = []
    for _ in range(count - count // 40):
        points = sizes[rng.integers(len(sizes))]
        one, other = pool[rng.integers(len(pool), size=(2, points))]
        descriptors = (one.astype(np.uint16) + other) // 2
        places = rng.uniform(0, 128, (points, 2)).astype(np.float32)
        made.append(LocalFeatures(places, descriptors.astype(np.uint8), np.zeros(points, bool)))
    for picture in made[: count // 40]:
        left = np.flatnonzero(rng.random(len(picture.places)) < 2 / 3)
        descriptors = picture.descriptors[left]
        noisy = descriptors * rng.normal(1, 0.2, descriptors.shape)
        copied = np.clip(noisy, 0, 255).astype(np.uint8)
        made.append(LocalFeatures(picture.places[left] / 2, copied, picture.at_rim[left]))
    return made


def whole_search(features: Sequence[LocalFeatures], count: int) -> dict[str, float]:
    """CPU seconds, memory, recall and wrong pairs of a search through a made collection."""
    made = many(features, count)
    copies = count // 40
    size = sum(array.nbytes for picture in made for array in picture)
    before = psutil.Process().memory_info().rss
    wall, cpu = time.perf_counter(), time.process_time()
    found = {(part.first, part.second) for part in find_shared_parts(made)}
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    planted = {(i, count - copies + i) for i in range(copies) if len(made[i].places) >= 24}
    return {
        "works": count,
        "points": float(np.mean([len(picture.places) for picture in made])),
        "seconds": wall,
        "cpu_seconds": cpu,
        "features_mb": size / 1e6,
        "peak_growth_mb": (peak_rss() - before) / 1e6,
        "recall": len(found & planted) / len(planted),
        "wrong_pairs": len([pair for pair in found if pair[1] - pair[0] != count - copies]),
    }


def peak_rss() -> int:
    """The most bytes of memory that this process has had, on Linux and macOS."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Prints tables."""
    parser = common.create_parser(__doc__, "shared_parts")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures (default: drawn ones)")
    args = parser.parse_args()
    print(common.describe_sizes("shared_parts", "cpu", args), flush=True)
    result = common.heading("", np, cv2)
    if args.pictures:
        files = sorted(f for f in args.pictures.rglob("*") if f.suffix.lower() in _SUFFIXES)
        pictures = [Image.open(file).convert("RGB") for file in files]
    else:
        files, rng = [], np.random.default_rng(0)
        pictures = [drawn(rng) for _ in range(args.drawn)]
    if not pictures:
        raise common.CannotRunError(f"no pictures in {args.pictures}")
    copies = result["copies"] = found_copies(pictures, args.canvas)
    print(f"{len(pictures):,} pictures, canvases of {args.canvas} px: compared, looked up")
    for way, row in copies["rows"].items():
        print(f"  {way:42s} {row['compared']:6.1%} {row['looked_up']:6.1%}")
    print(
        f"  pairs of different files: {copies['compared_originals']:,} compared, "
        f"{len(copies['paired_originals'])} found to share a part"
    )
    for first, second, points in copies["paired_originals"] if files else []:
        print(f"    {files[first].name} and {files[second].name}: {points} points")
    print(
        f"  {copies['extraction_ms']:.1f} ms a picture, {copies['comparison_ms']:.2f} ms a comparison, "
        "CPU time"
    )
    features = extract(lambda i: features_on_canvas(pictures[i], args.canvas), len(pictures))
    whole = result["whole_search"] = whole_search(features, args.works)
    print(
        f"whole search, {args.works:,} works of {whole['points']:.0f} points: CPU time "
        f"{whole['cpu_seconds']:.1f} s, features {whole['features_mb']:,.0f} MB, "
        f"{whole['peak_growth_mb']:,.0f} MB more at the peak, recall {whole['recall']:.1%}, "
        f"{whole['wrong_pairs']:.0f} wrong pairs"
    )
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))

"""Near-duplicate search: how its time grows with the number of pictures, beside numpy and faiss.

`near_pairs` is timed beside two searches that compare each hash with each: numpy (in blocks that fit a
core's cache) and, where it is installed, faiss. All must find the same pairs. Then the whole search is
timed, which looks for each of the eight turns and mirrors, and compares pixels too.

    pip install faiss-cpu
    python benchmarks/near_duplicates.py --hashes 80000 --json near_duplicates.json
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import scipy
from PIL import Image

from artjax.prepare.hash_lookup import near_pairs
from artjax.prepare.near_duplicates import (
    MAX_DISTANCE,
    SIDE_PX,
    TURNS,
    Fingerprint,
    find_near_duplicates,
    fingerprint_of_grey,
    turned,
)

_ROWS, _COLUMNS = 8, 2048  # the fastest of those tried


def random_hashes(count: int, rng: np.random.Generator) -> np.ndarray:
    """uint64 [count]; every fortieth differs from its neighbour in 1 to `MAX_DISTANCE` bits."""
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for i in range(0, count, 40):
        bits = rng.permutation(64)[: 1 + i // 40 % MAX_DISTANCE]
        hashes[i] = hashes[i + 1] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    return hashes


def smooth_pictures(count: int, rng: np.random.Generator) -> list[Image.Image]:
    """Grey 32 x 32 pictures of few, soft shapes. Their hashes form clusters, as with paintings."""
    shapes = rng.integers(0, 256, (count, 8, 8), np.uint8)
    size = (SIDE_PX, SIDE_PX)
    return [Image.fromarray(s).resize(size, Image.Resampling.BICUBIC) for s in shapes]


def altered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A copy like another photograph: cropped by up to a pixel, other contrast, noise, any turn."""
    left, top, right, bottom = rng.uniform(0, 1, 4)
    box = (left, top, SIDE_PX - right, SIDE_PX - bottom)
    again = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    levels = np.asarray(again, np.float32) * rng.uniform(0.8, 1) + rng.normal(0, 3, again.size)
    grey = np.clip(levels, 0, 255).astype(np.uint8)
    return Image.fromarray(turned(grey, int(rng.integers(TURNS))))


def by_numpy(hashes: np.ndarray) -> np.ndarray:
    """All pairs, by comparing each hash with each."""
    found = [np.empty((0, 2), np.int64)]
    for top in range(0, len(hashes), _ROWS):
        for left in range(top, len(hashes), _COLUMNS):
            differing = hashes[top : top + _ROWS, None] ^ hashes[None, left : left + _COLUMNS]
            near = np.argwhere(np.bitwise_count(differing) <= MAX_DISTANCE)
            near += (top, left)
            found.append(near[near[:, 0] < near[:, 1]])
    return np.unique(np.concatenate(found), axis=0)


def by_faiss(hashes: np.ndarray) -> np.ndarray:
    """All pairs, by faiss' IndexBinaryFlat on all cores."""
    import faiss

    codes = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    limits, _, second = index.range_search(codes, MAX_DISTANCE + 1)
    pairs = np.stack([np.repeat(np.arange(len(hashes)), np.diff(limits.astype(int))), second], 1)
    return np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)


def timed(search: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """The seconds that a search took, and its result."""
    start = time.perf_counter()
    result = search(*args)
    return time.perf_counter() - start, result


def contest(hashes: np.ndarray, with_faiss: bool) -> dict[str, float]:
    """Seconds of each search over the same hashes; raises if they disagree."""
    seconds, pairs = timed(near_pairs, hashes, hashes[:, None], MAX_DISTANCE)
    pairs = pairs[:, :2]
    row = {"pairs": len(pairs), "ours": seconds}
    for name, peer in (("numpy", by_numpy), ("faiss", by_faiss))[: 1 + with_faiss]:
        row[name], theirs = timed(peer, hashes)
        if not np.array_equal(pairs, theirs):
            raise SystemExit(f"{name} finds {len(theirs):,} pairs, near_pairs {len(pairs):,}")
    return row


def whole_search(fingerprints: list[Fingerprint], originals: int) -> dict[str, float]:
    """Recall and false pairs; picture `originals` + i is an altered copy of picture i."""
    seconds, found = timed(find_near_duplicates, fingerprints)
    pairs = {(pair.first, pair.second) for pair in found}
    planted = {(i, originals + i) for i in range(len(fingerprints) - originals)}
    recall = len(pairs & planted) / len(planted)
    return {"seconds": seconds, "recall": recall, "false_pairs": len(pairs - planted)}


def main() -> None:
    """Prints tables."""
    args = common.create_parser(__doc__, "near_duplicates").parse_args()
    print(common.describe_sizes("near_duplicates", "cpu", args), flush=True)
    counts = [args.hashes // part for part in (8, 4, 2, 1)]
    copies = args.hashes // 40
    result = common.heading("", np, scipy)
    with_faiss = importlib.util.find_spec("faiss") is not None
    if with_faiss:
        import faiss

        result["versions"]["faiss"] = faiss.__version__
    else:
        print("faiss left out: it is not installed (pip install faiss-cpu)")
    rng = np.random.default_rng(0)
    pictures = smooth_pictures(args.hashes - copies, rng)
    fingerprints = [
        fingerprint_of_grey(p) for p in [*pictures, *(altered(p, rng) for p in pictures[:copies])]
    ]
    smooth = rng.permutation(
        np.asarray([fingerprint.views[0].hashes[0] for fingerprint in fingerprints], np.uint64)
    )
    for kind, hashes in (("random", random_hashes(args.hashes, rng)), ("smooth", smooth)):
        rows = result[kind] = {n: contest(hashes[:n], with_faiss) for n in counts}
        print(f"near_pairs, {kind} hashes:")
        for count, row in rows.items():
            peers = "".join(
                f"  {name} {row[name]:6.2f} s ({row[name] / row['ours']:5.2f} x)"
                for name in ("numpy", "faiss")
                if name in row
            )
            print(f"  {count:6,}  {row['pairs']:7,} pairs  ours {row['ours']:6.2f} s{peers}")
        growth = rows[counts[-1]]["ours"] / rows[counts[0]]["ours"]
        exponent = np.log(growth) / np.log(counts[-1] / counts[0])
        result[f"{kind}_growth"] = {"factor": growth, "exponent": exponent}
        print(f"  growth {growth:.1f} x, as N to the power of {exponent:.2f}")
    whole = result["whole_search"] = whole_search(fingerprints, len(pictures))
    print(
        f"whole search, {len(fingerprints):,} pictures, {copies:,} altered copies: "
        f"{whole['seconds']:.1f} s, recall {whole['recall']:.1%}, {whole['false_pairs']:.0f} false pairs"
    )
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))

"""Cleaned pictures per second and core, beside OpenCV, Pillow and libvips doing the same job.

The job on one core: read a JPEG file, scale its shorter side to 512 px, write a JPEG of quality 95
without chroma subsampling. Quality is the PSNR of the scaled pixels against an antialiased Lanczos of
the full picture in floating point. Then `clean_works` as a whole is timed with one process and with
two.

    pip install opencv-python-headless
    python benchmarks/prepare.py --json prepare.json
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import common
import made_works
import numpy as np
import PIL
import pyvips
from PIL import Image

from artjax.prepare import picture_decoding
from artjax.prepare.catalogue import Work
from artjax.prepare.cleaning import clean_works

try:
    import cv2
except ImportError:
    cv2 = None

SIZES = {"1.3 MP": (1300, 1000), "6 MP": (3000, 2000)}
SHORT_SIDE_PX = picture_decoding.SHORT_SIDE_PX


def make_files(folder: Path, sides: tuple[int, int], count: int) -> list[Path]:
    """Writes pictures of one size as JPEG files."""
    files = []
    for i, jpeg in enumerate(made_works.make_works(count, [sides])):
        files.append(folder / f"{sides[0]}x{sides[1]}-{i}.jpg")
        files[-1].write_bytes(jpeg)
    return files


def target(width: int, height: int) -> tuple[int, int]:
    """Width and height after scaling the shorter side to `SHORT_SIDE_PX`."""
    scale = SHORT_SIDE_PX / min(width, height)
    return round(width * scale), round(height * scale)


def with_pillow(pixels: np.ndarray) -> bytes:
    """The JPEG of RGB pixels."""
    return picture_decoding.encode(pixels).jpeg


def ours(path: Path) -> np.ndarray:
    """artjax."""
    return picture_decoding.decode(path, SHORT_SIDE_PX)


def opencv(path: Path) -> np.ndarray:
    """OpenCV, INTER_AREA."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    size = target(pixels.shape[1], pixels.shape[0])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)[..., ::-1]


def opencv_jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG with the same settings as ours: quality 95, 4:4:4."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 95]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", pixels[..., ::-1], settings)[1].tobytes()


def pillow_gap(path: Path) -> np.ndarray:
    """Pillow, Lanczos with reducing_gap."""
    with Image.open(path) as image:
        size = target(*image.size)
        scaled = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        return np.asarray(scaled)


def pillow_draft(path: Path) -> np.ndarray:
    """Pillow, draft and Lanczos."""
    with Image.open(path) as image:
        size = target(*image.size)
        image.draft("RGB", size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def vips(path: Path) -> np.ndarray:
    """libvips, thumbnail."""
    with Image.open(path) as image:
        width, height = target(*image.size)
    return pyvips.Image.thumbnail(str(path), width, height=height, size="force").numpy()


def vips_jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG with the same settings as ours."""
    return pyvips.Image.new_from_array(pixels).jpegsave_buffer(Q=95, subsample_mode="off")


CONTESTANTS: dict[Callable[[Path], np.ndarray], Callable[[np.ndarray], bytes]] = {
    ours: with_pillow,
    pillow_gap: with_pillow,
    pillow_draft: with_pillow,
    vips: vips_jpeg,
}
if cv2:
    CONTESTANTS[opencv] = opencv_jpeg


def reference(path: Path) -> np.ndarray:
    """Antialiased Lanczos of the full picture in floating point, rounded once."""
    with Image.open(path) as image:
        size = target(*image.size)
        bands = [band.convert("F") for band in image.convert("RGB").split()]
    scaled = [np.asarray(band.resize(size, Image.Resampling.LANCZOS)) for band in bands]
    return np.clip(np.rint(np.stack(scaled, -1)), 0, 255).astype(np.uint8)


def psnr(pixels: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((pixels.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error))


def contest(files: Sequence[Path], rounds: int) -> dict[str, dict[str, float]]:
    """Rate and quality of each contestant. They take turns, and the median of the rounds counts."""
    truths = [reference(path) for path in files]
    seconds: dict[str, list[float]] = {decode.__name__: [] for decode in CONTESTANTS}
    quality = {}
    for round_number in range(rounds + 1):
        for decode, encode in CONTESTANTS.items():
            start = time.perf_counter()
            decoded = []
            for path in files:
                pixels = decode(path)
                encode(pixels)
                decoded.append(pixels)
            if round_number:  # the first one warms up
                seconds[decode.__name__].append(time.perf_counter() - start)
            scores = [psnr(p, truth) for p, truth in zip(decoded, truths, strict=True)]
            quality[decode.__name__] = statistics.mean(scores)
    return {
        name: {"per_second": len(files) / statistics.median(times), "psnr_db": quality[name]}
        for name, times in seconds.items()
    }


def two_processes(folder: Path, works: int) -> dict[str, float]:
    """Pictures per second of `clean_works` with one process and with two, of 1.3 MP each."""
    files = make_files(folder, SIZES["1.3 MP"], min(works, 8))
    listed = []
    for i in range(works):
        copy = folder / f"copy-{i}.jpg"
        copy.write_bytes(files[i % len(files)].read_bytes())
        listed.append(Work(copy.name, {}, copy))
    rates = {}
    for processes in (1, 2):
        start = time.perf_counter()
        clean_works(listed, folder / f"cleaned-{processes}", SHORT_SIDE_PX, processes=processes)
        rates[str(processes)] = works / (time.perf_counter() - start)
    return rates


def main() -> None:
    """Prints a table."""
    args = common.create_parser(__doc__, "prepare").parse_args()
    print(common.describe_sizes("prepare", "cpu", args), flush=True)
    result = common.heading("", PIL)
    result["versions"]["libvips"] = ".".join(str(pyvips.version(i)) for i in range(3))
    if cv2:
        cv2.setNumThreads(1)
        result["versions"]["cv2"] = cv2.__version__
    else:
        print("OpenCV left out: it is not installed (pip install opencv-python-headless)")
    with tempfile.TemporaryDirectory() as name:
        for size, (width, height) in SIZES.items():
            rows = contest(make_files(Path(name), (width, height), args.pictures), args.rounds)
            result[size] = rows
            best_rate = max(row["per_second"] for n, row in rows.items() if n != "ours")
            best_quality = max(row["psnr_db"] for n, row in rows.items() if n != "ours")
            print(f"{size} ({width} x {height}), on one core:")
            for contestant, row in rows.items():
                rate, decibels = row["per_second"], row["psnr_db"]
                print(
                    f"  {contestant:13} {rate:6.1f} /s ({rate / best_rate:4.2f} of the fastest peer)  "
                    f"{decibels:5.1f} dB ({decibels - best_quality:+.1f} to the best peer)"
                )
        rates = two_processes(Path(name), args.works)
    result["processes"] = rates
    print(
        f"clean_works, 1.3 MP: one process {rates['1']:.1f} /s, two {rates['2']:.1f} /s "
        f"({rates['2'] / rates['1']:.2f} x)"
    )
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))

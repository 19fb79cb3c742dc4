"""Works per second of each source, beside a PyTorch DataLoader and plain tf.data on the same works.

    pip install opencv-python-headless torch     # a CPU build of torch is enough
    python benchmarks/input.py --json input.json
    python benchmarks/input.py --torch /elsewhere/bin/python    # where torch has its own environment

The works are JPEGs of about one megapixel, made by code. The job is to deliver batches of random crops
of 224 px. The sources `device` and `host` deliver canvases of 256 px instead, since the training step
crops them itself; it also flips and normalises. All contestants take turns, and the median of the
rounds counts.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import common
import numpy as np

SIZE, MIN_AREA, MAX_STRETCH = 224, 0.3, 4 / 3
AHEAD = (
    5  # batches before the clock starts: those that a loader has prepared before they are asked for
)


def source_rate(name: str, folder: Path, batch_size: int) -> Callable[[int], float]:
    """For one of artjax's sources: a function from the number of batches to works per second."""
    import jax

    from artjax.config import collection_settings
    from artjax.data import batches, sources
    from artjax.data.canvases import Request, open_collection
    from artjax.runtime.mesh import create_mesh
    from artjax.training.training import create_crop_boxes

    config = common.create_config(collection="bench", source=name, batch_size=batch_size)
    mesh = create_mesh(devices=jax.devices()[:1])
    data = open_collection(Request(**collection_settings(config)), folder, None)
    train = data.split("train", {"artist": "artist"})
    choice = sources.choose_for(config, data, train, mesh)
    source = sources.open_source(config, train, mesh, create_crop_boxes(config), choice)
    gather = jax.jit(source.gather)
    jax.block_until_ready(gather(source.works, source.batch(0)))

    def rate(count: int) -> float:
        start = time.perf_counter()
        feed = batches.prefetch(source.batch, 1, 1 + count)
        for batch in feed:
            jax.block_until_ready(gather(source.works, batch))
        return count * batch_size / (time.perf_counter() - start)

    return rate


def random_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels of a random resized crop, as artjax draws them."""
    stretch = np.exp(rng.uniform(-1, 1) * np.log(MAX_STRETCH)) * height / width
    scale = np.sqrt(rng.uniform(MIN_AREA, 1))
    across = max(1, round(width * min(1.0, stretch) * scale))
    down = max(1, round(height * min(1.0, 1 / stretch) * scale))
    left, top = rng.uniform() * (width - across), rng.uniform() * (height - down)
    return int(left), int(top), across, down


def tf_data_rate(fused: bool, folder: Path, batch_size: int) -> Callable[[int], float]:
    """For plain tf.data over the same TFRecords, shuffled; decode and crop fused or in two steps."""
    import tensorflow as tf

    def image(record: Any) -> Any:
        features = {"image": tf.io.FixedLenFeature([], tf.string)}
        jpeg = tf.io.parse_single_example(record, features)["image"]
        shape = tf.io.extract_jpeg_shape(jpeg)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            aspect_ratio_range=(1 / MAX_STRETCH, MAX_STRETCH),
            area_range=(MIN_AREA, 1),
            use_image_if_no_bounding_boxes=True,
        )
        (top, left, _), (down, across, _) = tf.unstack(begin), tf.unstack(size)
        if fused:
            pixels = tf.io.decode_and_crop_jpeg(jpeg, [top, left, down, across], channels=3)
        else:
            decoded = tf.io.decode_jpeg(jpeg, channels=3)
            pixels = tf.image.crop_to_bounding_box(decoded, top, left, down, across)
        return tf.cast(tf.image.resize(pixels, (SIZE, SIZE)), tf.uint8)

    files = sorted(map(str, folder.glob("bench/1.0.0/*-train.tfrecord*")))
    records = tf.data.TFRecordDataset(files).shuffle(256).repeat()
    batches = records.map(image, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    ready = batches.prefetch(2)

    def rate(count: int) -> float:
        feed = ready.as_numpy_iterator()
        for _ in range(AHEAD):
            next(feed)
        start = time.perf_counter()
        for _ in range(count):
            next(feed)
        return count * batch_size / (time.perf_counter() - start)

    return rate


def create_loader(decoder: str, files: Path, batch_size: int) -> Iterable[Any]:
    """A PyTorch DataLoader with a process for each core; it needs nothing of artjax."""
    import torch

    class Works(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.paths = sorted(files.glob("*.jpg"))

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, i: int) -> np.ndarray:
            rng = np.random.default_rng(torch.randint(2**31, ()).item())
            return DECODERS[decoder](self.paths[i], rng)

    return torch.utils.data.DataLoader(
        Works(), batch_size, shuffle=True, drop_last=True, num_workers=os.cpu_count() or 1
    )


def with_opencv(path: Path, rng: np.random.Generator) -> np.ndarray:
    """OpenCV, linear, without antialiasing."""
    import cv2

    cv2.setNumThreads(0)
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    left, top, width, height = random_box(pixels.shape[1], pixels.shape[0], rng)
    return cv2.resize(pixels[top : top + height, left : left + width], (SIZE, SIZE))[
        ..., ::-1
    ].copy()


def with_pillow(path: Path, rng: np.random.Generator) -> np.ndarray:
    """Pillow, linear, as torchvision's RandomResizedCrop does."""
    from PIL import Image

    with Image.open(path) as image:
        left, top, width, height = random_box(*image.size, rng)
        crop = image.convert("RGB").crop((left, top, left + width, top + height))
        return np.array(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


DECODERS = {"opencv": with_opencv, "pillow": with_pillow}
LIBRARIES = {"opencv": "cv2", "pillow": "PIL"}


def start_loader(decoder: str, files: Path, batch_size: int) -> tuple[str, Callable[[str], float]]:
    """The process of `Loader`: answers each number of batches with works per second."""
    for library in ("torch", LIBRARIES[decoder]):
        importlib.import_module(library)
    loader = create_loader(decoder, files, batch_size)
    next(iter(loader))

    def rate(line: str) -> float:
        count, feed = int(line), iter(loader)
        for _ in range(AHEAD):
            next(feed)
        start = time.perf_counter()
        for _ in range(count):
            next(feed)
        seconds = time.perf_counter() - start
        del feed  # ends its processes
        return count * batch_size / seconds

    return "ready", rate


class Loader(common.Worker):
    """A DataLoader in a process of its own, which may have another interpreter."""

    def __init__(self, python: str, decoder: str, folder: Path, batch_size: int) -> None:
        files = str(folder / "files")
        super().__init__([python, __file__, "--serve", decoder, files, str(batch_size)])

    def __call__(self, count: int) -> float:
        """Works per second over a number of batches."""
        return float(self.ask(count))


def start_loaders(python: str, folder: Path, batch_size: int) -> dict[str, Loader]:
    """The loaders that the interpreter can run; prints a line for each that it cannot."""
    loaders = {}
    for decoder in DECODERS if python != "none" else ():
        try:
            loaders[f"DataLoader, {decoder}"] = Loader(python, decoder, folder, batch_size)
        except (common.CannotRunError, OSError) as error:
            print(f"DataLoader, {decoder} left out: {error} (see --torch)", flush=True)
    return loaders


def race(
    contestants: dict[str, Callable[[int], float]], rounds: int, batches: int
) -> dict[str, list[float]]:
    """Works per second of each contestant in each round; they take turns."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, rate in contestants.items():
            # Fast contestants get longer turns, so that disturbances average out.
            many = 20 if name in ("artjax device", "artjax host") else 1
            rates[name].append(rate(batches * many))
    return rates


def main() -> None:
    """Prints a table."""
    if sys.argv[1:2] == ["--serve"]:
        common.serve(lambda: start_loader(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
        return
    parser = common.create_parser(__doc__, "input")
    parser.add_argument(
        "--torch",
        default=sys.executable,
        help="interpreter that has torch, or none (default: this one)",
    )
    args = parser.parse_args()
    print(common.describe_sizes("input", "cpu", args), flush=True)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import jax
    import made_works
    import tensorflow as tf

    contestants: dict[str, Callable[[int], float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = made_works.make_works(args.works)
        made_works.write_records(works, args.repeats, folder)
        made_works.write_files(works, args.repeats, folder / "files")
        for source in ("device", "host", "stream"):
            contestants[f"artjax {source}"] = source_rate(source, folder, args.batch_size)
        contestants["tf.data, fused"] = tf_data_rate(True, folder, args.batch_size)
        contestants["tf.data, decode then crop"] = tf_data_rate(False, folder, args.batch_size)
        loaders = start_loaders(args.torch, folder, args.batch_size)
        rates = race(contestants | loaders, args.rounds, args.batches)
        for loader in loaders.values():
            loader.close()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max((medians[name] for name in loaders), default=None)
    title = f"{'works of 1 MP, a second':28} {'median':>9} {'lowest':>9} {'highest':>9}"
    print(f"{title}  x best loader" if best else title)
    for name, values in rates.items():
        row = f"{name:28} {medians[name]:9,.0f} {min(values):9,.0f} {max(values):9,.0f}"
        print(f"{row}  {medians[name] / best:6.2f}" if best else row)
    devices = jax.devices()[0].device_kind
    result = common.heading(devices, jax, tf, np) | {"works_per_second": rates}
    common.write(args.json, result)


if __name__ == "__main__":
    sys.exit(common.run(main))

"""Works per second of each source, beside a PyTorch DataLoader and plain tf.data on the same works.

    pip install opencv-python-headless torch     # a CPU build of torch is enough
    python benchmarks/input.py --json input.json
    python benchmarks/input.py --torch /elsewhere/bin/python    # where torch has its own environment

The works: JPEGs of about one megapixel, made by code. The job: batches of random crops of 224 px, or for
`device` and `host` of the canvases of 256 px that the step cuts them from; mirroring and normalising are
left to the step. All take turns, and the median of the rounds counts.
"""

from __future__ import annotations

import io
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
AHEAD = 5  # batches before the clock starts: those that peers have made ahead, and a start
SIDES = ((1152, 900), (900, 1152), (1024, 1024), (1300, 800))


def make_works(count: int) -> list[bytes]:
    """JPEGs (quality 90) with the edges, textures and grain of photographed paintings."""
    from PIL import Image

    from artjax.studio import catalogue

    works = []
    for i, painting in enumerate(catalogue()[:count]):
        rng = np.random.default_rng(i)
        picture = Image.fromarray(painting.draw())
        pixels = np.asarray(picture.resize(SIDES[i % len(SIDES)], Image.Resampling.BICUBIC))
        grain = rng.normal(0, 2, (*pixels.shape[:2], 1)) + rng.normal(0, 1, pixels.shape)
        buffer = io.BytesIO()
        noisy = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        works.append(buffer.getvalue())
    return works


def prepare(works: list[bytes], repeats: int, folder: Path) -> None:
    """Writes the works as a prepared TFDS set, each `repeats` times, and as files for the peers."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "artist": tfds.features.ClassLabel(num_classes=2),
    }
    splits = {
        "train": [
            (f"{i}", {"image": works[i % len(works)], "artist": i % 2})
            for i in range(repeats * len(works))
        ],
        **{split: [(split, {"image": works[0], "artist": 0})] for split in ("validation", "test")},
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        "bench",
        "1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets=splits,
        data_dir=folder,
    )
    (folder / "files").mkdir()
    for i, (_, example) in enumerate(splits["train"]):
        (folder / "files" / f"{i:06d}.jpg").write_bytes(example["image"])


def source_rate(name: str, folder: Path, batch_size: int) -> Callable[[int], float]:
    """Of one of artjax's own sources: a function from the number of batches to works per second."""
    import jax

    from artjax.config import collection_settings, default_config
    from artjax.data import batches, sources
    from artjax.data.canvases import Request, open_collection
    from artjax.runtime.mesh import create_mesh
    from artjax.training.experiment import Experiment

    config = default_config()
    config.collection, config.source, config.batch_size = "bench", name, batch_size
    mesh = create_mesh(devices=jax.devices()[:1])
    data = open_collection(Request(**collection_settings(config)), folder, None)
    train = data.split("train", {"artist": "artist"})
    experiment = Experiment(config, {"artist": 2}, len(train), mesh)
    source = sources.open_source(config, data, train, mesh, experiment.crop_boxes)
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
    """Of plain tf.data over the same TFRecords, shuffled; decode and crop fused or one by one."""
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
    """A PyTorch DataLoader with a process for each core; needs torch alone."""
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


def serve_loader(decoder: str, files: Path, batch_size: int) -> None:
    """Answers each number of batches on standard input with works per second; a line each."""
    loader = create_loader(decoder, files, batch_size)
    next(iter(loader))
    print("ready", flush=True)
    for line in sys.stdin:
        count, feed = int(line), iter(loader)
        for _ in range(AHEAD):
            next(feed)
        start = time.perf_counter()
        for _ in range(count):
            next(feed)
        seconds = time.perf_counter() - start
        del feed  # ends its processes
        print(count * batch_size / seconds, flush=True)


class Loader(common.Worker):
    """A DataLoader in a process of its own, and another interpreter where that is wanted."""

    def __init__(self, python: str, decoder: str, folder: Path, batch_size: int) -> None:
        try:
            files = str(folder / "files")
            super().__init__([python, __file__, "--serve", decoder, files, str(batch_size)])
        except RuntimeError:
            raise SystemExit(
                f"{python} has no torch with {decoder}: see --torch, or --torch none"
            ) from None

    def __call__(self, count: int) -> float:
        """Works per second over a number of batches."""
        return float(self.ask(count))


def main() -> None:
    """Prints a table; with --json also writes it."""
    if sys.argv[1:2] == ["--serve"]:
        serve_loader(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = common.create_parser(__doc__)
    parser.add_argument("--works", type=int, default=48, help="different ones (default: 48)")
    parser.add_argument("--repeats", type=int, default=12, help="of each work (default: 12)")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=12, help="a turn (default: 12)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--torch", default=sys.executable, help="Python that has torch, or none (default: this one)"
    )
    args = parser.parse_args()
    import jax
    import tensorflow as tf

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    contestants: dict[str, Callable[[int], float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(make_works(args.works), args.repeats, folder)
        for source in ("device", "host", "stream"):
            contestants[f"artjax {source}"] = source_rate(source, folder, args.batch_size)
        contestants["tf.data, fused"] = tf_data_rate(True, folder, args.batch_size)
        contestants["tf.data, decode then crop"] = tf_data_rate(False, folder, args.batch_size)
        loaders = {
            f"DataLoader, {decoder}": Loader(args.torch, decoder, folder, args.batch_size)
            for decoder in (DECODERS if args.torch != "none" else ())
        }
        contestants |= loaders
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(args.rounds):
            for contestant, rate in contestants.items():
                # What is fast takes longer turns, so that what disturbs it is averaged out.
                many = 20 if contestant in ("artjax device", "artjax host") else 1
                rates[contestant].append(rate(args.batches * many))
        for loader in loaders.values():
            loader.close()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max((medians[name] for name in loaders), default=float("nan"))
    print(
        f"{'works of 1 MP, a second':28} {'median':>9} {'lowest':>9} {'highest':>9}  x best loader"
    )
    for name, values in rates.items():
        print(
            f"{name:28} {medians[name]:9,.0f} {min(values):9,.0f} {max(values):9,.0f}  "
            f"{medians[name] / best:6.2f}"
        )
    devices = jax.devices()[0].device_kind
    result = common.heading(devices, jax, tf, np) | {"works_per_second": rates}
    common.write(args.json, result)


if __name__ == "__main__":
    main()

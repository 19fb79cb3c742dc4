"""What augmentation costs: the training step with crop and flip alone, and with each strength and all.

python benchmarks/augment.py --model vgg16_bn --image_size 224 --batch_size 256

Random canvases that are on the device already; the shortest of many steps, which other programs on the
machine disturb least, with the settings taking turns.
"""

from __future__ import annotations

import argparse
import time

import jax
import numpy as np

from artjax.config import canvas_size, check, default_config
from artjax.experiment import Experiment
from artjax.mesh import create_mesh, describe

STRENGTHS = {
    "rotate_degrees": 15.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.05,
    "pca_color": 0.1,
    "blur": 1.0,
    "noise": 0.05,
    "drop_pixels": 0.1,
    "erase": 0.3,
    "mixup": 0.2,
    "cutmix": 1.0,
}


class Timed:
    """The training step with some strengths, on one batch again and again.

    Attributes:
      shortest_s: the shortest of the steps timed so far, in seconds.
    """

    def __init__(self, args: argparse.Namespace, strengths: dict[str, float]) -> None:
        config = default_config()
        config.model.name, config.image_size = args.model, args.image_size
        config.batch_size = args.batch_size
        config.augment.update(strengths)
        check(config)
        self._experiment = Experiment(config, {"artist": 20}, 10_000, create_mesh())
        rng = np.random.default_rng(0)
        side, works = canvas_size(config), args.batch_size
        batch = {
            "image": rng.integers(0, 256, (works, side, side, 3), np.uint8),
            "aspect": rng.uniform(0.6, 1.6, works).astype(np.float32),
            "label/artist": rng.integers(0, 20, works).astype(np.int32),
            "mask": np.ones(works, bool),
        }
        self._batch = jax.device_put(batch, self._experiment.batch_sharding)
        self._state = self._experiment.initial_state()
        self.shortest_s = float("inf")
        self.step()  # compiles
        self.shortest_s = float("inf")

    def step(self) -> None:
        """Times one more step."""
        start = time.perf_counter()
        self._state, metrics = self._experiment.train_step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))
        self.shortest_s = min(self.shortest_s, time.perf_counter() - start)


def main() -> None:
    """Times, and prints a row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vgg16_bn")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="of each setting (default: 20)")
    parser.add_argument("--each", action="store_true", help="each strength by itself as well")
    args = parser.parse_args()
    settings = {"crop and flip": {}}
    if args.each:
        settings |= {f"… and {name} {value:g}": {name: value} for name, value in STRENGTHS.items()}
    settings["all of them"] = STRENGTHS
    print(f"{describe(create_mesh())}, {args.model}, {args.image_size} px, batch {args.batch_size}")
    timed = {name: Timed(args, strengths) for name, strengths in settings.items()}
    for _ in range(args.steps):
        for one in timed.values():
            one.step()
    bare_s = timed["crop and flip"].shortest_s
    for name, one in timed.items():
        print(f"{name:28} {one.shortest_s * 1e3:8.2f} ms  {one.shortest_s / bare_s - 1:+.1%}")


if __name__ == "__main__":
    main()

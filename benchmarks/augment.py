"""What augmentation costs: the training step with crop and flip alone, and with all augmentations.

    python benchmarks/augment.py
    python benchmarks/augment.py --each --json augment.json    # each augmentation by itself as well

The step runs on random canvases that are already on the device. The settings take turns, and the
fastest of many steps counts, since other programs disturb it least.
"""

from __future__ import annotations

import sys

import common
import jax
from timed_step import TimedStep, config_of

from artjax.runtime.mesh import create_mesh, describe

MAGNITUDES = {
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


def main() -> None:
    """Prints a row for each setting."""
    platform = jax.devices()[0].platform
    parser = common.create_parser(__doc__, "augment", platform)
    parser.add_argument("--each", action="store_true", help="each augmentation by itself as well")
    args = parser.parse_args()
    print(common.describe_sizes("augment", platform, args), flush=True)
    settings: dict[str, dict[str, float]] = {"crop and flip": {}}
    if args.each:
        settings |= {f"… and {name} {value:g}": {name: value} for name, value in MAGNITUDES.items()}
    settings["all of them"] = MAGNITUDES
    devices = describe(create_mesh())
    print(devices, flush=True)
    timed = {}
    for name, magnitudes in settings.items():
        changes = {f"augment__{field}": value for field, value in magnitudes.items()}
        config = config_of(args.model, args.image_size, args.batch_size, **changes)
        timed[name] = TimedStep(config)
    for _ in range(args.steps):
        for one in timed.values():
            one.step()
    shortest_s = {name: min(one.seconds) for name, one in timed.items()}
    for name, seconds in shortest_s.items():
        more = seconds / shortest_s["crop and flip"] - 1
        print(f"{name:28} {seconds * 1e3:8.2f} ms  {more:+.1%}")
    common.write(args.json, common.heading(devices, jax) | {"shortest_s": shortest_s})


if __name__ == "__main__":
    sys.exit(common.run(main))

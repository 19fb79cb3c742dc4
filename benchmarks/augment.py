"""What augmentation costs: the training step with crop and flip alone, and with each strength and all.

python benchmarks/augment.py --model vgg16_bn --image_size 224 --batch_size 256 --json augment.json

Random canvases that are on the device already; the shortest of many steps, which other programs on the
machine disturb least, with the settings taking turns.
"""

from __future__ import annotations

import common
import jax
from timed_step import TimedStep, config_of

from artjax.runtime.mesh import create_mesh, describe

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


def main() -> None:
    """Prints a row for each setting; with --json also writes them."""
    parser = common.create_parser(__doc__)
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
    devices = describe(create_mesh())
    print(f"{devices}, {args.model}, {args.image_size} px, batch {args.batch_size}")
    timed = {}
    for name, strengths in settings.items():
        config = config_of(args.model, args.image_size, args.batch_size)
        config.augment.update(strengths)
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
    main()

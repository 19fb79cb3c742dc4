"""Training steps per second: artjax beside textbook Flax and torch, in turns, on the same job.

The job starts from images (float32 [B, S, S, 3]) and labels: forward pass, loss, gradient, clipping by
global norm, weight decay, SGD with Nesterov momentum. `artjax, whole step` does more than the job:
random crops and flips of uint8 canvases, label smoothing, and an EMA of the parameters.

    python benchmarks/train_step.py --json train_step.json
    python benchmarks/train_step.py --torch /path/to/python   # another interpreter, which has torch
    PYTHONPATH=. python benchmarks/train_step.py              # where artjax is not installed

It needs jax, flax and optax, but neither TensorFlow nor ml_collections. The table names each
contestant that failed, and the exit status is then 1. On a GPU the activations are bfloat16.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# torch has a process of its own on the same GPU, so JAX must not reserve all of the memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import common
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from artjax.config import canvas_size
from artjax.models import create_model
from artjax.models.pooling import adaptive_average_pool
from artjax.models.vgg import DEPTHS, HE_NORMAL
from artjax.runtime.xla_options import compiler_options
from artjax.training.optim import create_optimizer
from artjax.training.state import create_state
from artjax.training.step import StepSettings, create_train_step

CLASSES = 20
SMALL = ((16,), (32,), (64, 64), (128, 128))
LEARNING_RATE = 0.01
TORCH_WORKER = Path(__file__).with_name("train_step_torch.py")

Steps = Callable[[int], float]
"""Does a number of steps and returns the seconds that they took."""


def create_config(**changes: Any) -> Any:
    """artjax's own configuration, so that it has every field that the step reads."""
    return common.create_config(
        optim__name="sgd",
        optim__momentum=0.9,
        optim__nesterov=True,
        optim__weight_decay=5e-4,
        optim__clip_norm=5.0,
        optim__label_smoothing=0.1,
        ema_decay=0.99,
        **changes,
    )


OPTIM = create_config().optim


class TextbookVGG(nn.Module):
    """VGG as the documentation of Flax would write it."""

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]
    batch_norm: bool
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Logits, float32 [B, classes]."""
        x = x.astype(self.dtype)
        for widths in self.stages:
            for channels in widths:
                use_bias = not self.batch_norm
                x = nn.Conv(
                    channels, (3, 3), use_bias=use_bias, kernel_init=HE_NORMAL, dtype=self.dtype
                )(x)
                if self.batch_norm:
                    x = nn.BatchNorm(
                        use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype
                    )(x)
                x = nn.relu(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        if self.hidden:
            x = adaptive_average_pool(x, 7)
            x = x.reshape(x.shape[0], -1)
        else:
            x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2)))
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, kernel_init=HE_NORMAL, dtype=self.dtype)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return {"artist": nn.Dense(CLASSES)(x.astype(jnp.float32))}


def textbook_model(name: str, dtype: Any) -> nn.Module:
    """The textbook version of the model that artjax calls by this name."""
    if name == "vgg_small":
        return TextbookVGG(SMALL, (), batch_norm=True, dropout=0.1, dtype=dtype)
    base, _, norm = name.partition("_")
    return TextbookVGG(
        DEPTHS[base], (4096, 4096), batch_norm=norm == "bn", dropout=0.5, dtype=dtype
    )


def artjax_model(name: str, dtype: Any) -> nn.Module:
    """artjax's model, as its configurations build it."""
    dropout = 0.1 if name == "vgg_small" else 0.5
    return create_model(
        name,
        {"artist": CLASSES},
        dropout=dropout,
        relu_after_pool=True,
        platform=jax.devices()[0].platform,
        dtype=jnp.dtype(dtype),
    )


def textbook_optimizer() -> optax.GradientTransformation:
    """The same optimizer, put together from Optax alone."""
    return optax.chain(
        optax.clip_by_global_norm(OPTIM.clip_norm),
        optax.add_decayed_weights(OPTIM.weight_decay),
        optax.sgd(LEARNING_RATE, momentum=OPTIM.momentum, nesterov=OPTIM.nesterov),
    )


def same_job(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    size: int,
    batch: int,
    options: dict[str, str],
) -> Steps:
    """The job of this benchmark with any model and optimizer."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.uniform(-1, 1, (batch, size, size, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, CLASSES, batch), jnp.int32)
    dropout_key = jax.random.key(1)

    def step(state: Any, given: Any) -> tuple[Any, jax.Array]:
        number, params, model_state, opt_state = state
        images, labels = given

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            logits, new_model_state = model.apply(
                {"params": params, **model_state},
                images,
                train=True,
                rngs={"dropout": jax.random.fold_in(dropout_key, number)},
                mutable=list(model_state),
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits["artist"], labels)
            return losses.mean(), new_model_state

        (loss, new_model_state), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, new_opt_state = optimizer.update(gradients, opt_state, params)
        new_params = optax.apply_updates(params, updates)
        return (number + 1, new_params, new_model_state, new_opt_state), loss

    @jax.jit
    def create() -> Any:
        variables = model.init(jax.random.key(0), jnp.zeros((1, size, size, 3)))
        params = variables["params"]
        model_state = {name: value for name, value in variables.items() if name != "params"}
        return jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params)

    compiled = jax.jit(step, donate_argnums=0, compiler_options=options)
    return clocked(compiled, create(), (images, labels))


def whole_step(name: str, size: int, batch: int, dtype: Any, options: dict[str, str]) -> Steps:
    """artjax's own step, on canvases that are 8/7 as large as the pictures."""
    config = create_config(model__name=name, image_size=size, batch_size=batch)
    schedule = optax.constant_schedule(LEARNING_RATE)
    optimizer = create_optimizer(config.optim, schedule)
    model = artjax_model(name, dtype)
    canvas = canvas_size(config)
    rng = np.random.default_rng(0)
    given = {
        "image": jnp.asarray(rng.integers(0, 256, (batch, canvas, canvas, 3), np.uint8)),
        "aspect": jnp.asarray(rng.uniform(0.6, 1.6, batch), jnp.float32),
        "label/artist": jnp.asarray(rng.integers(0, CLASSES, batch), jnp.int32),
    }
    step = create_train_step(model, optimizer, schedule, StepSettings.of(config))
    state = jax.jit(lambda: create_state(model, optimizer, size, 0, with_ema=True))()
    return clocked(jax.jit(step, donate_argnums=0, compiler_options=options), state, given)


def clocked(step: Any, state: Any, given: Any) -> Steps:
    """Wraps a compiled step: the function does a number of steps, then waits for the device."""

    def steps(count: int) -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(count):
            state, out = step(state, given)
        jax.block_until_ready((state, out))
        return time.perf_counter() - start

    return steps


class Torch(common.Worker):
    """torch in a process of its own."""

    def __init__(self, python: str, name: str, size: int, batch: int, mode: str) -> None:
        super().__init__(
            [python, str(TORCH_WORKER), name, str(size), str(batch), mode, str(CLASSES)]
        )
        self.versions: dict[str, str] = json.loads(self.greeting)

    def __call__(self, count: int) -> float:
        """Does a number of steps; returns the seconds."""
        return float(self.ask(count))


def race(contestants: dict[str, Steps], batch: int, rounds: int, steps: int) -> dict[str, Any]:
    """The contestants take turns; images per second of the fastest and of the median round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(2)  # compiles
    for _ in range(rounds):
        for name, run in contestants.items():
            seconds[name].append(run(steps) / steps)
    return {
        name: {
            "images_per_second": batch / min(times),
            "images_per_second_median": batch / statistics.median(times),
        }
        for name, times in seconds.items()
    }


def compare(name: str, size: int, args: argparse.Namespace) -> dict[str, Any]:
    """The rates of all contestants for one model and size; those that failed, with the reason."""
    dtype, device = args.dtype, jax.devices()[0].platform
    options = compiler_options(device)
    makers: dict[str, Callable[[], Steps]] = {
        "textbook Flax": lambda: same_job(
            textbook_model(name, dtype), textbook_optimizer(), size, args.batch, {}
        ),
        "artjax, same job": lambda: same_job(
            artjax_model(name, dtype),
            create_optimizer(OPTIM, optax.constant_schedule(LEARNING_RATE)),  # type: ignore[arg-type]
            size,
            args.batch,
            options,
        ),
        "artjax, whole step": lambda: whole_step(name, size, args.batch, dtype, options),
    }
    if args.torch:
        for mode in args.torch_modes:
            makers[f"torch {mode}"] = lambda mode=mode: Torch(  # type: ignore[misc]
                args.torch, name, size, args.batch, f"{mode},{dtype}"
            )
    contestants: dict[str, Steps] = {}
    failed: dict[str, str] = {}
    try:
        for who, make in makers.items():
            try:
                contestants[who] = make()
                contestants[who](1)
            except Exception as error:  # the others still count
                contestants.pop(who, None)
                reason = common.reason_it_cannot_run(error) or str(error).partition("\n")[0]
                failed[who] = f"{type(error).__name__}: {reason}"[:300]
        rates = race(contestants, args.batch, args.rounds, args.steps)
        versions = [c.versions for c in contestants.values() if isinstance(c, Torch)]
    finally:
        for contestant in contestants.values():
            if isinstance(contestant, Torch):
                contestant.close()
    return {"rates": rates, "failed": failed, "versions": versions[0] if versions else {}}


def show(name: str, size: int, rows: dict[str, Any]) -> None:
    """Prints the rates and their ratios to the textbook's."""
    print(f"\n{name}, {size} px: images/s of the fastest round (median), ratio to textbook Flax")
    base = rows["rates"].get("textbook Flax")
    for who, row in rows["rates"].items():
        rate, median = row["images_per_second"], row["images_per_second_median"]
        ratio = ""
        if base:
            first = rate / base["images_per_second"]
            second = median / base["images_per_second_median"]
            ratio = f"  {first:5.2f} x ({second:.2f} x)"
        print(f"  {who:32} {rate:8.1f} ({median:8.1f}){ratio}", flush=True)
    for who, why in rows["failed"].items():
        print(f"  {who:32} failed: {why}", flush=True)


def main() -> int:
    """Prints a table for each model and size. Returns 1 if a contestant failed."""
    platform = jax.devices()[0].platform
    on_cpu = platform == "cpu"
    parser = common.create_parser(__doc__, "train_step", platform)
    here = sys.executable if importlib.util.find_spec("torch") else ""
    parser.add_argument(
        "--torch", default=here, help="interpreter that has torch; '' leaves torch out"
    )
    parser.add_argument("--torch_modes", nargs="*", default=["eager", "compile"])
    args = parser.parse_args()
    print(common.describe_sizes("train_step", platform, args), flush=True)
    if not args.torch:
        print("torch left out: it is not installed here (--torch PYTHON names another interpreter)")
    kind = "" if on_cpu else jax.devices()[0].device_kind
    result: dict[str, Any] = common.heading(kind, jax, flax, optax) | {
        "batch": args.batch,
        "dtype": args.dtype,
        "tables": {},
    }
    for name in args.models:
        for size in args.sizes:
            rows = compare(name, size, args)
            result["versions"] |= rows.pop("versions")
            result["tables"][f"{name}/{size}"] = rows
            show(name, size, rows)
            common.write(args.json, result)  # after each, since a long run may be cut short
    print(f"\n{result['date']}, {result['machine']}, {result['versions']}")
    return int(any(rows["failed"] for rows in result["tables"].values()))


if __name__ == "__main__":
    sys.exit(common.run(main))

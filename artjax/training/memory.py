"""Device memory: what a step needs, what is free, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from artjax.data.batches import PREFETCHED
from artjax.data.sources import Choice
from artjax.errors import ConfigError, TrainingError
from artjax.runtime import resources
from artjax.runtime.resources import format_bytes
from artjax.training.progress import MAX_STEPS_AHEAD
from artjax.training.training import Training, bytes_on_each_device

# An automatic batch size uses at most this share. Other programs need the rest.
_USABLE_SHARE = 0.9
# Larger batches, or fewer steps, use the devices no better and learn less from the same epochs.
_MAX_AUTO_BATCH_SIZE = 1024
_MIN_STEPS_PER_EPOCH = 16


def free_bytes(mesh: Mesh) -> int | None:
    """Free bytes on the device that has the fewest; None if unknown.

    CPU devices share the free memory of their machine equally.
    """
    if mesh.devices.flat[0].platform != "cpu":
        return resources.on_devices(mesh)
    return resources.on_host(shares=len(mesh.local_devices))


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Bytes that a compiled step needs on each device, by the compiler's analysis; None without one."""
    analysis: Any = compiled.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes  # the state is donated: the new one uses the same memory
        + analysis.temp_size_in_bytes
    )


def waiting_bytes(training: Training, choice: Choice) -> int:
    """Bytes on each device of the prefetched batches, of which at most so many are in flight."""
    if not choice.sends_images:
        return 0
    return (MAX_STEPS_AHEAD + PREFETCHED + 1) * bytes_on_each_device(training.abstract_batch)


def describe_estimate(training: Training, choice: Choice, free: int | None) -> str:
    """One line about the memory of a step, estimated from shapes before anything is compiled."""
    parts = dict(zip(("state", "gradient", "activations"), training.estimated_bytes(), strict=True))
    parts["prefetched batches"] = waiting_bytes(training, choice)
    of = f", of {format_bytes(free)} free" if free else ""
    shown = ", ".join(f"{name} {format_bytes(size)}" for name, size in parts.items() if size)
    return (
        f"memory: about {format_bytes(sum(parts.values()))} on each device{of} (estimate: {shown})"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether JAX reports that a device, or the compiler for it, ran out of memory."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def too_large(
    training: Training, choice: Choice, free: int | None, needed: int | None
) -> TrainingError:
    """The error for a step that does not fit. Its message says what would fit.

    Args:
      training: the training whose step does not fit.
      choice: the source of its batches.
      free: free bytes on each device beside the canvases that it holds; None if unknown.
      needed: bytes that the step and the prefetched batches need; None if it could not be compiled.
    """
    config = training.config
    shares = training.network.mesh.size * config.accumulate
    batch_size = config.batch_size
    fits = 0
    if free:
        below = batch_size - shares
        fits = min(below, _largest(training.with_batch_size, choice, free, shares, batch_size))
    needs = f"needs {format_bytes(needed)}" if needed else "needs more memory"
    where = f", where {format_bytes(free)} are free" if free else ""
    remedies = []
    if fits >= shares:
        remedies.append(
            f"--config.batch_size={fits} (the largest that fits, by the compiler's figures)"
        )
    micro_batches = next(
        (
            count * config.accumulate
            for count in range(2, batch_size // shares + 1)
            if batch_size // shares % count == 0 and fits * count >= batch_size
        ),
        None,
    )
    if micro_batches:
        remedies.append(
            f"--config.accumulate={micro_batches} (the same batch in {micro_batches} micro-batches)"
        )
    if not config.remat:
        remedies.append("--config.remat=true")
    remedies.append(f"a smaller --config.image_size (now {config.image_size})")
    return TrainingError(
        f"out of memory: a step with --config.batch_size={batch_size} {needs} on each device"
        f"{where}\ntry {', or '.join(remedies)}, in a new --workdir"
    )


def find_batch_size(
    training_of: Callable[[int], Training],
    mesh: Mesh,
    choice: Choice,
    train_works: int,
    accumulate: int,
) -> int:
    """Finds the batch size for `auto`.

    It is the largest number of the form devices x micro-batches x 2^n that fits beside the canvases that
    the source will hold on the devices. It is at most 1,024, and at most a sixteenth of the training
    split. The memory of a step is extrapolated linearly from the compiler's figures for two small
    batches.

    Raises:
      ConfigError: if the free memory is unknown, or nothing fits.
    """
    shares = mesh.size * accumulate
    free = free_bytes(mesh)
    if free is None:
        raise ConfigError(
            "--config.batch_size=auto: the devices do not report their free memory; set a number"
        )
    free = max(0, free - choice.held_bytes)
    upper = max(shares, min(_MAX_AUTO_BATCH_SIZE, train_works // _MIN_STEPS_PER_EPOCH))
    usable = int(_USABLE_SHARE * free)
    largest = min(upper, _largest(training_of, choice, usable, shares, upper))
    if largest < shares:
        raise ConfigError(
            f"--config.batch_size=auto: not even a batch of {shares} fits in the {format_bytes(free)} "
            "that are free on each device; try a smaller --config.image_size or --config.model.name, or "
            "--config.remat=true"
        )
    size = shares
    while 2 * size <= largest:
        size *= 2
    return size


def _largest(
    training_of: Callable[[int], Training], choice: Choice, free: int, shares: int, below: int
) -> int:
    """The largest multiple of `shares` whose step needs at most `free` bytes; 0 if unknown.

    It is extrapolated from two batch sizes, of about an eighth and a quarter of `below`.
    """
    sizes = sorted({max(shares, below // divisor // shares * shares) for divisor in (8, 4)})
    needs = []
    for size in sizes:
        try:
            training = training_of(size)
            step = needed_bytes(training.compile_train_step())
            needs.append(None if step is None else step + waiting_bytes(training, choice))
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return 0
    if None in needs:
        return 0
    low, high = int(needs[0] or 0), int(needs[-1] or 0)
    if len(sizes) == 1:  # one point gives no line: assume that all memory grows with the batch
        return int(free * sizes[0] / high) // shares * shares
    slope = max((high - low) / (sizes[1] - sizes[0]), 1.0)
    return int(sizes[0] + (free - low) / slope) // shares * shares

"""What a step needs of a device's memory, what there is, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from jax.sharding import Mesh

from artjax import config as config_lib
from artjax import workdir as workdir_lib
from artjax.errors import ConfigError, TrainingError
from artjax.runtime import resources
from artjax.runtime.resources import in_words
from artjax.training.experiment import Experiment

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict

# A batch found for the user leaves this share free, for what other programs and the next batches take.
_FILL = 0.9
# Beyond these a larger batch fills no device better, and learns worse from the same epochs.
_LARGEST_AUTO = 1024
_FEWEST_STEPS_PER_EPOCH = 16


def free_bytes(mesh: Mesh) -> int | None:
    """Bytes that each device can still give, the least of all; None where it is unknown.

    CPU devices share what their host has left.
    """
    if mesh.devices.flat[0].platform != "cpu":
        return resources.on_devices(mesh)
    return resources.on_host(shares=len(mesh.local_devices))


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """What a compiled step takes on each device, by the compiler's own analysis; None if it has none."""
    analysis: Any = compiled.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes  # the state is donated: the new one takes its place
        + analysis.temp_size_in_bytes
    )


def describe_estimate(experiment: Experiment, free: int | None) -> str:
    """What the step will need, counted from the shapes of the model before anything is compiled."""
    state, gradients, activations = experiment.estimated_bytes()
    of = f", of {in_words(free)} free" if free else ""
    return (
        f"memory: about {in_words(state + gradients + activations)} on each device{of} (estimate: state "
        f"{in_words(state)}, gradient {in_words(gradients)}, activations {in_words(activations)})"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the compiler for it, had no memory left."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def too_large(experiment: Experiment, free: int | None, needed: int | None) -> TrainingError:
    """What to say, and what would fit, when the step of an experiment does not.

    Args:
      experiment: whose step does not fit.
      free: bytes on each device before the run took any.
      needed: bytes that the step takes, where it could be compiled.
    """
    config = experiment.config
    shares = experiment.mesh.size * config.accumulate
    batch_size = config.batch_size
    fits = 0
    if free:
        below = batch_size - shares
        fits = min(below, _largest(experiment.with_batch_size, free, shares, batch_size))
    needs = f"needs {in_words(needed)}" if needed else "needs more memory"
    there = f"{in_words(free)} are free" if free else "there is"
    ways = []
    if fits >= shares:
        ways.append(
            f"--config.batch_size={fits} (the largest that fits, by the compiler's figures)"
        )
    parts = next(
        (
            parts * config.accumulate
            for parts in range(2, batch_size // shares + 1)
            if batch_size // shares % parts == 0 and fits * parts >= batch_size
        ),
        None,
    )
    if parts:
        ways.append(f"--config.accumulate={parts} for the same batch in {parts} parts")
    if not config.remat:
        ways.append("--config.remat=true")
    ways.append(f"a smaller --config.image_size (now {config.image_size})")
    return TrainingError(
        f"out of memory: a step with --config.batch_size={batch_size} {needs} on each device, where "
        f"{there}\ntry {', or '.join(ways)}, in a new --workdir"
    )


def with_batch_size_found(
    config: ConfigDict,
    workdir: Path,
    classes: Mapping[str, int],
    train_works: int,
    mesh: Mesh,
    say: Callable[[str], None],
) -> ConfigDict:
    """The configuration with what `auto` stands for: the workdir's own number, else what fits.

    Args:
      config: with the batch size that is to be found.
      workdir: of the run.
      classes: number of them, by task.
      train_works: number of works in the training split.
      mesh: the devices.
      say: takes the line with the number that was found.

    Raises:
      ConfigError: if the free memory is unknown, or nothing fits.
    """
    previous = workdir_lib.read_config(workdir)
    if previous is not None:  # whatever else runs on the device by now, a run keeps its batches
        return config_lib.with_batch_size(config, previous.batch_size)

    def experiment_of(batch_size: int) -> Experiment:
        return Experiment(
            config_lib.with_batch_size(config, batch_size), classes, train_works, mesh
        )

    found = find_batch_size(experiment_of, mesh, train_works, config.accumulate)
    say(
        f"batch size: auto is {found} works here; peak learning rate {config.optim.peak_lr:g} as set"
    )
    return config_lib.with_batch_size(config, found)


def find_batch_size(
    experiment_of: Callable[[int], Experiment], mesh: Mesh, train_works: int, accumulate: int
) -> int:
    """The batch size that `auto` stands for: the largest that fits, halved from shares of the devices.

    Never more than 1,024, nor than a sixteenth of the training split. The memory that a step needs is
    what the compiler says of two small batches, continued in a straight line.

    Raises:
      ConfigError: if the free memory is unknown, or nothing fits.
    """
    shares = mesh.size * accumulate
    free = free_bytes(mesh)
    if free is None:
        raise ConfigError(
            "--config.batch_size=auto: the devices do not tell how much memory is free; give a number"
        )
    upper = max(shares, min(_LARGEST_AUTO, train_works // _FEWEST_STEPS_PER_EPOCH))
    largest = min(upper, _largest(experiment_of, int(_FILL * free), shares, upper))
    if largest < shares:
        raise ConfigError(
            f"--config.batch_size=auto: not even {shares} works fit in {in_words(free)} on each device; "
            "take a smaller --config.image_size or --config.model.name, or --config.remat=true"
        )
    size = shares
    while 2 * size <= largest:
        size *= 2
    return size


def _largest(experiment_of: Callable[[int], Experiment], free: int, shares: int, below: int) -> int:
    """The largest multiple of `shares` whose step takes at most `free`, from two sizes under `below`."""
    sizes = sorted({max(shares, below // part // shares * shares) for part in (8, 4)})
    needs = []
    for size in sizes:
        try:
            needs.append(needed_bytes(experiment_of(size).compile_train_step()))
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return 0
    if None in needs:
        return 0
    low, high = int(needs[0] or 0), int(needs[-1] or 0)
    if len(sizes) == 1:  # not enough works for a line: all is taken to grow with the batch
        return int(free * sizes[0] / high) // shares * shares
    slope = max((high - low) / (sizes[1] - sizes[0]), 1.0)
    return int(sizes[0] + (free - low) / slope) // shares * shares

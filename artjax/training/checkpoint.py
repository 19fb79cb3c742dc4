"""Checkpoints with Orbax: the last one, and the best one by validation. Each is self-contained."""

from __future__ import annotations

import importlib.metadata
import os
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from artjax.errors import WorkdirError
from artjax.runtime.mesh import first_process_first, is_first_process
from artjax.training.best import BestSoFar, Validation
from artjax.training.state import TrainState, variables_of

_MAX_REASON_LENGTH = 200  # characters

# Of the saved state. 1: the EMA has parameters only; 2: it has the running statistics as well.
FORMAT = 2

LIBRARIES = ("artjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Checkpoints:
    """The checkpoints of a workdir.

    Saving is asynchronous and atomic: a checkpoint is complete or does not exist. An older checkpoint is
    removed only after the newer one is complete. Besides the state, each checkpoint holds a record
    (plain JSON): the config, class names, fingerprint of the data, library versions, and the sums of the
    current log window.
    """

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        self._directory = workdir.absolute() / "checkpoints"
        if read_only and not self._directory.is_dir():
            raise WorkdirError(_none_in(workdir))
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=_rank,
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(1),
                        policies.BestN(
                            get_metric_fn=_rank, n=1, keep_checkpoints_without_metrics=False
                        ),
                    ]
                ),
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                create=not read_only,
            ),
        )
        if read_only and self.latest_step is None:
            self._manager.close()
            raise WorkdirError(_none_in(workdir))

    @property
    def steps(self) -> list[int]:
        """Steps of all checkpoints, in order."""
        return sorted(self._manager.all_steps())

    @property
    def latest_step(self) -> int | None:
        """Step of the last checkpoint; None if there is no checkpoint."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint by validation; the last one where none was chosen."""
        steps = self._manager.all_steps()
        ranked = [(_rank(metrics), s) for s in steps if (metrics := self._manager.metrics(s))]
        return max(ranked)[1] if ranked else self.latest_step

    def best_so_far(self, warmup_steps: int) -> BestSoFar:
        """What a resumed run compares its validations with."""
        latest = self.latest_step
        if latest is None:
            return BestSoFar(warmup_steps)
        if "best" in (record := self.record(latest)):
            return BestSoFar.from_json(record["best"])
        best = BestSoFar(warmup_steps)  # a run of 0.1.0 kept no such record
        step = self.best_step
        if step is not None and (metrics := self._manager.metrics(step)):
            scores = (metrics["validation/top1"], metrics["validation/loss"], 0.0)
            best.consider(Validation(max(step, warmup_steps + 1), *scores))
        return best

    def save(self, step: int, state: TrainState, record: dict[str, Any], best: BestSoFar) -> None:
        """Starts to save; returns when the state may be changed again.

        Args:
          step: number of steps done.
          state: the whole state, which is saved.
          record: plain JSON values.
          best: the best validation so far. This checkpoint is kept as the best one if it is of that
            step.

        Raises:
          WorkdirError: if this or the previous checkpoint could not be written.
        """
        is_best = best.best is not None and best.best.step == step
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(state),
                    record=ocp.args.JsonSave(record | {"format": FORMAT, "best": best.to_json()}),
                ),
                metrics={"choice": best.choices} if is_best else None,
                force=True,
            )
        except (OSError, ValueError) as error:
            raise self._not_written(error) from error

    def wait(self) -> None:
        """Waits until everything is on disk. Raises `WorkdirError` if it could not be written."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise self._not_written(error) from error

    def close(self) -> None:
        """Waits as `wait` does, then frees the threads of Orbax."""
        self.wait()
        self._manager.close()

    def record(self, step: int) -> dict[str, Any]:
        """Reads the record of a checkpoint.

        Raises:
          WorkdirError: if it cannot be read.
        """
        return self._read(step, "record", ocp.args.JsonRestore())

    def set_aside(self, step: int) -> Path:
        """Moves a damaged checkpoint out of the way. All processes must call this together.

        Returns:
          Where it is now.
        """
        aside = self._directory.with_name(f"damaged-checkpoint-{step}")
        with first_process_first():
            if is_first_process():
                os.replace(self._directory / str(step), aside)
            self._manager.reload()
        return aside

    def restore(self, step: int, abstract_state: TrainState) -> TrainState:
        """Reads the state of a checkpoint onto the devices.

        Args:
          step: step of the checkpoint.
          abstract_state: shapes, dtypes and shardings, as from `Experiment.abstract_state`. The
            shardings may differ from those of the saved state.

        Raises:
          WorkdirError: if the checkpoint cannot be read.
        """
        if abstract_state.ema is None or self._format(step) > 1:
            return self._restore(step, abstract_state)
        state = self._restore(step, abstract_state.replace(ema=abstract_state.params))
        statistics = jax.tree.map(jnp.copy, state.model_state)
        return state.replace(ema=variables_of(state.ema, statistics))

    def restore_variables(self, step: int, abstract_state: TrainState) -> dict[str, Any]:
        """Reads only the variables that evaluation uses, the same as `TrainState.variables`.

        Args:
          step: step of the checkpoint.
          abstract_state: as for `restore`. Its `opt_state` is ignored.

        Raises:
          WorkdirError: if the checkpoint cannot be read.
        """
        if abstract_state.ema is not None and self._format(step) > 1:
            ema: dict[str, Any] = self._restore(step, {"ema": abstract_state.ema})["ema"]
            return ema
        params = "params" if abstract_state.ema is None else "ema"
        wanted = {params: abstract_state.params, "model_state": abstract_state.model_state}
        state = self._restore(step, wanted)
        return variables_of(state[params], state["model_state"])

    def _format(self, step: int) -> int:
        return int(self.record(step).get("format", 1))

    def _restore(self, step: int, wanted: Any) -> Any:
        """Reads the part of a state that the pytree `wanted` describes by shapes with shardings."""
        args = ocp.args.PyTreeRestore(
            wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,
        )
        return self._read(step, "state", args)

    def _read(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkdirError(
                f"checkpoint {self._directory / str(step)} cannot be read: {_shortened(error)}"
            ) from error

    def _not_written(self, error: Exception) -> WorkdirError:
        full = "No space left" in str(error) or getattr(error, "errno", None) == 28
        why = "the disk is full" if full else _shortened(error)
        return WorkdirError(
            f"a checkpoint could not be written to {self._directory}: {why}; the last complete one is "
            f"that of step {self.latest_step}; the same command resumes from it"
        )


def _shortened(error: Exception) -> str:
    """The first line of an error's message. Those of Orbax are pages long."""
    return textwrap.shorten((str(error) or repr(error)).splitlines()[0], _MAX_REASON_LENGTH)


def library_versions() -> dict[str, str]:
    """Versions of the libraries on which a result depends."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def _rank(metrics: dict[str, float]) -> float:
    """Orders checkpoints: the one that was chosen last is the best."""
    if "choice" in metrics:
        return 1 + metrics["choice"]
    # Of 0.1.0: below all that were chosen since.
    return metrics["validation/top1"] - 1e-6 * min(metrics["validation/loss"], 1e3)


def _none_in(workdir: Path) -> str:
    found = ", ".join(sorted(p.name for p in workdir.iterdir())) if workdir.is_dir() else ""
    contents = (
        f"it holds {found}" if found else "it is empty" if workdir.is_dir() else "no such folder"
    )
    return (
        f"no checkpoint in {workdir} ({contents}); train first: "
        f"python launch.py --config configs/artist.py --workdir {workdir}"
    )

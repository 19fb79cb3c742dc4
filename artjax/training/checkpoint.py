"""Checkpoints with Orbax: the last one, and the best one by validation. Each is self-contained."""

from __future__ import annotations

import importlib.metadata
import os
import textwrap
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from artjax.errors import WorkdirError
from artjax.runtime.mesh import first_process_first, is_first_process
from artjax.training.best import BestSoFar
from artjax.training.state import TrainState

_MAX_REASON_LENGTH = 200  # characters

LIBRARIES = ("artjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class NoCheckpointError(WorkdirError):
    """A workdir without a checkpoint."""


class Checkpoints:
    """The checkpoints of a workdir.

    Saving is asynchronous and atomic: a checkpoint is complete or does not exist. An older checkpoint is
    removed only after the newer one is complete. Besides the state, each checkpoint holds a record
    (plain JSON): see `artjax.runs.record.Record`.
    """

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        """Opens the checkpoints of a workdir, which is made if it does not exist.

        Args:
          workdir: the folder of a run.
          read_only: nothing in the folder is changed.

        Raises:
          NoCheckpointError: with `read_only`, if there is none.
        """
        self._directory = workdir.absolute() / "checkpoints"
        if read_only and not self._directory.is_dir():
            raise NoCheckpointError(f"no checkpoint in {workdir}")
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
            raise NoCheckpointError(f"no checkpoint in {workdir}")

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
        return BestSoFar.from_json(self.record(latest)["best"])

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
                    record=ocp.args.JsonSave(record | {"best": best.to_json()}),
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
          abstract_state: shapes, dtypes and shardings, as from `Training.abstract_state`. The
            shardings may differ from those of the saved state.

        Raises:
          WorkdirError: if the checkpoint cannot be read.
        """
        restored: TrainState = self._restore(step, abstract_state)
        return restored

    def restore_variables(
        self, step: int, abstract_variables: dict[str, Any], *, ema: bool
    ) -> dict[str, Any]:
        """Reads only the variables that evaluation uses, the same as `TrainState.variables`.

        Args:
          step: step of the checkpoint.
          abstract_variables: their shapes, dtypes and shardings: parameters and statistics.
          ema: whether the run keeps an EMA, which then is what evaluation uses.

        Raises:
          WorkdirError: if the checkpoint cannot be read.
        """
        if ema:
            averages: dict[str, Any] = self._restore(step, {"ema": abstract_variables})["ema"]
            return averages
        params = abstract_variables["params"]
        statistics = {name: of for name, of in abstract_variables.items() if name != "params"}
        state = self._restore(step, {"params": params, "model_state": statistics})
        return {"params": state["params"], **state["model_state"]}

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
    return metrics["choice"]

"""Checkpoints with Orbax: the last one and the best by validation, each enough by itself."""

from __future__ import annotations

import importlib.metadata
import textwrap
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from artjax.errors import WorkdirError
from artjax.training.state import TrainState, variables_of

_LONGEST_REASON = 200  # characters

LIBRARIES = ("artjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Checkpoints:
    """The checkpoints of a workdir.

    Saving is asynchronous and atomic: a checkpoint is there whole or not at all, and an older one is
    removed only after the newer one stands. Beside the state each holds a record (plain JSON): the
    config, class names, the data set's fingerprint, library versions, and the log's position.
    """

    def __init__(self, workdir: Path, *, read_only: bool = False) -> None:
        self._directory = workdir.absolute() / "checkpoints"
        if read_only and not self._directory.is_dir():
            raise WorkdirError(_none_in(workdir))
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=score,
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(1),
                        policies.BestN(
                            get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
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
    def latest_step(self) -> int | None:
        """Step of the last checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint by validation; the last one where none was validated."""
        scored = [(score(self.metrics(s)), s) for s in self._manager.all_steps() if self.metrics(s)]
        return max(scored)[1] if scored else self.latest_step

    @property
    def best_score(self) -> float:
        """What a validation has to exceed to be the best; -inf where there was none."""
        scores = [score(self.metrics(s)) for s in self._manager.all_steps() if self.metrics(s)]
        return max(scores, default=float("-inf"))

    def metrics(self, step: int) -> dict[str, float]:
        """The validation's metrics that a checkpoint was saved with, or `{}`."""
        return self._manager.metrics(step) or {}

    def save(
        self, step: int, state: TrainState, record: dict[str, Any], validation: dict[str, float]
    ) -> None:
        """Starts to save; returns when the state may be changed again.

        Args:
          step: number of steps done.
          state: all of it is saved.
          record: plain JSON values.
          validation: metrics of this very step's validation, or `{}` where there was none.

        Raises:
          WorkdirError: if this or the previous checkpoint could not be written.
        """
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(state), record=ocp.args.JsonSave(record)
                ),
                metrics=validation or None,
                force=True,
            )
        except (OSError, ValueError) as error:
            raise self._not_written(error) from error

    def wait(self) -> None:
        """Returns when everything is on disk; raises `WorkdirError` if it could not be written."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise self._not_written(error) from error

    def close(self) -> None:
        """Waits and frees the manager's threads."""
        self.wait()
        self._manager.close()

    def record(self, step: int) -> dict[str, Any]:
        """Reads the record of a checkpoint."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["record"]

    def restore(self, step: int, abstract_state: TrainState) -> TrainState:
        """Reads the state of a checkpoint onto the devices.

        Args:
          step: of the checkpoint.
          abstract_state: shapes, dtypes and shardings, as from `Experiment.abstract_state`; the
            shardings need not be those that it was saved with.

        Raises:
          WorkdirError: if it cannot be read.
        """
        return self._restore(step, abstract_state)

    def restore_variables(self, step: int, abstract_state: TrainState) -> dict[str, Any]:
        """Reads only what evaluation uses, as `TrainState.variables` gives it; the optimizer is ignored.

        Args:
          step: of the checkpoint.
          abstract_state: as for `restore`; its `opt_state` is ignored.

        Raises:
          WorkdirError: if it cannot be read.
        """
        params = "params" if abstract_state.ema is None else "ema"
        wanted = {
            params: getattr(abstract_state, params),
            "model_state": abstract_state.model_state,
        }
        state = self._restore(step, wanted)
        return variables_of(state[params], state["model_state"])

    def _restore(self, step: int, wanted: Any) -> Any:
        """Reads the part of a state that is wanted, given as a pytree of shapes with shardings."""
        args = ocp.args.PyTreeRestore(
            wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,
        )
        try:
            return self._manager.restore(step, args=ocp.args.Composite(state=args))["state"]
        except (OSError, ValueError, KeyError) as error:
            raise WorkdirError(
                f"checkpoint {self._directory / str(step)} cannot be read: {_shortened(error)}"
            ) from error

    def _not_written(self, error: Exception) -> WorkdirError:
        full = "No space left" in str(error) or getattr(error, "errno", None) == 28
        why = "the disk is full" if full else _shortened(error)
        return WorkdirError(
            f"a checkpoint could not be written to {self._directory}: {why}; the last good one is step "
            f"{self.latest_step}, and the same command goes on from there"
        )


def _shortened(error: Exception) -> str:
    """The first line of a message, of which Orbax fills pages."""
    return textwrap.shorten((str(error) or repr(error)).splitlines()[0], _LONGEST_REASON)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def score(metrics: dict[str, float]) -> float:
    """Orders validations: top-1 decides; among equals (it moves in steps of 1/N) the lower loss does."""
    return metrics["validation/top1"] - 1e-6 * min(metrics["validation/loss"], 1e3)


def _none_in(workdir: Path) -> str:
    there = ", ".join(sorted(p.name for p in workdir.iterdir())) if workdir.is_dir() else ""
    holds = (
        f"it holds {there}" if there else "it is empty" if workdir.is_dir() else "no such folder"
    )
    return (
        f"no checkpoint in {workdir} ({holds}); train first: "
        f"python launch.py --config configs/artist.py --workdir {workdir}"
    )

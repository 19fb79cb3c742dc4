"""`--mode train`: a run, or all folds of a cross-validation."""

from __future__ import annotations

from artjax.modes.command import Command
from artjax.modes.folds import cross_validate
from artjax.runs import is_cross_validation
from artjax.runtime import mesh
from artjax.train import train


def run(command: Command) -> int:
    """Trains or resumes; exit status 128 + signal if it was stopped."""
    config, places = command.config_and_places()
    several = is_cross_validation(config)
    outcome = (cross_validate if several else train)(
        config, places, stop_after_steps=command.flags.get("stop_after_steps")
    )
    if outcome.signal:
        return 128 + outcome.signal
    if outcome.finished and mesh.is_first_process():
        words = f"--workdir {places.workdir} --mode predict PICTURE_OR_FOLDER"
        print(f"next: {command.program} {words}")
    return 0

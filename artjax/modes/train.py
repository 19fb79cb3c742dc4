"""`--mode train`: a run, all folds of a cross-validation, or several seeds."""

from __future__ import annotations

from artjax.modes.command import Command
from artjax.modes.seeds import train_any
from artjax.runtime import mesh


def run(command: Command) -> int:
    """Trains or resumes; exit status 128 + signal if it was stopped."""
    config, places = command.config_and_places()
    outcome = train_any(config, places, stop_after_steps=command.flags.get("stop_after_steps"))
    if outcome.signal:
        return 128 + outcome.signal
    if outcome.finished and mesh.is_first_process():
        words = f"--workdir {places.workdir} --mode predict PICTURE_OR_FOLDER"
        print(f"next: {command.program} {words}")
    return 0

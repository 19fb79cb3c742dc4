"""`--mode features`: the features of all works of a run's collection, for other programs."""

from __future__ import annotations

from artjax.evaluation.feature_export import FEATURES_NPY, WORKS_CSV, export_features
from artjax.modes.command import Command


def run(command: Command) -> int:
    """Writes `features/` into the workdir."""
    (workdir,) = command.runs()
    folder = workdir / "features"
    works, length = export_features(
        workdir,
        folder,
        command.flags.get("checkpoint", "best"),
        command.flags.get("data_dir"),
        command.flags.get("canvas_dir"),
    )
    print(f"{works:,} works, {length:,} features of each (float16): {folder / FEATURES_NPY}")
    print(f"names, splits and labels in the same order: {folder / WORKS_CSV}")
    return 0

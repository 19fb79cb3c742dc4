"""`--mode export`: the network of a run as a file that other programs read."""

from __future__ import annotations

from artjax.errors import ConfigError
from artjax.export.exporting import CARD, export
from artjax.export.formats import FORMATS
from artjax.modes.command import Command


def run(command: Command) -> int:
    """Writes `export/FORMAT/` into the workdir, or the folder of `--out`."""
    name = command.flags.get("format")
    if name is None:
        raise ConfigError(f"--mode export needs --format: {', '.join(FORMATS)}")
    form = FORMATS[name]
    inside = command.flags.get("preprocessing", "inside") == "inside"
    if not form.program and "preprocessing" in command.flags and inside:
        raise ConfigError(
            f"--preprocessing inside: --format {name} holds weights and no computation; leave it out"
        )
    views = command.views()
    (workdir,) = command.runs()
    done = export(
        workdir,
        name,
        command.flags.get("out", workdir / "export" / name).expanduser(),
        which=command.flags.get("checkpoint", "best"),
        views=views,
        inside=inside,
        overwrite="overwrite" in command.flags,
        data_dir=command.flags.get("data_dir"),
        canvas_dir=command.flags.get("canvas_dir"),
    )
    of = done.verified
    print(
        f"verified on {of.on}: largest difference {of.largest_difference:.2g}, the first five labels "
        f"the same for {of.same_top:,} of {of.answers:,}"
    )
    print(f"written to {done.file} ({done.size / 1e6:,.1f} MB), with a model card, {CARD}")
    return 0

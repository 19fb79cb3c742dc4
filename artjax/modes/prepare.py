"""`--mode prepare`: builds a collection as `tfds build` does, without a repository."""

from __future__ import annotations

from artjax.data import collections
from artjax.errors import ConfigError
from artjax.modes.command import Command
from artjax.modes.flags import DEFAULT_BUILDER
from artjax.prepare.building import build
from artjax.prepare.tfds_program import next_command

# How the flags that the builders' messages name are called here.
_SPELLING = {"--config": "--builder_config", " as --manual_dir": ""}


def run(command: Command) -> int:
    """Builds, and says what to type next for each set."""
    for name, _ in command.fields:
        raise ConfigError(
            f"--config.{name}: --mode prepare uses no configuration; omit this flag (settings of the "
            "builder are given with --builder_config)"
        )
    name = command.flags.get("collection", DEFAULT_BUILDER)
    folders = command.flags.get("pictures", [])
    entry = collections.find(name)
    if entry is not None and entry.manual_dir and len(folders) != 1:
        given = f"{len(folders)} are given" if folders else "none is given"
        raise ConfigError(
            f"--mode prepare --collection {name} needs one folder with the pictures, and {given}; as in "
            f"{command.program} --mode prepare PICTURES"
        )
    built = build(
        name,
        folders[0].expanduser() if folders else None,
        command.data_dir,
        command.flags.get("builder_config", ""),
        command.flags.get("overwrite", False),
        _SPELLING,
    )
    for prepared in built:
        print(f"next: {next_command(prepared, command.data_dir, command.program)}")
    return 0

"""The command line of artjax: parses the flags, and calls the function of the mode."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from artjax import config as config_lib
from artjax import errors
from artjax.errors import ConfigError
from artjax.modes.command import Command
from artjax.modes.flags import ALWAYS, FLAGS
from artjax.modes.table import MODES


class _Parser(argparse.ArgumentParser):
    """Reports an invalid command line like every other error of the user."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


class _HelpFull(argparse.Action):
    """Prints the help and all fields of the configuration, and exits."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        from artjax.training.checks import tables

        parser.print_help()
        print(f"\n{config_lib.as_text(tables())}", end="")
        parser.exit()


def _create_parser(program: str) -> argparse.ArgumentParser:
    modes = "\n".join(
        f"  {name:<10} {mode.help}\n{'':13}{program} {mode.example}" for name, mode in MODES.items()
    )
    parser = _Parser(
        prog=program,
        description="Train, evaluate and use networks that recognise artist, genre and location.\n\n"
        f"modes:\n{modes}",
        epilog="Every field of the configuration can be set as --config.FIELD=VALUE, such as\n"
        "--config.epochs=10 or --config.optim.peak_lr=0.05; --helpfull lists all fields. With --mode\n"
        "evaluate or predict only --config.eval.FIELD can be set, such as --config.eval.views=5.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--helpfull", action=_HelpFull, help="show this help and all fields of the configuration"
    )
    parser.add_argument("--mode", help=f"{', '.join(MODES)}; see above (default: train)")
    for name, flag in FLAGS.items():
        users = [mode for mode, row in MODES.items() if name in row.flags]
        of = "" if name in ALWAYS or len(users) > 5 else f"with --mode {', '.join(users)}: "
        parser.add_argument(f"--{name}", **flag.parsing, help=of + flag.text)
    parser.add_argument(
        "pictures",
        nargs="*",
        type=Path,
        metavar="FILE_OR_FOLDER",
        help=f"with --mode {_takers_of_files()}",
    )
    return parser


def parse(argv: Sequence[str], program: str = "python launch.py") -> Command:
    """What the words of a command line ask for.

    Raises:
      ConfigError: for an unknown flag or field, one that the mode does not use, or an invalid value.
    """
    overrides, rest = _take_overrides(argv)
    parser = _create_parser(program)
    args, unknown = parser.parse_known_intermixed_args(rest)
    if unknown:
        name = unknown[0].partition("=")[0]
        raise ConfigError(f"unknown flag {name}{_meant(name)}; see {program} --help")
    flags = {name: value for name, value in vars(args).items() if value != []}
    mode = flags.pop("mode", "train")
    _check_choice("--mode", mode, MODES)
    for name, value in flags.items():
        if name not in (*MODES[mode].flags, *ALWAYS):
            raise ConfigError(_not_used(mode, name, value))
        if name in FLAGS and FLAGS[name].choices:
            _check_choice(f"--{name}", value, FLAGS[name].choices)
    for name, _ in overrides:
        if not name.startswith(MODES[mode].fields):
            raise ConfigError(
                f"--config.{name}: --mode {mode} uses the checkpoint's own config; omit this flag (of "
                f"the config only {MODES[mode].fields}* may be set)"
            )
    _check_values(mode, flags)
    return Command(mode, flags, overrides, program)


def _take_overrides(argv: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    overrides, rest = [], []
    arguments = iter(argv)
    for argument in arguments:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            value = next(arguments, "")
            if not value or value.startswith("--"):
                raise ConfigError(f"--config.{name} needs a value, as in --config.{name}=VALUE")
        overrides.append((name, value))
    return overrides, rest


def _meant(flag: str) -> str:
    """`; did you mean --config.epochs?` for a field's name or alias, else the most similar flag."""
    field = config_lib.field_called(flag.removeprefix("--"))
    if field:
        return f"; did you mean --config.{field}?"
    return config_lib.nearest(flag, [f"--{name}" for name in ("mode", "helpfull", *FLAGS)])


def _check_choice(flag: str, value: str, valid: Any) -> None:
    if value not in valid:
        raise ConfigError(
            f"{flag} {value}: valid are {', '.join(valid)}{config_lib.nearest(value, valid)}"
        )


def _not_used(mode: str, name: str, value: Any) -> str:
    if name == "pictures":
        return f"'{value[0]}' is not a flag; files need --mode {_takers_of_files()}"
    users = _either(other for other, row in MODES.items() if name in row.flags)
    return f"--{name}: --mode {mode} does not use it; it is for --mode {users}"


def _takers_of_files() -> str:
    """The modes that take files or folders."""
    return _either(name for name, row in MODES.items() if "pictures" in row.flags)


def _either(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _check_values(mode: str, flags: dict[str, Any]) -> None:
    """Refuses flags that are invalid, or that need each other."""
    if flags.get("stop_after_steps", 1) < 1:
        raise ConfigError(f"--stop_after_steps {flags['stop_after_steps']}: it must be 1 or more")
    count = len(flags.get("workdir", ()))
    if count > 1 and not MODES[mode].several_workdirs:
        takers = _either(name for name, row in MODES.items() if row.several_workdirs)
        raise ConfigError(
            f"--workdir is given {count} times: --mode {mode} takes one, only --mode {takers} takes "
            "several"
        )
    coordinator = flags.get("coordinator")
    if coordinator is None and (alone := {"num_processes", "process_id"} & flags.keys()):
        raise ConfigError(
            f"--{min(alone)} without --coordinator: each process would work alone; set --coordinator "
            "HOST:PORT, the same for all"
        )
    if coordinator not in (None, "auto") and not {"num_processes", "process_id"} <= flags.keys():
        raise ConfigError("--coordinator HOST:PORT also needs --num_processes and --process_id")


def main(argv: Sequence[str], program: str = "python launch.py") -> int:
    """Runs one command; returns the exit status."""
    command = parse(argv, program)
    from artjax.runtime import compilation_cache, processes

    _set_verbosity(command.flags.get("verbosity", "error"))
    warning = compilation_cache.use_cache(command.flags.get("compilation_cache", ""))
    if warning:
        print(f"artjax: {warning}", file=sys.stderr)
    processes.join(command.flags)
    return MODES[command.mode].run(command)


def _set_verbosity(level: str) -> None:
    """Orbax and TFDS log with absl. By default only their errors are shown."""
    from absl import logging

    logging.set_verbosity(level)


def console() -> NoReturn:
    """The installed command `artjax`."""
    errors.show_plainly()
    sys.exit(main(sys.argv[1:], "artjax"))

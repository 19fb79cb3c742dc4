"""The command line of artjax. It parses the flags and calls the function of the mode."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from artjax import errors
from artjax.data import collections
from artjax.errors import ConfigError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

# Description and example of each mode.
MODES = {
    "train": (
        "train or resume the run of a workdir, then evaluate its best checkpoint",
        "python launch.py --config configs/artist.py",
    ),
    "describe": (
        "write a report about a collection, before training",
        "python launch.py --config configs/artist.py:collection --mode describe",
    ),
    "check": (
        "check in a minute whether this set-up can learn; exit status 1 if it cannot",
        "python launch.py --config configs/artist.py:collection --mode check",
    ),
    "lr_find": (
        "try all learning rates on a few batches, and suggest one",
        "python launch.py --config configs/artist.py:collection --mode lr_find",
    ),
    "benchmark": (
        "measure the speed of step, data and loop, and find the bottleneck",
        "python launch.py --config configs/artist.py --mode benchmark",
    ),
    "search": (
        "try many hyperparameters, and name the best on validation",
        "python launch.py --config configs/probe.py:collection --config.model.weights=W --mode search",
    ),
    "evaluate": (
        "evaluate a checkpoint of a workdir on a split; several workdirs are an ensemble",
        "python launch.py --workdir runs/artist-studio --mode evaluate --split test",
    ),
    "predict": (
        "predict the labels of image files",
        "python launch.py --workdir runs/artist-studio --mode predict a.jpg folder/",
    ),
}
VERBOSITIES = ("debug", "info", "warning", "error")


class _Parser(argparse.ArgumentParser):
    """Reports an invalid command line like every other error of the user."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see python launch.py --help")


class _HelpFull(argparse.Action):
    """Prints the help and all fields of the configuration, and exits."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        from artjax import config
        from artjax.training.checks import tables

        parser.print_help()
        print(f"\n{config.as_text(tables())}", end="")
        parser.exit()


def _describe_modes() -> str:
    return "\n".join(f"  {mode:<10} {what}\n{'':13}{line}" for mode, (what, line) in MODES.items())


def _create_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="launch.py",
        description="Train, evaluate and use networks that recognise artist, genre and location.\n\n"
        "modes:\n" + _describe_modes(),
        epilog="Every field of the configuration can be set as --config.FIELD=VALUE, such as\n"
        "--config.epochs=10 or --config.optim.peak_lr=0.05; --helpfull lists all fields. With --mode\n"
        "evaluate or predict only --config.eval.FIELD can be set, such as --config.eval.views=5.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--helpfull", action=_HelpFull, help="show this help and all fields of the configuration"
    )
    parser.add_argument(
        "--config",
        metavar="FILE[:COLLECTION]",
        help="the task: configs/artist.py, genre.py, location.py, style.py or "
        f"all_labels.py; the collection is {', '.join(collections.names())} or any prepared TFDS image "
        f"set (default: {collections.preferred(('artist',))}, or {collections.preferred(('location',))} "
        f"for location, if it is prepared; else the embedded {collections.sample()})",
    )
    parser.add_argument(
        "--mode", default="train", help=f"{', '.join(MODES)}; see above (default: train)"
    )
    parser.add_argument(
        "--workdir",
        type=Path,
        action="append",
        help="the run's folder (default: runs/<config>-<collection>); with --mode evaluate, several are "
        "an ensemble",
    )
    parser.add_argument("--data_dir", type=Path, help="TFDS's data directory (default: TFDS's own)")
    parser.add_argument(
        "--canvas_dir", type=Path, help="the folder for canvases (default: DATA_DIR/canvases)"
    )
    parser.add_argument(
        "--feature_dir",
        type=Path,
        help="the folder for the features of frozen trunks (default: DATA_DIR/features)",
    )
    parser.add_argument(
        "--split",
        default="test",
        help="with --mode evaluate: train, validation or test (default: test)",
    )
    parser.add_argument(
        "--checkpoint",
        default="best",
        help="with --mode evaluate or predict: best (by validation) or last (default: best)",
    )
    parser.add_argument(
        "--compilation_cache",
        metavar="FOLDER",
        default="",
        help="the folder for compiled programs, so that the next start need not compile, or 'off' "
        "(default: JAX_COMPILATION_CACHE_DIR, else artjax/compiled in your cache folder)",
    )
    parser.add_argument(
        "--stop_after_steps",
        type=int,
        help="save a checkpoint and stop after this total number of steps, to try things out",
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="train with several processes: the same address for all, or 'auto' on a cluster that "
        "JAX detects (Slurm, Open MPI, Kubernetes, TPU)",
    )
    parser.add_argument(
        "--num_processes", type=int, help="with --coordinator: total number of processes"
    )
    parser.add_argument(
        "--process_id", type=int, help="with --coordinator: number of this process, from 0"
    )
    parser.add_argument(
        "--verbosity",
        default="error",
        help=f"level of the libraries' own logs: {', '.join(VERBOSITIES)} (default: error)",
    )
    parser.add_argument(
        "pictures", nargs="*", type=Path, metavar="FILE_OR_FOLDER", help="with --mode predict"
    )
    return parser


def parse_args(argv: list[str]) -> tuple[argparse.Namespace, list[tuple[str, str]]]:
    """Returns the flags, and the pairs (field, text) of all `--config.field=text`.

    Raises:
      ConfigError: for an unknown flag, or an invalid value of a flag.
    """
    parser = _create_parser()
    overrides, rest = _take_overrides(argv)
    args, unknown = parser.parse_known_intermixed_args(rest)
    flags = [option for action in parser._actions for option in action.option_strings]
    from artjax.config import nearest

    if unknown:
        name = unknown[0].partition("=")[0]
        raise ConfigError(f"unknown flag {name}{nearest(name, flags)}; see python launch.py --help")
    for flag, value, valid in (
        ("--mode", args.mode, MODES),
        ("--verbosity", args.verbosity, VERBOSITIES),
    ):
        if value not in valid:
            raise ConfigError(
                f"{flag} {value}: valid are {', '.join(valid)}{nearest(value, valid)}"
            )
    if args.stop_after_steps is not None and args.stop_after_steps < 1:
        raise ConfigError(f"--stop_after_steps {args.stop_after_steps}: it must be 1 or more")
    args.workdirs = args.workdir or []
    args.workdir = args.workdirs[0] if args.workdirs else None
    if len(args.workdirs) > 1 and args.mode != "evaluate":
        raise ConfigError(
            f"--workdir is given {len(args.workdirs)} times: --mode {args.mode} takes one, only --mode "
            "evaluate takes several (an ensemble)"
        )
    if args.pictures and args.mode != "predict":
        raise ConfigError(f"'{args.pictures[0]}' is not a flag; files need --mode predict")
    return args, overrides


def _take_overrides(argv: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
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


def _train(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.folds import cross_validate
    from artjax.train import train

    config, data_dir = _config_and_data(args, overrides, data_dir)
    run = cross_validate if config.folds else train
    outcome = run(
        config,
        args.workdir or _default_workdir(args.config, config.collection),
        data_dir,
        canvas_dir=args.canvas_dir,
        feature_dir=args.feature_dir,
        stop_after_steps=args.stop_after_steps,
    )
    return 128 + outcome.signal if outcome.signal else 0


def _describe(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.describe.mode import describe
    from artjax.pretrained import resolved

    config, data_dir = _config_and_data(args, overrides, data_dir)
    workdir = args.workdir or _default_workdir(args.config, config.collection)
    config = resolved(config, workdir)
    summary = describe(config, workdir, data_dir, args.canvas_dir)
    for task, row in summary["tasks"].items():
        colour = row["colour_histograms"]
        test = f"{colour['test_top1']:.1%}" if colour else "not measured"
        majority = row["majority_top1"].get("test", float("nan"))
        print(
            f"{task}: {len(row['classes'])} classes; test top-1 by chance {row['chance']:.1%}, always "
            f"'{row['majority_class']}' {majority:.1%}, by colour histograms {test}"
        )
    print(f"written to {workdir / 'describe' / 'index.html'}")
    return 0


def _benchmark(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.benchmark import benchmark
    from artjax.pretrained import resolved

    config, data_dir = _config_and_data(args, overrides, data_dir)
    workdir = args.workdir or _default_workdir(args.config, config.collection)
    benchmark(resolved(config, workdir), workdir, data_dir, args.canvas_dir)
    return 0


def _search(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.search.mode import search

    if not args.config:
        raise ConfigError(
            "--mode search needs a recipe, such as --config configs/probe.py:collection"
        )
    config = _config(args, overrides, data_dir)
    workdir = args.workdir or _default_workdir(args.config, f"{config.collection}-search")
    file, _, _ = args.config.partition(":")
    command = ["--config", f"{file}:{config.collection}", "--workdir", f"{workdir}-winner"]
    for flag in ("data_dir", "canvas_dir", "feature_dir"):
        if getattr(args, flag):
            command += [f"--{flag}", str(getattr(args, flag))]
    command += [
        f"--config.{name}={text}" for name, text in overrides if not name.startswith("search.")
    ]
    found = search(
        config,
        workdir,
        data_dir,
        canvas_dir=args.canvas_dir,
        feature_dir=args.feature_dir,
        command=command,
    )
    return 128 + found.signal if found.signal else 0


def _check(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.check.mode import check

    config, data_dir = _config_and_data(args, overrides, data_dir)
    workdir = args.workdir or _default_workdir(args.config, config.collection)
    return 0 if check(config, workdir, data_dir, args.canvas_dir)["ok"] else 1


def _lr_find(args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path) -> int:
    from artjax.modes.lr_find.mode import lr_find

    config, data_dir = _config_and_data(args, overrides, data_dir)
    workdir = args.workdir or _default_workdir(args.config, config.collection)
    found = lr_find(config, workdir, data_dir, args.canvas_dir, args.feature_dir)
    return 0 if found["suggestion"] else 1


def _config_and_data(
    args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path
) -> tuple[ConfigDict, Path]:
    """The configuration of --config, or of the run in --workdir, and its data directory."""
    from artjax import config as config_lib
    from artjax import workdir
    from artjax.evaluation import evaluate

    if args.config:
        return _config(args, overrides, data_dir), data_dir
    config = workdir.read_config(args.workdir) if args.workdir else None
    if config is None:
        raise ConfigError(
            f"nothing to {args.mode}: set --config configs/artist.py (or genre.py, location.py, "
            "style.py, all_labels.py), or the --workdir of a run"
        )
    config_lib.apply_overrides(config, overrides)
    latest = evaluate.latest_record(args.workdir)
    if latest:
        given = args.data_dir and data_dir
        data_dir, args.canvas_dir = evaluate.where_data_is(latest, given, args.canvas_dir)
    return config, data_dir


def _config(
    args: argparse.Namespace, overrides: list[tuple[str, str]], data_dir: Path
) -> ConfigDict:
    """The configuration of --config. Chooses the collection if needed, and builds the studio."""
    from artjax import config as config_lib
    from artjax import default_collection
    from artjax.runtime import mesh
    from artjax.training.checks import check_config

    file, _, collection = args.config.partition(":")
    beside = Path(__file__).parent / file
    if not Path(file).is_file() and beside.is_file():  # called from another folder
        file = str(beside)

    def load(collection: str) -> ConfigDict:
        config = config_lib.load_config_file(file, collection)
        config_lib.apply_overrides(config, overrides)
        check_config(config)
        return config

    # Checked first, so that a typo is reported before anything is built.
    config = load(collection or default_collection.NAME)
    if not collection:
        chosen = mesh.texts_of_processes(
            default_collection.choose(config.task, data_dir, args.canvas_dir)
        )
        collection = chosen[0]
        if len(set(chosen)) > 1:
            raise ConfigError(
                f"the processes have different data, and would choose {', '.join(chosen)}; set the "
                f"collection, as in --config {file}:{collection}"
            )
        if mesh.is_first_process():
            print(default_collection.why(collection, config.task, data_dir), flush=True)
        config = load(collection)
    if args.mode in _WITH_CONFIG and collection == default_collection.NAME:
        with mesh.first_process_first():
            default_collection.build_if_missing(config.task, data_dir, args.canvas_dir)
    return config


def _default_workdir(config_file: str, collection: str) -> Path:
    stem = Path(config_file.partition(":")[0]).stem
    return Path("runs") / f"{stem}-{collection.replace('/', '-')}"


def _views(args: argparse.Namespace, overrides: list[tuple[str, str]]) -> int | None:
    """The views that evaluation and prediction shall use; None = as the run says.

    Raises:
      ConfigError: for every other field: a checkpoint has its own configuration.
    """
    from artjax import config as config_lib

    for name, _ in overrides:
        if not name.startswith("eval."):
            raise ConfigError(
                f"--config.{name}: --mode {args.mode} uses the checkpoint's own config; omit this flag "
                "(of the config only eval.* may be set)"
            )
    config = config_lib.default_config()
    config_lib.apply_overrides(config, overrides)
    if "eval.views" not in dict(overrides):
        return None
    config_lib.check_field("eval.views", config.eval.views)
    return int(config.eval.views)


def _evaluate(args: argparse.Namespace, views: int | None) -> int:
    from artjax import workdir
    from artjax.evaluation import ensemble, evaluate, report
    from artjax.modes import folds
    from artjax.runtime import mesh
    from artjax.training import switches

    given = {"data_dir": args.data_dir, "canvas_dir": args.canvas_dir, "views": views}
    given |= {"which": args.checkpoint}
    config = workdir.read_config(args.workdir) or evaluate.recorded_config(args.workdir)
    if len(args.workdirs) > 1:
        result = ensemble.evaluate_ensemble(args.workdirs, args.split, **given)
        heading = [f"ensemble of {len(args.workdirs)} runs, {result['collection']}"]
        heading += ensemble.member_lines(result)
        name = f"ensemble-{args.split}"
    elif config is not None and config.folds and config.fold < 0:
        result = folds.evaluate_folds(args.workdir, config.folds, **given)
        heading, name = [], "folds"
    else:
        result = evaluate.evaluate_workdir(args.workdir, args.split, **given)
        heading = [f"checkpoint of step {result['checkpoint_step']:,}, {result['collection']}"]
        if config is not None and (brief := switches.in_brief(config)):
            heading.append(brief)
        name = args.split
    if mesh.is_first_process():
        print("\n".join([*heading, *report.report_lines(result)]))
        print(f"written to {args.workdir / 'evaluation' / name}")
    return 0


def _predict(args: argparse.Namespace, views: int | None) -> int:
    from artjax.evaluation import predict
    from artjax.prepare.readers.filename_repair import readable_name

    if not args.pictures:
        raise ConfigError("--mode predict needs image files: put files or folders after it")
    result = predict.predict(args.workdir, args.pictures, args.checkpoint, views)
    shown: Any = None
    for guess in result.guesses:
        if shown != (guess.path, guess.task):
            shown = (guess.path, guess.task)
            print(f"{readable_name(str(guess.path))}: {guess.task}")
        print(f"  {guess.probability:6.1%}  {guess.label}")
    for path, reason in result.unusable:
        print(f"{readable_name(str(path))}: not a usable image: {reason}", file=sys.stderr)
    if result.views > 1:
        print(f"each the mean of {result.views} views")
    print(f"written to {args.workdir / 'predict' / 'predictions.csv'}")
    named = {path for path, _ in result.unusable} & set(args.pictures)
    return 2 if named else 0


def _join_cluster(args: argparse.Namespace) -> None:
    import jax

    if args.coordinator == "auto":
        jax.distributed.initialize()
    elif args.coordinator:
        if args.num_processes is None or args.process_id is None:
            raise ConfigError("--coordinator HOST:PORT also needs --num_processes and --process_id")
        jax.distributed.initialize(args.coordinator, args.num_processes, args.process_id)


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit status."""
    args, overrides = parse_args(argv)
    from absl import logging as absl_logging

    from artjax.data import prepared
    from artjax.runtime import compilation_cache

    # Orbax and TFDS log with absl. By default only their errors are shown.
    absl_logging.set_verbosity(args.verbosity)
    warning = compilation_cache.use_cache(args.compilation_cache)
    if warning:
        print(f"artjax: {warning}", file=sys.stderr)
    _join_cluster(args)
    data_dir = (args.data_dir or prepared.default_data_dir()).expanduser()
    if args.mode in _WITH_CONFIG:
        return _WITH_CONFIG[args.mode](args, overrides, data_dir)
    views = _views(args, overrides)
    if args.workdir is None:
        if args.config is None:
            raise ConfigError(f"--mode {args.mode} needs the --workdir of a run")
        args.workdir = _default_workdir(args.config, _config(args, [], data_dir).collection)
    return _evaluate(args, views) if args.mode == "evaluate" else _predict(args, views)


# The modes that take a whole configuration. The others take that of a checkpoint.
_WITH_CONFIG = {
    "train": _train,
    "describe": _describe,
    "check": _check,
    "lr_find": _lr_find,
    "search": _search,
    "benchmark": _benchmark,
}


if __name__ == "__main__":
    errors.show_plainly()
    sys.exit(main(sys.argv[1:]))

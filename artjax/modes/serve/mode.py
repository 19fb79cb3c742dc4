"""`--mode serve`: a page on this machine to drop pictures on."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artjax.errors import ConfigError
from artjax.evaluation import evaluate, judging, predict
from artjax.modes.command import Command
from artjax.modes.serve.answering import Answering, cleaners_for_this_machine
from artjax.modes.serve.explaining import Explainer
from artjax.pages import render
from artjax.places import has_repository
from artjax.runs import Run, runs_in

if TYPE_CHECKING:
    from starlette.applications import Starlette

_HOST, _PORT, _MEGABYTES, _PER_MINUTE = "127.0.0.1", 8000, 50, 120
_SECONDS_TO_END = 10


def run(command: Command) -> int:
    """Serves until Ctrl-C or SIGTERM.

    Returns:
      0.
    """
    _check_installed()
    from artjax.modes.serve.app import Limits, application

    host = command.flags.get("host", _HOST)
    megabytes = _at_least_1(command, "max_mb", _MEGABYTES)
    per_minute = _at_least_1(command, "per_minute", _PER_MINUTE)
    views, settings = command.views(), command.eval_settings()
    workdirs = command.runs()
    # Bound before anything is loaded: a port in use is said at once.
    with _listener(host, command.flags.get("port", _PORT)) as listener:
        address = _address(host, listener.getsockname()[1])
        which = command.flags.get("checkpoint", "best")
        members = [member for workdir in workdirs for member in runs_in(workdir)]
        runs = [Run.load(member, which) for member in members]
        predict.check_same_classes(runs)
        judges = predict.judges_of(runs, views, settings)
        explainer = Explainer(
            runs[0], command.flags.get("data_dir"), command.flags.get("canvas_dir")
        )
        if explainer.why_no_nearest:
            print(f"the nearest works of train are not shown: {explainer.why_no_nearest}")
        page = render(
            "modes/serve/page.html",
            title=" and ".join(runs[0].classes),
            what=_what(workdirs, runs),
            scores=_scores(workdirs[0], which),
            cautions=judging.said_of(judges),
            megabytes=megabytes,
            where="this machine" if _is_loopback(host) else "the machine of this page",
            address=address,
        )
        print("compiling …", flush=True)
        with closing(Answering(runs, judges, explainer, cleaners_for_this_machine())) as answering:
            limits = Limits(megabytes, per_minute, _names(host))
            app = application(answering, runs[0].classes, page, limits)
            print(f"{address} is the page; Ctrl-C ends it", flush=True)
            print(f"from a script: curl --data-binary @PICTURE {address}/predict", flush=True)
            if not _is_loopback(host):
                print(
                    "warning: whoever reaches this machine can use the page: it has no password, and "
                    "nothing is encrypted",
                    file=sys.stderr,
                    flush=True,
                )
            _serve(app, listener)
    print("ended")
    return 0


def _serve(app: Starlette, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    with suppress(KeyboardInterrupt):  # the way to end it; pictures on their way were answered
        uvicorn.Server(config).run(sockets=[listener])


def _check_installed() -> None:
    try:
        import starlette
        import uvicorn  # noqa: F401 (whether it is there)
    except ImportError as error:
        extra = '-e ".[serve]"' if has_repository() else '"artjax[serve]"'
        raise ConfigError(
            f"--mode serve needs Starlette and Uvicorn: pip install {extra}"
        ) from error
    del starlette


def _at_least_1(command: Command, name: str, default: int) -> int:
    value: int = command.flags.get(name, default)
    if value < 1:
        raise ConfigError(f"--{name} {value}: it must be 1 or more")
    return value


def _listener(host: str, port: int) -> socket.socket:
    """A socket that is bound.

    Raises:
      ConfigError: if the address or the port cannot be had.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: it must be between 0 and 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {host}, port {port}: {error.strerror}; --port names another"
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _names(host: str) -> tuple[str, ...]:
    """By which names browsers may call the server."""
    return ("localhost", "127.0.0.1", "[::1]", host) if _is_loopback(host) else ("*",)


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _what(workdirs: Sequence[Path], runs: Sequence[Run]) -> str:
    of = ", ".join(path.resolve().name for path in workdirs)
    networks = f"{len(runs)} networks of {of}" if len(runs) > 1 else f"The network of {of}"
    tells = " and ".join(f"{len(names):,} {task}s" for task, names in runs[0].classes.items())
    trained = f"trained on {runs[0].record.train_works:,} images of {runs[0].record.collection}"
    return f"{networks}, {trained}, tells {tells} apart."


def _scores(workdir: Path, which: str) -> list[tuple[str, str]]:
    """Of each task the score on test, and what it is; a dash where there is none."""
    for name in ("folds", "seeds", "test"):
        file = evaluate.folder_of(workdir, name, which) / "metrics.json"
        try:
            tasks: Mapping[str, Any] = json.loads(file.read_text())["tasks"]
            return [_score(task, row, name) for task, row in tasks.items()]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [("–", "this network was not evaluated on test: --mode evaluate does that")]


def _score(task: str, row: Mapping[str, Any], name: str) -> tuple[str, str]:
    low, high = row["top1_ci95"]
    majority = row["baselines"]["train_majority"]
    words = f"of {row['works']:,} works that it had not seen have the right {task}"
    words += f" [{low:.1%} to {high:.1%}]"
    if name != "test":
        words += f", over all {name}"
    if majority is not None:
        words += f"; the most frequent {task} for all would be right in {majority:.1%}"
    return f"{row['top1']:.1%}", words

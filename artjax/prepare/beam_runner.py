"""Which runner of Apache Beam distributes a build on one machine, and how far it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

# What Beam itself calls its runner for one machine. It first downloads and starts another program
# (prism), and takes FnApiRunner where that fails.
_DIRECT = ("", "direct", "directrunner", "switchingdirectrunner")
WITHOUT_DOWNLOAD = "FnApiRunner"
_SECONDS = 1.0


def without_download(runner: Any, options: Any) -> Any:
    """The runner to give to `beam.Pipeline`: one that downloads nothing in place of `DirectRunner`.

    Args:
      runner: by name, as an object, or None where the options name it, or nobody does.
      options: Beam's `PipelineOptions`, whose runner is replaced in place as well; or None.
    """
    if runner is not None and not isinstance(runner, str):
        return runner
    if options is not None:
        from apache_beam.options.pipeline_options import StandardOptions

        standard = options.view_as(StandardOptions)
        named = standard.runner or ""
        if _is_direct(named):
            standard.runner = WITHOUT_DOWNLOAD
        if runner is None:
            return None
    return WITHOUT_DOWNLOAD if _is_direct(runner or "") else runner


def _is_direct(name: str) -> bool:
    return name.rpartition(".")[2].lower() in _DIRECT


@contextmanager
def counted(folder: Path, total: int) -> Iterator[None]:
    """A bar of the cleaned pictures in a folder that all workers share, whatever the runner.

    Args:
      folder: where they lie.
      total: the number of works.
    """
    done = threading.Event()
    with tqdm(total=total, desc="cleaning pictures", unit="work", delay=1) as bar:

        def count() -> None:
            while not done.wait(_SECONDS):
                bar.update(sum(1 for _ in folder.glob("*.jpg")) - bar.n)

        counting = threading.Thread(target=count, daemon=True)
        counting.start()
        try:
            yield
            bar.update(total - bar.n)  # those that are no usable picture have no file
        finally:
            done.set()
            counting.join()

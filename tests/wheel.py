"""An artjax as a user has it who installed it from a wheel: without a repository beside it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def install(root: Path, folder: Path) -> Path:
    """Installs the package of a repository into a folder, as pip does without a network.

    Args:
      root: of the repository; it stays as it is.
      folder: an empty one.

    Returns:
      What belongs on PYTHONPATH; `bin/` in it has the commands.
    """
    for name in ("artjax", "datasets", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copyfile(root / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    command += ["--no-build-isolation", "--target", folder / "target", folder / "source"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.rmtree(folder / "source")
    return folder / "target"


def environment(installed: Path, **more: str) -> dict[str, str]:
    """The variables of a process that finds this artjax, and its command."""
    path = os.pathsep.join([str(installed / "bin"), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": str(installed), "PATH": path} | more

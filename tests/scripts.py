"""Scripts run as users run them, in a process of their own, and where some modules are not installed."""

import subprocess
import sys
from pathlib import Path

_HIDING = """
import os, runpy, sys
from importlib.machinery import PathFinder
hidden, script = set(sys.argv[1].split(",")), sys.argv[2]
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in hidden:
            return PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
sys.argv, sys.path[0] = sys.argv[2:], os.path.dirname(script)
try:
    runpy.run_path(script, run_name="__main__")
finally:
    assert not hidden & set(sys.modules)
"""


def run(script: Path, *args: str, hidden: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Runs a script; `hidden` are the modules, with commas between them, that it does not find."""
    start = ["-c", _HIDING, hidden, str(script)] if hidden else [str(script)]
    return subprocess.run(
        [sys.executable, *start, *args], capture_output=True, text=True, check=False, **options
    )

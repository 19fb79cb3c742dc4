"""The page for notebooks, run from its first line to its last, by an artjax that is installed."""

import json
import re
import subprocess
import sys

import pytest
import wheel

from artjax.studio import PAINTERS

pytestmark = pytest.mark.slow

# What makes it quick: the variables at the top of the page.
QUICK = {"WORKS": 120, "EPOCHS": 2.0, "MODEL": "squeezenet1_1"}
START = """
import subprocess
def shell(command):
    done = subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE)
    assert done.returncode == 0, f"{command}: {done.returncode}"
    print(done.stdout, flush=True)
"""
# What the reader has at the end.
END = """
import json
print(json.dumps({
    "artjax": artjax.__file__,
    "works": sum(prepared.works.values()),
    "labels": list(network.classes["artist"]),
    "features": list(features.shape),
    "top1": [outcome.results["test"]["tasks"]["artist"]["top1"], metrics["tasks"]["artist"]["top1"]],
    "predicted": len(network.predict("pictures")),
}))
"""


def code_of(page):
    """The Python of a page, in which `!command {variable}` is what it is in a notebook."""
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    code = "\n".join(blocks)
    for name, value in QUICK.items():
        code, count = re.subn(
            rf"^{name} = [^#\n]*", f"{name} = {value!r}  ", code, flags=re.MULTILINE
        )
        assert count == 1
    return re.sub(r"^!(.*)$", lambda line: f"shell(f{line[1]!r})", code, flags=re.MULTILINE)


def test_every_line_of_the_page_works_where_artjax_is_installed(pytestconfig, tmp_path):
    installed = wheel.install(pytestconfig.rootpath, tmp_path / "installed")
    page = (pytestconfig.rootpath / "docs" / "notebook.md").read_text(encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", START + code_of(page) + END],
        cwd=empty,
        env=wheel.environment(installed, XLA_FLAGS="--xla_backend_optimization_level=0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *said, last = done.stdout.splitlines()
    found = json.loads(last)
    assert found["artjax"] == str(installed / "artjax" / "__init__.py")
    assert found["works"] == found["features"][0] == found["predicted"] == QUICK["WORKS"]
    assert found["labels"] == sorted(PAINTERS)
    assert found["top1"][0] == found["top1"][1]
    assert "nowhere.jpg is not a usable image: no such file or folder" in said
    following = [line for line in said if line.startswith("next: ")]
    assert following[0].startswith(
        "next: artjax --config configs/artist.py:collection --mode describe"
    )
    assert following[1].startswith("next: artjax --config configs/artist.py:collection/artist ")
    assert (empty / "runs" / "artist" / "describe" / "index.html").is_file()
    assert sorted(path.name for path in empty.iterdir()) == ["data", "pictures", "runs"]

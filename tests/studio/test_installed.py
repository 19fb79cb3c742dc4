"""An artjax that is installed, without the repository beside it, draws the same studio."""

import os
import shutil
import subprocess
import sys

import pytest
from studio.studio_dataset_builder import Builder

from artjax.data import prepared

FEW = """
import runpy, sys
from artjax.studio.builder import Builder
Builder.WORKS = 96
sys.argv = ["prepare", "data"]
runpy.run_module("artjax.studio.prepare", run_name="__main__")
import artjax
print(artjax.__file__)
"""


@pytest.fixture(scope="module")
def installed(pytestconfig, tmp_path_factory):
    root, folder = pytestconfig.rootpath, tmp_path_factory.mktemp("installed")
    for name in ("artjax", "datasets", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copyfile(root / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", folder / "target", folder / "source"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.rmtree(folder / "source")
    return folder / "target"


@pytest.mark.slow
def test_installed_package_draws_the_studio_with_the_same_fingerprint(
    installed, tmp_path, monkeypatch
):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FEW],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(installed / "artjax" / "__init__.py")
    monkeypatch.setattr(Builder, "WORKS", 96)
    Builder(data_dir=tmp_path / "here").download_and_prepare()
    drawn = prepared.find("studio", ("artist",), empty / "data")
    assert drawn.metadata["synthetic"]
    assert drawn.fingerprint == prepared.find("studio", ("artist",), tmp_path / "here").fingerprint
    assert (drawn.name, drawn.version) == ("studio", "2.0.0")

"""An artjax that is installed, without the repository beside it, in a process of its own."""

import json
import os
import pkgutil
import shutil
import subprocess
import sys

import pytest
from studio.studio_dataset_builder import Builder

import artjax
from artjax.data import prepared

pytestmark = pytest.mark.slow

SCRIPT = """
import importlib, json, logging, runpy, signal, sys, warnings
# What these do when they are imported is not ours to choose.
import absl.logging, apache_beam, flax, jax, matplotlib, optax, orbax.checkpoint, PIL.Image
import sklearn.linear_model, tensorboardX, tensorflow, tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.writer import ExampleWriter, Writer
import scipy, pyvips, imagehash, jinja2, ml_collections, tqdm

def effects():
    return {
        "exception hook": sys.excepthook,
        "largest picture": PIL.Image.MAX_IMAGE_PIXELS,
        "Pillow's formats": (dict(PIL.Image.OPEN), dict(PIL.Image.EXTENSION)),
        "Pillow's check": PIL.Image._decompression_bomb_check,
        "serialisation": ExampleSerializer.serialize_example,
        "writing": (ExampleWriter.write, Writer.write),
        "log levels": (absl.logging.get_verbosity(), logging.getLogger().level),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": [signal.getsignal(s) for s in sorted(signal.valid_signals())],
        "x64": jax.config.jax_enable_x64,
    }

before, changed = effects(), []
for name in sys.argv[1:]:
    importlib.import_module(name)
    after = effects()
    changed += [f"{name}: {effect}" for effect in before if before[effect] != after[effect]]

from artjax.studio.builder import Builder
Builder.WORKS = 96
sys.argv = ["prepare", "data"]
runpy.run_module("artjax.studio.prepare", run_name="__main__")
import artjax
print(json.dumps({"file": artjax.__file__, "changed": changed}), flush=True)

sys.argv = ["tfds", "build", "DATASETS/collection", "--manual_dir", "museum", "--data_dir", "data"]
runpy.run_module("tensorflow_datasets.scripts.cli.main", run_name="__main__")
"""


@pytest.fixture(scope="module")
def installed(pytestconfig, tmp_path_factory):
    root, folder = pytestconfig.rootpath, tmp_path_factory.mktemp("installed")
    for name in ("artjax", "datasets", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copyfile(root / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    command += ["--no-build-isolation", "--target", folder / "target", folder / "source"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.rmtree(folder / "source")
    return folder / "target"


@pytest.fixture(scope="module")
def process(installed, tmp_path_factory, pytestconfig):
    """A process that imported all modules, drew the studio, and built a museum that cannot be built.

    Returns its folder, what it found, and the process.
    """
    folder, datasets = tmp_path_factory.mktemp("empty"), pytestconfig.rootpath / "datasets"
    (folder / "museum").mkdir()
    (folder / "museum" / "works.csv").write_text("file;artist\na.jpg;Ada\n")
    modules = [
        module.name
        for module in pkgutil.walk_packages(artjax.__path__, "artjax.")
        if not module.name.endswith("__main__")
    ]
    builders = [
        f"{file.parent.name}.{file.stem}" for file in datasets.glob("*/*_dataset_builder.py")
    ]
    assert len(modules) > 50
    assert len(builders) >= 4
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("DATASETS", str(datasets)), *modules, *builders],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(datasets)])},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith('{"file"')]
    assert found, done.stderr[-2000:]
    return folder, json.loads(found[0]), done


def test_imports_change_nothing_of_the_process(process, installed):
    _, found, _ = process
    assert found == {"file": str(installed / "artjax" / "__init__.py"), "changed": []}


def test_the_studio_is_drawn_with_the_same_fingerprint(process, tmp_path, monkeypatch):
    folder, *_ = process
    monkeypatch.setattr(Builder, "WORKS", 96)
    Builder(data_dir=tmp_path).download_and_prepare()
    drawn = prepared.find("studio", ("artist",), folder / "data")
    assert drawn.metadata["synthetic"]
    assert drawn.fingerprint == prepared.find("studio", ("artist",), tmp_path).fingerprint
    assert (drawn.name, drawn.version) == ("studio", "2.0.0")


def test_builders_end_tfds_with_status_2_and_no_traceback(process):
    folder, _, done = process
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.endswith(
        "has no column 'path' (found: file, artist); add it, with the pictures' paths"
    )
    assert not list((folder / "data").glob("collection/*/2.0.0"))

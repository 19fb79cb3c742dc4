"""An artjax that is installed, without the repository beside it, in a process of its own."""

import json
import os
import pkgutil
import shutil
import subprocess
import sys
import zipfile

import pytest
import wheel
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
import scipy, pyvips, jinja2, ml_collections, tqdm

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
    return wheel.install(pytestconfig.rootpath, tmp_path_factory.mktemp("installed"))


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
        env=wheel.environment(
            installed, PYTHONPATH=os.pathsep.join([str(installed), str(datasets)])
        ),
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


def artjax_command(installed, folder, *words):
    return subprocess.run(
        ["artjax", *words],
        cwd=folder,
        env=wheel.environment(installed),
        capture_output=True,
        text=True,
        check=False,
    )


def test_configurations_and_builders_come_along_without_their_tests(installed, pytestconfig):
    root = pytestconfig.rootpath
    expected = [
        file
        for folder in ("configs", "datasets")
        for file in subprocess.run(
            ["git", "ls-files", folder], cwd=root, capture_output=True, text=True, check=True
        ).stdout.split()
        if not file.endswith("_test.py")
    ]
    assert len(expected) > 20
    bundled = installed / "artjax" / "bundled"
    found = [file.relative_to(bundled).as_posix() for file in bundled.rglob("*") if file.is_file()]
    assert sorted(found) == sorted(expected)
    assert not [path for path in ("configs", "datasets") if (installed / path).exists()]


def test_the_command_finds_the_configurations_in_any_folder(installed, tmp_path):
    (tmp_path / "configs").mkdir()  # of somebody else, and it stays theirs
    (tmp_path / "configs" / "__init__.py").write_text("raise ImportError('not this one')")
    said = artjax_command(installed, tmp_path, "--config", "configs/artist.py:studio", "--helpfull")
    assert said.returncode == 0, said.stderr
    assert "usage: artjax" in said.stdout
    assert "optim.peak_lr" in said.stdout
    said = artjax_command(installed, tmp_path, "--help")
    assert said.returncode == 0
    assert "artjax --mode prepare PICTURES" in said.stdout
    asked = ("--config", "configs/genre.py:wikiart", "--data_dir", "data")
    said = artjax_command(installed, tmp_path, *asked)
    assert said.returncode == 2
    assert (
        "build it with `artjax --mode prepare FOLDER_WITH_THE_PICTURES --collection wikiart "
        "--builder_config genre --data_dir data`" in said.stderr
    )


def test_what_tfds_says_to_type_next_is_the_command(installed, data_dir, tmp_path):
    code = (
        "import sys, pathlib\n"
        "from artjax.data import prepared\n"
        "from artjax.prepare.tfds_program import next_command\n"
        "data_dir = pathlib.Path(sys.argv[1])\n"
        "print(next_command(prepared.find('tiny', ('artist',), data_dir), data_dir))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, data_dir],
        cwd=tmp_path,
        env=wheel.environment(installed),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("artjax --config configs/artist.py:tiny --mode describe")


def test_an_editable_install_bundles_nothing(pytestconfig, tmp_path):
    """Setuptools' own entry point builds what pip would install."""
    root = pytestconfig.rootpath
    for name in ("artjax", "configs", "datasets"):
        shutil.copytree(root / name, tmp_path / "source" / name)
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copyfile(root / name, tmp_path / "source" / name)
    code = "import setuptools.build_meta as meta, sys; meta.build_editable(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=tmp_path / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = tmp_path.glob("artjax-*.whl")
    with zipfile.ZipFile(built) as archive:
        assert not [name for name in archive.namelist() if "bundled" in name]
    assert not (tmp_path / "source" / "artjax" / "bundled").exists()

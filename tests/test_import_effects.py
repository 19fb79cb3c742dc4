"""Importing anything of artjax, or a builder, changes nothing of the process it is imported into."""

import os
import pkgutil
import subprocess
import sys

import pytest

import artjax

SCRIPT = """
import importlib, logging, signal, sys, warnings
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

before = effects()
for name in sys.argv[1:]:
    importlib.import_module(name)
    after = effects()
    changed = [effect for effect in before if before[effect] != after[effect]]
    assert not changed, f"importing {name} changes {changed}"
print(len(sys.argv) - 1)
"""


@pytest.mark.slow
def test_imports_change_nothing_of_the_process(pytestconfig):
    datasets = pytestconfig.rootpath / "datasets"
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
    path = os.pathsep.join([str(pytestconfig.rootpath), str(datasets)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *modules, *builders],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(len(modules) + len(builders))]

"""Eight CPU devices for everybody, and a tiny prepared collection made by code."""

import atexit
import os
import shutil
import tempfile

# Compiling takes longer here than running, so it is done with less optimisation.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)
os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the time of the tests was XLA compiling the same programs again, also in the processes that
# tests start; the cache is keyed by the program, so it cannot give a stale one.
_CACHE = tempfile.mkdtemp(prefix="artjax-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict
from tiny import tiny_config, write_tiny

from artjax.models.vgg import VGG


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the prepared collection `tiny`; tests add canvases to it, no more."""
    folder = tmp_path_factory.mktemp("data")
    write_tiny(folder)
    return folder


@pytest.fixture
def narrow_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every model a VGG of four convolutions without BatchNorm and dropout: quick to compile."""

    def create(name: str, classes: Mapping[str, int], *, dtype: Any, **rest: Any) -> VGG:
        return VGG(
            ((8,), (16,), (16, 16)), hidden=(), classes=dict(classes), dropout=0.0, dtype=dtype
        )

    monkeypatch.setattr("artjax.training.experiment.create_model", create)


@pytest.fixture
def config() -> ConfigDict:
    return tiny_config()

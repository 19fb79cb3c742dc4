"""Eight CPU devices for everybody, and a tiny prepared collection made by code."""

import atexit
import os
import shutil
import tempfile

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"
# Most of the time of the tests was XLA compiling the same programs again, also in the processes that
# tests start; the cache is keyed by the program, so it cannot give a stale one.
_CACHE = tempfile.mkdtemp(prefix="artjax-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import pytest
from ml_collections import ConfigDict
from tiny import tiny_config, write_tiny


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the prepared collection `tiny`; tests add canvases to it, no more."""
    folder = tmp_path_factory.mktemp("data")
    write_tiny(folder)
    return folder


@pytest.fixture
def config() -> ConfigDict:
    return tiny_config()

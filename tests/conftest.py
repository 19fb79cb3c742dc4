"""Eight CPU devices and a strict JAX for everybody, and a tiny prepared collection made by code."""

import os
import shutil
from pathlib import Path

# Compiling takes longer here than running, and half as long without LLVM's optimisations.
_FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
if _FLAGS not in (flags := os.environ.get("XLA_FLAGS", "")):  # the workers inherit them
    os.environ["XLA_FLAGS"] = f"{flags} {_FLAGS}".strip()
os.environ["JAX_PLATFORMS"] = "cpu"
# For the processes that tests start, too.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
# Compiled programs are kept for the next run, and for the processes that tests start. The key of each is
# the program, the compiler's options and its version, so none can be stale.
_COMPILED = Path(__file__).parents[1] / ".cache" / "compiled-for-tests"
_COMPILED_BYTES = 2**30
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_COMPILED)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc

import pytest

# What takes long to import is imported where it is used: xdist's main process needs none of it.
# Of one worker at its most: JAX with eight devices, TensorFlow and Keras, networks of 140 M parameters.
_WORKER_BYTES = 6 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    """Starts the kept programs anew when they have become too many."""
    if hasattr(config, "workerinput") or not _COMPILED.is_dir():
        return
    if sum(entry.stat().st_size for entry in os.scandir(_COMPILED)) > _COMPILED_BYTES:
        shutil.rmtree(_COMPILED)


def pytest_collection_finish() -> None:
    """Garbage is sought less often, and not in the modules of JAX and TensorFlow."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(optionalhook=True)  # pytest may run without xdist
def pytest_xdist_auto_num_workers() -> int:
    """A worker for each core, but no more than fit in memory, or than the tests can keep busy."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), 8, memory // _WORKER_BYTES))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the prepared collection `tiny`; tests add canvases to it, no more."""
    from tiny import write_tiny

    folder = tmp_path_factory.mktemp("data")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="session")
def details_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the prepared collection `details`; tests add canvases to it, no more."""
    from details import write_details

    folder = tmp_path_factory.mktemp("details")
    write_details(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _narrow_family() -> None:
    """Registers the models `narrow` and `narrow_bn`, which are quick to compile."""
    import narrow  # noqa: F401 (the import is what registers them)

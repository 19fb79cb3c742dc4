"""TensorFlow and TFDS print nothing of themselves into the output of artjax, unless asked to."""

import ast
import os
import re
import subprocess
import sys

import pytest
from absl import logging

from artjax.runtime.tensorflow_import import import_tensorflow

# Two commands in one process, which imports TensorFlow in the first.
LAUNCH = """
import sys, launch
flags = ["--config", "configs/artist.py:tiny", "--mode", "describe", *sys.argv[1:]]
for more in (["--canvas_dir", "quiet"], ["--canvas_dir", "asked", "--verbosity", "info"]):
    for stream in (sys.stdout, sys.stderr):
        print("=== ", more[1], file=stream, flush=True)
    launch.main([*flags, *more])
"""
NOISE = re.compile("InitializeLog|oneDNN|cpu_feature_guard|INFO|WARNING|^[IWE]0", re.MULTILINE)


@pytest.mark.slow
def test_building_canvases_prints_nothing_of_the_libraries_unless_asked(
    pytestconfig, data_dir, tmp_path
):
    flags = ["--data_dir", data_dir, "--workdir", "run"]
    flags += ["--config.canvas_size=40", "--config.image_size=32"]
    # As a user has it: without what conftest.py sets for TensorFlow.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, *map(str, flags)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(pytestconfig.rootpath)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for folder in ("quiet", "asked"):  # TensorFlow was needed
        assert (tmp_path / folder / "tiny/1.0.0/40px/train.images.npy").is_file()
    quiet, asked = (
        "".join(said.split("=== ")[part] for said in (done.stdout, done.stderr)) for part in (1, 2)
    )
    assert "written to" in quiet
    assert NOISE.findall(quiet) == []
    assert "INFO:absl:Load dataset info from" in asked  # of TFDS


@pytest.mark.parametrize(
    ("level", "of_tensorflow"), [("error", "2"), ("warning", "1"), ("info", "0"), ("debug", "0")]
)
def test_tensorflow_logs_at_the_level_of_the_others(monkeypatch, level, of_tensorflow):
    before = logging.get_verbosity()
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "")  # so that it is put back
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    logging.set_verbosity(level)
    try:
        import_tensorflow()
    finally:
        logging.set_verbosity(before)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == of_tensorflow


def test_what_the_user_has_set_stays(monkeypatch):
    theirs = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_ENABLE_ONEDNN_OPTS": "1"}
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    import_tensorflow()
    assert {name: os.environ[name] for name in theirs} == theirs


def test_tensorflow_is_imported_in_one_place(pytestconfig):
    importing = []
    for file in sorted((pytestconfig.rootpath / "artjax").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [
                alias.name for alias in getattr(node, "names", []) if isinstance(node, ast.Import)
            ]
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(module.partition(".")[0] == "tensorflow" for module in modules):
                importing.append(file.name)
    assert importing == ["tensorflow_import.py"]

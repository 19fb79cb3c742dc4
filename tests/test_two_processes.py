"""Two processes train like one; with different disks they agree on the source of batches, or stop."""

import json
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from processes import environment
from test_train import FLAGS, NARROW
from tiny import open_canvases, tiny_config, write_tiny

import launch
from artjax.training.logs import read_rows

pytestmark = pytest.mark.slow

# Importing `narrow` registers its models; the rest is what `python launch.py` does.
PROCESS = """
import json, sys
from pathlib import Path
import jax, launch, narrow
import numpy as np
from tiny import open_canvases, tiny_config
from artjax.data import sources
from artjax.errors import ArtjaxError
from artjax.runtime.mesh import create_mesh
scenes = json.loads(sys.argv[1])
assert launch.main(sys.argv[2:]) == 0
mesh, said = create_mesh(), {}
whole = lambda step, aspect: np.tile(np.float32([0, 0, 1, 1]), (len(aspect), 1))
for name, (folders, side) in scenes.items():
    data_dir, canvas_dir = map(Path, folders[jax.process_index()])
    config = tiny_config(canvas_size=side)
    try:
        data = open_canvases(config, data_dir, canvas_dir)
        train = data.split("train", {"artist": "artist"})
        choice = sources.choose_for(config, data, train, mesh)
        source = sources.open_source(config, train, mesh, whole, choice)
        said[name] = [source.name, source.why, source.batch(0)["image"].shape]
    except ArtjaxError as error:
        said[name] = str(error)
print(json.dumps(said))
"""

TOO_LARGE = 10**7  # side of canvases that fit on no disk


@pytest.fixture(scope="module")
def together(data_dir, tmp_path_factory, pytestconfig):
    """A run of this process, what two processes printed and left, and their results for each scene."""
    flags = [*FLAGS, *NARROW, "--config.source=device", "--data_dir", str(data_dir)]
    alone, shared = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("shared")
    assert launch.main([*flags, "--workdir", str(alone)]) == 0
    tmp = tmp_path_factory.mktemp("processes")
    large = tmp / "large"
    built = open_canvases(tiny_config(), data_dir, large).directory
    renamed = built.rename(built.with_name(f"{TOO_LARGE}px"))
    description = json.loads((renamed / "canvases.json").read_text()) | {"size": TOO_LARGE}
    (renamed / "canvases.json").write_text(json.dumps(description))
    nothing = tmp / "nothing"
    other = tmp / "other"
    write_tiny(other, splits={"train": 20, "validation": 9, "test": 9})
    (tmp / "file").write_text("")
    here = str(data_dir)
    scenes = {
        "each its own": ([(here, tmp / "own0"), (here, tmp / "own1")], 40),
        "no room on one": ([(here, large), (here, tmp / "small")], TOO_LARGE),
        "only canvases on one": ([(here, tmp / "small"), (nothing, large)], TOO_LARGE),
        "nothing on one": ([(here, tmp / "own0"), (nothing, nothing)], 40),
        "other data on one": ([(here, tmp / "own0"), (other, tmp / "other canvases")], 40),
        "the first cannot write": ([(here, tmp / "file"), (here, tmp / "own1")], 40),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", PROCESS, json.dumps(scenes, default=str), *flags),
                *("--workdir", str(shared), "--coordinator", address),
                *("--num_processes=2", f"--process_id={process}"),
            ],
            env=environment(devices=2),
            cwd=pytestconfig.rootpath,
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    out = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    first, second = (json.loads(text.splitlines()[-1]) for text in out)
    shutil.rmtree(tmp)
    return alone, out[0], shared, {scene: (first[scene], second[scene]) for scene in scenes}


@pytest.fixture(scope="module")
def said(together):
    """For each scene, the results of two processes that open a collection together."""
    return together[-1]


def test_two_processes_train_and_evaluate_like_one(together):
    alone, printed, shared, _ = together
    assert "4 × CPU (2 processes)" in printed
    for one, two in zip(read_rows(alone), read_rows(shared), strict=True):
        for name in {"train/loss", "train/gradient_norm", "validation/loss"} & set(one):
            np.testing.assert_allclose(two[name], one[name], rtol=2e-3, err_msg=name)
    folders = [folder / "evaluation" / "test" for folder in (alone, shared)]
    assert all((folder / "predictions.csv").is_file() for folder in folders)
    results = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    losses = [result["tasks"]["artist"]["loss"] for result in results]
    np.testing.assert_allclose(*losses, rtol=2e-3)


def test_each_process_builds_its_missing_canvases(said):
    same = ["host", "the devices use the host's memory", [16, 40, 40, 3]]
    assert said["each its own"] == (same, same)


def test_all_processes_stream_if_one_has_no_room(said):
    first, second = said["no room on one"]
    assert first[0] == second[0] == "stream"
    assert second[1].startswith("canvases of 31,185,000.0 GB do not fit in the ")
    assert first[1] == f"process 1: {second[1]}"
    assert first[2] == second[2] == [16, 32, 32, 3]


def test_process_without_records_cannot_stream_with_the_others(said):
    first, second = said["only canvases on one"]
    assert second.startswith(
        "the TFRecords of 'tiny' are not on this machine, but process 0 has to stream from its own "
        "(canvases of 31,185,000.0 GB do not fit in"
    )
    assert first == f"process 1: {second}"


def test_data_missing_for_one_process_stops_all(said):
    first, second = said["nothing on one"]
    assert second.startswith("no prepared data set 'tiny' under")
    assert first == f"process 1: {second}"


def test_processes_with_different_data_are_an_error(said):
    first, second = said["other data on one"]
    assert first == second
    assert first.startswith(
        "the processes have different data: process 0 has tiny 1.0.0 (fingerprint "
    )


def test_if_process_0_fails_the_others_do_not_wait(said):
    first, second = said["the first cannot write"]
    assert first.startswith("cannot write canvases to")
    assert second == f"process 0: {first}"

"""Two hosts whose disks differ: they agree on where works come from, or stop together."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest
from tiny import open_canvases, tiny_config, write_tiny

pytestmark = pytest.mark.slow

HOST = """
import json, sys
from pathlib import Path
import jax
import numpy as np
from tiny import open_canvases, tiny_config
from artjax.data import sources
from artjax.errors import ArtjaxError
from artjax.runtime.mesh import create_mesh
address, host, scenes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
jax.distributed.initialize(address, 2, host)
mesh, said = create_mesh(), {}
whole = lambda step, aspect: np.tile(np.float32([0, 0, 1, 1]), (len(aspect), 1))
for name, (folders, side) in scenes.items():
    data_dir, canvas_dir = map(Path, folders[host])
    config = tiny_config(canvas_size=side)
    try:
        data = open_canvases(config, data_dir, canvas_dir)
        train = data.split("train", {"artist": "artist"})
        source = sources.open_source(config, data, train, mesh, whole)
        said[name] = [source.name, source.why, source.batch(0)["image"].shape]
    except ArtjaxError as error:
        said[name] = str(error)
print(json.dumps(said))
"""

TOO_LARGE = 10**7  # side of canvases for which no disk has room


@pytest.fixture(scope="module")
def said(data_dir, tmp_path_factory, pytestconfig):
    """By scene, what each of two hosts says that open a collection together."""
    tmp = tmp_path_factory.mktemp("hosts")
    large = tmp / "large"
    built = open_canvases(tiny_config(), data_dir, large).directory
    built.rename(built.with_name(f"{TOO_LARGE}px"))  # only their names are looked at
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
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, address, str(host), json.dumps(scenes, default=str)],
            env=os.environ | {"XLA_FLAGS": "", "PYTHONPATH": os.pathsep.join(["tests", *sys.path])},
            cwd=pytestconfig.rootpath,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in range(2)
    ]
    out = [host.communicate(timeout=120)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0]
    first, second = (json.loads(text.splitlines()[-1]) for text in out)  # Gloo speaks before
    shutil.rmtree(tmp)
    return {scene: (first[scene], second[scene]) for scene in scenes}


def test_each_host_builds_the_canvases_that_it_lacks(said):
    same = ["host", "the devices compute from its memory", [16, 40, 40, 3]]
    assert said["each its own"] == (same, same)


def test_all_hosts_stream_where_one_has_no_room(said):
    first, second = said["no room on one"]
    assert first[0] == second[0] == "stream"
    assert second[1].startswith("canvases of 31,185,000.0 GB do not fit in the ")
    assert first[1] == f"host 1: {second[1]}"
    assert first[2] == second[2] == [16, 32, 32, 3]


def test_host_with_nothing_but_canvases_cannot_stream_with_the_others(said):
    first, second = said["only canvases on one"]
    assert second.startswith(
        "the TFRecords of 'tiny' are not on this machine, and host 0 has to stream from its own "
        "(canvases of 31,185,000.0 GB do not fit in"
    )
    assert first == f"host 1 (counted from 0): {second}"


def test_data_that_one_host_lacks_stops_all(said):
    first, second = said["nothing on one"]
    assert second.startswith("no prepared data set 'tiny' under")
    assert first == f"host 1 (counted from 0): {second}"


def test_hosts_with_different_data_are_told(said):
    first, second = said["other data on one"]
    assert first == second
    assert first.startswith("the hosts have different data: tiny 1.0.0 (fingerprint ")


def test_where_the_first_host_fails_the_others_do_not_wait(said):
    first, second = said["the first cannot write"]
    assert first.startswith("cannot write canvases to")
    assert second == f"host 0 (counted from 0): {first}"

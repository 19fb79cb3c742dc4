"""Each benchmark at its smallest: everybody takes part, and has a rate."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest
import scripts

TINY_STEP = "--model vgg_small --image_size 16 --batch_size 8"

SMALLEST = {
    "train_step": "--sizes 16 --batch 8 --rounds 1 --steps 1 --torch=",
    "loop": f"{TINY_STEP} --works 2 --repeats 8 --steps 6 --rounds 1",
    "input": "--works 2 --repeats 8 --batch_size 4 --batches 1 --rounds 1 --torch none",
    "augment": f"{TINY_STEP} --steps 1",
    "prepare": "--pictures 1 --rounds 1 --works 2",
    "twins": "--hashes 800",
    "growth": f"{TINY_STEP} --batches 8 --sizes 16 --devices 2 --works 100 --rounds 1",
}

SOURCES = ["device", "host", "stream"]
CONTESTANTS = {
    "train_step": ["textbook Flax", "artjax, same job", "artjax, whole step"],
    "loop": ["bare step", *SOURCES],
    "input": [f"artjax {source}" for source in SOURCES]
    + ["tf.data, fused", "tf.data, decode then crop"],
    "augment": ["crop and flip", "all of them"],
    "prepare": [
        f"{size} {who}"
        for size in ("1.3 MP", "6 MP")
        for who in ("ours", "opencv", "pillow_gap", "pillow_draft", "vips")
    ],
    "twins": [f"{kind} {who}" for kind in ("random", "smooth") for who in ("ours", "numpy")],
    "growth": ["batch 8", "size 16", "devices 2", "works 100"],
}
# pip install .[benchmark]; the benchmarks take those who are there.
PEERS = {"opencv": "cv2", "faiss": "faiss"}


def figures(name, result):
    """What a benchmark measured of each contestant; larger than 0 if it did."""
    match name:
        case "train_step":
            table = result["tables"]["vgg_small/16"]
            return {who: row["images_per_second_median"] for who, row in table["rates"].items()}
        case "loop" | "input":
            return {who: min(rates) for who, rates in result["works_per_second"].items()}
        case "augment":
            return result["shortest_s"]
        case "prepare":
            rows = {size: result[size] for size in ("1.3 MP", "6 MP")}
            return {f"{s} {who}": row["per_second"] for s in rows for who, row in rows[s].items()}
        case "twins":
            rows = {kind: result[kind]["800"] for kind in ("random", "smooth")}
            return {f"{kind} {who}": rows[kind][who] for kind in rows for who in rows[kind]}
        case "growth":
            return {
                f"{what} {point}": min(row.values())
                for what, table in result["tables"].items()
                for point, row in table.items()
            }


@pytest.fixture
def environment(pytestconfig):
    """One CPU device, and programs that are compiled in a quarter of the time."""
    return os.environ | {
        "PYTHONPATH": str(pytestconfig.rootpath),
        "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_measures_everybody(name, tmp_path, pytestconfig, environment):
    file = tmp_path / "result.json"
    done = scripts.run(
        pytestconfig.rootpath / "benchmarks" / f"{name}.py",
        *SMALLEST[name].split(),
        *("--json", str(file)),
        # On a borrowed GPU nothing more may be installed than the step needs.
        hidden="tensorflow,tensorflow_datasets,ml_collections,clu" if name == "train_step" else "",
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    result = json.loads(file.read_text())
    assert {"date", "machine", "versions"} <= result.keys()
    found = figures(name, result)
    for contestant in CONTESTANTS[name]:
        who = contestant.rpartition(" ")[2]
        if who in PEERS and importlib.util.find_spec(PEERS[who]) is None:
            continue
        assert found[contestant] > 0
        assert who in done.stdout


def test_failed_contestants_are_named_and_end_with_status_1(pytestconfig, environment):
    done = scripts.run(
        pytestconfig.rootpath / "benchmarks" / "train_step.py",
        *("--models=vgg_huge", "--torch=/no/such/python", "--torch_modes=eager"),
        env=environment,
    )
    assert done.returncode == 1, done.stderr
    for who, why in (("artjax, whole step", "ConfigError"), ("torch eager", "FileNotFoundError")):
        assert re.search(f"{who} +failed: {why}", done.stdout)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_side_answers_with_seconds(pytestconfig):
    script = pytestconfig.rootpath / "benchmarks" / "train_step_torch.py"
    done = subprocess.run(
        [sys.executable, str(script), "vgg_small", "16", "2", "eager,float32", "20"],
        input="1\n2\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    versions, *seconds = done.stdout.splitlines()
    assert "torch" in json.loads(versions)
    assert len(seconds) == 2
    assert min(map(float, seconds)) > 0


def test_every_benchmark_is_tried(pytestconfig):
    folder = pytestconfig.rootpath / "benchmarks"
    scripts_there = {p.stem for p in folder.glob("*.py") if "__main__" in p.read_text()}
    assert scripts_there == SMALLEST.keys() | {"train_step_torch"}

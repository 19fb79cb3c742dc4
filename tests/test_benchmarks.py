"""Each benchmark at its smallest: all contestants have a rate. Default sizes follow the platform."""

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scripts

from artjax.config import apply_overrides, load_config_file
from artjax.errors import ConfigError
from artjax.modes.folds import cross_validate
from artjax.places import Places
from artjax.training.best import BestSoFar, Validation

pytestmark = pytest.mark.slow

TINY_STEP = "--image_size 16 --batch_size 8"

SMALLEST = {
    "train_step": "--sizes 16 --batch 8 --rounds 1 --steps 1 --torch=",
    "loop": f"--model narrow_bn {TINY_STEP} --works 2 --repeats 8 --steps 6 --rounds 1",
    "input": "--works 2 --repeats 8 --batch_size 4 --batches 1 --rounds 1 --torch none",
    "augment": f"--model narrow_bn {TINY_STEP} --steps 1",
    "features": "--models vgg_small --size 16 --batch 2 --rounds 1 --torch=",
    "search": "--heads 3 --alone 1 --works 300 --epochs 1",
    "predict": "--model narrow_bn --image_size 32 --works 2 --repeats 2 --rounds 1",
    "prepare": "--pictures 1 --rounds 1 --works 2",
    "near_duplicates": "--hashes 800",
    "shared_parts": "--works 80 --canvas 96 --drawn 40",
    # It starts processes, which do not know the family of the tests.
    "growth": f"--model vgg_small {TINY_STEP} --batches 8 --sizes 16 --devices 2 --works 100 --rounds 1",
}

SOURCES = ["device", "host", "stream"]
CONTESTANTS = {
    "train_step": ["textbook Flax", "artjax, same job", "artjax, whole step"],
    "loop": ["bare step", "device", "host"],  # TensorFlow is hidden, which "stream" needs
    "input": [f"artjax {source}" for source in SOURCES]
    + ["tf.data, fused", "tf.data, decode then crop"],
    "augment": ["crop and flip", "all of them"],
    "features": ["artjax"],
    "predict": ["cleaning", "forward pass", "predict"],
    "search": ["at once", "one after the other"],
    "prepare": [
        f"{size} {who}"
        for size in ("1.3 MP", "6 MP")
        for who in ("ours", "opencv", "pillow_gap", "pillow_draft", "vips")
    ],
    "near_duplicates": [
        f"{kind} {who}" for kind in ("random", "smooth") for who in ("ours", "numpy")
    ],
    "shared_parts": ["ms a picture", "ms a comparison", "detail", "recall"],
    "growth": ["batch 8", "size 16", "devices 2", "works 100"],
}
# The benchmarks leave out those that are not installed.
PEERS = {"opencv": "cv2", "faiss": "faiss"}


def figures(name, result):
    """One number for each contestant, above 0 if it was measured."""
    match name:
        case "train_step":
            table = result["tables"]["vgg_small/16"]
            return {who: row["images_per_second_median"] for who, row in table["rates"].items()}
        case "search":
            assert result["loss_difference"] < 1e-5
            return result["heads_per_second"]
        case "loop" | "input":
            return {who: min(rates) for who, rates in result["works_per_second"].items()}
        case "features":
            return result["models"]["vgg_small"]["images_per_second"]
        case "predict":
            return result["images_per_second"]
        case "augment":
            return result["shortest_s"]
        case "prepare":
            rows = {size: result[size] for size in ("1.3 MP", "6 MP")}
            return {f"{s} {who}": row["per_second"] for s in rows for who, row in rows[s].items()}
        case "near_duplicates":
            rows = {kind: result[kind]["800"] for kind in ("random", "smooth")}
            return {f"{kind} {who}": rows[kind][who] for kind in rows for who in rows[kind]}
        case "shared_parts":
            copies = result["copies"]
            assert not copies["paired_originals"]
            return {
                "ms a picture": copies["extraction_ms"],
                "ms a comparison": copies["comparison_ms"],
                "detail": copies["rows"]["detail of 50 % of the area"]["looked_up"],
                "recall": result["whole_search"]["recall"],
            }
        case "growth":
            return {
                f"{what} {point}": min(row.values())
                for what, table in result["tables"].items()
                for point, row in table.items()
            }


# They run where little more than JAX is installed, such as on a borrowed GPU.
NEEDING_NO_TENSORFLOW = ("train_step", "augment", "growth", "loop")
HIDDEN = "tensorflow,tensorflow_datasets,ml_collections,clu"


@pytest.fixture
def folder(pytestconfig, monkeypatch):
    """The folder of the benchmarks, whose modules can be imported."""
    folder = pytestconfig.rootpath / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def common(folder):
    return importlib.import_module("common")


@pytest.fixture
def environment(pytestconfig):
    """One CPU device, and programs that are compiled in a quarter of the time."""
    return os.environ | {
        "PYTHONPATH": str(pytestconfig.rootpath),
        "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


def run_here(script, *args):
    """Runs a benchmark in this process; returns its exit status."""
    arguments, sys.argv = sys.argv, [str(script), *args]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = arguments


def check_result(name, file, output, contestants):
    result = json.loads(file.read_text())
    assert output.startswith("sizes: ")
    assert "failed" not in output
    assert {"date", "machine", "versions"} <= result.keys()
    found = figures(name, result)
    for contestant in contestants:
        who = contestant.rpartition(" ")[2]
        if who in PEERS and importlib.util.find_spec(PEERS[who]) is None:
            continue
        assert found[contestant] > 0
        assert who in output


@pytest.mark.parametrize(
    "name",
    ["features", "predict", "search", "input", "prepare", "near_duplicates", "shared_parts"],
)
def test_benchmark_measures_everybody(name, folder, tmp_path, capsys):
    file = tmp_path / "result.json"
    status = run_here(folder / f"{name}.py", *SMALLEST[name].split(), "--json", str(file))
    assert status == 0
    check_result(name, file, capsys.readouterr().out, CONTESTANTS[name])


ONE_AFTER_THE_OTHER = """
import narrow, runpy, sys
for script in sys.argv[1].split(","):
    sys.argv = [script, *sys.stdin.readline().split()]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        print(f"status {end.code}")
"""


def test_benchmarks_measure_everybody_without_tensorflow(
    folder, tmp_path, environment, pytestconfig
):
    files = {name: tmp_path / f"{name}.json" for name in NEEDING_NO_TENSORFLOW}
    # In one process, which imports JAX once, and with a network that is quick to compile.
    script, root = tmp_path / "all.py", pytestconfig.rootpath
    script.write_text(ONE_AFTER_THE_OTHER)
    done = scripts.run(
        script,
        ",".join(str(folder / f"{name}.py") for name in files),
        hidden=HIDDEN,
        env=environment | {"PYTHONPATH": os.pathsep.join(map(str, (root, folder, root / "tests")))},
        input="".join(f"{SMALLEST[name]} --json {file}\n" for name, file in files.items()),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = done.stdout.split("status 0\n")
    assert outputs.pop() == "", done.stdout + done.stderr
    assert "stream left out: tensorflow is not installed" in outputs[-1]
    for (name, file), output in zip(files.items(), outputs, strict=True):
        check_result(name, file, output, CONTESTANTS[name])


def test_sizes_are_small_on_a_cpu_and_large_on_a_gpu(common):
    for platform, model, image_size, batch_size, why in (
        ("cpu", "vgg_small", 64, 32, "chosen for a CPU, since JAX finds no GPU or TPU"),
        ("gpu", "vgg16_bn", 224, 256, "chosen for a GPU"),
    ):
        args = common.create_parser("", "loop", platform).parse_args([])
        assert (args.model, args.image_size, args.batch_size) == (model, image_size, batch_size)
        line = common.describe_sizes("loop", platform, args)
        assert line.startswith(f"sizes: model {model}, image_size {image_size}, batch_size ")
        assert line.endswith(f"({why})")


def test_flags_override_sizes_and_are_named(common):
    parser = common.create_parser("", "growth", "cpu")
    args = parser.parse_args(["--batches", "4", "8", "--rounds", "2"])
    assert (args.batches, args.rounds, args.batch_size) == ([4, 8], 2, 32)
    line = common.describe_sizes("growth", "cpu", args)
    assert "batches 4 8, " in line
    assert line.endswith("; set by flags: batches, rounds)")


def test_sizes_of_jobs_for_cpu_cores_are_the_same_everywhere(common):
    parsers = [common.create_parser("", "prepare", platform) for platform in ("cpu", "gpu")]
    args, on_gpu = (parser.parse_args([]) for parser in parsers)
    assert args == on_gpu
    line = common.describe_sizes("prepare", "gpu", on_gpu)
    assert line.endswith("(the same on every machine, since CPU cores do this job)")


@pytest.mark.parametrize("name", NEEDING_NO_TENSORFLOW)
def test_largest_step_of_the_cpu_sizes_fits_in_a_gigabyte(name, common):
    from artjax.runtime.mesh import create_mesh
    from artjax.training.training import create_training

    sizes = {flag: size.cpu for flag, size in common.SIZES[name].items()}
    models = sizes.get("models", [sizes.get("model")])
    sides = [sizes.get("image_size", 0), *sizes.get("sizes", [])]
    batches = [sizes.get("batch_size", 0), sizes.get("batch", 0), *sizes.get("batches", [])]
    config = common.create_config(
        model__name=models[-1], image_size=max(sides), batch_size=max(batches)
    )
    mesh = create_mesh(devices=create_mesh().devices.flat[:1])
    assert sum(create_training(config, {"artist": 20}, 1_000, mesh).estimated_bytes()) < 1e9


def test_too_little_memory_is_one_line(folder, common, monkeypatch, capsys):
    timed_step = importlib.import_module("timed_step")
    monkeypatch.setattr(timed_step.memory, "needed_bytes", lambda compiled: 39e9)
    monkeypatch.setattr(timed_step.memory, "free_bytes", lambda mesh: 19e9)
    training = SimpleNamespace(
        config=common.create_config(),
        network=SimpleNamespace(mesh=None),
        compile_train_step=lambda: None,
    )
    assert common.run(lambda: timed_step.compile_step(training)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "cannot run: not enough memory: vgg16_bn at 224 px with batches of 256 needs 39.0 GB on each "
        "device, 19.0 GB are free; give a smaller batch or picture size"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("first line\nsecond line"), "cannot run: first line"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: 1 GB"),
            "cannot run: not enough memory: give smaller sizes",
        ),
    ],
)
def test_what_cannot_run_is_one_line(error, line, common, capsys):
    def fail():
        raise error

    assert common.run(fail) == 2
    assert capsys.readouterr().err == line + "\n"


def test_a_defect_keeps_its_traceback(common):
    def fail():
        raise KeyError("defect")

    with pytest.raises(KeyError, match="defect"):
        common.run(fail)


def test_growth_continues_after_a_point_that_does_not_fit(folder):
    growth = importlib.import_module("growth")
    common = importlib.import_module("common")

    class Fits:
        seconds, cpu_seconds, needed_bytes = [0.5], [1.0], 7

        def step(self):
            pass

    def too_large():
        raise common.CannotRunError("not enough memory")

    rows = growth.steps_grown({8: (Fits, 8), 16: (too_large, 16)}, 1)
    assert rows[8]["images_per_second"] == 16
    assert rows[16] == {"cannot_run": "not enough memory"}


def test_missing_torch_is_one_line(folder, tmp_path, monkeypatch, capfd):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    loaders = importlib.import_module("input").start_loaders(sys.executable, tmp_path, 4)
    assert loaders == {}
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"DataLoader, {decoder} left out: no torch here (see --torch)"
        for decoder in ("opencv", "pillow")
    ]


def test_failed_contestants_are_named_and_end_with_status_1(folder, environment):
    done = scripts.run(
        folder / "train_step.py",
        *("--models=vgg_huge", "--torch=/no/such/python", "--torch_modes=eager"),
        env=environment,
    )
    assert done.returncode == 1, done.stderr
    for who, why in (("artjax, whole step", "ConfigError"), ("torch eager", "FileNotFoundError")):
        assert re.search(f"{who} +failed: {why}", done.stdout)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_side_answers_with_seconds(folder):
    done = subprocess.run(
        [
            sys.executable,
            str(folder / "train_step_torch.py"),
            "vgg_small",
            "16",
            "2",
            "eager,float32",
            "20",
        ],
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


def test_every_benchmark_is_tried(folder):
    scripts_there = {p.stem for p in folder.glob("*.py") if "__main__" in p.read_text()}
    by_itself = {"intervals", "small_collections", "best_checkpoint", "heads", "serve"}
    by_itself |= {"train_step_torch", "features_torch"}
    assert scripts_there == SMALLEST.keys() | by_itself


def test_intervals_are_simulated_for_all_groups(folder, monkeypatch, capsys):
    intervals = importlib.import_module("intervals")
    monkeypatch.setattr(intervals, "_MANY", 400)
    monkeypatch.setattr(sys, "argv", ["intervals.py", "--repeats", "2"])
    intervals.main()
    said = capsys.readouterr().out
    for name in [*intervals.GROUPS, *(", ".join(map(str, of)) for of in intervals.CLASSES)]:
        assert re.search(rf"^\| {name} \|.* (0|50|100)\D", said, re.MULTILINE), name


def test_a_recipe_is_cross_validated_and_continued(folder, data_dir, tmp_path, capsys):
    flags = [
        *("artist:tiny", "--data_dir", str(data_dir), "--workdirs", str(tmp_path / "runs")),
        *("--seeds", "0", "--folds", "2", "--config.model.name=narrow_bn", "--config.steps=2"),
        *("--config.image_size=32", "--config.canvas_size=40", "--config.batch_size=16"),
        *("--json", str(tmp_path / "result.json")),
    ]
    said = []
    for _ in range(2):
        assert run_here(folder / "small_collections.py", *flags) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]  # the second time nothing is trained, also not for its seconds
    assert "n = 99; chance 33.3%" in said[0]
    (scores,) = json.loads((tmp_path / "result.json").read_text())["jobs"].values()
    assert [row["n"] for row in scores] == [99]
    assert run_here(folder / "small_collections.py", "artist:none", *flags[1:]) == 2
    assert "no prepared data set 'none'" in capsys.readouterr().err


def test_heads_are_compared_on_the_works_that_a_probe_is_tested_on(
    folder, data_dir, tmp_path, capsys, pytestconfig
):
    file, fields = tmp_path / "result.json", [("image_size", "32"), ("canvas_size", "40")]
    flags = [f"--config.{name}={value}" for name, value in fields]
    flags += ["--data_dir", str(data_dir), "--folds", "2", "--json", str(file)]
    assert run_here(folder / "heads.py", "tiny", "artist", *flags) == 0
    said, result = capsys.readouterr().out, json.loads(file.read_text())
    assert len(result["heads"]) == 7
    for name, row in result["heads"].items():
        assert re.search(
            rf"^\| {re.escape(name)} \| {100 * row['top1']:.1f} % ", said, re.MULTILINE
        )
        assert 0.5 < row["top1"] <= 1 or name == "colour histograms"
        first, second, _ = row["paired"].values()
        ours = result["heads"]["artjax, solved head"]["top1"]
        assert first - second == round((ours - row["top1"]) * result["n"])
    config = load_config_file(pytestconfig.rootpath / "configs" / "probe.py", "tiny")
    apply_overrides(config, [*fields, ("folds", "2")])
    outcome = cross_validate(config, Places(tmp_path / "run", data_dir))
    probe = outcome.results["folds"]["tasks"]["artist"]
    assert (probe["n"], probe["top1"]) == (result["n"], ours)
    beside = ["--runs", f"probed={tmp_path / 'run'}"]
    assert run_here(folder / "heads.py", "tiny", "artist", *flags, *beside) == 0
    same = json.loads(file.read_text())["heads"]["probed"]
    assert (same["top1"], same["paired"]["only_first"], same["seconds"]) == (ours, 0, None)
    capsys.readouterr()
    for more, message in (
        ([*beside, "--config.seed=1"], "has tested other works in fold 0"),
        (["--runs", f"none={tmp_path / 'none'}"], "no finished cross-validation in"),
    ):
        assert run_here(folder / "heads.py", "tiny", "artist", *flags, *more) == 2
        assert message in capsys.readouterr().err
    assert run_here(folder / "heads.py", "none", "artist", *flags) == 2
    assert "no prepared data set 'none'" in capsys.readouterr().err


def test_rules_for_the_best_checkpoint_are_compared_on_trained_curves(
    folder, data_dir, tmp_path, capsys
):
    curves, file = tmp_path / "curves", tmp_path / "result.json"
    flags = [
        *("train", "artist:tiny", "--data_dir", str(data_dir), "--curves", str(curves)),
        *("--folds", "2", "--config.model.name=narrow_bn", "--config.steps=4"),
        *("--config.eval_every=1", "--config.optim.warmup_epochs=0.3", "--config.batch_size=16"),
        *("--config.image_size=32", "--config.canvas_size=40"),
    ]
    for _ in range(2):  # the second time nothing is trained
        assert run_here(folder / "best_checkpoint.py", *flags) == 0
    assert capsys.readouterr().out.count("4 validations") == 2
    flags = ["compare", str(curves), "--sizes", "20", "--draws", "3", "--json", str(file)]
    assert run_here(folder / "best_checkpoint.py", *flags) == 0
    rows = json.loads(file.read_text())["sizes"]["20"]
    assert "highest probability of the true class" in capsys.readouterr().out
    best = max(row["curves"] for row in rows.values())
    assert rows["(the best one, if it were known)"]["curves"] == best
    assert rows["one standard error, greedy, lowest loss"]["gain"] == 0


def test_the_rule_of_artjax_is_among_those_that_are_compared(folder):
    rules = importlib.import_module("checkpoint_rules")
    rng = np.random.default_rng(0)
    for _ in range(100):
        right = rng.integers(0, 2, (1, 12, 6)).astype(float)
        curves = rules.Curves(right, np.log(rng.uniform(0.1, 1, right.shape)), right, np.arange(6))
        scores = curves.scores(np.ones(6, bool))
        best = BestSoFar(0)
        rows = zip(scores.top1, scores.probability, scores.loss, strict=True)
        for step, row in enumerate(rows, start=1):
            best.consider(Validation(step, *row))
        assert rules.RULES[rules.NOW](scores) == best.best.step - 1

"""Exports of a tiny run with two tasks: every format, what is refused, and the card."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from PIL import Image
from tiny import stripes, tiny_config

import launch
from artjax.errors import ConfigError, ExportError, WorkdirError
from artjax.evaluation.predict import answers_of
from artjax.export import program as program_lib
from artjax.export.exporting import export
from artjax.export.formats import FORMATS
from artjax.modes import flags
from artjax.places import Places
from artjax.prepare.seeing import Seen
from artjax.train import train

pytestmark = pytest.mark.slow

WITHOUT_ARTJAX = "import sys; sys.modules['artjax'] = None; exec(open('card.py').read())"


@pytest.fixture(scope="module")
def workdir(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = tiny_config(model__name="narrow_bn", task=("artist", "genre"))
    train(config, Places(folder, data_dir), devices=jax.devices()[:1])
    return folder


def needs(name):
    if name == "onnx":
        pytest.importorskip("jax2onnx")
        pytest.importorskip("onnxruntime")


def code_of(card):
    return card.partition("```python\n")[2].partition("\n```")[0]


def test_the_flag_lists_the_table():
    assert tuple(FORMATS) == flags.FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_computes_what_the_run_does(workdir, tmp_path, name, capsys):
    needs(name)
    out = tmp_path / "out"
    words = ["--workdir", str(workdir), "--mode", "export", "--format", name, "--out", str(out)]
    assert launch.main(words) == 0
    said = capsys.readouterr().out
    assert "verified on 20 validation works of tiny: largest difference " in said
    about = json.loads((out / "artjax.json").read_text())
    assert about["tasks"] == {"artist": ["ada", "bo", "cy"], "genre": ["portrait", "still life"]}
    assert about["verified"]["largest_difference"] < 1e-4
    assert about["verified"]["same_top"] == about["verified"]["answers"] == 40
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["README.md", "artjax.json", FORMATS[name].file]
    )


@pytest.mark.parametrize("name", ["stablehlo", "onnx"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_code_of_the_card_runs_without_artjax(workdir, tmp_path, name, inside):
    needs(name)
    export(workdir, name, tmp_path / "out", inside=inside)
    picture = stripes(1, np.random.default_rng(3)).resize((90, 60))
    picture.save(tmp_path / "out" / "picture.jpg", quality=95)
    (tmp_path / "out" / "card.py").write_text(code_of((tmp_path / "out/README.md").read_text()))
    command = [sys.executable, "-c", WITHOUT_ARTJAX]
    done = subprocess.run(
        command, cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(found) == 5  # of three artists and two genres
    program = program_lib.load(workdir, "best", None, True)
    with Image.open(tmp_path / "out" / "picture.jpg") as image:
        canvas = np.asarray(image.resize((40, 40), Image.Resampling.LANCZOS))
    says = answers_of([program.run], [Seen({40: canvas}, 1.5)], [program.judge]).probabilities
    for task, of_task in says.items():
        for label, probability in zip(program.run.classes[task], of_task[0], strict=True):
            # Outside, the snippet crops the picture itself and not its canvas.
            near = 1e-4 if inside else 0.05
            assert float(found[f"{task}: {label}"]) == pytest.approx(probability, abs=near)


def test_several_views_are_those_of_predict(workdir, tmp_path):
    done = export(workdir, "stablehlo", tmp_path / "out", views=5)
    assert done.verified.largest_difference < 1e-5
    assert json.loads((tmp_path / "out" / "artjax.json").read_text())["views"] == 5
    with pytest.raises(ConfigError, match=r"--config.eval.views=5: views are cut out by the"):
        export(workdir, "stablehlo", tmp_path / "other", views=5, inside=False)


def test_random_pictures_where_the_data_are_gone(workdir, tmp_path, monkeypatch):
    from artjax.errors import DataError
    from artjax.export import verification

    def gone(*_):
        raise DataError("no prepared data set 'tiny'")

    monkeypatch.setattr(verification, "with_data", gone)
    done = export(workdir, "safetensors", tmp_path / "out")
    assert done.verified.on == "32 random pictures (no prepared data set 'tiny')"
    with pytest.raises(DataError):
        export(workdir, "safetensors", tmp_path / "other", data_dir=tmp_path)


def test_an_export_that_differs_is_not_kept(workdir, tmp_path, monkeypatch):
    def colder(program, path):
        def function(*inputs):
            return {task: of * 0.999 for task, of in program.function(*inputs).items()}

        FORMATS["stablehlo"].write(replace(program, function=function), path)

    wrong = replace(FORMATS["stablehlo"], write=colder)
    monkeypatch.setattr("artjax.export.exporting.FORMATS", {"stablehlo": wrong})
    with pytest.raises(ExportError, match=r"nothing was written: artist of the export differs"):
        export(workdir, "stablehlo", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_only_an_export_is_replaced_and_only_if_asked(workdir, tmp_path):
    out = tmp_path / "out"
    export(workdir, "safetensors", out)
    with pytest.raises(ConfigError, match="holds an export already; add --overwrite"):
        export(workdir, "safetensors", out)
    export(workdir, "safetensors", out, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else than an export"):
        export(workdir, "safetensors", tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_an_unwritable_folder_is_refused_before_anything_is_computed(
    workdir, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(program_lib, "load", None)
    with pytest.raises(WorkdirError, match="cannot write"):
        export(workdir, "safetensors", tmp_path / "file" / "out")


def test_what_a_format_cannot_hold_is_one_line(workdir, tmp_path, monkeypatch):
    from artjax.export import onnx_file

    monkeypatch.setattr(onnx_file, "_MOST_BYTES", 1000)
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ExportError, match=r"the weights of narrow_bn are .* less than 2.1 GB"):
        export(workdir, "onnx", tmp_path / "out")
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match="needs jax2onnx, which is not installed: pip install"):
        export(workdir, "onnx", tmp_path / "out")
    words = ["--workdir", str(workdir), "--mode", "export"]
    with pytest.raises(ConfigError, match="needs --format: stablehlo, onnx, savedmodel"):
        launch.main(words)
    with pytest.raises(ConfigError, match="holds weights and no computation"):
        launch.main([*words, "--format", "safetensors", "--preprocessing", "inside"])


def test_the_card_says_what_was_measured_and_no_more(workdir, tmp_path):
    export(workdir, "safetensors", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "unknown"
    assert front["pipeline_tag"] == "image-classification"
    assert front["metrics"] == ["accuracy", "f1"]
    row = json.loads((workdir / "evaluation/test/metrics.json").read_text())["tasks"]["artist"]
    low, high = row["top1_ci95"]
    assert f"| test | artist | 19 | {row['top1']:.1%} ({low:.1%} to {high:.1%}) |" in card
    assert "| train | 60 |\n| validation | 20 |\n| test | 19 |" in card
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("evaluation"))
    export(copy, "safetensors", tmp_path / "unevaluated")
    card = (tmp_path / "unevaluated" / "README.md").read_text()
    assert "This checkpoint has not been evaluated." in card
    assert "metrics" not in yaml.safe_load(card.split("---\n")[1])


def test_safetensors_hold_labels_and_preprocessing(workdir, tmp_path):
    from safetensors import safe_open

    done = export(workdir, "safetensors", tmp_path / "out")
    with safe_open(done.file, "numpy") as file:
        about = json.loads(file.metadata()["artjax"])
        kernel = file.get_tensor("params/head_genre/kernel")
    assert about["tasks"]["genre"] == ["portrait", "still life"]
    assert about["preprocessing"]["image_px"] == 32
    run = program_lib.load(Path(workdir), "best", None, True).run
    np.testing.assert_array_equal(kernel, run.variables["params"]["head_genre"]["kernel"])

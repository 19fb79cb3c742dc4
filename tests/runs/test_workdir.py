"""What a workdir holds, and what is said of one without a checkpoint."""

import csv
import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from guesses import predict
from tiny import stripes, tiny_config

import launch
from artjax.errors import WorkdirError
from artjax.evaluation import report
from artjax.modes.folds import cross_validate
from artjax.modes.search.mode import search
from artjax.places import Places
from artjax.runs import Run, latest_record, read_config, runs_in
from artjax.train import train

ONE = {"devices": jax.devices()[:1]}
narrow_config = partial(tiny_config, model__name="narrow")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "stripes.png"
    stripes(1, np.random.default_rng(3)).save(path)
    return path


@pytest.fixture(scope="module")
def folds(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("folds")
    cross_validate(narrow_config(folds=2, steps=2), Places(workdir, data_dir), **ONE)
    return workdir


@pytest.mark.slow
def test_pictures_are_predicted_by_all_folds_as_one(folds, picture, capsys):
    assert launch.main(["--workdir", str(folds), "--mode", "predict", str(picture)]) == 0
    said = capsys.readouterr().out
    assert f"the mean of 2 runs: {folds / 'fold0'}, {folds / 'fold1'}" in said
    with (folds / "predict" / "predictions.csv").open() as file:
        (row,) = csv.DictReader(file)
    columns = ("artist", "artist_2", "artist_3")
    written = {row[name]: float(row[f"{name}_probability"]) for name in columns}
    alone = [
        {g.label: g.probability for g in predict([Run.load(run)], [picture]).guesses}
        for run in runs_in(folds)
    ]
    assert len(alone) == 2
    assert alone[0] != alone[1]
    mean = {label: (alone[0][label] + alone[1][label]) / 2 for label in alone[0]}
    assert written == pytest.approx(mean, abs=1e-6)


@pytest.mark.slow
def test_several_workdirs_predict_as_one(folds, picture, capsys):
    given = [word for run in runs_in(folds) for word in ("--workdir", str(run))]
    assert launch.main([*given, "--mode", "predict", str(picture)]) == 0
    assert "the mean of 2 runs" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_predicts_and_is_evaluated_by_what_it_chose(data_dir, tmp_path, picture, capsys):
    config = narrow_config(
        optim__groups=(("(?!head_).*", 0.0),), features__views=1, search__trials=2, steps=2
    )
    places = Places(tmp_path, data_dir, feature_dir=tmp_path / "features")
    chosen = search(config, places, **ONE).best["chosen"]["workdirs"]
    assert runs_in(tmp_path) == [tmp_path / "search" / name for name in chosen]
    assert launch.main(["--workdir", str(tmp_path), "--mode", "predict", str(picture)]) == 0
    assert launch.main(["--workdir", str(tmp_path), "--mode", "evaluate"]) == 0
    assert "test artist: top-1" in capsys.readouterr().out
    with pytest.raises(WorkdirError, match=r"it is a search, .*\nuse --workdir .*/search/"):
        Run.load(tmp_path)
    (tmp_path / "search" / "best.json").write_text("{}")
    with pytest.raises(WorkdirError, match=r"best\.json is damaged"):
        runs_in(tmp_path)
    (tmp_path / "search" / "best.json").unlink()
    with pytest.raises(WorkdirError, match="it is a search that is not finished"):
        Run.load(tmp_path)


@pytest.mark.slow
def test_a_cross_validation_is_no_run(folds):
    with pytest.raises(WorkdirError, match=r"whose 2 folds are runs .*\nuse one .*fold0"):
        Run.load(folds)


def test_a_run_that_has_not_saved_yet_is_told_how_it_goes_on(tmp_path):
    (tmp_path / "config.json").write_text(narrow_config().to_json())
    with pytest.raises(
        WorkdirError, match=rf"\ngo on with: python launch\.py --workdir {tmp_path}"
    ):
        Run.load(tmp_path)


@pytest.mark.slow
def test_records_that_are_damaged_or_of_a_later_version_are_one_line(folds, tmp_path):
    workdir = shutil.copytree(folds / "fold0", tmp_path / "run")
    (record,) = sorted(workdir.glob("checkpoints/*/record/metadata"))[-1:]
    whole = json.loads(record.read_text())
    assert latest_record(workdir).config == read_config(workdir)
    for damaged, says in (
        (whole | {"format": 99}, "written by a later version of artjax"),
        (whole | {"classes": None}, "its record is damaged: 'classes' is missing or invalid"),
        ({"format": 1}, "'config' is missing or invalid"),
        (whole | {"config": {"seed": 0}}, "its configuration cannot be read"),
        ([], "its record is damaged"),
    ):
        for file in workdir.glob("checkpoints/*/record/metadata"):
            file.write_text(json.dumps(damaged))
        with pytest.raises(WorkdirError, match=says):
            Run.load(workdir)


@pytest.mark.slow
def test_a_run_evaluates_on_what_it_was_asked_for(folds, data_dir):
    workdir = str(folds / "fold0")
    given = ["--workdir", workdir, "--mode", "evaluate", "--data_dir", str(data_dir)]
    with pytest.raises(Exception, match=r"has the task genre, and the run in .* the task artist"):
        launch.main(["--config", "configs/genre.py", *given])
    with pytest.raises(Exception, match=r"has the collection wga, and the run in .* tiny"):
        launch.main(["--config", "configs/artist.py:wga", *given])
    with pytest.raises(Exception, match=r"leave --split out, or name a fold"):
        launch.main(["--workdir", str(folds), "--mode", "evaluate", "--split", "train"])


@pytest.mark.slow
@pytest.mark.parametrize("pretrained", [False, True])
def test_who_uses_a_pretrained_network_is_not_told_to(
    pretrained, folds, data_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(report, "FAR_APART", -1.0)  # every run is far from its score on test
    weights = str(folds / "fold0") if pretrained else ""
    train(narrow_config(model__weights=weights, steps=2), Places(tmp_path, data_dir), **ONE)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "(overfitting)" in line)
    assert ("configs/probe.py" in line) != pretrained

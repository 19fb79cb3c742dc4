"""Looks at test are counted: once for each network, whoever looks, and never at the cost of a result."""

import csv
import os
import shutil
from functools import partial
from threading import Thread

import jax
import pytest
from tiny import SPLITS, tiny_config

import launch
from artjax import load
from artjax.errors import ConfigError
from artjax.evaluation import looks
from artjax.evaluation.ensemble import evaluate_ensemble
from artjax.evaluation.evaluate import evaluate_workdir
from artjax.evaluation.looks import FILE, Look, Looking
from artjax.modes.folds import cross_validate
from artjax.places import Places
from artjax.train import train

ONE = {"devices": jax.devices()[:1]}
narrow_config = partial(tiny_config, model__name="narrow", steps=2, eval_every=2)
WORKS = {"artist": (19, "works of artist")}


def look_of(folder, number, works=None, **changes):
    one = Looking(f"/runs/{number}", f"config {number}", "12", 1)._replace(**changes)
    return Look(folder / FILE, "tiny/1.0.0", works or WORKS, (one,))


def noted(folder, number, workdir="w", **changes):
    looks.note(folder / workdir, look_of(folder, number, **changes))
    return looks.lines(folder / workdir)


def rows_of(folder):
    with (folder / FILE).open() as text:
        return list(csv.DictReader(text))


def test_the_first_look_says_nothing_and_the_twelfth_says_so(tmp_path):
    said = [noted(tmp_path, number, f"w{number}") for number in range(12)]
    assert said[0] == []
    assert said[1][0].startswith(
        "  the 2nd look at this test split: choosing among runs by test makes"
    )
    assert said[2][0].startswith("  the 3rd look at this test split: ")
    assert said[11][0].startswith("  the 12th look at this test split: ")
    assert str(tmp_path / FILE) in said[11][0]
    # What was said of the first is no longer true: eleven have looked since.
    assert looks.lines(tmp_path / "w0")[0].startswith("  the 1st of 12 looks at this test split: ")
    assert len(rows_of(tmp_path)) == 12
    row = rows_of(tmp_path)[2]
    assert (row["run"], row["checkpoint"], row["config"]) == ("/runs/2", "12", "config 2")
    assert "@" in row["who"]
    assert row["when"].endswith("+00:00")


def test_the_same_checkpoint_is_counted_once_and_says_so(tmp_path):
    noted(tmp_path, 0)
    again = "the 1st look at this test split (once more: the same checkpoint is not counted again)"
    assert noted(tmp_path, 0) == [f"  {again}"]
    moved = look_of(tmp_path, 0, workdir="/elsewhere")  # a copy gives the same numbers
    looks.note(tmp_path / "copy", moved)
    assert len(rows_of(tmp_path)) == 1
    for changes in ({"checkpoint": "6"}, {"views": 5}, {"config": "another"}):
        looks.note(tmp_path / "other", look_of(tmp_path, 0, **changes))
    assert len(rows_of(tmp_path)) == 4


def test_other_works_and_other_tasks_are_other_counts(tmp_path):
    noted(tmp_path, 0)
    assert noted(tmp_path, 1, "rebuilt", works={"artist": (19, "others")}) == []
    both = WORKS | {"genre": (12, "works of genre")}
    (line,) = noted(tmp_path, 2, "both", works=both)
    assert line.startswith("  artist: the 2nd look at this test split")
    first, second = noted(tmp_path, 3, "both", works=both)
    assert first.startswith("  artist: the 3rd look")
    assert second.startswith("  genre: the 2nd look")
    (same,) = noted(tmp_path, 4, "third", works={"genre": both["genre"]})
    assert same.startswith("  the 3rd look")


def test_a_configuration_is_the_same_if_its_network_is():
    def digest(weights="", **changes):
        return looks._of_config(tiny_config(**changes), weights)

    assert digest() == digest(eval__test="never") == digest(source="host") == digest(eval__views=5)
    others = [digest("a"), digest(seed=1), digest(optim__peak_lr=0.01), digest(model__weights="w")]
    assert len({digest(), *others}) == 5
    # Seeds that are added later are the same look, and others are another one.
    assert digest(seeds=(0, 1)) == digest(seeds=(0, 1, 2)) == digest(seeds=(2, 1, 0))
    assert len({digest(), digest(seeds=(0, 1)), digest(seeds=(3, 4)), digest(seeds=(1, 2))}) == 4


def test_ordinals():
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1003)
    said = "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th 1,003rd"
    assert " ".join(map(looks._ordinal, numbers)) == said


def _look_often(folder, first):
    for number in range(first, first + 10):
        looks.note(folder / f"w{number}", look_of(folder, number))


def test_no_look_of_several_runs_at_once_is_lost(tmp_path):
    """Each thread opens the lock's file anew, as a process does."""
    started = [Thread(target=_look_often, args=(tmp_path, 10 * i)) for i in range(3)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert sorted(row["run"] for row in rows_of(tmp_path)) == sorted(
        f"/runs/{i}" for i in range(30)
    )
    assert not list((tmp_path / FILE).parent.glob("*.partial"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_note(tmp_path):
    noted(tmp_path, 0)
    (tmp_path / FILE).parent.chmod(0o555)
    try:
        said = noted(tmp_path, 1, "second")
    finally:
        (tmp_path / FILE).parent.chmod(0o755)
    assert len(said) == 1
    assert "this look at the test works is not counted, because" in said[0]
    assert "(Permission denied)" in said[0]


def test_a_place_that_is_no_folder_and_a_damaged_file_are_one_note(tmp_path):
    (tmp_path / FILE.parent).write_text("not a folder")
    (said,) = noted(tmp_path, 0)
    assert "is not counted, because" in said
    (tmp_path / FILE.parent).unlink()
    (tmp_path / FILE).parent.mkdir()
    for damaged in (b"when,who\na,b\n", b"\xff\xfe", b"look,test\nx,\n"):
        (tmp_path / FILE).write_bytes(damaged)
        (said,) = noted(tmp_path, 0)
        assert "is not counted, because" in said
        assert "\n" not in said
        assert (tmp_path / FILE).read_bytes() == damaged  # nothing that somebody kept is replaced


def test_without_an_evaluation_nothing_is_said(tmp_path):
    assert looks.lines(tmp_path) == []
    (tmp_path / "looks.json").write_text("{")
    assert looks.lines(tmp_path) == []


@pytest.fixture(scope="module")
def places(data_dir, tmp_path_factory):
    """Runs of two seeds with a collection of their own, which nobody else looks at."""
    folder = tmp_path_factory.mktemp("looks")
    canvas_dir = folder / "canvases"
    for seed in (0, 1):
        train(narrow_config(seed=seed), Places(folder / f"run{seed}", data_dir, canvas_dir), **ONE)
    return Places(folder, data_dir, canvas_dir)


def looked(places):
    return rows_of(next((places.canvas_dir / "tiny").glob("*/looks")).parent)


@pytest.mark.slow
def test_each_way_to_look_is_counted_once(places, capsys):
    first, second = places.workdir / "run0", places.workdir / "run1"
    rows = looked(places)
    assert [row["run"] for row in rows] == [str(first), str(second)]
    assert {row["works"] for row in rows} == {str(SPLITS["test"])}
    given = {"data_dir": places.data_dir, "canvas_dir": places.canvas_dir}
    for _ in range(2):
        evaluate_workdir(first, "test", **given)
        evaluate_workdir(first, "validation", **given)
        load(second).evaluate(**given)
    assert "the 2nd look at this test split (once more" in capsys.readouterr().out
    assert looked(places) == rows
    for _ in range(2):
        evaluate_ensemble([first, second], "test", **given)
        evaluate_ensemble([second, first], "test", **given)  # the same mean
        evaluate_ensemble([first, second], "validation", **given)
    assert len(looked(places)) == 3
    assert looked(places)[2]["run"] == f"{first}; {second}"
    evaluate_workdir(first, "test", views=5, **given)
    assert len(looked(places)) == 4
    argv = ["--workdir", str(second), "--mode", "evaluate", "--canvas_dir", str(places.canvas_dir)]
    assert launch.main(argv) == 0
    assert "\n  the 2nd of 4 looks at this test split (once more" in capsys.readouterr().out
    train(narrow_config(seed=1), Places(second, *given.values()), **ONE)  # it is finished
    assert "the 2nd of 4 looks at this test split" in capsys.readouterr().out
    assert len(looked(places)) == 4


@pytest.mark.slow
def test_all_folds_are_one_look_at_all_works(places, capsys):
    before = len(looked(places))
    at = Places(places.workdir / "folds", places.data_dir, places.canvas_dir)
    cross_validate(narrow_config(folds=2), at, **ONE)
    rows = looked(places)[before:]
    assert [row["run"] for row in rows] == [str(at.workdir)]
    assert rows[0]["works"] == str(sum(SPLITS.values()))
    assert "looks at" not in capsys.readouterr().out
    evaluate_workdir(at.workdir / "fold1", "test", canvas_dir=places.canvas_dir)
    assert len(looked(places)) == before + 1
    # Other cuts test the same works.
    other = Places(places.workdir / "folds of another seed", places.data_dir, places.canvas_dir)
    cross_validate(narrow_config(folds=2, seed=1), other, **ONE)
    assert "the 2nd look at these works as a test: choosing" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_may_leave_test_alone(places, tmp_path, capsys):
    before = looked(places)
    at = Places(tmp_path / "run", places.data_dir, places.canvas_dir)
    outcome = train(narrow_config(seed=7, eval__test="never"), at, **ONE)
    said = capsys.readouterr().out
    assert list(outcome.results) == ["validation"]
    assert sorted(p.name for p in (at.workdir / "evaluation").iterdir()) == ["validation"]
    assert looked(places) == before
    assert "test artist" not in said
    look = f"--workdir {at.workdir} --mode evaluate --split test"
    assert "test was not looked at (--config.eval.test=never); once all choices are made" in said
    assert look in said
    assert launch.main(look.split()) == 0
    assert len(looked(places)) == len(before) + 1
    folds = Places(tmp_path / "folds", places.data_dir, places.canvas_dir)
    outcome = cross_validate(narrow_config(folds=2, seed=8, eval__test="never"), folds, **ONE)
    assert outcome.finished
    assert outcome.results == {}
    said = capsys.readouterr().out
    assert said.count("test was not looked at") == 1
    assert f"--workdir {folds.workdir} --mode evaluate\n" in said
    assert not list(folds.workdir.rglob("evaluation/test"))
    assert len(looked(places)) == len(before) + 1
    with pytest.raises(ConfigError, match=r"eval\.test is for a training; leave it out"):
        launch.main([*look.split(), "--config.eval.test=never"])


@pytest.mark.slow
def test_the_last_checkpoint_does_not_overwrite_the_best(places, tmp_path, capsys):
    workdir = shutil.copytree(places.workdir / "run0", tmp_path / "run0")
    best = {path: path.read_bytes() for path in (workdir / "evaluation").rglob("*.*")}
    argv = ["--workdir", str(workdir), "--mode", "evaluate", "--canvas_dir", str(places.canvas_dir)]
    assert launch.main([*argv, "--checkpoint", "last", "--split", "validation"]) == 0
    assert f"written to {workdir / 'evaluation' / 'validation-last'}" in capsys.readouterr().out
    load(workdir, "last").evaluate(canvas_dir=places.canvas_dir)
    assert {path: path.read_bytes() for path in best} == best
    names = {path.name for path in (workdir / "evaluation").iterdir()}
    assert {"test-last", "validation-last"} <= names
    members = [workdir, places.workdir / "run1"]
    evaluate_ensemble(members, "test", which="last", canvas_dir=places.canvas_dir)
    assert (workdir / "evaluation" / "ensemble-test-last" / "metrics.json").is_file()
    assert {path: path.read_bytes() for path in best} == best

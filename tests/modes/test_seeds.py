"""Several seeds: a run for each, and one score of the recipe."""

import csv
import json
from functools import partial

import jax
import numpy as np
import pytest
from tiny import SPLITS, tiny_config

import launch
from artjax import config as config_lib
from artjax import load
from artjax.errors import ConfigError, DataError, WorkdirError
from artjax.evaluation import evaluate, recipe
from artjax.modes.search.mode import search
from artjax.modes.seeds import evaluate_seeds, train_any
from artjax.places import Places
from artjax.runs import read_config, runs_in
from artjax.setup import open_setup
from artjax.training.checks import check_config

ONE = {"devices": jax.devices()[:1]}
narrow_config = partial(tiny_config, model__name="narrow_bn", steps=4, eval_every=4, log_every=4)


@pytest.mark.parametrize(
    ("typed", "seeds"),
    [("0,1,2", (0, 1, 2)), ("(3, 5)", (3, 5)), ("[7,8]", (7, 8)), ("0, 1", (0, 1)), ("()", ())],
)
def test_seeds_as_typed(typed, seeds):
    config = tiny_config()
    config_lib.apply_overrides(config, [("seeds", typed)])
    check_config(config)
    assert config.seeds == seeds
    assert config_lib.from_json(config_lib.to_json(config)).seeds == seeds


@pytest.mark.parametrize("typed", ["3", "0", "0,0", "0,-1", "0,1.5", "a,b", "0,True", "'12'"])
def test_other_seeds_are_one_clear_line(typed):
    config = tiny_config()
    config_lib.apply_overrides(config, [("seeds", typed)])
    says = r"--config\.seeds=.*: it must be two or more different whole numbers, .* as in .*0,1,2$"
    with pytest.raises(ConfigError, match=says):
        check_config(config)


def test_a_seed_beside_seeds_and_a_search_of_seeds_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"seed=4 and --config\.seeds=0,1: give one of them"):
        check_config(tiny_config(seed=4, seeds=(0, 1)))
    with pytest.raises(ConfigError, match=r"search without seeds, then train the winner"):
        search(tiny_config(seeds=(0, 1)), Places(tmp_path, tmp_path))


def test_modes_that_try_out_take_the_first_seed(data_dir, tmp_path):
    config = narrow_config(seeds=(3, 5), folds=2)
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", **ONE)
    assert (setup.config.seed, setup.config.seeds, setup.data.seed) == (3, (), 3)


def test_a_command_that_could_not_begin_leaves_the_workdir_free(data_dir, tmp_path):
    for folds in (0, 2):
        config = narrow_config(seeds=(0, 1), folds=folds)
        config.collection = "tny"
        with pytest.raises(DataError, match="no prepared data set 'tny'"):
            train_any(config, Places(tmp_path / "w", data_dir), **ONE)
        assert read_config(tmp_path / "w") is None


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Three seeds, trained by the command, of which the second was stopped once."""
    folder = tmp_path_factory.mktemp("seeds")
    return Places(folder / "w", data_dir, folder / "canvases")


def of(trained, seeds=(0, 1, 2), **changes):
    return train_any(narrow_config(seeds=seeds, **changes), trained, **ONE)


@pytest.mark.slow
def test_seeds_are_trained_resumed_and_scored_as_one_recipe(trained, capsys):
    workdir = trained.workdir
    stopped = train_any(narrow_config(seeds=(0, 1)), trained, stop_after_steps=2, **ONE)
    assert (stopped.step, stopped.finished, stopped.results) == (4, False, {})
    assert list(of(trained, seeds=(0, 1)).results) == ["seeds"]
    said = capsys.readouterr().out
    assert "seed 1, 2 of 2" in said
    assert said.count("resuming from the checkpoint of step 2") == 2
    assert "2 seeds, artist: top-1" in said
    outcome = of(trained)  # one more seed
    said = capsys.readouterr().out
    assert said.count("this run is finished") == 2
    assert read_config(workdir).seeds == (0, 1, 2)
    assert runs_in(workdir) == [workdir / f"seed{seed}" for seed in range(3)]
    file = workdir / "evaluation" / "seeds" / "metrics.json"
    result = json.loads(file.read_text())
    assert outcome.results == {"seeds": result}
    row = result["tasks"]["artist"]
    alone = [json.loads((w / "evaluation/test/metrics.json").read_text()) for w in runs_in(workdir)]
    rows = [one["tasks"]["artist"] for one in alone]
    top1 = [one["top1"] for one in rows]
    assert len(set(top1)) > 1
    assert row["top1"] == pytest.approx(np.mean(top1))
    assert row["top1_deviation"] == pytest.approx(np.std(top1, ddof=1))
    assert row["loss"] == pytest.approx(np.mean([one["loss"] for one in rows]))
    assert [(s["seed"], s["top1"], s["top1_ci95"]) for s in row["by_seed"]] == [
        (seed, one["top1"], one["top1_ci95"]) for seed, one in enumerate(rows)
    ]
    with (workdir / "evaluation" / "seeds" / "predictions.csv").open() as text:
        table = list(csv.DictReader(text))
    right = np.asarray([r["label"] == r["predicted"] for r in table]).reshape(3, -1)
    assert [r["seed"] for r in table[:: SPLITS["test"]]] == ["0", "1", "2"]
    score = recipe.score(right)
    assert row["top1_ci95"] == pytest.approx(list(score.interval))
    assert "\n".join(recipe.report_lines(result)) in said
    (looks,) = trained.canvas_dir.rglob("looks.csv")
    with looks.open() as text:
        assert [row["run"] for row in csv.DictReader(text)] == [str(workdir)]  # all are one look


@pytest.mark.slow
def test_the_workdir_of_seeds_is_one_network_and_is_scored_again(trained, capsys, tmp_path):
    workdir = trained.workdir
    of(trained)
    file = workdir / "evaluation" / "seeds" / "metrics.json"
    before = file.read_bytes()
    argv = ["--workdir", str(workdir), "--canvas_dir", str(trained.canvas_dir), "--mode"]
    assert launch.main([*argv, "evaluate"]) == 0
    said = capsys.readouterr().out
    assert "of this recipe on other works and seeds)" in said
    assert f"written to {file.parent}" in said
    assert file.read_bytes() == before
    network = load(workdir)
    assert [run.workdir for run in network.runs] == runs_in(workdir)
    # The genre of `tiny` goes with the artist, or is unknown: few groups, and a wide interval.
    together = evaluate_seeds(
        workdir, canvas_dir=trained.canvas_dir, settings={"cluster_by": "genre"}
    )
    widths = [
        np.ptp(of_works["tasks"]["artist"]["top1_ci95"])
        for of_works in (json.loads(before), together)
    ]
    assert widths[1] > 1.2 * widths[0]
    result = network.evaluate(canvas_dir=trained.canvas_dir)
    assert result == json.loads(before)
    with pytest.raises(ConfigError, match=r"holds several seeds, which are scored on test; leave"):
        launch.main([*argv, "evaluate", "--split", "validation"])
    last = evaluate_seeds(workdir, canvas_dir=trained.canvas_dir, which="last", views=5)
    assert last["views"] == 5
    assert (workdir / "evaluation" / "seeds-last" / "metrics.json").is_file()
    assert file.read_bytes() == before
    with pytest.raises(ConfigError, match=r"holds several seeds; an ensemble needs single runs"):
        launch.main(["--workdir", str(workdir / "seed0"), *argv, "evaluate"])
    with pytest.raises(WorkdirError, match=r"holds the seeds 0, 1, 2, each .*\nuse one .*/seed0"):
        evaluate.evaluate_workdir(workdir, "test")
    with pytest.raises(WorkdirError, match=r"seeds: \(0, 1, 2\) there, \(0, 1\) now"):
        of(trained, seeds=(0, 1))
    with pytest.raises(WorkdirError, match=r"batch_size: 16 there, 8 now"):
        of(trained, seeds=(0, 1, 2, 3), batch_size=8)
    assert read_config(workdir).seeds == (0, 1, 2)


@pytest.mark.slow
def test_seeds_repeat_the_folds_with_other_cuts(data_dir, tmp_path, capsys):
    places = Places(tmp_path / "w", data_dir, tmp_path / "canvases")
    config = narrow_config(seeds=(0, 1), folds=2, steps=2, eval_every=2)
    result = train_any(config, places, **ONE).results["seeds"]
    row = result["tasks"]["artist"]
    assert row["n"] == sum(SPLITS.values())
    assert row["ensemble_top1"] is None
    tested = []
    for seed in (0, 1):
        folder = places.workdir / f"seed{seed}"
        pooled = json.loads((folder / "evaluation/folds/metrics.json").read_text())
        assert row["by_seed"][seed]["top1"] == pooled["tasks"]["artist"]["top1"]
        with (folder / "evaluation/folds/predictions.csv").open() as text:
            tested.append({r["file_name"]: r for r in csv.DictReader(text)})
    first, second = tested
    assert first.keys() == second.keys()
    assert 20 < sum(first[name]["fold"] != second[name]["fold"] for name in first) < 80
    # The works are the same ones in both rows, though the folds have them in another order.
    right = [[of[name]["label"] == of[name]["predicted"] for name in sorted(of)] for of in tested]
    interval = recipe.score(np.asarray(right)).interval
    assert row["top1_ci95"] == pytest.approx(list(interval))
    assert len(runs_in(places.workdir)) == 4
    said = capsys.readouterr().out
    assert "of the networks of these folds on other works)" in said
    assert "looks at" not in said
    (looks,) = places.canvas_dir.rglob("looks.csv")
    assert len(looks.read_text().splitlines()) == 2  # with the header

"""What a run keeps of its validation works, and how later answers use it."""

import csv
import json
import shutil
from functools import partial

import jax
import numpy as np
import pytest
from guesses import predict
from tiny import stripes, tiny_config, write_tiny

import artjax
from artjax.command_line import main
from artjax.evaluation import ensemble, evaluate, judging, reliability, temperature, unlike
from artjax.evaluation import train_embeddings as kept_embeddings
from artjax.evaluation.embeddings import embed
from artjax.evaluation.evaluate import predict_split
from artjax.evaluation.metrics import loss
from artjax.modes.folds import cross_validate
from artjax.places import Places
from artjax.runs import Run, open_run
from artjax.train import train

pytestmark = pytest.mark.slow

ONE = {"devices": jax.devices()[:1]}
config = partial(
    tiny_config,
    collection="wide",
    model__name="narrow_bn",
    model__dropout=0.0,
    steps=8,
    eval_every=4,
    eval__kept_works=25,
    eval__error_rate=0.9,  # so that a network of 8 steps keeps to it
)


@pytest.fixture(scope="module")
def wide_dir(tmp_path_factory):
    """Enough validation works to fit a temperature on."""
    folder = tmp_path_factory.mktemp("wide")
    write_tiny(folder, "wide", {"train": 40, "validation": 45, "test": 36})
    return folder


@pytest.fixture(scope="module")
def workdir(wide_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(config(), Places(folder, wide_dir), **ONE)
    return folder


@pytest.fixture
def copy(workdir, tmp_path):
    return shutil.copytree(workdir, tmp_path / "copy")


@pytest.fixture
def pictures(tmp_path):
    folder, rng = tmp_path / "pictures", np.random.default_rng(5)
    folder.mkdir()
    for i in range(5):
        stripes(i % 3, rng).save(folder / f"{i}.png")
    return folder


def by_hand(workdir, name):
    """The works of a split as the network by itself sees them: raw predictions and embeddings."""
    opened = open_run(workdir)
    split = opened.data.split(name, {"artist": "artist"})
    network, variables = opened.run.network, opened.run.variables
    raw = predict_split(network, variables, split)["artist"][1]
    return raw, embed(network, variables, split)


def changed(workdir, **changes):
    """Changes what is kept for the task of a run."""
    file = workdir / reliability.FILE
    values = json.loads(file.read_text())
    values["tasks"]["artist"] |= changes
    file.write_text(json.dumps(values))


def test_the_temperature_is_that_of_validation_and_test_is_scored_with_it(workdir):
    raw, _ = by_hand(workdir, "validation")
    expected = temperature.fitted(raw)
    kept = json.loads((workdir / reliability.FILE).read_text())
    assert kept["tasks"]["artist"]["temperature"] == pytest.approx(expected, rel=1e-4)
    assert kept["tasks"]["artist"]["loss"] < kept["tasks"]["artist"]["loss_uncalibrated"]
    raw, _ = by_hand(workdir, "test")
    row = json.loads((workdir / "evaluation/test/metrics.json").read_text())["tasks"]["artist"]
    after = reliability.divided(raw, row["temperature"])
    assert row["temperature"] == kept["tasks"]["artist"]["temperature"]
    assert row["loss"] == pytest.approx(loss(after), rel=1e-6)
    assert row["loss_uncalibrated"] == pytest.approx(loss(raw), rel=1e-6) != row["loss"]
    assert row["top1"] == (raw.predicted == raw.labels).mean()
    assert {f"{name}_uncalibrated" for name in judging.UNCALIBRATED} <= row.keys()


def test_the_numbers_of_sure_and_of_foreign_works_are_those_by_hand(workdir):
    result = evaluate.evaluate_workdir(workdir, "test")
    row = result["tasks"]["artist"]
    known = reliability.of_run(Run.load(workdir))
    raw, there = by_hand(workdir, "test")
    share = np.exp(reliability.divided(raw, row["temperature"]).log_probabilities.max(axis=1))
    sure = share >= known.thresholds["artist"].probability
    assert row["sure_from"] == known.thresholds["artist"].probability
    assert 0 < row["n_sure"] == sure.sum()
    assert row["n_sure_wrong"] == (sure & (raw.predicted != raw.labels)).sum()
    _, of_train = by_hand(workdir, "train")
    works = of_train[kept_embeddings.kept(workdir, known.step).indices]
    assert len(works) == 25
    _, of_validation = by_hand(workdir, "validation")
    limit = unlike.limit(unlike.distances(of_validation, works), 0.05)
    assert known.farthest == pytest.approx(limit, abs=1e-3)
    assert row["n_unlike_train"] == (unlike.distances(there, works) > limit).sum()
    # Others are compared with train, and validation has set the limit.
    for name in ("train", "validation"):
        used = evaluate.evaluate_workdir(workdir, name)["tasks"]["artist"]
        assert used["n_unlike_train"] is None
    rates = {"error_rate": 1e-6, "foreign_rate": 0.5}
    strict = evaluate.evaluate_workdir(workdir, "test", settings=rates)["tasks"]["artist"]
    assert strict["sure_from"] is None
    assert (strict["n_sure"], strict["error_rate"]) == (0, 1e-6)
    assert strict["n_unlike_train"] > row["n_unlike_train"]


def test_pictures_are_predicted_with_all_of_it(workdir, pictures, capsys):
    run = Run.load(workdir)
    known = reliability.of_run(run)
    result = predict([run], [pictures])
    best = [guess for guess in result.guesses if guess.rank == 1]
    plain = predict([run], [pictures], views=5)  # the temperature is that of one view
    assert {guess.unsure for guess in plain.guesses} == {None}
    for guess, said in zip(best, artjax.load(workdir).predict(pictures), strict=True):
        assert said.ranked["artist"][0].probability == pytest.approx(guess.probability)
        assert said.unlikeness == pytest.approx(guess.unlikeness, rel=1e-3)
        assert said.unsure == {"artist": guess.unsure}
        assert guess.unsure == (guess.probability < known.thresholds["artist"].probability)
        assert guess.unlike_train == (guess.unlikeness > 1)
    changed(workdir, temperature=1.0)
    raw = {(g.path, g.label): g.probability for g in predict([run], [pictures]).guesses}
    changed(workdir, temperature=known.tasks["artist"].temperature)
    for path in {guess.path for guess in result.guesses}:
        own = [guess for guess in result.guesses if guess.path == path]
        powers = np.asarray([raw[path, guess.label] for guess in own])
        powers **= 1 / known.tasks["artist"].temperature
        found = [guess.probability for guess in own]
        np.testing.assert_allclose(found, powers / powers.sum(), rtol=1e-4)
    folder = ["--workdir", str(workdir), "--mode", "predict", str(pictures)]
    assert main([*folder, "--config.eval.foreign_rate=0.5"]) == 0
    printed = capsys.readouterr().out
    assert "probabilities divided by temperature" in printed
    assert "of 5 pictures are unlike anything in train" in printed
    with (workdir / "predict" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["unlike_train"] == ("yes" if float(row["unlikeness"]) > 1 else "no")
        assert row["artist_unsure"] in ("yes", "no")
    assert any(f"({words}" in printed for words in ("unsure", "unlike")) == any(
        "yes" in (row["artist_unsure"], row["unlike_train"]) for row in rows
    )


def test_what_is_of_another_checkpoint_or_lost_changes_nothing_and_is_said(
    copy, wide_dir, pictures
):
    raw, _ = by_hand(copy, "test")
    file = copy / reliability.FILE
    kept = file.read_bytes()
    for content, says in (
        (kept.replace(b'"step": ', b'"step": 1'), "is of the best checkpoint, of step 1"),
        (kept[:100], "is damaged"),
        (b"[]", "is damaged"),
        (None, "is written when a training ends"),
    ):
        file.unlink() if content is None else file.write_bytes(content)
        row = evaluate.evaluate_workdir(copy, "test")["tasks"]["artist"]
        assert row["loss"] == row["loss_uncalibrated"] == pytest.approx(loss(raw))
        assert row["temperature"] is row["n_sure"] is row["n_unlike_train"] is None
        result = predict([Run.load(copy)], [pictures])
        assert {(g.unsure, g.unlike_train) for g in result.guesses} == {(None, None)}
        (line,) = judging.said_of(result.judges)
        assert line.startswith("not calibrated")
        assert says in line
    # The command of the training writes it again, and scores the splits with it.
    train(config(), Places(copy, wide_dir), **ONE)
    before, again = (json.loads(text)["tasks"]["artist"] for text in (kept, file.read_bytes()))
    assert again["temperature"] == pytest.approx(before["temperature"], rel=1e-4)
    (copy / kept_embeddings.FILE).write_bytes(b"PK")
    assert reliability.of_run(Run.load(copy)).farthest is None
    assert (
        "no embeddings of train are kept"
        in judging.said_of([judging.Judge(reliability.of_run(Run.load(copy)), 1)])[-1]
    )


def test_an_ensemble_is_the_mean_of_calibrated_members(workdir, copy, pictures):
    changed(copy, temperature=9.0)
    result = ensemble.evaluate_ensemble([workdir, copy], "test")["tasks"]["artist"]
    raw, _ = by_hand(workdir, "test")
    own = reliability.of_run(Run.load(workdir))
    parts = [
        np.exp(reliability.divided(raw, by).log_probabilities)
        for by in (own.tasks["artist"].temperature, 9.0)
    ]
    mean = np.mean(parts, axis=0)
    rows = np.arange(len(mean))
    assert result["loss"] == pytest.approx(-np.log(mean[rows, raw.labels]).mean(), rel=1e-6)
    assert result["loss_uncalibrated"] == pytest.approx(loss(raw), rel=1e-6)
    assert result["temperature"] is None
    assert result["sure_from"] == own.thresholds["artist"].probability
    assert result["n_sure"] == (mean.max(axis=1) >= result["sure_from"]).sum()
    alone = evaluate.evaluate_workdir(workdir, "test")["tasks"]["artist"]
    assert result["n_unlike_train"] == alone["n_unlike_train"]
    both = predict([Run.load(workdir), Run.load(copy)], [pictures])
    single = [predict([Run.load(w)], [pictures]) for w in (workdir, copy)]
    of = [{(g.path, g.label): g for g in r.guesses} for r in (*single, both)]
    for key, guess in of[2].items():
        members = [of[0][key], of[1][key]]
        assert guess.probability == pytest.approx(np.mean([m.probability for m in members]))
        assert guess.unlikeness == pytest.approx(members[0].unlikeness)
    (copy / reliability.FILE).unlink()
    half = predict([Run.load(workdir), Run.load(copy)], [pictures])
    assert {(g.unsure, g.unlikeness) for g in half.guesses} == {(None, None)}


def test_a_training_may_keep_no_embeddings_and_folds_have_a_temperature_each(wide_dir, tmp_path):
    small = config(folds=2, steps=4, eval__kept_works=0)
    outcome = cross_validate(small, Places(tmp_path, wide_dir), **ONE)
    row = outcome.results["folds"]["tasks"]["artist"]
    losses = []
    for fold in range(2):
        known = reliability.of_run(Run.load(tmp_path / f"fold{fold}"))
        assert not known.why_not
        assert known.farthest is None
        assert not (tmp_path / f"fold{fold}" / kept_embeddings.FILE).exists()
        path = tmp_path / f"fold{fold}" / "evaluation" / "test" / "metrics.json"
        of_fold = json.loads(path.read_text())["tasks"]["artist"]
        assert of_fold["temperature"] == known.tasks["artist"].temperature
        losses.append((of_fold["n"], of_fold["loss_uncalibrated"], of_fold["n_sure"]))
    weights, of_folds, sure = zip(*losses, strict=True)
    assert row["loss_uncalibrated"] == pytest.approx(np.average(of_folds, weights=weights))
    assert row["n_sure"] == sum(sure)
    assert row["n_unlike_train"] is row["temperature"] is None

"""Cross-validation: every work is tested once, and the folds together are one score."""

import csv
import json

import jax
import numpy as np
import pytest
from tiny import ARTISTS, SPLITS, open_canvases, tiny_config

from artjax.data.folds import fold_of
from artjax.errors import ArtjaxError
from artjax.evaluation import baselines, metrics
from artjax.evaluation.intervals import share_interval
from artjax.evaluation.paired import paired
from artjax.modes.folds import _pooled, cross_validate, evaluate_folds
from artjax.places import Places
from artjax.training.checks import check_config

FEATURES = {"artist": "artist"}
FOLDS = 3


def test_folds_have_disjoint_test_works_that_are_all_works(data_dir):
    data = open_canvases(tiny_config(), data_dir, None)
    tested = []
    for fold in range(FOLDS):
        folded = fold_of(data, FOLDS, fold)
        splits = {name: folded.split(name, FEATURES) for name in SPLITS}
        names = [set(split.file_names) for split in splits.values()]
        assert sum(map(len, names)) == len(set.union(*names)) == sum(SPLITS.values())
        assert abs(len(names[1]) - 10) <= 2
        for split in splits.values():
            counts = np.bincount(split.labels["artist"], minlength=3)
            assert counts.max() - counts.min() <= 2
        tested += splits["test"].file_names.tolist()
    assert len(tested) == len(set(tested)) == sum(SPLITS.values())


def test_images_of_a_fold_are_those_of_the_collection(data_dir):
    data = open_canvases(tiny_config(), data_dir, None)
    whole = {}
    for name in SPLITS:
        split = data.split(name, FEATURES)
        images = split.gather(np.arange(len(split)))
        for i, file in enumerate(split.file_names):
            whole[file] = {key: array[i] for key, array in images.items()}
    for name in SPLITS:
        split = fold_of(data, FOLDS, 1).split(name, FEATURES)
        images = split.gather(np.arange(len(split)))
        for i, file in enumerate(split.file_names):
            for key, array in images.items():
                np.testing.assert_array_equal(array[i], whole[file][key])


@pytest.mark.slow
def test_folds_are_resumed_and_pooled_into_one_score(data_dir, tmp_path, capsys):
    folds = 2
    config = tiny_config(model__name="narrow_bn", folds=folds, steps=8, eval_every=4, log_every=4)
    one = {"devices": jax.devices()[:1]}
    stopped = cross_validate(config, Places(tmp_path, data_dir), stop_after_steps=4, **one)
    assert not stopped.finished
    outcome = cross_validate(config, Places(tmp_path, data_dir), **one)
    assert outcome.finished
    assert capsys.readouterr().out.count("resuming from the checkpoint of step 4") == folds
    file = tmp_path / "evaluation" / "folds" / "metrics.json"
    result = json.loads(file.read_text())
    row = result["tasks"]["artist"]
    with (tmp_path / "evaluation" / "folds" / "predictions.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len({r["file_name"] for r in rows}) == len(rows) == row["n"] == sum(SPLITS.values())
    assert row["top1"] == np.mean([r["label"] == r["predicted"] for r in rows])
    recalls = [
        np.mean([r["predicted"] == name for r in rows if r["label"] == name]) for name in ARTISTS
    ]
    assert [row["by_class"][name]["recall"] for name in ARTISTS] == pytest.approx(recalls)
    assert row["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert row["auroc_classes"] == 3
    for fold in range(folds):
        path = tmp_path / f"fold{fold}" / "evaluation" / "test" / "metrics.json"
        alone = json.loads(path.read_text())["tasks"]["artist"]
        own = [r["label"] == r["predicted"] for r in rows if r["fold"] == str(fold)]
        assert row["by_fold"][fold] == {"n": len(own), "top1": alone["top1"]}
        assert np.mean(own) == alone["top1"]
    assert row["baselines"]["chance"] == pytest.approx(1 / 3)
    before = file.read_bytes()
    evaluate_folds(tmp_path, folds, data_dir)
    assert file.read_bytes() == before
    several = evaluate_folds(tmp_path, folds, data_dir, views=5)
    assert several["views"] == json.loads(file.read_text())["views"] == 5
    assert several["tasks"]["artist"]["loss"] != row["loss"]


def test_numbers_of_folds_of_different_sizes_count_by_their_works():
    """The baselines are those of one split that has the works of all folds."""
    sizes, rng = (2, 5, 13), np.random.default_rng(3)
    parts, rows = [], []
    for n in sizes:
        part = metrics.Predictions(
            rng.integers(0, 3, n),
            np.log(rng.dirichlet(np.ones(3), n)),
            rng.permutation(n) + 100 * n,
            rng.integers(0, 4, n),
            {"colour_histograms": rng.random(n) < 0.5},
        )
        # Train's most frequent class is 1 in each, so the pooled baseline is that of all works.
        values = baselines.baselines(np.asarray([0, 1, 1]), part.labels, 3, part.others)
        parts.append(part)
        rows.append(metrics.summary(part) | {"baselines": values})
    pooled = _pooled(parts, rows, ARTISTS)
    labels = np.concatenate([part.labels for part in parts])
    right = np.concatenate([part.predicted == part.labels for part in parts])
    assert (pooled["n"], pooled["works"]) == (20, 20)
    # The same painters are in several folds.
    clusters = np.concatenate([part.clusters for part in parts])
    assert pooled["clusters"] == 4
    assert pooled["top1_ci95"] == list(share_interval(right, clusters))
    theirs = np.concatenate([part.others["colour_histograms"] for part in parts])
    compared = paired(right, theirs, clusters)
    assert pooled["paired"] == {"colour_histograms": compared._asdict()}
    assert compared.p != paired(right, theirs).p
    assert pooled["top1"] == right.mean()
    found = pooled["baselines"]
    assert found["train_majority"] == pytest.approx((labels == 1).mean())
    for name in ("best_constant", "colour_histograms"):
        values = [row["baselines"][name] for row in rows]
        assert found[name] == pytest.approx(np.dot(values, sizes) / 20)
        assert found[name] != pytest.approx(np.mean(values))
    assert found["uniform_loss"] == pytest.approx(np.log(3))
    assert pooled["by_fold"] == [{"n": row["n"], "top1": row["top1"]} for row in rows]
    assert "n_unseen_by_weights" not in pooled
    for row, unseen, top1 in zip(rows, (1, 0, 4), (1.0, None, 0.25), strict=True):
        row |= {"n_unseen_by_weights": unseen, "top1_unseen_by_weights": top1}
    of_unseen = {"n_unseen_by_weights": 5, "top1_unseen_by_weights": 2 / 5}
    assert _pooled(parts, rows, ARTISTS) == pooled | of_unseen
    rows[0] |= dict.fromkeys(of_unseen)  # the weights of one fold are not known
    assert _pooled(parts, rows, ARTISTS) == pooled | dict.fromkeys(of_unseen)
    rows[1]["baselines"]["colour_histograms"] = None  # scikit-learn was not there for one of them
    assert _pooled(parts, rows, ARTISTS)["baselines"]["colour_histograms"] is None


def test_one_fold_and_a_fold_by_hand_are_refused():
    with pytest.raises(ArtjaxError, match=r"folds=1: it must be 0 \(no cross-validation\), or 2"):
        check_config(tiny_config(folds=1))
    with pytest.raises(ArtjaxError, match="fold=2: it must be left to the cross-validation"):
        check_config(tiny_config(fold=2))


def test_official_lists_are_not_divided_anew(data_dir):
    data = open_canvases(tiny_config(), data_dir, None)
    data.prepared.metadata["official"] = ["test"]
    with pytest.raises(ArtjaxError, match="has an official test list"):
        fold_of(data, FOLDS, 0)

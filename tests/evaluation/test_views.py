"""Several views of each work: the mean of the probabilities, here by hand."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from guesses import predict
from PIL import Image
from scipy import special
from tiny import stripes, tiny_config

from artjax import augment
from artjax.errors import ConfigError
from artjax.evaluation import evaluate, views
from artjax.places import Places
from artjax.runs import Run
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training.logs import read_rows
from artjax.training.training import create_training

narrow_config = partial(tiny_config, model__name="narrow_bn")

ONE = {"devices": jax.devices()[:1]}


def network(devices=1, **changes):
    """A network with random weights, and a batch."""
    mesh = create_mesh(devices=jax.devices()[:devices])
    config = tiny_config(model__name="narrow", **changes)
    training = create_training(config, {"artist": 3}, 60, mesh)
    of = training.network
    leaves, tree = jax.tree.flatten(training.initial_state().variables)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, 40, 40, 3), np.uint8),
        "aspect": rng.uniform(0.4, 2.5, 8).astype(np.float32),
    }
    return of, jax.tree.unflatten(tree, drawn), jax.device_put(batch, of.batch_sharding)


def test_probabilities_are_the_mean_over_views_that_were_cut_by_hand():
    of, variables, batch = network()

    @jax.jit
    def of_view(view):
        crops = augment.view_of(batch["image"], batch["aspect"], 32, view)
        return of.model.apply(variables, of.preprocessing.normalise(crops))["artist"]

    logits = [np.asarray(of_view(view), np.float64) for view in augment.fixed_views(10)]
    probabilities = special.softmax(logits, axis=2)
    assert np.ptp(probabilities, axis=0).max() > 1e-3  # the views differ
    for count in (5, 10):
        ours = views.logits_of_views(of, variables, batch, count)["artist"]
        assert ours.dtype == np.float64
        by_hand = np.mean(probabilities[:count], axis=0)
        np.testing.assert_allclose(np.exp(ours), by_hand, rtol=1e-4)
    assert of.eval_step._cache_size() == 1  # one program for all views
    one = views.logits_of_views(of, variables, batch, 1)["artist"]
    np.testing.assert_array_equal(one, of.logits(variables, batch)["artist"])
    assert one.dtype == np.float32


@pytest.mark.slow
def test_views_on_eight_devices_in_micro_batches_are_those_of_one():
    one, many = network(1), network(8, accumulate=2)
    expected, ours = (views.logits_of_views(*of, 10)["artist"] for of in (one, many))
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


@pytest.fixture(scope="module")
def workdirs(data_dir, tmp_path_factory):
    """The same run, with one view and with five."""
    found = {}
    for count in (1, 5):
        folder = found[count] = tmp_path_factory.mktemp("run")
        train(
            narrow_config(steps=8, eval_every=4, eval__views=count), Places(folder, data_dir), **ONE
        )
    return found


def result_of(workdir, split="test"):
    return json.loads((workdir / "evaluation" / split / "metrics.json").read_text())


def without_reliability(result):
    """A result without what validation says of one number of views, and not of another."""
    of_one = ("temperature", "sure_from", "n_sure", "n_sure_wrong", "sure_trials")
    tasks = {
        task: {name: value for name, value in row.items() if name not in of_one}
        for task, row in result["tasks"].items()
    }
    return result | {"tasks": tasks}


@pytest.mark.slow
def test_views_change_the_final_evaluation_and_not_the_validations(workdirs):
    rows = [
        [(row["step"], row["validation/loss"]) for row in read_rows(w) if "validation/loss" in row]
        for w in workdirs.values()
    ]
    assert rows[0] == rows[1]
    assert [step for step, _ in rows[0]] == [4, 8]
    assert [result_of(w)["views"] for w in workdirs.values()] == [1, 5]
    losses = [result_of(w)["tasks"]["artist"]["loss"] for w in workdirs.values()]
    assert losses[0] != losses[1]
    # A finished run can be evaluated with other views, with the result of the run that had them.
    for asked, others, has in ((1, 5, 5), (5, 1, 1), (1, None, 1)):
        result = evaluate.evaluate_workdir(workdirs[asked], "validation", views=others)
        there = evaluate.evaluate_workdir(workdirs[has], "validation")
        assert without_reliability(result) == without_reliability(there)
        assert result["views"] == has


@pytest.mark.slow
def test_a_finished_run_does_not_take_the_result_of_other_views_for_its_own(workdirs, data_dir):
    before = result_of(workdirs[1])
    assert evaluate.evaluate_workdir(workdirs[1], "test", views=10) != before
    config = narrow_config(steps=8, eval_every=4)
    assert train(config, Places(workdirs[1], data_dir), **ONE).results["test"]["views"] == 1
    after = result_of(workdirs[1])
    assert after["tasks"]["artist"]["top1"] == before["tasks"]["artist"]["top1"]
    assert after["views"] == 1


@pytest.mark.slow
def test_predictions_use_the_views_of_the_run_or_those_that_are_asked_for(workdirs, tmp_path):
    wide = tmp_path / "wide.png"
    halves = [np.asarray(stripes(i, np.random.default_rng(i)).resize((60, 60))) for i in (0, 1)]
    Image.fromarray(np.concatenate(halves, axis=1)).save(wide)
    of_run = predict([Run.load(workdirs[5])], [wide])
    asked = predict([Run.load(workdirs[1])], [wide], views=5)
    assert [judge.views for judge in (*of_run.judges, *asked.judges)] == [5, 5]
    assert [g[:5] for g in of_run.guesses] == [g[:5] for g in asked.guesses]
    alone = predict([Run.load(workdirs[1])], [wide])
    assert [judge.views for judge in alone.judges] == [1]
    assert alone.guesses != asked.guesses
    assert sum(guess.probability for guess in asked.guesses) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0, 2, "5", True])
def test_other_numbers_of_views_are_refused(wrong, workdirs, tmp_path):
    with pytest.raises(ConfigError, match=r"eval\.views"):
        evaluate.evaluate_workdir(workdirs[1], "test", views=wrong)
    with pytest.raises(ConfigError, match=r"eval\.views"):
        predict([Run.load(workdirs[1])], [tmp_path], views=wrong)

"""Pretrained trunks: frozen or fine-tuned, from another run, with features computed once."""

import csv
import dataclasses
import json
import re
import shutil
import statistics
from functools import partial

import jax
import numpy as np
import pytest
import tiny
from guesses import predict
from safetensors.numpy import save_file
from tiny import GENRES, encoded, store, stripes, tiny_config

from artjax import pretrained
from artjax.config import apply_overrides, load_config_file
from artjax.data import batches
from artjax.errors import ArtjaxError, ConfigError
from artjax.evaluation import evaluate, metrics
from artjax.evaluation.ensemble import evaluate_ensemble
from artjax.evaluation.feature_export import export_features
from artjax.models import named_weights
from artjax.models.translation import CAFFE, TORCHVISION
from artjax.modes.folds import cross_validate
from artjax.places import Places
from artjax.runs import Run, open_run, seen
from artjax.runtime.mesh import create_mesh
from artjax.setup import open_setup
from artjax.startup_report import trunk_health
from artjax.train import train
from artjax.training import features as features_lib
from artjax.training.checks import check_config
from artjax.training.frozen import FILE
from artjax.training.logs import read_rows
from artjax.training.network import preprocessing_of
from artjax.training.networks import network_of
from artjax.training.training import Training

narrow_config = partial(tiny_config, model__name="narrow_bn")

FREEZE = (("(?!head_).*", 0.0),)
ONE = {"devices": jax.devices()[:1]}


@pytest.fixture(scope="module")
def trunk(data_dir, tmp_path_factory):
    """The workdir of a run on the genres, whose trunk others take."""
    workdir = tmp_path_factory.mktemp("trunk")
    assert train(
        narrow_config(task=("genre",), steps=20), Places(workdir, data_dir), **ONE
    ).finished
    return workdir


@pytest.fixture(scope="module")
def probed(trunk, data_dir, tmp_path_factory):
    """The workdir of a finished run on features; to be read only."""
    workdir = tmp_path_factory.mktemp("probed")
    train(probe(trunk, features__views=2), Places(workdir, data_dir), **ONE)
    return workdir


def probe(trunk, **changes):
    given = {"model__weights": str(trunk), "optim__groups": FREEZE, "steps": 8}
    return narrow_config(**given | changes)


def variables(workdir, which="last"):
    return Run.load(workdir, which).variables


def leaves(tree):
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(k.key for k in path): np.asarray(leaf) for path, leaf in paths}


def assert_same(evaluated, outcome):
    """The same scores; eight devices round otherwise than one."""
    ours, theirs = evaluated["tasks"]["artist"], outcome.results["test"]["tasks"]["artist"]
    assert ours["top1"] == theirs["top1"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


@pytest.mark.slow
def test_a_frozen_trunk_stays_and_is_written_once(trunk, data_dir, tmp_path, capsys):
    outcome = train(probe(trunk), Places(tmp_path, data_dir), **ONE)
    said = capsys.readouterr().out
    assert "pretrained: " in said
    assert f"from {trunk}, step 20" in said
    assert "frozen" in said
    assert "trunk: 16 features of an image" in said
    before, after = leaves(variables(trunk, "best")), leaves(variables(tmp_path))
    for path, value in after.items():
        if "head_" not in path:  # parameters and BatchNorm's statistics
            np.testing.assert_array_equal(value, before[path], err_msg=path)
    assert np.abs(after["params/head_artist/kernel"]).max() > 0
    # Neither state nor checkpoints hold what is not trained.
    run = Run.load(tmp_path)
    assert set(run.network.abstract_variables["params"]) == {"head_artist"}
    state = Training(run.network, 60).abstract_state
    assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state)) < 1000
    record = run.record.pretrained
    assert record["source"] == str(trunk)
    assert len(record["sha256"]) == 64
    # The workdir is enough: the trunk's is gone.
    moved = tmp_path.parent / "moved"
    shutil.copytree(tmp_path, moved)
    again = evaluate.evaluate_workdir(moved, "test", data_dir=data_dir)
    assert_same(again, outcome)


def test_settings_that_differ_from_those_of_the_weights_are_named(trunk, tmp_path):
    weights = pretrained.OpenWeights(str(trunk))
    config = probe(trunk, model__activation="gelu", preprocessing__channel_order="BGR")
    found, lines = pretrained.with_preprocessing(config, weights, None)
    assert len(lines) == 2
    assert (
        "expect channel_order RGB, and --config.preprocessing.channel_order or preset" in lines[0]
    )
    assert "the activation relu, and --config.model.activation sets gelu" in lines[1]
    own = {"preset": "", "channel_order": "BGR", "crop_share": 1.0, "interpolation": "linear"}
    assert found.preprocessing.to_dict() == own | {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert pretrained.with_preprocessing(probe(trunk), weights, None)[1] == []
    rounded = probe(trunk, preprocessing__mean=(0.5001, 0.5, 0.5))
    assert pretrained.with_preprocessing(rounded, weights, None)[1] == []


def opened_squeezenet(source, **changes):
    """The input and the lines of a run that takes these weights."""
    weights = pretrained.OpenWeights(source)
    config = tiny_config(model__name="squeezenet1_1", model__weights=source, **changes)
    weights.check(config)
    found, lines = pretrained.with_preprocessing(config, weights, None)
    return preprocessing_of(found), lines


def test_an_input_is_warned_of_only_where_the_weights_say_theirs(pytestconfig, tmp_path):
    # The real file is known, so it says what it expects.
    assert opened_squeezenet("squeezenet1_1") == (CAFFE, [])
    assert opened_squeezenet("squeezenet1_1", preprocessing__preset="caffe") == (CAFFE, [])
    found, lines = opened_squeezenet("squeezenet1_1", preprocessing__preset="imagenet")
    assert found == TORCHVISION
    # The means differ by less than they are rounded.
    assert [line.partition(",")[0] for line in lines] == [
        "warning: the pretrained weights expect std 0.003922",
        "warning: the pretrained weights expect channel_order BGR",
    ]
    # Of a file with torchvision's names it is only usual.
    golden = (
        pytestconfig.rootpath / "tests" / "models" / "golden" / "squeezenet1_1-torchvision.json"
    )
    shapes = json.loads(golden.read_text())["shapes"]
    file = tmp_path / "w.safetensors"
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, file)
    assert opened_squeezenet(str(file)) == (TORCHVISION, [])
    found, (line,) = opened_squeezenet(str(file), preprocessing__preset="caffe")
    assert found == CAFFE
    assert line.startswith("input: std 0.003922,0.003922,0.003922, channel_order BGR, as set; ")
    assert "the file does not say (with such names it is often std 0.229,0.224,0.225, " in line


def test_a_resumed_run_keeps_the_input_of_its_preset():
    earlier = tiny_config(model__weights="w", preprocessing__preset="caffe")
    earlier, _ = pretrained.with_preprocessing(earlier, None, None)
    assert earlier.preprocessing.channel_order == "BGR"
    again, _ = pretrained.with_preprocessing(tiny_config(model__weights="w"), None, earlier)
    assert again.preprocessing == earlier.preprocessing
    other = tiny_config(model__weights="w", preprocessing__preset="tf")
    other, _ = pretrained.with_preprocessing(other, None, earlier)
    assert other.preprocessing.preset == "tf"
    assert preprocessing_of(other).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("recipe", ["probe", "finetune"])
def test_recipes_start_from_the_weights_of_the_extra(recipe, pytestconfig, monkeypatch):
    file = pytestconfig.rootpath / "configs" / f"{recipe}.py"
    config = load_config_file(file, "collection")
    assert config.model.weights == "squeezenet1_1"
    check_config(config)
    missing = dataclasses.replace(named_weights.NAMED["squeezenet1_1"], package="artjax-no-such")
    monkeypatch.setitem(named_weights.NAMED, "squeezenet1_1", missing)
    config = load_config_file(file, "collection")
    assert config.model.weights == ""
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    assert "\n" not in str(caught.value)
    for way in ('squeezenet1_1 (after pip install -e ".[weights]")', "hf:OWNER/NAME", "a file"):
        assert way in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["probe", "finetune", "baumer_chen"])
def test_every_recipe_takes_a_trunk_with_batch_norm(recipe, trunk, data_dir, tmp_path):
    config = load_config_file(f"configs/{recipe}.py", "tiny")
    fields = {"model.weights": str(trunk), "batch_size": "16", "steps": "4", "canvas_size": "40"}
    fields["model.head_layers"] = "(8,)" if recipe == "baumer_chen" else "()"
    # The trunk has three stages; the recipe freezes four of five.
    fields["optim.groups"] = {"baumer_chen": "(('(conv|bn|act)[1-2]_.*',0.0),)"}.get(
        recipe, str(config.optim.groups)
    )
    apply_overrides(config, fields.items())
    assert train(config, Places(tmp_path, data_dir), **ONE).finished
    before, after = leaves(variables(trunk, "best")), leaves(variables(tmp_path))
    moved = {path for path in before.keys() & after.keys() if (before[path] != after[path]).any()}
    first, last = "params/conv1_1/kernel", "params/conv3_2/kernel"
    assert (first in moved, last in moved) == {
        "probe": (False, False),
        "finetune": (True, True),
        "baumer_chen": (False, True),
    }[recipe]
    # Statistics of frozen layers stay; those of `finetune` are fixed by `model.fix_norms`.
    statistics = {path for path in moved if path.startswith("batch_stats/bn")}
    assert {path.split("/")[1] for path in statistics} == (
        {"bn3_1", "bn3_2"} if recipe == "baumer_chen" else set()
    )


@pytest.mark.slow
def test_a_probe_of_the_published_weights_needs_nothing_else(data_dir, tmp_path, capsys):
    config = load_config_file("configs/probe.py", "tiny")
    apply_overrides(config, [("image_size", "32"), ("steps", "2"), ("features.views", "1")])
    assert train(config, Places(tmp_path, data_dir), **ONE).finished
    said = capsys.readouterr().out
    assert said.startswith("pretrained: 722,496 parameters from squeezenet1_1 (SqueezeNet 1.1, ")
    assert "few for a network that starts from scratch" not in said
    assert "warning: the pretrained weights" not in said
    run = Run.load(tmp_path)
    assert run.preprocessing == CAFFE
    assert run.record.pretrained["sha256"] == named_weights.NAMED["squeezenet1_1"].sha256


@pytest.mark.slow
@pytest.mark.parametrize("views", [0, 2])
def test_a_resumed_probe_equals_an_uninterrupted_one(views, trunk, data_dir, tmp_path):
    config = probe(trunk, features__views=views, ema_decay=0.9)
    folder = {"feature_dir": tmp_path / "features"}
    train(config, Places(tmp_path / "whole", data_dir, **folder), **ONE)
    other = tmp_path / "trunk"
    shutil.copytree(trunk, other)
    config = probe(other, features__views=views, ema_decay=0.9)
    train(config, Places(tmp_path / "cut", data_dir, **folder), stop_after_steps=5, **ONE)
    shutil.rmtree(other)  # resuming needs only the workdir
    train(config, Places(tmp_path / "cut", data_dir, **folder), **ONE)
    whole, cut = leaves(variables(tmp_path / "whole")), leaves(variables(tmp_path / "cut"))
    for path, value in whole.items():
        np.testing.assert_array_equal(value, cut[path], err_msg=path)
    rows = [
        [
            {k: v for k, v in row.items() if "perf" not in k and "time" not in k}
            for row in read_rows(w)
        ]
        for w in (tmp_path / "whole", tmp_path / "cut")
    ]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_features_give_the_same_as_the_trunk_in_every_step(trunk, tmp_path, monkeypatch):
    # Without random augmentation, and with square works, every view is what evaluation sees.
    fixed = {"augment__min_area": 1.0, "augment__max_stretch": 1.0, "augment__flip": False}
    monkeypatch.setattr(tiny, "stripes", lambda *given: stripes(*given).resize((64, 64)))
    tiny.write_tiny(tmp_path)
    train(probe(trunk, **fixed), Places(tmp_path / "step", tmp_path), **ONE)
    once = train(
        probe(trunk, **fixed, features__views=1), Places(tmp_path / "once", tmp_path), **ONE
    )
    assert (tmp_path / "features" / "tiny" / "1.0.0").is_dir()
    in_step, of_features = (
        leaves(variables(tmp_path / "step")),
        leaves(variables(tmp_path / "once")),
    )
    for path, value in in_step.items():
        np.testing.assert_allclose(value, of_features[path], rtol=2e-3, atol=2e-4, err_msg=path)
    assert np.abs(in_step["params/head_artist/kernel"]).max() > 0.01
    result = evaluate.evaluate_workdir(tmp_path / "once", "test", data_dir=tmp_path)
    assert_same(result, once)


@pytest.mark.slow
def test_features_are_those_of_the_trunk(probed):
    opened = open_run(probed, "last")
    data, network, variables = opened.data, opened.run.network, opened.run.variables
    split = data.split("test", {"artist": "artist"})
    features = opened.features
    seen = features.seen(split)
    assert seen.images.dtype == np.float16
    assert seen.images.shape == (99, 16)  # a row for each work of the collection
    np.testing.assert_array_equal(
        seen.rows, np.arange(19)
    )  # "test" is the first of the splits' names
    whole = evaluate.predict_split(network, variables, split)["artist"][1]
    of_features = evaluate.predict_split(network, variables, seen)["artist"][1]
    np.testing.assert_allclose(whole.log_probabilities, of_features.log_probabilities, atol=5e-3)
    views = features.views(data.split("train", {"artist": "artist"}), 2)
    assert len(views) == 120
    first, second = np.split(views.gather(np.arange(120))["image"], 2)
    assert (np.abs(first - second).max(1) > 0).all()  # each view is another crop


@pytest.mark.slow
def test_the_line_about_the_trunk_says_how_its_features_vary(probed):
    opened = open_run(probed, "last")
    setup = open_setup(opened.run.config, opened.places)
    (line,) = trunk_health(setup, opened.run.variables)
    split = setup.splits["train"]
    seen = opened.features.seen(split)
    first = np.float64(seen.gather(batches.create_order(setup.config, split)(0))["image"])
    deviations = [statistics.pstdev(feature) for feature in first.T.tolist()]
    spread = statistics.mean(deviations) / np.abs(first).mean()
    dead = np.mean([max(map(abs, feature)) == 0 for feature in first.T.tolist()])
    said = re.fullmatch(
        r"trunk: 16 features of an image; on the first batch (\S+)% of them are always 0, and their "
        r"mean standard deviation over the images is (\S+)% of their mean magnitude",
        line,
    )
    assert [float(number) for number in said.groups()] == pytest.approx(
        [100 * dead, 100 * spread], abs=0.06
    )


@pytest.mark.slow
def test_several_views_are_computed_on_images_not_on_features(probed):
    opened = open_run(probed)
    network, variables = opened.run.network, opened.run.variables
    split = opened.data.split("test", {"artist": "artist"})
    by_hand = evaluate.predict_split(network, variables, split, 5)["artist"][1]
    row = evaluate.evaluate_workdir(probed, "test", views=5)["tasks"]["artist"]
    assert row["loss"] == metrics.loss(by_hand)
    assert row["loss"] != evaluate.evaluate_workdir(probed, "test")["tasks"]["artist"]["loss"]
    features = opened.features.seen(split)
    with pytest.raises(ValueError, match="features have no views"):
        evaluate.predict_split(network, variables, features, 5)


@pytest.mark.slow
def test_features_that_were_interrupted_continue(trunk, data_dir, tmp_path, monkeypatch):
    config = probe(trunk, features__views=1)
    folder = {"feature_dir": tmp_path / "features"}
    computed, write = [], features_lib.write_atomically

    def count(path, content):
        write(path, content)
        computed.append(int(np.unpackbits(np.frombuffer(content, np.uint8)).sum()))

    def killed(path, content):
        count(path, content)
        if len(computed) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(features_lib, "write_atomically", killed)
    monkeypatch.setattr(features_lib, "_KEPT_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(config, Places(tmp_path / "run", data_dir, **folder), **ONE)
    monkeypatch.setattr(features_lib, "write_atomically", count)
    monkeypatch.setattr(features_lib, "_KEPT_EVERY_S", np.inf)
    train(config, Places(tmp_path / "run", data_dir, **folder), **ONE)
    # 60 works of train as evaluation sees them, 20 of validation, 19 of test, 60 of train as drawn.
    assert computed == [16, 32, 60, 80, 99, 60]
    monkeypatch.undo()
    monkeypatch.setattr(
        features_lib.Features, "_compute", None
    )  # all is there: nothing is computed
    train(config, Places(tmp_path / "again", data_dir, **folder), **ONE)


@pytest.mark.slow
def test_fine_tuning_keeps_heads_of_the_same_classes(trunk, data_dir, tmp_path, capsys):
    config = narrow_config(
        model__weights=str(trunk),
        model__name="auto",
        model__fix_norms=True,
        task=("genre", "artist"),
        optim__layer_decay=0.5,
        optim__groups=(("head_.*", 2.0),),
        optim__head_first=0.5,
        steps=8,
        eval_every=4,
    )
    train(config, Places(tmp_path, data_dir), stop_after_steps=4, **ONE)
    said = capsys.readouterr().out
    assert "with the head for genre" in said
    half, start = leaves(variables(tmp_path)), leaves(variables(trunk, "best"))
    np.testing.assert_array_equal(half["params/conv1_1/kernel"], start["params/conv1_1/kernel"])
    assert (half["params/head_genre/kernel"] != start["params/head_genre/kernel"]).any()
    train(config, Places(tmp_path, data_dir), **ONE)
    end = leaves(variables(tmp_path))
    assert (end["params/conv1_1/kernel"] != start["params/conv1_1/kernel"]).any()
    np.testing.assert_array_equal(end["batch_stats/bn1_1/mean"], start["batch_stats/bn1_1/mean"])


@pytest.mark.slow
def test_rows_of_a_head_are_kept_by_the_names_of_the_classes(trunk, data_dir, tmp_path, capsys):
    store(
        tmp_path,
        "grown",
        {"genre": ("study", "still life", "portrait")},
        {
            split: [
                {
                    "image": encoded(stripes(n % 3, np.random.default_rng(n))),
                    "genre": n % 3,
                    "file_name": f"{split}/{n}.jpg",
                    "work_id": f"{split}/{n}",
                }
                for n in range(16)
            ]
            for split in ("train", "validation", "test")
        },
    )
    config = narrow_config(
        collection="grown", task=("genre",), model__weights=str(trunk), model__name="auto", steps=4
    )
    setup = open_setup(config, Places(tmp_path / "run", tmp_path), **ONE)
    assert "the head for genre: 2 of 3 classes are kept; 1 is new: study" in capsys.readouterr().out
    start, first = leaves(variables(trunk, "best")), leaves(setup.initial_state().variables)
    for leaf in ("kernel", "bias"):
        of = f"params/head_genre/{leaf}"
        assert tuple(GENRES) == ("portrait", "still life")
        np.testing.assert_array_equal(first[of][..., 1:], start[of][..., ::-1])
        assert not first[of][..., 0].any()


@pytest.mark.slow
def test_predicts_with_a_frozen_trunk(trunk, data_dir, tmp_path):
    train(probe(trunk), Places(tmp_path / "run", data_dir), **ONE)
    stripes(0, np.random.default_rng(0)).save(tmp_path / "picture.png")
    assert len(predict([Run.load(tmp_path / "run")], [tmp_path / "picture.png"]).guesses) == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"optim__groups": (("(?!head_).*", 0.0), ("conv9.*", 0.1))}, "'conv9.*' matches no"),
        ({"optim__groups": ((".*", 0.0),)}, "all parameters are frozen"),
        ({"model__name": "vgg11"}, "its network is narrow_bn, not vgg11"),
        ({"model__activation": "prelu"}, "has another trunk; it differs in"),
        ({"optim__groups": (), "features__views": 1}, "no stage of the network is frozen"),
        ({"features__views": 1, "augment__mixup": 0.2}, "features are not mixed"),
        (
            {"model__weights": "", "model__name": "auto"},
            "model.name=auto is that of the pretrained",
        ),
    ],
)
def test_what_cannot_work_is_one_line(changes, says, trunk, data_dir, tmp_path):
    with pytest.raises(ArtjaxError) as caught:
        train(probe(trunk, **changes), Places(tmp_path, data_dir), **ONE)
    assert says in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert not (tmp_path / FILE).exists()


def test_a_folder_without_a_run_is_one_line(data_dir, tmp_path):
    with pytest.raises(ArtjaxError, match=r"--config.model.weights=.*: no checkpoint in"):
        train(probe(tmp_path), Places(tmp_path / "run", data_dir), **ONE)


@pytest.mark.slow
def test_a_lost_frozen_file_is_one_line(trunk, data_dir, tmp_path):
    train(probe(trunk), Places(tmp_path, data_dir), stop_after_steps=2, **ONE)
    (tmp_path / FILE).write_bytes(b"short")
    with pytest.raises(ArtjaxError, match=r"frozen.safetensors, which holds the frozen"):
        train(probe(trunk), Places(tmp_path, data_dir), **ONE)


FOLDS = 3


@pytest.fixture(scope="module")
def divided(trunk, data_dir, tmp_path_factory):
    """The workdir of a cross-validation of probes, whose trunk knows some of the works of each fold."""
    workdir = tmp_path_factory.mktemp("divided")
    cross_validate(probe(trunk, folds=FOLDS), Places(workdir, data_dir), **ONE)
    return workdir


def learnt_works(opened):
    """The works of train and validation of a run."""
    labels = {task: task for task in opened.run.config.task}
    splits = [opened.data.split(name, labels) for name in ("train", "validation")]
    return {str(name) for split in splits for name in split.file_names}


def unseen_row(folder, learnt):
    """The fields of `metrics.json` on works that the weights have not seen, from `predictions.csv`."""
    with (folder / "predictions.csv").open() as file:
        right = [
            r["label"] == r["predicted"]
            for r in csv.DictReader(file)
            if r["file_name"] not in learnt
        ]
    return {"n_unseen_by_weights": len(right), "top1_unseen_by_weights": np.mean(right)}


@pytest.mark.slow
def test_folds_have_a_score_without_the_works_that_the_weights_have_seen(
    trunk, divided, data_dir, capsys
):
    learnt = learnt_works(open_run(trunk))
    assert len(learnt) == 53  # of train and validation, those whose genre is known
    for name in ("folds", *(f"fold{fold}" for fold in range(FOLDS))):
        folder = divided / "evaluation" / "folds"
        if name != "folds":
            folder = divided / name / "evaluation" / "test"
        row = json.loads((folder / "metrics.json").read_text())["tasks"]["artist"]
        expected = unseen_row(folder, learnt)
        assert 0 < expected["n_unseen_by_weights"] < row["n"]
        assert row == row | expected
    assert row["n_unseen_by_weights"] != row["n"] - row["n_unseen_by_weights"]
    capsys.readouterr()
    cross_validate(probe(trunk, folds=FOLDS), Places(divided, data_dir), **ONE)
    said = capsys.readouterr().out.splitlines()
    (line,) = (line for line in said if line.startswith("folds artist: "))
    assert "; without the 53 that the weights have learnt from, top-1 " in line


def exported(folder):
    with (folder / "works.csv").open(encoding="utf-8") as file:
        return np.load(folder / "features.npy"), list(csv.DictReader(file))


def test_exported_features_and_works_have_the_same_order(probed, tmp_path):
    opened = open_run(probed)
    assert export_features(probed, tmp_path) == (opened.data.works, 16)
    features, rows = exported(tmp_path)
    assert features.dtype == np.float16
    row_of = {row["file_name"]: i for i, row in enumerate(rows)}
    assert len(row_of) == len(rows) == len(features)
    names = opened.data.prepared.labels["artist"]
    labelled = 0
    for name in ("train", "validation", "test"):
        split = opened.data.split(name, {"artist": "artist"})
        seen = opened.features.seen(split)
        there = [row_of[file] for file in split.file_names.tolist()]
        np.testing.assert_array_equal(features[there], seen.images[seen.rows])
        labels = [names[label] for label in split.labels["artist"]]
        assert [rows[i]["artist"] for i in there] == labels
        assert [rows[i]["work_id"] for i in there] == split.work_ids.tolist()
        assert {rows[i]["split"] for i in there} == {name}
        labelled += len(there)
    assert sum(row["split"] == "" for row in rows) == len(rows) - labelled
    assert set(opened.data.prepared.labels) <= rows[0].keys()


def test_exported_features_need_no_frozen_trunk(trunk, probed, tmp_path):
    for workdir in (trunk, probed):
        export_features(workdir, tmp_path / workdir.name)
    (own, _), (of_probe, _) = (exported(tmp_path / run.name) for run in (trunk, probed))
    # The trunk of the one is that of the other; only the batches differ.
    np.testing.assert_allclose(own, of_probe, rtol=2e-3, atol=1e-3)


@pytest.mark.slow
def test_folds_export_their_trunk_once(divided, tmp_path):
    works, _ = export_features(divided, tmp_path)
    _, rows = exported(tmp_path)
    assert len(rows) == works
    for fold in range(FOLDS):
        tested = open_run(divided / f"fold{fold}").data.split("test", {"artist": "artist"})
        of_fold = {row["file_name"] for row in rows if row["split"] == f"fold{fold}"}
        assert of_fold == set(tested.file_names.tolist())


def test_folds_have_the_same_programs():
    mesh = create_mesh(**ONE)

    def network(**changes):
        return network_of(narrow_config(folds=3, **changes), {"artist": 2}, mesh)

    first, second, other = network(fold=0), network(fold=1), network(fold=0, seed=1)
    assert (first.config.fold, second.config.fold) == (0, 1)
    assert first.eval_step is second.eval_step
    assert first.eval_step is not other.eval_step


@pytest.mark.slow
def test_works_of_all_earlier_runs_are_warned_of_at_the_start(
    trunk, divided, data_dir, tmp_path, capsys
):
    learnt = learnt_works(open_run(trunk)) | learnt_works(open_run(divided / "fold0"))
    train(probe(divided / "fold0"), Places(tmp_path, data_dir), **ONE)
    opened = open_run(tmp_path)
    counts = []
    for name in ("test", "validation"):
        split = opened.data.split(name, {"artist": "artist"})
        known = sum(str(file) in learnt for file in split.file_names)
        counts.append(f"{known} of the {len(split)} {name} works")
        row = json.loads((tmp_path / "evaluation" / name / "metrics.json").read_text())
        assert row["tasks"]["artist"]["n_unseen_by_weights"] == len(split) - known
    assert f"warning: the weights have learnt from {counts[1]} and {counts[0]}: their score is" in (
        capsys.readouterr().out
    )
    # What the run itself has learnt from is no matter of its weights.
    train_row = evaluate.evaluate_workdir(tmp_path, "train")["tasks"]["artist"]
    assert "n_unseen_by_weights" not in train_row


@pytest.mark.slow
def test_works_that_the_weights_have_not_seen_are_no_matter(
    trunk, probed, data_dir, tmp_path, capsys
):
    row = json.loads((probed / "evaluation" / "test" / "metrics.json").read_text())
    assert row["tasks"]["artist"]["n_unseen_by_weights"] == 19
    train(probe(trunk), Places(tmp_path, data_dir), stop_after_steps=1, **ONE)
    assert "test works" not in capsys.readouterr().out
    row = json.loads((trunk / "evaluation" / "test" / "metrics.json").read_text())
    assert "n_unseen_by_weights" not in row["tasks"]["genre"]


@pytest.mark.slow
def test_an_ensemble_has_seen_what_any_of_its_members_has(trunk, divided, data_dir, tmp_path):
    alone = narrow_config(folds=FOLDS, fold=0, steps=2)
    train(alone, Places(tmp_path, data_dir), **ONE)
    members = [tmp_path, divided / "fold0"]
    row = evaluate_ensemble(members, "test")["tasks"]["artist"]
    folder = tmp_path / "evaluation" / "ensemble-test"
    expected = unseen_row(folder, learnt_works(open_run(trunk)))
    assert 0 < expected["n_unseen_by_weights"] < row["n"]
    assert row == row | expected


@pytest.mark.slow
def test_a_lost_list_of_works_is_said_and_written_again(trunk, data_dir, tmp_path, capsys):
    other, workdir, next_run = (tmp_path / name for name in ("trunk", "run", "next"))
    shutil.copytree(trunk, other)
    (other / seen.FILE).unlink()
    train(probe(other), Places(workdir, data_dir), **ONE)
    said = capsys.readouterr().out
    line = f"it cannot be known which works the weights have learnt from ({other / seen.FILE} is missing"
    assert line in said
    assert "test artist: " in said
    assert said.count("; it cannot be known which of them the weights have learnt from") == 2
    row = evaluate.evaluate_workdir(workdir, "test")["tasks"]["artist"]
    assert row["n_unseen_by_weights"] is row["top1_unseen_by_weights"] is None
    # A run whose own list is lost writes it again, and still does not know that of its weights.
    (workdir / seen.FILE).unlink()
    train(probe(other), Places(workdir, data_dir), **ONE)
    assert evaluate.evaluate_workdir(workdir, "test")["tasks"]["artist"] == row
    capsys.readouterr()
    train(probe(workdir), Places(next_run, data_dir), stop_after_steps=1, **ONE)
    assert line.replace(str(other), str(workdir)) in capsys.readouterr().out
    # That of a run without such weights is whole again.
    train(narrow_config(task=("genre",), steps=20), Places(other, data_dir), **ONE)
    before, after = seen.of_run(trunk), seen.of_run(other)
    np.testing.assert_array_equal(after.works, before.works)
    np.testing.assert_array_equal(after.pictures, before.pictures)
    assert not after.unknown

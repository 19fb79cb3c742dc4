"""Features are kept under the name of all that they depend on, and of nothing else."""

from dataclasses import replace

import details
import jax
import numpy as np
import pytest
from tiny import open_canvases, tiny_config

from artjax.data.folds import fold_of
from artjax.runtime.mesh import create_mesh
from artjax.training import features as features_lib
from artjax.training.features import Features
from artjax.training.groups import flat, nested
from artjax.training.network import Network

FREEZE = (("(?!head_).*", 0.0),)
ARTIST = {"artist": "artist"}


def network(**changes):
    given = {"optim__groups": FREEZE, "features__views": 1, "batch_size": 8}
    given |= {"model__name": "narrow"}
    config = tiny_config(**given | changes)
    return Network(config, {"artist": 3}, create_mesh(devices=jax.devices()[:1]))


@pytest.fixture(scope="module")
def data(data_dir):
    return open_canvases(tiny_config(), data_dir, None)


@pytest.fixture
def frozen():
    """The frozen variables with numbers that differ from array to array."""
    rng = np.random.default_rng(0)
    shapes = flat(network().initial_frozen())
    drawn = {path: rng.normal(size=leaf.shape).astype(leaf.dtype) for path, leaf in shapes.items()}
    return nested(drawn)


def features(data, root, frozen, **changes):
    return Features(network(**changes), frozen, data, root)


def folder(data, frozen=None, **changes):
    """Where the features would be; without arrays the settings alone decide."""
    root = data.directory / "features"
    return features(data, root, frozen or {}, **changes).directory.relative_to(root)


def test_the_same_settings_arrays_and_data_have_the_same_folder(data, frozen):
    first = folder(data, frozen)
    assert first == folder(replace(data), nested({p: a.copy() for p, a in flat(frozen).items()}))
    assert first.parts[:2] == ("tiny", "1.0.0")


# Settings of the optimizer, of the heads and of the run leave the outputs of the trunk as they are.
@pytest.mark.parametrize(
    "changes",
    [
        {"optim__peak_lr": 0.5},
        {"batch_size": 16},
        {"features__views": 3},
        {"steps": 7},
        {"seed": 5},
        {"augment__flip": False},
        {"model__head_layers": (8,)},
        {"ema_decay": 0.5},
    ],
    ids=str,
)
def test_what_features_do_not_depend_on_leaves_their_folder(changes, data, frozen):
    assert folder(data, frozen, **changes) == folder(data, frozen)


@pytest.mark.parametrize(
    "changes",
    [
        {"model__name": "vgg16"},
        {"optim__groups": (("conv1.*|conv2.*", 0.0),)},  # the boundary
        {"image_size": 40},
        {"canvas_size": 48},
        {"preprocessing__channel_order": "BGR"},
        {"preprocessing__crop_share": 0.875},
        {"preprocessing__interpolation": "cubic"},
        {"preprocessing__mean": (0.4, 0.5, 0.5)},
        {"preprocessing__std": (0.5, 0.5, 0.4)},
        {"precision": "bfloat16"},
        {"image_feature": "photograph"},
    ],
    ids=str,
)
def test_each_setting_that_features_depend_on_has_a_folder_of_its_own(changes, data):
    assert folder(data, **changes) != folder(data)
    assert folder(data, **changes) == folder(data, **changes)


@pytest.mark.parametrize("changes", [{"fingerprint": "0"}, {"name": "other"}, {"version": "1.0.1"}])
def test_other_data_has_a_folder_of_its_own(changes, data):
    other = replace(data, prepared=replace(data.prepared, **changes))
    assert folder(other) != folder(data)


@pytest.mark.slow
def test_a_collection_that_is_built_anew_gets_no_old_features(data, tmp_path, details_dir):
    names = []
    for where in (details_dir, tmp_path):
        if where == tmp_path:
            details.write_details(tmp_path, seed=1)  # the same works in other colours
        built = open_canvases(details.details_config(), where, tmp_path / where.name)
        names.append((built.split("test", ARTIST).file_names.tolist(), folder(built)))
    (works, first), (other_works, second) = names
    assert works == other_works
    assert first != second


@pytest.mark.parametrize("path", ["params/conv1_1/kernel", "params/conv3_2/bias"])
def test_arrays_before_the_boundary_count_to_the_last_bit(path, data, frozen):
    changed = {p: a.copy() for p, a in flat(frozen).items()}
    first = changed[path].flat[0]
    changed[path].flat[0] = np.nextafter(first, np.float32(np.inf))
    assert folder(data, nested(changed)) != folder(data, frozen)


def test_an_array_by_another_name_is_another_array(data, frozen):
    changed = dict(flat(frozen))
    one, other = "params/conv3_1/bias", "params/conv3_2/bias"
    assert changed[one].shape == changed[other].shape
    changed[one], changed[other] = changed[other], changed[one]
    assert folder(data, nested(changed)) != folder(data, frozen)


def test_frozen_arrays_after_the_boundary_do_not_count(data, frozen):
    # Of the third stage one array is trained, so it is behind the boundary.
    trained = {"optim__groups": (("(?!head_|conv3_1).*", 0.0),)}
    assert network(**trained).boundary == "stage2"
    changed = {p: a.copy() for p, a in flat(frozen).items()}
    changed["params/conv3_2/kernel"] += 1
    assert folder(data, nested(changed), **trained) == folder(data, frozen, **trained)
    changed["params/conv2_1/kernel"] += 1
    assert folder(data, nested(changed), **trained) != folder(data, frozen, **trained)


@pytest.fixture
def computed(data, frozen, tmp_path, monkeypatch):
    """A function that gives the features of a split: how many were computed for it, and the numbers."""
    counts, compute = [], Features._compute

    def count(self, missing, *more):
        counts.append(len(missing.rows))
        compute(self, missing, *more)

    monkeypatch.setattr(Features, "_compute", count)

    def of(split, views=(), root=tmp_path, data=data, **changes):
        counts.clear()
        opened = features(data, root, frozen, **changes)
        seen = opened.views(split, *views) if views else opened.seen(split)
        return sum(counts), seen.gather(np.arange(len(seen)))["image"]

    return of


def test_features_belong_to_their_works_in_their_order(computed, data):
    split = data.split("test", ARTIST)
    count, part = computed(split.only(np.arange(12)))
    assert count == 12
    count, whole = computed(split)
    assert count == 19 - 12  # the others are there
    np.testing.assert_array_equal(whole[:12], part)
    assert (np.abs(whole[:-1] - whole[1:]).max(1) > 0).all()
    for rows in (np.arange(12), np.arange(19)[::-1]):
        count, part = computed(split.only(rows))
        assert count == 0
        np.testing.assert_array_equal(part, whole[rows])
    # Neither the seed nor the augmentation changes what evaluation sees.
    assert computed(split, seed=1, augment__flip=False, augment__min_area=0.5)[0] == 0


@pytest.mark.slow
def test_folds_tasks_and_splits_share_the_features_of_a_work(computed, data, tmp_path):
    train = data.split("train", ARTIST)
    count, first = computed(train.only(np.arange(20)), views=(1,))
    assert count == 20
    assert computed(data.split("train", {"genre": "genre"}), views=(1,))[0] == 27  # 40 with a genre
    of_work = {}
    counts = []
    for fold in range(3):
        folded = fold_of(data, 3, fold)
        for name in ("train", "validation", "test"):
            split = folded.split(name, ARTIST)
            count, numbers = computed(split, views=(1,), data=folded)
            counts.append(count)
            for file, row in zip(split.file_names, numbers, strict=True):
                np.testing.assert_array_equal(of_work.setdefault(file, row), row)
    assert sum(counts) == 99 - 20 - 27
    np.testing.assert_array_equal([of_work[file] for file in train.file_names[:20]], first)
    # What is drawn for a work does not depend on those that are computed with it.
    alone = computed(train.only(np.asarray([7])), views=(1,), root=tmp_path / "alone")
    assert alone[0] == 1
    np.testing.assert_allclose(alone[1][0], first[7], rtol=2e-3, atol=1e-3)
    assert np.abs(first[7] - first[8]).max() > 0.01


def test_an_array_that_is_damaged_is_computed_anew(computed, data, tmp_path, monkeypatch):
    split = data.split("test", ARTIST).only(np.arange(4))
    _, numbers = computed(split)
    (array,) = tmp_path.rglob("evaluated.npy")
    array.write_bytes(b"")
    write = features_lib.write_atomically
    # Killed before a row is written: the rows of the damaged array must not count for the new one.
    monkeypatch.setattr(features_lib, "write_atomically", None)
    with pytest.raises(TypeError):
        computed(split)
    monkeypatch.setattr(features_lib, "write_atomically", write)
    count, again = computed(split)
    assert count == 4
    np.testing.assert_array_equal(again, numbers)


@pytest.mark.slow
def test_views_depend_on_the_seed_the_augmentation_and_their_number(computed, data):
    split = data.split("train", ARTIST).only(np.arange(8))
    count, one = computed(split, views=(1,))
    assert count == 8
    count, two = computed(split, views=(2,))
    assert count == 8  # the first is there
    np.testing.assert_array_equal(two[:8], one)
    assert (np.abs(two[:8] - two[8:]).max(1) > 0).all()
    others = [
        {"seed": 1},
        {"augment__min_area": 0.1},
        {"augment__policy": "trivial"},
    ]
    found = [one]
    for changes in others:
        count, numbers = computed(split, views=(1,), **changes)
        assert count == 8, changes
        assert all((numbers != other).any() for other in found), changes
        found.append(numbers)
    assert computed(split, views=(2,))[0] == 0

"""Features are kept under the name of all that they depend on, and of nothing else."""

from dataclasses import replace

import details
import jax
import numpy as np
import pytest
from tiny import open_canvases, tiny_config

from artjax.runtime.mesh import create_mesh
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
def computed(data, frozen, tmp_path):
    """A function that computes the features of a split; it returns the file and the numbers."""

    def compute(split, views=(), **changes):
        of = features(data, tmp_path, frozen, **changes)
        before = set(of.directory.glob("*.npy"))
        seen = of.views(split, *views) if views else of.seen(split)
        numbers = np.asarray(seen.images[np.arange(len(seen))])
        return {path.name for path in set(of.directory.glob("*.npy")) - before}, numbers

    return compute


def test_features_belong_to_their_works_in_their_order(computed, data):
    split = data.split("test", ARTIST)
    new, whole = computed(split)
    assert len(new) == 1
    assert computed(split)[0] == set()  # they are there
    for rows in (np.arange(12), np.arange(19)[::-1]):
        new, part = computed(split.only(rows))
        assert len(new) == 1
        np.testing.assert_array_equal(part, whole[rows])
    # Neither the seed nor the augmentation changes what evaluation sees.
    assert computed(split, seed=1, augment__flip=False, augment__min_area=0.5)[0] == set()


@pytest.mark.slow
def test_views_depend_on_the_seed_the_augmentation_and_their_number(computed, data):
    split = data.split("train", ARTIST).only(np.arange(8))
    new, one = computed(split, views=(1,))
    assert len(new) == 1
    new, two = computed(split, views=(2,))
    assert len(new) == 1  # the first is there
    np.testing.assert_array_equal(two[:8], one)
    assert (np.abs(two[:8] - two[8:]).max(1) > 0).all()
    others = [
        {"seed": 1},
        {"augment__min_area": 0.1},
        {"augment__policy": "trivial"},
    ]
    found = [one]
    for changes in others:
        new, numbers = computed(split, views=(1,), **changes)
        assert len(new) == 1, changes
        assert all((numbers != other).any() for other in found), changes
        found.append(numbers)
    assert computed(split, views=(2,))[0] == set()

import threading
from dataclasses import replace

import jax
import numpy as np
import pytest
from tiny import tiny_config

from artjax.data import batches
from artjax.data.works import Split
from artjax.errors import ConfigError
from artjax.runtime.mesh import batch_sharding, create_mesh


def split_of_works(works, side=4):
    images = np.broadcast_to(
        np.arange(works, dtype=np.uint8)[:, None, None, None], (works, side, side, 3)
    )
    return Split(
        name="train",
        images=images,
        rows=np.arange(works),
        aspect=np.linspace(0.5, 2, works, dtype=np.float32),
        labels={"artist": np.arange(works, dtype=np.int32)},
        file_names=np.arange(works).astype(str),
    )


@pytest.mark.parametrize("batch_size", [1, 7, 16, 50])
def test_every_epoch_visits_every_work_once(batch_size):
    works, epochs = 21, 6
    steps = -(-works * epochs // batch_size)
    visited = np.concatenate([batches.batch_indices(3, t, batch_size, works) for t in range(steps)])
    for epoch in range(epochs):
        here = visited[epoch * works : (epoch + 1) * works]
        assert sorted(here) == list(range(works))
    assert list(visited[:works]) != list(visited[works : 2 * works])


def test_order_depends_on_the_seed_alone():
    first = batches.batch_indices(0, 5, 8, 100)
    np.testing.assert_array_equal(first, batches.batch_indices(0, 5, 8, 100))
    assert list(first) != list(batches.batch_indices(1, 5, 8, 100))


@pytest.mark.parametrize("devices", [1, 8])
def test_batches_are_the_same_on_one_and_on_eight_devices(devices):
    sharding = batch_sharding(create_mesh(devices=jax.devices()[:devices]))
    indices = batches.batch_indices(0, 0, 16, 40)
    batch = batches.put(split_of_works(40), indices, sharding)
    assert batch["image"].shape == (16, 4, 4, 3)
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], indices)
    np.testing.assert_array_equal(batch["label/artist"], indices)
    assert batch["mask"].all()
    assert len(batch["image"].sharding.device_set) == devices


@pytest.mark.parametrize("works", [1, 15, 16, 17, 40])
def test_evaluation_sees_every_work_once_in_batches_of_one_shape(works):
    sharding = batch_sharding(create_mesh())
    seen = []
    for real, batch in batches.evaluation_batches(split_of_works(works), 16, sharding):
        assert batch["image"].shape[0] == 16
        assert int(batch["mask"].sum()) == len(real)
        np.testing.assert_array_equal(np.asarray(batch["label/artist"])[len(real) :], -1)
        seen.extend(np.asarray(batch["image"])[: len(real), 0, 0, 0])
    assert seen == list(range(works))


def test_prefetch_keeps_the_order_and_raises_the_error_of_its_thread():
    def produce(number):
        if number == 3:
            raise ValueError("third")
        return number

    feed = batches.prefetch(produce, 0, 10)
    assert [next(feed) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="third"):
        next(feed)


def test_closing_prefetch_ends_its_thread():
    feed = batches.prefetch(lambda number: number, 0, 1000)
    assert next(feed) == 0
    assert any(thread.name == "prefetch" for thread in threading.enumerate())
    feed.close()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


# 5 works of class 0, 2 of class 3, 1 of class 1, none of class 2, and 4 without a label.
LABELS = np.asarray([0, -1, 3, 0, 0, -1, 1, 0, 3, -1, 0, -1])


def test_balanced_classes_occur_once_in_each_round():
    drawn = batches.BalancedOrder(7, LABELS).works_at(np.arange(3 * 40))
    rounds = LABELS[drawn].reshape(40, 3)
    assert (np.sort(rounds) == [0, 1, 3]).all()
    assert len({tuple(of) for of in rounds.tolist()}) == 6  # all orders of the classes


def test_balanced_classes_use_all_their_works_before_one_returns():
    drawn = batches.BalancedOrder(7, LABELS).works_at(np.arange(3 * 40))
    for label, works in ((0, {0, 3, 4, 7, 10}), (1, {6}), (3, {2, 8})):
        of_class = drawn[LABELS[drawn] == label].reshape(-1, len(works))
        assert all(set(passed) == works for passed in of_class.tolist())
        orders = {tuple(passed) for passed in of_class.tolist()}
        assert len(orders) > 1 or len(works) == 1


@pytest.mark.parametrize("batch_size", [1, 4, 7, 50])
def test_balanced_order_depends_on_seed_and_position_alone(batch_size):
    whole = batches.BalancedOrder(7, LABELS).works_at(np.arange(200))
    parts = [
        batches.BalancedOrder(7, LABELS).works_at(np.arange(start, start + batch_size))
        for start in range(0, 200 - batch_size + 1, batch_size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole[: batch_size * len(parts)])
    assert list(whole) != list(batches.BalancedOrder(8, LABELS).works_at(np.arange(200)))


def test_shuffled_order_is_that_of_batch_indices():
    order = batches.create_order(tiny_config(seed=3), split_of_works(40))
    np.testing.assert_array_equal(order(5), batches.batch_indices(3, 5, 16, 40))


def test_balanced_sampling_without_any_label_is_one_line():
    unlabelled = replace(split_of_works(4), labels={"artist": np.full(4, -1, np.int32)})
    with pytest.raises(ConfigError, match=r"no work of train has a label for artist"):
        batches.create_order(tiny_config(sampling="balanced"), unlabelled)

"""Fits use one thread, and afterwards the libraries have their own number again."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from artjax.data import colours
from artjax.evaluation import colour_histograms
from artjax.modes.labels import heads
from artjax.runtime.threads import one_thread

LABELS = np.arange(12) % 2


def threads():
    return {library["num_threads"] for library in threadpool_info()}


def of_colours():
    counts = np.random.default_rng(0).integers(1, 9, (12, colours.BINS))
    names = ("train", "validation", "test")
    return colour_histograms.colour_baseline(
        dict.fromkeys(names, counts), dict.fromkeys(names, LABELS)
    )


def of_heads():
    features = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    return heads.cross_validated(features, LABELS, np.arange(12), 2, 0)


def test_in_the_block_there_is_one():
    with threadpool_limits(2):
        assert 2 in threads()
        with one_thread():
            assert threads() == {1}
        assert 2 in threads()


@pytest.mark.parametrize(
    ("module", "step", "whole"),
    [(colour_histograms.colours, "histograms", of_colours), (heads, "log_softmax", of_heads)],
)
def test_fits_and_what_is_around_them_have_one(module, step, whole, monkeypatch):
    seen, own = [], getattr(module, step)

    def watched(*arguments):
        seen.append(threads())
        return own(*arguments)

    monkeypatch.setattr(module, step, watched)
    with threadpool_limits(2):
        assert whole() is not None
        assert 2 in threads()
    assert seen
    assert all(found == {1} for found in seen)

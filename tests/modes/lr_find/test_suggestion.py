"""The rules of the range test, and its picture."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from artjax.modes.lr_find import suggestion as rules
from artjax.modes.lr_find.mode import range_of, steps_for
from artjax.modes.lr_find.picture import draw
from artjax.training.optim import OPTIMIZERS

RATES = rules.rates(1e-4, 10, 101)
# Flat, then a valley whose deepest point is at 1, then divergence.
LOSSES = 2.5 - 1.5 / (1 + (0.05 / RATES) ** 2) + np.maximum(0, RATES - 1) ** 2


def test_rates_rise_by_the_same_factor():
    np.testing.assert_allclose(RATES[[0, 20, 100]], [1e-4, 1e-3, 10])


def test_the_average_is_that_of_optax():
    losses = np.random.default_rng(0).normal(size=30)
    average = optax.ema(rules.SMOOTHING, debias=True)
    state, theirs = average.init(jnp.zeros(())), []
    for loss in losses:
        with jax.numpy_dtype_promotion("standard"):  # of Optax
            value, state = average.update(jnp.asarray(loss, jnp.float32), state)
        theirs.append(float(value))
    np.testing.assert_allclose(rules.smoothed(losses), theirs, rtol=1e-4, atol=1e-5)


def test_the_steepest_place_is_where_the_slope_is():
    # Of 1 / (1 + (a / x)^2) over log x, the slope is largest at x = a.
    place = rules.steepest(RATES, LOSSES)
    assert RATES[place] == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize(
    "losses", [np.full(50, 2.5), np.linspace(2.5, 3, 50), np.linspace(2.5, 2.46, 50), [2.5, 1, 0.5]]
)
def test_losses_that_do_not_fall_give_no_suggestion(losses):
    losses = np.asarray(losses)
    assert rules.valley(losses) is None
    assert rules.steepest(rules.rates(1e-4, 10, len(losses)), losses) is None


def test_the_first_tenth_and_the_last_five_are_left_out():
    flat = np.full(100, 2.5)
    assert rules.considered(flat, 100) == slice(10, 95)
    assert rules.considered(flat[:60], 100) == slice(10, 55)
    assert rules.considered(flat[:3], 100) == slice(10, 10)


def test_what_comes_after_a_divergence_is_left_out():
    smooth = np.concatenate(
        [np.full(20, 2.5), np.linspace(2.5, 2.0, 20), np.linspace(2.0, 3.0, 21)]
    )
    again = np.concatenate([smooth, np.linspace(3.0, 0.5, 39)])  # it falls again, and lower
    part = rules.considered(again, 100)
    assert part == slice(10, 52)  # 2 % above 2.5
    assert 20 < 10 + rules.valley(again[part]) < 40
    assert rules.divergence(again, 100) == 52
    assert again[rules.lowest(again, 100)] == 2.0


def stopped_soon_after_its_lowest():
    """It falls to 2, rises, and is lowest (1.5) three steps before it explodes."""
    return np.concatenate(
        [np.full(15, 2.5), np.linspace(2.5, 2.0, 20), np.linspace(2.0, 2.3, 10), [1.6, 1.5, 1.9, 9]]
    )


def first_loss_by_chance_lower():
    """The first batch is easier by 2 %; the loss comes back to its level before it falls to 1.5."""
    fall = np.concatenate([np.linspace(2.5, 2.38, 10), [2.47, 2.46], np.linspace(2.4, 1.5, 15)])
    return np.concatenate([[2.45], np.full(14, 2.5), fall, np.linspace(1.5, 4.0, 12)])


@pytest.mark.parametrize("curve", [stopped_soon_after_its_lowest, first_loss_by_chance_lower])
def test_lowest_is_what_the_table_says(curve):
    smooth = curve()
    rates = rules.rates(1e-4, 10, len(smooth))
    place = rules.lowest(smooth, len(smooth))
    assert place == smooth.argmin()
    reading = rules.read(rates, smooth, len(smooth))
    assert reading.lowest == place
    assert smooth[reading.diverged] > 2.5
    words = rules.in_words(reading, rates, smooth, len(smooth), 10.0)
    assert f"it is lowest at {rates[smooth.argmin()]:.2g}, before it diverges at " in words
    assert "do not count" not in words
    assert words.endswith("; that is the highest rate worth trying")
    limited = rules.in_words(reading, rates, smooth, len(smooth), rates[place] / 2)
    upper = f"{rates[place] / 2:g}"
    assert limited.endswith(
        f"; {upper}, the limit of the optimizer, is the highest rate worth trying"
    )


def test_a_loss_that_never_comes_back_has_not_diverged():
    smooth = np.concatenate(
        [np.full(20, 2.5), np.linspace(2.5, 1.0, 30), np.linspace(1.0, 2.4, 50)]
    )
    reading = rules.read(RATES[:100], smooth, 100)
    assert reading.diverged is None
    assert "diverges" not in rules.in_words(reading, RATES[:100], smooth, 100, 10.0)


def test_lower_losses_of_the_first_steps_are_named():
    smooth = np.concatenate([[1.0], np.full(19, 2.5), np.linspace(2.5, 2.0, 80)])
    reading = rules.read(RATES[:100], smooth, 100)
    assert reading.lowest == 99
    assert "(the first 10 steps do not count" in rules.in_words(
        reading, RATES[:100], smooth, 100, 10.0
    )


def test_neither_the_suggestion_nor_the_steepest_fall_is_beyond_the_lowest():
    # It is deepest at step 29; the longest fall is after that, and the steepest one at its end.
    smooth = np.concatenate(
        [
            np.full(20, 2.5),
            np.linspace(2.5, 1.5, 10),
            np.linspace(2.45, 2.2, 40),
            np.full(10, 2.2),
            [1.7],
            np.full(19, 2.2),
        ]
    )
    reading = rules.read(RATES[:100], smooth, 100)
    assert reading.lowest == 29
    assert rules.considered(smooth, 100).start + rules.valley(smooth[10:95]) > 29
    assert 19 <= reading.suggestion < 29  # the middle of the fall to it
    assert 19 <= reading.steepest < 29


@pytest.mark.parametrize("losses", [np.full(50, 2.5), np.linspace(2.5, 3, 50), np.full(3, 2.5)])
def test_of_losses_that_do_not_fall_nothing_is_read(losses):
    rates = rules.rates(1e-4, 10, len(losses))
    assert rules.read(rates, losses, 50) == rules.Reading(None, None, None, None)
    assert rules.lowest(losses, 50) is None


def test_the_valley_of_a_curve_is_in_the_middle_of_its_fall():
    # Flat to 0.001, a fall from there to 0.1, divergence: fastai's rule finds the middle, 0.01.
    rates = rules.rates(1e-4, 1, 41)
    losses = np.interp(np.log10(rates), [-4, -3, -1, 0], [2.5, 2.5, 1.0, 9.0])
    assert rates[rules.valley(losses)] == pytest.approx(0.01, rel=0.3)


def test_the_range_holds_the_useful_rates_of_every_optimizer():
    for name, optimizer in OPTIMIZERS.items():
        lowest, highest = range_of(name)
        assert lowest == pytest.approx(highest / 1e5)
        assert highest == pytest.approx(min(10, 10 * optimizer.highest_lr))


def test_few_works_have_fewer_steps():
    assert [steps_for(per_epoch) for per_epoch in (0.5, 3.0, 31.6)] == [40, 60, 100]


@pytest.mark.parametrize("suggestion", [None, 1e-4, 0.05, 9.9])
def test_the_picture_marks_the_suggestion(suggestion):
    noisy = LOSSES + np.random.default_rng(0).normal(0, 0.1, len(LOSSES))
    png = draw(RATES, noisy, rules.smoothed(LOSSES), suggestion, "vgg, sgd, studio")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red = (picture[..., 0] - picture[..., 2] > 100).sum(0)
    assert (red.max() > 200) == (suggestion is not None)
    if suggestion is not None:
        share = np.log10(suggestion / RATES[0]) / 5
        assert red.argmax() == pytest.approx(80 + share * (960 - 110), abs=2)


def test_a_picture_can_be_drawn_of_one_step_and_of_divergence():
    for losses in ([2.5], [2.5, 2.5, 1e30]):
        rates = rules.rates(1e-4, 10, 3)[: len(losses)]
        png = draw(rates, np.asarray(losses), rules.smoothed(losses), None, "")
        assert png.startswith(b"\x89PNG")

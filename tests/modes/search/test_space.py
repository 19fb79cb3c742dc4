import json

import numpy as np
import pytest
from tiny import tiny_config

from artjax.errors import ConfigError
from artjax.modes.search.results import Result, ranked, rungs, survivors
from artjax.modes.search.space import Hyperparameters, space_of, with_hyperparameters

WIDE = {"search__peak_lr": (1e-4, 1.0), "search__weight_decay": (1e-6, 1e-2)}


def test_draws_are_uniform_in_the_logarithm_and_within_their_ranges():
    space = space_of(
        tiny_config(
            **WIDE,
            search__label_smoothing=(0.1, 0.2),
            search__dropout=(0.0, 0.5),
            search__width=(0, 64),
        )
    )
    drawn = [space.draw(trial) for trial in range(1, 1001)]
    logarithms = np.log10([trial.peak_lr for trial in drawn])
    assert logarithms.min() >= -4.001
    assert logarithms.max() <= 0.001
    counts, _ = np.histogram(logarithms, bins=4, range=(-4.01, 0.01))
    assert counts.min() > 200  # 250 expected, with a standard deviation of 14
    smoothing = np.asarray([trial.label_smoothing for trial in drawn])
    assert 0.1 <= smoothing.min() < 0.11
    assert 0.19 < smoothing.max() <= 0.2
    for names, expected in (("dropout", {0.0, 0.5}), ("layers", {(), (64,)})):
        values = [getattr(trial, names) for trial in drawn]
        assert set(values) == expected
        assert 400 < values.count(values[0]) < 600
    assert np.abs(np.corrcoef(logarithms, smoothing)[0, 1]) < 0.1
    assert set(space.searched) == {
        "peak_lr",
        "weight_decay",
        "label_smoothing",
        "dropout",
        "layers",
    }


def test_a_draw_depends_on_seed_and_trial_alone():
    one, two = space_of(tiny_config(**WIDE)), space_of(tiny_config(**WIDE, search__trials=7))
    assert one.draw(3) == two.draw(3)
    assert one.draw(3) != one.draw(4)
    assert space_of(tiny_config(**WIDE, seed=1)).draw(3) != one.draw(3)


def test_the_first_trial_has_the_settings_of_the_configuration_whatever_the_ranges_are():
    config = tiny_config(**WIDE, optim__peak_lr=5.0, search__dropout=(0.5,), search__width=(64,))
    own = space_of(config).draw(0)
    assert own.flags(config) == []
    assert own.fields() == {
        "optim.peak_lr": 5.0,
        "optim.weight_decay": config.optim.weight_decay,
        "optim.label_smoothing": config.optim.label_smoothing,
        "model.dropout": 0.2,
        "model.head_layers": (),
    }
    assert Hyperparameters.from_fields(json.loads(json.dumps(own.fields()))) == own


def test_empty_ranges_lie_around_the_recipe():
    space = space_of(tiny_config(optim__peak_lr=0.05, optim__weight_decay=0.0))
    assert space.peak_lr == (0.005, 0.5)
    assert space.weight_decay == (0.0, 0.0)
    assert space.searched == ("peak_lr",)
    assert space.draw(1).weight_decay == 0
    assert space.draw(1).dropout == tiny_config().model.dropout
    # A rate that adamw diverges with is not drawn.
    assert space_of(tiny_config(optim__name="adamw", optim__peak_lr=0.01)).peak_lr == (0.001, 0.02)


def test_a_trial_is_a_configuration_of_its_own():
    config = tiny_config(search__trials=3, search__width=(0, 64), **WIDE)
    drawn = Hyperparameters(0.01, 1e-3, 0.1, 0.5, (64,))
    of_trial = with_hyperparameters(config, drawn)
    assert of_trial.optim.peak_lr == 0.01
    assert of_trial.model.head_layers == (64,)
    assert of_trial.search == tiny_config().search  # as the command that is printed gives it
    assert config.model.head_layers == ()
    assert drawn.flags(of_trial) == []
    assert drawn.flags(config) == [
        "--config.optim.peak_lr=0.01",
        "--config.optim.weight_decay=0.001",
        "--config.optim.label_smoothing=0.1",
        "--config.model.dropout=0.5",
        "--config.model.head_layers=(64,)",
    ]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("peak_lr", (0.1, 0.01), r"search\.peak_lr=\(0\.1, 0\.01\): the range is reversed"),
        ("peak_lr", (0.1,), r"search\.peak_lr=\(0\.1,\): a range is two numbers"),
        (
            "peak_lr",
            (0.0, 0.1),
            r"search\.peak_lr=.*drawn log-uniformly, so the lowest must be above",
        ),
        ("weight_decay", (-1.0, 0.1), r"search\.weight_decay=.*log-uniformly"),
        ("label_smoothing", (0.0, 1.0), r"search\.label_smoothing=.*each must be in \[0, 1\)"),
        ("dropout", (0.5, 1.0), r"search\.dropout=.*each must be in \[0, 1\)"),
        ("width", (-3,), r"search\.width=\(-3,\): widths are 0 \(no hidden layer\) or more"),
    ],
)
def test_ranges_that_make_no_sense_are_one_line(field, value, says):
    with pytest.raises(ConfigError, match=says) as error:
        space_of(tiny_config(**{f"search__{field}": value}))
    assert "\n" not in str(error.value)


def test_rungs_and_survivors_of_successive_halving():
    assert rungs(80, 2) == [10, 20, 40, 80]
    assert rungs(80, 1) == [80]
    assert rungs(3, 3) == [1, 3]
    assert [survivors(100, 2, 5), survivors(9, 2, 5), survivors(4, 2, 5)] == [50, 5, 4]
    assert survivors(100, 3, 1) == 34


def test_trials_that_were_trained_longer_rank_first_then_top1_then_loss():
    drawn = Hyperparameters(0.1, 0.0, 0.0, 0.0, ())
    scores = [(10, 0.9, 1.0), (20, 0.5, 2.0), (20, 0.5, 1.0), (20, 0.6, 3.0)]
    results = [Result(i, drawn, *of, 0.0, of[0] == 20) for i, of in enumerate(scores)]
    assert [result.number for result in ranked(results)] == [3, 2, 1, 0]
    assert [Result.from_json(result.to_json()) for result in results] == results

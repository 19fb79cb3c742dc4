"""Groups of parameters: frozen, slower, or without weight decay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import tiny_config

from artjax.errors import ConfigError
from artjax.models import HEAD
from artjax.training import optim
from artjax.training.groups import flat, group_parameters, merged, nested, split

PARAMS = {
    "a": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.ones(2)},
    "b": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
    "head_x": {"kernel": jnp.full((2, 3), 2.0)},
}
STAGES = ("a", "b", "pooled")


def part_of(path):
    return HEAD if path.startswith("head_") else path[0]


def grouped(**changes):
    config = tiny_config(**{f"optim__{name}": value for name, value in changes.items()})
    return config, group_parameters(config.optim, PARAMS, STAGES, part_of)


def rates(groups):
    return {path: row.rate for row in groups.rows for path in row.paths}


def test_without_groups_all_parameters_are_alike():
    _, groups = grouped()
    assert groups.uniform
    assert groups.boundary == ""
    assert groups.frozen == frozenset()
    assert set(rates(groups).values()) == {1.0}


def test_the_first_pattern_that_matches_the_whole_name_counts():
    _, groups = grouped(
        groups=(("a/.*", 0.5), (".*/bias", 0.0), ("head", 3.0), ("head_.*", 10.0))[:2]
    )
    assert rates(groups) == {
        "a/kernel": 0.5,
        "a/bias": 0.5,
        "b/bias": 0.0,
        "b/scale": 1.0,
        "head_x/kernel": 1.0,
    }
    with pytest.raises(ConfigError, match="the pattern 'head' matches no parameter"):
        grouped(groups=(("head", 3.0),))
    with pytest.raises(
        ConfigError, match=r"'a/.*' matches no parameter that an earlier one leaves"
    ):
        grouped(groups=((".*", 1.0), ("a/.*", 0.0)))


@pytest.mark.parametrize(
    ("patterns", "boundary"),
    [
        (("a/.*",), "a"),
        (("a/.*", "b/.*"), "pooled"),
        (("b/.*",), ""),
        (("a/kernel",), ""),
        (("a/.*", "b/scale"), "a"),
    ],
)
def test_boundary_is_the_last_stage_up_to_which_all_is_frozen(patterns, boundary):
    _, groups = grouped(groups=tuple((pattern, 0.0) for pattern in patterns))
    assert groups.boundary == boundary


def test_a_batch_norm_whose_parameters_are_frozen_is_fixed():
    statistics = {"b": {"mean": 0, "var": 1}, "head_bn1": {"mean": 0, "var": 1}}
    _, groups = grouped(groups=(("b/.*", 0.0),))
    assert groups.fixed_norms(statistics) == {"b"}
    _, groups = grouped(groups=(("b/scale", 0.0),))
    assert groups.fixed_norms(statistics) == frozenset()


def test_layer_decay_slows_the_early_stages():
    _, groups = grouped(layer_decay=0.5, groups=(("head_.*", 10.0),))
    assert rates(groups) == {
        "a/kernel": 0.25,
        "a/bias": 0.25,
        "b/bias": 0.5,
        "b/scale": 0.5,
        "head_x/kernel": 10.0,
    }


def test_the_table_names_size_rate_and_decay_of_each_group():
    _, groups = grouped(groups=(("a/.*", 0.0), ("b/.*", 0.1, 0.0)))
    assert [line.split() for line in groups.table(0.2, 0.01)] == [
        ["a/.*", "6", "parameters", "frozen"],
        ["b/.*", "4", "parameters", *["learning", "rate", "0.02,", "weight", "decay", "0"]],
        ["head", "6", "parameters", *["learning", "rate", "0.2,", "weight", "decay", "0.01"]],
    ]


def updated(config, groups, steps=1, head_first=(0, 0)):
    """The change of each parameter after some steps with a gradient of 1."""
    optimizer = optim.create_optimizer(
        config.optim, optax.constant_schedule(1.0), groups, head_first
    )
    params, _ = split(PARAMS, groups.frozen)
    start, state = params, optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    changes = jax.tree.map(lambda new, old: float((new - old).reshape(-1)[0]), params, start)
    return flat(changes)


def test_rate_and_weight_decay_are_scaled():
    settings = {"momentum": 0.0, "clip_norm": 0.0, "weight_decay": 0.1}
    config, groups = grouped(
        groups=(("b/.*", 0.0), ("a/.*", 0.5, 2.0), ("head_.*", 3.0)), **settings
    )
    changes = updated(config, groups)
    assert changes == pytest.approx(
        {
            "a/kernel": -0.5 * (1 + 0.1 * 2.0 * 2),  # decay of the value 2, twice
            "a/bias": -0.5,
            "head_x/kernel": -3.0 * (1 + 0.1 * 2.0),
        }
    )


def test_the_head_comes_first():
    settings = {"momentum": 0.0, "clip_norm": 0.0, "weight_decay": 0.0}
    config, groups = grouped(**settings)
    assert updated(config, groups, 3, (3, 4))["a/kernel"] == 0
    assert updated(config, groups, 3, (3, 4))["head_x/kernel"] == pytest.approx(-3)
    # Then 0, 1/4, 1/2, 3/4, 1, 1 of the rate.
    assert updated(config, groups, 9, (3, 4))["a/kernel"] == pytest.approx(-3.5)


def test_nested_dicts_are_divided_and_joined():
    trained, frozen = split(PARAMS, frozenset({"a/kernel", "b/bias"}))
    assert set(flat(trained)) == {"a/bias", "b/scale", "head_x/kernel"}
    assert flat(merged(trained, frozen)).keys() == flat(PARAMS).keys()
    assert nested(flat(PARAMS)).keys() == PARAMS.keys()
    other = merged(PARAMS, {"a": {"kernel": jnp.zeros((2, 2))}})
    np.testing.assert_array_equal(other["a"]["kernel"], np.zeros((2, 2)))

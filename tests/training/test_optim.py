import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import tiny_config

from artjax.config import FIELDS
from artjax.training import optim

STEPS, WARMUP, PEAK = 100, 10, 0.3


def ours(name, warmup_steps=WARMUP, **changes):
    settings = {f"optim__{key}": value for key, value in changes.items()}
    config = tiny_config(
        optim__schedule=name,
        optim__peak_lr=PEAK,
        optim__warmup_steps=warmup_steps,
        optim__warmup_epochs=0.0,
        **settings,
    )
    schedule = optim.create_schedule(config.optim, STEPS, steps_per_epoch=5.0)
    return np.asarray([schedule(step) for step in range(STEPS)])


def optax_values(schedule):
    with jax.numpy_dtype_promotion("standard"):  # of Optax
        return np.asarray([schedule(step) for step in range(STEPS)])


def test_cosine_equals_optax():
    theirs = optax.warmup_cosine_decay_schedule(0, PEAK, WARMUP, STEPS, end_value=0.1 * PEAK)
    np.testing.assert_allclose(ours("cosine", end_lr_fraction=0.1), optax_values(theirs), rtol=1e-5)


def test_constant_equals_optax():
    theirs = optax.warmup_constant_schedule(0, PEAK, WARMUP)
    np.testing.assert_allclose(ours("constant"), optax_values(theirs), rtol=1e-5)


def test_linear_equals_optax():
    theirs = optax.linear_schedule(PEAK, 0.2 * PEAK, STEPS)
    values = ours("linear", warmup_steps=0, end_lr_fraction=0.2)
    np.testing.assert_allclose(values, optax_values(theirs), rtol=1e-5)


def test_step_equals_optax_and_counts_from_the_start_of_the_run():
    values = ours("step", drop_at=(0.5, 0.75), drop_factor=0.1)
    theirs = optax_values(optax.piecewise_constant_schedule(PEAK, {50: 0.1, 75: 0.1}))
    np.testing.assert_allclose(values[WARMUP:], theirs[WARMUP:], rtol=1e-5)


def test_one_cycle_equals_optax_and_has_no_warm_up_before_it():
    theirs = optax_values(optax.cosine_onecycle_schedule(STEPS, PEAK))
    values = ours("one_cycle")
    np.testing.assert_allclose(values, theirs, rtol=1e-5)
    assert values.argmax() == 30  # Smith & Topin: a rise and a fall
    assert values[0] == pytest.approx(PEAK / 25)


TAKE_STEPS = [name for name in optim.OPTIMIZERS if name != optim.SOLVER]


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("name", optim.SCHEDULES)
def test_schedules_of_very_short_runs_are_finite_and_at_most_the_peak(name, steps):
    config = tiny_config(optim__schedule=name, optim__peak_lr=PEAK, optim__periods=4)
    schedule = optim.create_schedule(config.optim, steps, steps_per_epoch=2.0)
    values = np.asarray([schedule(step) for step in range(steps)])
    assert (values >= 0).all()
    assert (values <= PEAK * 1.0001).all()
    assert steps == 1 or values.max() > 0


def test_restarts_follow_equation_5_of_sgdr():
    values = ours("restarts", periods=3, end_lr_fraction=0.1)
    low, high, period = 0.1 * PEAK, PEAK, (STEPS - WARMUP) // 3
    for step in range(WARMUP, STEPS):
        now = (step - WARMUP) % period
        rate = low + 0.5 * (high - low) * (1 + np.cos(np.pi * now / period))
        assert values[step] == pytest.approx(rate, rel=1e-5)
    assert values[WARMUP + period] == pytest.approx(PEAK)
    np.testing.assert_allclose(ours("restarts", periods=1), ours("cosine"), rtol=1e-6)


@pytest.mark.parametrize("name", optim.SCHEDULES)
def test_schedules_of_a_traced_step_need_no_implicit_promotion(name):
    config = tiny_config(optim__schedule=name, optim__peak_lr=PEAK, optim__warmup_steps=WARMUP)
    schedule = optim.create_schedule(config.optim, STEPS, steps_per_epoch=5.0)
    steps = jnp.arange(STEPS)
    with jax.numpy_dtype_promotion("strict"):
        traced = jax.lax.map(lambda step: jnp.asarray(schedule(step), jnp.float32), steps)
    expected = [schedule(step) for step in range(STEPS)]
    np.testing.assert_allclose(traced, expected, rtol=1e-5, atol=1e-7)


LOSSES = (3.0, 2.0, 2.5, 1.99999, 2.1, 1.5, 1.6, 1.7, 1.8, 1.4, 1.41, 1.42)


@pytest.mark.slow
def test_plateau_scales_updates_as_optax_does():
    settings = {"plateau_patience": 2, "plateau_factor": 0.5, "schedule": "plateau"}
    config = tiny_config(
        optim__weight_decay=0.0, **{f"optim__{name}": value for name, value in settings.items()}
    )
    mine = optim.create_optimizer(config.optim, optax.constant_schedule(0.5))
    gradients = jax.tree.map(lambda p: 0.01 * p, PARAMS)
    theirs = optax.contrib.reduce_on_plateau(factor=0.5, patience=2)
    state, their_state = mine.init(PARAMS), theirs.init(PARAMS)
    assert optim.plateau_scale(state) == 1
    scales = []
    for loss in LOSSES:
        state = jax.jit(lambda state, loss: optim.after_validation(config.optim, state, loss))(
            state, jnp.float32(loss)
        )
        with jax.numpy_dtype_promotion("standard"):  # of Optax
            _, their_state = theirs.update(gradients, their_state, value=loss)
        scales.append(float(optim.plateau_scale(state)))
        assert scales[-1] == float(their_state.scale)
    # 2.5 and 1.99999 (no lower by a ten-thousandth), 1.6 and 1.7, 1.41 and 1.42 are two in a row.
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125]
    fresh = mine.init(PARAMS)
    before, _ = mine.update(gradients, fresh, PARAMS)
    for _ in range(3):
        fresh = optim.after_validation(config.optim, fresh, jnp.float32(1.0))
    after, _ = mine.update(gradients, fresh, PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(0.5 * a, b, rtol=1e-6), before, after)


def test_only_plateau_has_a_scale_and_a_state_for_it():
    optimizer = optim.create_optimizer(tiny_config().optim, optax.constant_schedule(0.5))
    state = optimizer.init(PARAMS)
    assert optim.plateau_scale(state) is None
    assert optim.after_validation(tiny_config().optim, state, 1.0) == state


@pytest.mark.parametrize("name", TAKE_STEPS)
def test_each_optimizer_has_a_learning_rate_that_is_not_too_high_for_it(name):
    config = tiny_config(optim__name=name, optim__peak_lr=0.0)
    own = optim.OPTIMIZERS[name].peak_lr
    assert 0 < own == optim.peak_lr(config.optim) < optim.OPTIMIZERS[name].highest_lr
    assert config.optim.peak_lr == 0
    assert f"{own:g} for " in FIELDS["optim.peak_lr"].reason
    schedule = optim.create_schedule(config.optim, STEPS, steps_per_epoch=5.0)
    assert schedule(10) == pytest.approx(own)


def test_warmup_in_epochs_is_the_warmup_in_steps():
    config = tiny_config(optim__warmup_epochs=3.0)
    assert optim.warmup_steps(config.optim, STEPS, steps_per_epoch=5.0) == 15


def test_warmup_leaves_half_of_a_short_run():
    config = tiny_config(optim__warmup_epochs=1000.0)
    assert optim.warmup_steps(config.optim, STEPS, steps_per_epoch=5.0) == 50


PARAMS = {
    "conv": {"kernel": jnp.full((3, 3), 2.0), "bias": jnp.full(3, 2.0)},
    "bn": {"scale": jnp.full(3, 2.0), "bias": jnp.full(3, 2.0)},
}


def update(gradients, **changes):
    settings = {f"optim__{key}": value for key, value in changes.items()}
    config = tiny_config(**settings)
    optimizer = optim.create_optimizer(config.optim, optax.constant_schedule(0.5))
    return optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize("name", TAKE_STEPS)
def test_weight_decay_shrinks_kernels_only(name):
    nothing = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = update(nothing, name=name, weight_decay=0.1)
    assert (updates["conv"]["kernel"] < 0).all()
    for leaf in (updates["conv"]["bias"], *updates["bn"].values()):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", optax.sgd(0.5, momentum=0.9)),
        ("adam", optax.adam(0.5)),
        ("adamw", optax.adamw(0.5, weight_decay=0.1, mask=optim.kernels_only)),
        ("lion", optax.lion(0.5, weight_decay=0.1, mask=optim.kernels_only)),
        ("lamb", optax.lamb(0.5, weight_decay=0.1, mask=optim.kernels_only)),
    ],
)
def test_optimizers_equal_optax_over_several_steps(name, theirs):
    decay = 0.0 if name in ("sgd", "adam") else 0.1
    config = tiny_config(optim__name=name, optim__weight_decay=decay, optim__clip_norm=0.0)
    mine = optim.create_optimizer(config.optim, optax.constant_schedule(0.5))
    results = []
    for optimizer in (mine, theirs):
        params, state = PARAMS, optimizer.init(PARAMS)
        for step in range(4):
            gradients = jax.tree.map(lambda p, step=step: jnp.sin(p + step), params)
            # Optax's own needs it. Ours must not: it is tested above, and while training.
            promotion = "strict" if optimizer is mine else "standard"
            with jax.numpy_dtype_promotion(promotion):
                updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        results.append(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *results)


@pytest.mark.parametrize("clip_norm", [0.5, 2.0])
def test_gradients_are_clipped_by_their_global_norm(clip_norm):
    gradients = jax.tree.map(lambda p: jnp.full(p.shape, 100.0), PARAMS)
    updates = update(gradients, name="sgd", momentum=0.0, weight_decay=0.0, clip_norm=clip_norm)
    np.testing.assert_allclose(optax.global_norm(updates), 0.5 * clip_norm, rtol=1e-5)


def test_weight_decay_is_not_clipped():
    gradients = jax.tree.map(lambda p: jnp.full(p.shape, 100.0), PARAMS)
    settings = {"name": "sgd", "momentum": 0.0, "clip_norm": 0.5}
    plain, decayed = (update(gradients, weight_decay=decay, **settings) for decay in (0.0, 0.1))
    more = decayed["conv"]["kernel"] - plain["conv"]["kernel"]
    np.testing.assert_allclose(more, -0.5 * 0.1 * PARAMS["conv"]["kernel"], rtol=1e-5)


def test_unknown_names_are_errors():
    with pytest.raises(KeyError, match="sine"):
        ours("sine")
    with pytest.raises(KeyError, match="lamp"):
        update(PARAMS, name="lamp")

import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tiny import AUGMENTED, tiny_config

from artjax.runtime.mesh import create_mesh
from artjax.training.forward import activation_dtype, join_micro_batches, split_micro_batches
from artjax.training.targets import loss_and_top1 as loss_and_top1_of
from artjax.training.targets import task_targets
from artjax.training.training import create_training


def loss_and_top1(logits, batch, smoothing, own_share=None, class_weights=None):
    targets = task_targets(batch, own_share, class_weights)
    totals = {task: of_task.totals() for task, of_task in targets.items()}
    return loss_and_top1_of(logits, targets, totals, smoothing)


def batch(works=16, seed=0, unknown=()):
    rng = np.random.default_rng(seed)
    artist = rng.integers(0, 3, works).astype(np.int32)
    genre = rng.integers(0, 2, works).astype(np.int32)
    genre[list(unknown)] = -1
    return {
        "image": rng.integers(0, 256, (works, 40, 40, 3), np.uint8),
        "aspect": rng.uniform(0.6, 1.6, works).astype(np.float32),
        "label/artist": artist,
        "label/genre": genre,
        "mask": np.ones(works, bool),
    }


COUNTS = {"artist": np.asarray([30, 20, 10]), "genre": np.asarray([35, 5])}


def training(devices=1, **changes):
    config = tiny_config(**{"model__name": "narrow"} | changes)
    classes = {"artist": 3, "genre": 2}
    return create_training(
        config,
        {task: classes[task] for task in config.task},
        60,
        create_mesh(config.fsdp, jax.devices()[:devices]),
        {task: COUNTS[task] for task in config.task},
    )


def run(training, steps=3, **of_batch):
    state, rows = training.initial_state(), []
    for step in range(steps):
        given = jax.device_put(batch(seed=step, **of_batch), training.network.batch_sharding)
        state, metrics = training.train_step(state, given)
        rows.append(jax.device_get(metrics))
    return jax.device_get(state), rows


@pytest.mark.slow
@pytest.mark.parametrize(("fsdp", "changes"), [(1, AUGMENTED), (2, {"accumulate": 2})])
def test_eight_devices_compute_what_one_does(fsdp, changes, monkeypatch):
    monkeypatch.setattr("artjax.runtime.mesh.MIN_SHARDED_SIZE", 2**8)
    one, one_rows = run(training(1, model__name="narrow_bn", **changes))
    many, many_rows = run(training(8, model__name="narrow_bn", fsdp=fsdp, **changes))
    for a, b in zip(one_rows, many_rows, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)
        np.testing.assert_allclose(a["gradient_norm"], b["gradient_norm"], rtol=5e-3)
    # Statistics of BatchNorm are those of the global batch, not of a device's share.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        one.model_state,
        many.model_state,
    )


@pytest.mark.slow
def test_fsdp_spreads_large_parameters():
    spread = training(8, model__name="vgg_small", fsdp=4)
    kernel = spread.initial_state().params["conv4_2"]["kernel"]
    assert kernel.size >= 2**16
    assert kernel.addressable_shards[0].data.size * 4 == kernel.size


def test_loss_is_the_sum_of_the_tasks_over_works_whose_label_is_known():
    unknown = (0, 3, 4, 9)
    both = training(task=("artist", "genre"))
    given = batch(unknown=unknown)
    _, metrics = both.train_step(both.initial_state(), given)
    # The heads start at zero, so every known label costs ln(classes).
    np.testing.assert_allclose(metrics["loss"], np.log(3) + np.log(2), rtol=1e-6)
    known = given["label/genre"] >= 0
    right = (given["label/genre"][known] == 0).mean()  # of equal logits the first is predicted
    np.testing.assert_allclose(metrics["genre/top1"], right, rtol=1e-6)
    mean = (metrics["artist/top1"] + metrics["genre/top1"]) / 2
    np.testing.assert_allclose(metrics["top1"], mean, rtol=1e-6)


def test_unknown_labels_change_no_gradient_of_their_head():
    both = training(task=("artist", "genre"), optim__warmup_epochs=0.0)
    state, _ = both.train_step(both.initial_state(), batch(unknown=range(16)))
    np.testing.assert_array_equal(state.params["head_genre"]["bias"], 0)
    assert np.abs(state.params["head_artist"]["bias"]).max() > 0


@pytest.mark.parametrize(
    ("precision", "platform", "dtype"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "gpu", "bfloat16"),
        ("auto", "tpu", "bfloat16"),
        ("bfloat16", "cpu", "bfloat16"),
        ("float32", "gpu", "float32"),
    ],
)
def test_activations_are_bfloat16_on_accelerators_unless_set(precision, platform, dtype):
    assert activation_dtype(precision, platform) == jnp.dtype(dtype)


def test_label_smoothing_equals_optax():
    logits = jax.random.normal(jax.random.key(0), (5, 3))
    labels = jnp.asarray([0, 1, 2, 2, -1])
    loss, _ = loss_and_top1({"a": logits}, {"label/a": labels}, 0.2)
    targets = optax.smooth_labels(jax.nn.one_hot(labels[:4], 3), 0.2)
    expected = optax.softmax_cross_entropy(logits[:4], targets).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_a_single_known_label_counts_in_full():
    logits = jax.random.normal(jax.random.key(0), (5, 3))
    label = int(logits[2].argmax())
    labels = jnp.full(5, -1).at[2].set(label)
    loss, metrics = loss_and_top1({"a": logits}, {"label/a": labels}, 0.0)
    np.testing.assert_allclose(loss, -jax.nn.log_softmax(logits[2])[label], rtol=1e-6)
    assert metrics["top1"] == 1


def test_mixed_loss_is_the_mean_over_all_known_shares():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 3)).astype(np.float32)
    labels = np.asarray([0, -1, 2, 1, -1, -1])
    share = np.asarray([0.9, 0.8, 0.3, 0.5, 0.6, 0.25], np.float32)
    loss, metrics = loss_and_top1(
        {"a": jnp.asarray(logits)}, {"label/a": jnp.asarray(labels)}, 0.0, jnp.asarray(share)
    )
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    costs, right = [], []
    for i in range(6):
        for label, weight in ((labels[i], share[i]), (labels[i - 1], 1 - share[i])):
            if label >= 0:
                costs.append((weight, -log_probabilities[i, label]))
        larger = labels[i] if share[i] >= 0.5 else labels[i - 1]
        if larger >= 0:
            right.append(logits[i].argmax() == larger)
    weights, values = np.asarray(costs).T
    np.testing.assert_allclose(loss, (weights * values).sum() / weights.sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["top1"], np.mean(right), rtol=1e-6)


def test_mixed_works_without_any_known_label_cost_nothing():
    unknown = {"label/a": jnp.full(4, -1)}
    loss, metrics = loss_and_top1({"a": jnp.ones((4, 3))}, unknown, 0.1, jnp.full(4, 0.3))
    assert loss == metrics["top1"] == 0


@pytest.mark.parametrize("class_weights", [None, np.asarray([0.5, 4.0, 1.0], np.float32)])
@pytest.mark.parametrize("shares", [(0.3,), (0.3, 0.2)])
def test_known_shares_that_sum_to_less_than_1_weigh_no_more_than_their_pixels(
    shares, class_weights
):
    """A strip of one picture in a batch of unknown ones must not count as a whole batch."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 3)).astype(np.float32)
    labels, share = np.full(6, -1), np.full(6, 0.6, np.float32)
    for place, (of_label, label) in enumerate(zip(shares, (1, 0), strict=False)):
        labels[2 * place] = label
        # The partner of a work is the one before it: the label's work has this share of its own image,
        # and none of the next one.
        share[2 * place], share[2 * place + 1] = of_label, 1.0
    loss, metrics = loss_and_top1(
        {"a": jnp.asarray(logits)},
        {"label/a": jnp.asarray(labels)},
        0.0,
        jnp.asarray(share),
        None if class_weights is None else {"a": class_weights},
    )
    costs = -np.asarray(jax.nn.log_softmax(logits))
    weights = np.ones(3, np.float32) if class_weights is None else class_weights
    of_class = [(of, label) for of, label in zip(shares, (1, 0), strict=False)]
    costs = [costs[2 * i, label] for i, (_, label) in enumerate(of_class)]
    weighted = [of * weights[label] for of, label in of_class]
    mean = np.dot(weighted, costs) / np.sum(weighted)
    # The mean of their costs, as much as they have of one image.
    expected = mean * sum(shares)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert metrics["top1"] == 0  # the larger share of each image is of an unknown label


def test_training_moves_every_running_average_of_batch_norm():
    trained = training(model__name="narrow_bn")
    before = jax.device_get(trained.initial_state().model_state)
    state, _ = trained.train_step(trained.initial_state(), batch())
    moved = jax.tree.map(
        lambda a, b: bool((a != b).all()), before, jax.device_get(state.model_state)
    )
    assert jax.tree.leaves(moved) == [True] * 2 * 4


@pytest.mark.slow
def test_ema_of_parameters_and_statistics_follows_its_definition():
    with_ema = training(model__name="narrow_bn", ema_decay=0.25)
    state = with_ema.initial_state()
    expected = jax.device_get({"params": state.params, **state.model_state})
    for step in range(4):
        decay = min(0.25, (1 + step) / (10 + step))  # 0.1, 0.18, 0.25, 0.25
        state, metrics = with_ema.train_step(state, batch(seed=step))
        assert state.step == step + 1
        assert metrics["learning_rate"] == with_ema.schedule(step)
        live = jax.device_get({"params": state.params, **state.model_state})
        expected = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, expected, live)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.ema, expected
    )
    assert "batch_stats" in state.ema
    assert state.variables is state.ema


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "mixing"),
    [
        (1, {}),
        (8, {"augment__mixup": 0.2, "augment__cutmix": 1.0}),
        (1, {"augment__mixup": 0.2, "loss__class_weights": "balanced"}),
        (8, {"loss__class_weights": "effective_number", "loss__focal_gamma": 2.0}),
    ],
)
def test_accumulation_equals_the_large_batch(devices, mixing):
    # SGD, so that a difference of gradients is a difference of parameters.
    settings = {"optim__warmup_epochs": 0.0, "optim__label_smoothing": 0.1} | mixing
    settings["task"] = ("artist", "genre")
    unknown = (0, 3, 4, 9, 12, 17)
    given = {"works": 32, "unknown": unknown, "steps": 2}
    whole, whole_rows = run(training(devices, **settings), **given)
    divided, divided_rows = run(training(devices, accumulate=4, **settings), **given)
    for a, b in zip(whole_rows, divided_rows, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            np.testing.assert_allclose(value, b[name], rtol=2e-5, err_msg=name)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6),
        whole.params,
        divided.params,
    )


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_each_micro_batch_drops_other_features(dropout):
    """Of equal images, the label of one alone is known: its micro-batch gives the whole gradient."""
    whole_image = {"augment__min_area": 1.0, "augment__max_stretch": 1.0, "augment__flip": False}
    settings = {"model__dropout": dropout, "accumulate": 4, "optim__warmup_epochs": 0.0}
    of = training(model__name="narrow_bn", **settings, **whole_image)
    kernels = []
    for known in range(4):
        given = batch(works=8)
        given["image"][:] = given["image"][:1]
        given["aspect"][:] = 1  # of a square, a crop without change is the whole
        given["label/artist"][:] = -1
        given["label/artist"][known] = 0  # micro-batch m has the works m and m + 4
        state, metrics = of.train_step(of.initial_state(), given)
        # The heads start at zero, so a known label costs ln(classes), whatever is dropped.
        np.testing.assert_allclose(metrics["loss"], np.log(3), rtol=1e-6)
        kernels.append(np.asarray(state.params["head_artist"]["kernel"]))
    assert all(np.abs(kernel).max() > 0 for kernel in kernels)
    for first, second in itertools.combinations(kernels, 2):
        assert np.allclose(first, second, rtol=1e-4, atol=1e-7) == (dropout == 0)


def largest_moved(compiled):
    """Elements of the largest array that a compiled program moves between devices, except for sums."""
    moving = "all-gather|all-to-all|collective-permute|collective-broadcast|ragged-all-to-all"
    shapes = re.findall(rf"= (.+?) (?:{moving})(?:-start)?\(", compiled.as_text())
    # A shape is f32[8,3]{1,0}, or several in brackets.
    arrays = [array for shape in shapes for array in re.findall(r"\w+\[([\d,]*)\]", shape)]
    sizes = [math.prod(int(side) for side in array.split(",") if side) for array in arrays]
    return max(sizes, default=0)


@pytest.mark.slow
def test_accumulation_moves_no_images_between_devices():
    accumulated = training(8, model__name="vgg_small", accumulate=2, batch_size=32)
    assert largest_moved(accumulated.compile_train_step()) < 40**2

    # In contrast, micro-batches of neighbours would move half of the images.
    def neighbours(images):
        return images.reshape(2, -1, *images.shape[1:])

    batch_sharding = accumulated.network.batch_sharding
    spread = NamedSharding(batch_sharding.mesh, PartitionSpec(None, *batch_sharding.spec))
    images = jax.ShapeDtypeStruct((32, 40, 40, 3), jnp.uint8, sharding=batch_sharding)
    moving = jax.jit(neighbours, out_shardings=spread).lower(images).compile()
    assert largest_moved(moving) >= 40 * 40 * 3


def test_micro_batches_can_be_joined_again():
    given = batch(works=12)
    micro_batches = split_micro_batches(given, 3)
    assert micro_batches["image"].shape == (3, 4, 40, 40, 3)
    np.testing.assert_array_equal(micro_batches["label/artist"][1], given["label/artist"][1::3])
    jax.tree.map(np.testing.assert_array_equal, join_micro_batches(micro_batches), given)


@pytest.mark.slow
def test_evaluation_in_micro_batches_keeps_the_order_of_the_works():
    whole, divided = (training(8, model__name="vgg_small", accumulate=count) for count in (1, 2))
    state, _ = whole.train_step(whole.initial_state(), batch(seed=5))
    given = jax.device_put(batch(works=16), whole.network.batch_sharding)
    np.testing.assert_allclose(
        whole.network.logits(state.variables, given)["artist"],
        divided.network.logits(state.variables, given)["artist"],
        atol=1e-5,
    )
    loops = [
        "stablehlo.while" in of.network.eval_step.lower(state.variables, given).as_text()
        for of in (whole, divided)
    ]
    assert loops == [False, True]
    odd = training(1, model__name="vgg_small", accumulate=3)
    variables = odd.initial_state().variables
    assert odd.network.logits(variables, batch(works=2))["artist"].shape == (2, 3)


def test_rematerialisation_computes_convolutions_again():
    def convolutions(**changes):
        of = training(1, **changes)
        return of.train_step.lower(of.abstract_state, batch()).as_text().count(".convolution(")

    assert convolutions(remat=True) > convolutions() > 0


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"accumulate": 2}])
def test_rematerialisation_changes_nothing_but_memory(changes):
    changes = changes | {"model__name": "narrow_bn"}
    kept, kept_rows = run(training(1, **changes), steps=2)
    again, again_rows = run(training(1, remat=True, **changes), steps=2)
    assert jax.tree.structure(kept) == jax.tree.structure(again)
    for a, b in zip(kept_rows, again_rows, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
        np.testing.assert_allclose(a["gradient_norm"], b["gradient_norm"], rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        kept.params,
        again.params,
    )


@pytest.mark.slow
def test_class_weights_reach_the_step():
    plain, weighted = (
        training(task=("artist", "genre"), loss__class_weights=rule, optim__warmup_epochs=0.0)
        for rule in ("none", "balanced")
    )
    given = batch(unknown=(0, 3))
    moved = []
    for of in (plain, weighted):
        state, metrics = of.train_step(of.initial_state(), given)
        moved.append(np.asarray(state.params["head_genre"]["bias"]))
        # The heads start at zero: each label costs ln(classes), whatever its weight.
        np.testing.assert_allclose(metrics["loss"], np.log(3) + np.log(2), rtol=1e-6)
    # Of the bias the gradient is the share of each class less its probability.
    labels = given["label/genre"][given["label/genre"] >= 0]
    per_work = (40 / (2 * COUNTS["genre"]))[labels]
    shares = np.bincount(labels, per_work) / per_work.sum()
    for bias, share in zip(moved, (np.bincount(labels) / len(labels), shares), strict=True):
        np.testing.assert_allclose(bias / bias[0], (share - 0.5) / (share[0] - 0.5), rtol=1e-3)
    assert np.sign(moved[0][0]) == np.sign(np.bincount(labels)[0] - len(labels) / 2)
    metric = metrics["weight/genre/loss"]
    np.testing.assert_allclose(metric, per_work.sum(), rtol=1e-6)


def test_a_step_without_the_counts_it_needs_is_refused():
    config = tiny_config(loss__class_weights="balanced")
    without = create_training(config, {"artist": 3}, 60, create_mesh(devices=jax.devices()[:1]))
    with pytest.raises(ValueError, match="the labels of the training split"):
        without.train_step.lower(without.abstract_state, without.abstract_batch)


@pytest.mark.slow
def test_sam_equals_optax():
    settings = {"optim__warmup_epochs": 0.0, "optim__schedule": "constant"}
    settings |= {"optim__weight_decay": 0.0, "optim__clip_norm": 0.0}
    ours = training(optim__sam_rho=0.2, optim__peak_lr=0.05, **settings)
    # With a learning rate of 1 and no momentum, the parameters move by the gradient.
    plain = training(optim__peak_lr=1.0, optim__momentum=0.0, **settings)
    fresh = plain.initial_state()
    step_of = jax.jit(plain._train_step)

    def gradient_at(params, step):
        state = fresh.replace(params=params, step=jnp.int32(step))
        moved, _ = step_of(state, batch(seed=step))
        return jax.tree.map(jnp.subtract, params, moved.params)

    sam = optax.contrib.sam(
        optax.sgd(0.05, momentum=0.9),
        optax.chain(optax.contrib.normalize(), optax.sgd(0.2)),
        opaque_mode=True,
    )
    params = fresh.params
    their_state = sam.init(params)
    for step in range(3):
        updates, their_state = sam.update(
            gradient_at(params, step),
            their_state,
            params,
            grad_fn=lambda p, _, step=step: gradient_at(p, step),
        )
        params = optax.apply_updates(params, updates)
    state, _ = run(ours)
    without, _ = run(training(optim__peak_lr=0.05, **settings))
    largest = 0.0
    for start, mine, theirs, other in zip(
        *(jax.tree.leaves(t) for t in (fresh.params, state.params, params, without.params)),
        strict=True,
    ):
        expected = theirs - start
        np.testing.assert_allclose(mine - start, expected, rtol=0, atol=1e-2 * abs(expected).max())
        largest = max(largest, np.abs(mine - other).max())
    assert largest > 1e-3  # SAM makes a difference


@pytest.mark.slow
def test_sam_keeps_the_statistics_of_the_first_pass():
    states = []
    for rho in (0.0, 0.5):
        of = training(model__name="narrow_bn", optim__sam_rho=rho)
        state, metrics = of.train_step(of.initial_state(), batch())
        states.append((jax.device_get(state), float(metrics["loss"])))
    (plain, plain_loss), (sam, sam_loss) = states
    assert plain_loss == pytest.approx(sam_loss, rel=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        plain.model_state,
        sam.model_state,
    )
    assert training(optim__sam_rho=0.5).flops_per_image == 2 * training().flops_per_image

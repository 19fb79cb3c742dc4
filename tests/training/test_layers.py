"""The table of a network, compared with Flax's own."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from artjax import models
from artjax.models.staged import stage_names
from artjax.runtime.throughput import count_flops
from artjax.training.layers import BETWEEN, layers_of, table


def created():
    model = models.create_model("vgg_small", {"artist": 5}, dtype=jnp.float32, platform="cpu")
    part_of = models.family_of("vgg_small").part_of
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return model, images, layers_of(model, 32, part_of, stage_names(model))


class Inner(nn.Module):
    """A layer inside which are others, with a parameter of its own and a product without any."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones_init(), (x.shape[-1],))
        x = nn.Dense(6, name="first")(x * scale[None])
        return nn.Dense(4, name="second")(x) @ jnp.ones((4, 4))


class Nested(nn.Module):
    """The same layer twice, a product between the layers, and a parameter outside of all."""

    @nn.compact
    def __call__(self, images):
        x = images.reshape(images.shape[0], -1)
        x = x @ jnp.ones((x.shape[-1], 4)) + self.param(
            "token", nn.initializers.ones_init(), (1, 4)
        )
        inner = Inner(name="inner")
        return {"artist": nn.Dense(5, name="head_artist")(inner(inner(x)))}


def test_the_rows_of_nested_layers_sum_up_to_the_network():
    model = Nested()
    rows = {row.name: row for row in layers_of(model, 2, lambda path: path.partition("/")[0])}
    assert {name: row.parameters for name, row in rows.items()} == {
        "inner/first": 4 * 6 + 6,
        "inner/second": 6 * 4 + 4,
        "inner": 4,
        "head_artist": 4 * 5 + 5,
        "token": 4,
        BETWEEN: 0,
    }
    # 2 x inputs x outputs, twice in the layer that is called twice.
    assert {name: row.flops for name, row in rows.items()} == {
        "inner/first": 2 * 2 * 4 * 6,
        "inner/second": 2 * 2 * 6 * 4,
        "inner": 2 * 2 * 4 * 4,
        "head_artist": 2 * 4 * 5,
        "token": 0,
        BETWEEN: 2 * 12 * 4,
    }
    images = jax.ShapeDtypeStruct((1, 2, 2, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    total = count_flops(jax.make_jaxpr(model.apply)(shapes, images).jaxpr)
    assert sum(row.flops for row in rows.values()) == total


def test_the_layers_are_those_of_flax():
    model, images, rows = created()
    theirs = {}

    def watch(call, arguments, keywords, context):
        output = call(*arguments, **keywords)
        if isinstance(context.module, nn.Conv | nn.Dense):
            theirs[context.module.name] = output.shape[1:]
        return output

    with nn.intercept_methods(watch):
        jax.eval_shape(model.init, jax.random.key(0), images)
    ours = {row.name: row.output for row in rows if row.name.startswith(("conv", "head"))}
    assert ours == theirs
    text = nn.tabulate(model, jax.random.key(0), console_kwargs={"width": 200})(
        jnp.zeros(images.shape)
    )
    for row in rows:
        assert f" {row.name} " in text
        assert f"{row.parameters:,}" in text
    # Of a convolution: 2 for a multiplication and an addition, times kernel, times pixels.
    assert rows[0].flops == 2 * (3 * 3 * 3 * 16) * 32 * 32


def test_the_table_has_a_row_for_each_layer_and_the_total():
    _, _, rows = created()
    lines = table(rows)
    assert lines[0].split() == ["layer", "output", "parameters", "GFLOP"]
    assert lines[1].split()[:6] == ["conv1_1", "32", "x", "32", "x", "16"]
    assert lines[-1].split()[:2] == ["total", f"{sum(row.parameters for row in rows):,}"]
    assert len({len(line) for line in lines}) == 1

"""The layers of a network: shape of the output, parameters, arithmetic. From shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from artjax.runtime.throughput import count_flops
from artjax.training.groups import flat

BETWEEN = "(without parameters)"
"""The name of the row for products between the layers, such as in attention."""


@dataclass(frozen=True)
class Layer:
    """A layer of a network, or a single parameter that belongs to none.

    Attributes:
      name: as in the paths of the parameters, such as `conv1_1`.
      output: shape for one image, such as (64, 64, 16); () of a single parameter.
      parameters: number of parameters.
      flops: FLOPs of the forward pass for one image; a multiplication and an addition count as two.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    flops: float


@dataclass(frozen=True)
class _Call:
    """A call of a layer: the layer without its variables, and the shapes of these and of the inputs."""

    layer: nn.Module
    variables: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    output: tuple[int, ...]

    @property
    def flops(self) -> float:
        def apply(variables: Any, *arguments: Any) -> Any:
            return self.layer.apply(variables, *arguments, **self.keywords, mutable=list(variables))

        return _flops(apply, self.variables, *self.arguments)


def layers_of(
    model: nn.Module, image_size: int, part_of: Callable[[str], str], stages: Sequence[str] = ()
) -> list[Layer]:
    """The layers that have parameters, in the order of the forward pass.

    The last row is `BETWEEN`, if there is arithmetic outside of all layers. So all rows together
    are the whole network.

    Args:
      model: takes images float32 [B, H, W, 3] and returns logits for each task.
      image_size: side of the images in pixels.
      part_of: path of a parameter → its stage, or the head.
      stages: names of the stages, in order.
    """
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    calls: dict[str, list[_Call]] = {}

    def watch(
        call: Callable[..., Any],
        arguments: Any,
        keywords: Any,
        context: nn.module.InterceptorContext,
    ) -> Any:
        output = call(*arguments, **keywords)
        path = "/".join(context.module.path)
        if path and context.method_name == "__call__" and _own(shapes["params"], path):
            layer, variables = context.module.unbind()
            shown = _shapes(variables), _shapes(arguments), dict(keywords), output.shape[1:]
            calls.setdefault(path, []).append(_Call(layer, *shown))
        return output

    with nn.intercept_methods(watch):
        total = _flops(model.apply, shapes, images)
    flops = {name: sum(call.flops for call in of_layer) for name, of_layer in calls.items()}
    for name in sorted(flops, key=lambda name: -name.count("/")):  # the innermost layers first
        flops[name] -= sum(flops[other] for other in flops if other.startswith(f"{name}/"))
    rows = [
        Layer(
            name,
            of_layer[-1].output,
            sum(math.prod(leaf.shape) for leaf in _own(shapes["params"], name).values()),
            flops[name],
        )
        for name, of_layer in calls.items()
    ]
    # A parameter outside of all layers, such as a class token, comes last in its stage.
    order = {stage: place for place, stage in enumerate(stages)}
    rows += [
        Layer(path, (), math.prod(leaf.shape), 0.0)
        for path, leaf in flat(shapes["params"]).items()
        if path.rpartition("/")[0] not in calls
    ]
    rows.sort(key=lambda row: order.get(part_of(f"{row.name}/kernel"), len(order)))
    rest = total - sum(row.flops for row in rows)
    return [*rows, Layer(BETWEEN, (), 0, rest)] if rest else rows


def table(layers: Sequence[Layer]) -> list[str]:
    """The layers as lines of a table, with a header and the totals."""
    header = ("layer", "output", "parameters", "GFLOP")
    rows = [
        (row.name, " x ".join(map(str, row.output)), f"{row.parameters:,}", _gflop(row.flops))
        for row in layers
    ]
    parameters = sum(row.parameters for row in layers)
    rows.append(("total", "", f"{parameters:,}", _gflop(sum(row.flops for row in layers))))
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        f"  {name:<{widths[0]}}  {output:<{widths[1]}}  {count:>{widths[2]}}  {gflop:>{widths[3]}}"
        for name, output, count, gflop in (header, *rows)
    ]


def _gflop(flops: float) -> str:
    return f"{flops / 1e9:.4f}" if flops else ""


def _own(params: Any, path: str) -> dict[str, Any]:
    """The parameters that belong to the layer itself, not to one inside it."""
    for name in path.split("/"):
        params = params.get(name, {}) if isinstance(params, dict) else {}
    return {name: leaf for name, leaf in params.items() if not isinstance(leaf, dict)}


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _flops(function: Callable[..., Any], *shapes: Any) -> float:
    return count_flops(jax.make_jaxpr(function)(*shapes).jaxpr)

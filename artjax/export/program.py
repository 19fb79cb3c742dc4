"""What is exported of a run: a pure function with its weights, and what must be known to use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from artjax import augment
from artjax import config as config_lib
from artjax.errors import ConfigError
from artjax.evaluation.judging import Judge
from artjax.evaluation.predict import judges_of
from artjax.runs import Run
from artjax.training.groups import flat
from artjax.training.networks import network_of

BATCH = "batch"
"""The name of the free size."""


@dataclass(frozen=True)
class Program:
    """A network as it is exported.

    Attributes:
      run: on one CPU, in float32.
      judge: the temperatures, and the number of views of a picture.
      inside: whether the preprocessing is part of the function.
      variables: of the network: path → float32 array, such as `params/conv1_1/kernel`.
      function: the inputs, in order → for each task float32 [N, classes]. Inside: `image` uint8
        [N, S, S, 3], whole pictures squashed to a square, and `aspect` float32 [N], their true
        width / height → probabilities. Outside: `image` float32 [N, S, S, 3], normalised → logits.
      inputs: name → shape without the batch, and dtype.
    """

    run: Run
    judge: Judge
    inside: bool
    variables: Mapping[str, np.ndarray]
    function: Callable[..., dict[str, jax.Array]]
    inputs: Mapping[str, tuple[tuple[int, ...], Any]]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(sorted(self.run.classes))  # JAX sorts the keys of a dict

    def shapes(self, batch: Any) -> list[jax.ShapeDtypeStruct]:
        """The inputs for a batch of a size, which may be symbolic."""
        return [jax.ShapeDtypeStruct((batch, *rest), dtype) for rest, dtype in self.inputs.values()]

    def about(self) -> dict[str, Any]:
        """What a user of the file must know, plain JSON."""
        config, record = self.run.config, self.run.record
        result = "probabilities" if self.inside else "logits"
        return {
            "kind": KIND,
            "artjax": version("artjax"),
            "model": config.model.name,
            "parameters": sum(
                array.size for path, array in self.variables.items() if path.startswith("params/")
            ),
            "tasks": {task: list(record.classes[task]) for task in self.tasks},
            "inputs": {
                name: {"shape": [BATCH, *rest], "dtype": str(np.dtype(dtype))}
                for name, (rest, dtype) in self.inputs.items()
            },
            "outputs": {
                task: {"shape": [BATCH, len(record.classes[task])], "holds": result}
                for task in self.tasks
            },
            "preprocessing": asdict(self.run.preprocessing)
            | {"inside": self.inside, "image_px": config.image_size}
            | {"canvas_px": config_lib.canvas_size(config), "short_side_px": record.short_side_px},
            "views": self.judge.views if self.inside else 1,
            "temperature": {task: self.judge.temperature(task) for task in self.tasks},
            "collection": f"{record.collection}/{record.version}",
            "checkpoint_step": self.run.step,
            "pretrained": dict(record.pretrained),
        }


KIND = "export of artjax"
"""By this a folder is known as an export, which `--overwrite` may replace."""


def load(workdir: Path, which: str, views: int | None, inside: bool) -> Program:
    """Loads a run as it is exported.

    On a CPU and in float32: the weights are float32, and so the result does not depend on the machine.

    Raises:
      WorkdirError: if there is no checkpoint.
      ConfigError: for several views without the preprocessing, which makes them.
    """
    try:
        cpu = jax.devices("cpu")[:1]
    except RuntimeError as error:
        raise ConfigError(
            "--mode export computes on the CPU, which JAX_PLATFORMS leaves out; unset it, or add ,cpu"
        ) from error
    run = in_float32(Run.load(workdir, which, cpu))
    (judge,) = judges_of([run], views)
    if views and views > 1 and not inside:
        raise ConfigError(
            f"--config.eval.views={views}: views are cut out by the preprocessing; leave it out, or set "
            "--preprocessing inside"
        )
    variables = {path: np.asarray(array) for path, array in flat(dict(run.variables)).items()}
    side = config_lib.canvas_size(run.config) if inside else run.config.image_size
    image = (side, side, 3)
    function = _with_preprocessing(run, judge) if inside else _without(run)
    inputs: dict[str, tuple[tuple[int, ...], Any]] = (
        {"image": (image, np.uint8), "aspect": ((), np.float32)}
        if inside
        else {"image": (image, np.float32)}
    )
    return Program(run, judge, inside, variables, function, inputs)


def in_float32(run: Run) -> Run:
    """The run with a network that computes in float32."""
    if run.network.dtype == jnp.float32:
        return run
    config = config_lib.changed(run.config, {"precision": "float32"})
    return replace(run, network=network_of(config, run.record.numbers_of_classes, run.network.mesh))


def _without(run: Run) -> Callable[..., dict[str, jax.Array]]:
    variables = jax.tree.map(np.asarray, dict(run.variables))

    def logits(image: jax.Array) -> dict[str, jax.Array]:
        of: Any = run.network.model.apply(variables, image)
        return of

    return logits


def _with_preprocessing(run: Run, judge: Judge) -> Callable[..., dict[str, jax.Array]]:
    logits = _without(run)
    size, preprocessing = run.config.image_size, run.preprocessing
    how = preprocessing.crop_share, preprocessing.interpolation
    # None: what evaluation usually sees.
    views = [None] if judge.views == 1 else augment.fixed_views(judge.views)

    def probabilities(image: jax.Array, aspect: jax.Array) -> dict[str, jax.Array]:
        logs: dict[str, list[jax.Array]] = {}
        for view in views:
            crops = (
                augment.central_crop(image, aspect, size, *how)
                if view is None
                else augment.view_of(image, aspect, size, view, *how)
            )
            for task, of_task in logits(preprocessing.normalise(crops)).items():
                logs.setdefault(task, []).append(jax.nn.log_softmax(of_task))
        return {
            task: jax.nn.softmax(_log_of_mean(of_task) / (judge.temperature(task) or 1.0))
            for task, of_task in logs.items()
        }

    return probabilities


def _log_of_mean(logs: list[jax.Array]) -> jax.Array:
    """The logarithm of the mean of probabilities [N, classes], but for a constant."""
    return logs[0] if len(logs) == 1 else jax.nn.logsumexp(jnp.stack(logs), axis=0)

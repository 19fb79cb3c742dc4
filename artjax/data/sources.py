"""Where training batches come from: the devices' memory, the host's, or the TFRecords.

All give the same works in the same order for a (seed, step); `device` and `host` the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from artjax.data import batches
from artjax.data.canvases import Canvases, Split, take
from artjax.data.tfrecords import Records
from artjax.errors import ConfigError
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import resources
from artjax.runtime.resources import in_words

if TYPE_CHECKING:  # only read here: benchmarks run where ml_collections is not
    from ml_collections import ConfigDict

Batch = dict[str, jax.Array]

# Of the memory that is free before training: parameters and activations need the rest.
_SHARE = 1 / 3


@dataclass(frozen=True)
class Source:
    """Batches of a training split.

    Attributes:
      name: `device`, `host` or `stream`.
      why: why this one, in words.
      batch: from a step to what goes to the devices for it; it may run in any thread.
      works: what stays on the devices; empty but for `device`.
      gather: (works, what `batch` gave) → the batch; pure, for use inside the compiled step.
    """

    name: str
    why: str
    batch: Callable[[int], Batch]
    works: Batch = field(default_factory=dict)
    gather: Callable[[Batch, Batch], Batch] = lambda works, batch: batch


class Choice(NamedTuple):
    """A source, why it is this one, and whether each device holds only its share of the canvases."""

    name: str
    why: str
    spread: bool = False


def choose(
    wanted: str, canvas_bytes: int, devices: int, free: int | None, host_free: int
) -> Choice:
    """Chooses between `device` and `host`.

    Args:
      wanted: `auto`, `device` or `host`.
      canvas_bytes: size of all canvases of the training split.
      devices: number of devices.
      free: bytes free on each device; None where that is the host's memory.
      host_free: bytes free in the host's memory.

    Raises:
      ConfigError: if the canvases do not fit where they are wanted.
    """
    size, share = f"canvases of {in_words(canvas_bytes)}", -(-canvas_bytes // devices)
    if wanted == "host":
        return Choice("host", "as set")
    if free is None:
        if wanted == "auto":
            return Choice("host", "the devices compute from its memory")
        if canvas_bytes > host_free:
            raise ConfigError(
                f"--config.source=device: {size} do not fit in the {in_words(host_free)} of memory "
                "that are free; take host, which reads them from the disk"
            )
        return Choice("device", "as set", spread=devices > 1)
    there = f"the {in_words(free)} that are free on each device"
    if canvas_bytes <= _SHARE * free:
        why = "as set, whole on each device" if wanted == "device" else f"{size} fit in {there}"
        return Choice("device", why)
    if devices > 1 and share <= (free if wanted == "device" else _SHARE * free):
        return Choice(
            "device", f"{size}, spread, {in_words(share)} on each of {devices} devices", True
        )
    if wanted == "auto":
        limit = f"a third of {there}" if canvas_bytes <= free else there
        return Choice("host", f"{size} do not fit in {limit}")
    if share <= free:
        return Choice("device", "as set")
    raise ConfigError(
        f"--config.source=device: {size} need {in_words(share)} on each device, which does not fit in "
        f"{there}; take host or auto"
    )


def open_source(
    config: ConfigDict,
    data: Canvases,
    train: Split,
    mesh: Mesh,
    draw_boxes: Callable[[int, np.ndarray], np.ndarray],
) -> Source:
    """Opens the source that is set, or the first of `device`, `host`, `stream` that fits.

    Args:
      config: `source`, `seed`, `batch_size`, `image_size` and `augment` are read.
      data: the collection; `stream` is decided by whether there are canvases.
      train: its training split.
      mesh: the devices.
      draw_boxes: (step, aspects of its works) → the boxes that its crops are to be, float [B, 4].

    Raises:
      ConfigError: if the source does not fit.
    """
    if config.source == "stream" and not data.why_streamed:
        raise ConfigError(
            f"--config.source=stream: the TFRecords of '{data.prepared.name}' are not on this machine, "
            "but its canvases are; take auto"
        )
    sharding = mesh_lib.batch_sharding(mesh)

    def indices_of(step: int) -> np.ndarray:
        return batches.batch_indices(config.seed, step, config.batch_size, len(train))

    def from_host(step: int) -> Batch:
        return batches.put(train, indices_of(step), sharding)

    def from_records(step: int) -> Batch:
        indices = indices_of(step)
        boxes = draw_boxes(step, train.aspect[indices])

        def read(rows: slice) -> dict[str, np.ndarray]:
            crops = gather_crops(train, indices[rows], boxes[rows], config.image_size)
            return crops | {"mask": np.ones(len(indices[rows]), bool)}

        return batches.put_rows(read, config.batch_size, sharding)

    def index(step: int) -> Batch:
        indices = indices_of(step).astype(np.int32)
        return batches.put_rows(lambda rows: {"index": indices[rows]}, len(indices), sharding)

    if data.why_streamed:
        cropped = crops_before_step(config, train)
        return Source("stream", data.why_streamed, from_records if cropped else from_host)
    canvas_bytes = len(train) * int(np.prod(train.images.shape[1:]))
    choice = choose(
        config.source, canvas_bytes, mesh.size, resources.on_devices(mesh), resources.on_host()
    )
    if choice.name == "host":
        return Source("host", choice.why, from_host)
    return Source(
        "device",
        choice.why,
        index,
        put_works(train, mesh, choice.spread),
        gatherer(mesh, choice.spread),
    )


def crops_before_step(config: ConfigDict, train: Split) -> bool:
    """Whether pictures are cropped where they are decoded, rather than out of canvases in the step."""
    # A rotated box is no rectangle of the picture: then the devices cut it out of a canvas.
    return isinstance(train.images, Records) and not config.augment.rotate_degrees


def gather_crops(
    train: Split, indices: np.ndarray, boxes: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Decodes boxes of works that lie in TFRecords.

    Args:
      train: the split.
      indices: of the works, int [n].
      boxes: left, top, width and height as shares of the pictures' sides, float [n, 4].
      size: side of the result in pixels.

    Returns:
      `image` uint8 [n, size, size, 3], `label/<task>` [n].
    """
    assert isinstance(train.images, Records)
    columns = train.columns(indices)
    del columns["aspect"]  # so that the step knows that they are cropped already
    return columns | {"image": train.images.crops(train.rows[indices], boxes, size)}


def put_works(train: Split, mesh: Mesh, spread: bool) -> Batch:
    """Puts all works of a split on the devices: `image`, `aspect`, `label/<task>`, of N works each.

    Args:
      train: the split.
      mesh: the devices.
      spread: each device holds a share of the images (N is rounded up to a multiple of the devices)
        rather than all.
    """
    images = train.images
    assert not isinstance(images, Records)
    count = len(train)
    # What rounding up adds is never asked for.
    rows = np.pad(train.rows, (0, -count % mesh.size if spread else 0))

    def put(read: Callable[[slice], np.ndarray], count: int, spread: bool) -> jax.Array:
        shape = (count, *read(slice(0)).shape[1:])
        sharding = mesh_lib.batch_sharding(mesh) if spread else mesh_lib.replicated(mesh)
        return jax.make_array_from_callback(
            shape, sharding, lambda index: read(index[0] if index else slice(None))
        )

    works = {"image": put(lambda part: take(images, rows[part]), len(rows), spread)}
    for name, values in train.columns(np.arange(count)).items():
        works[name] = put(values.__getitem__, count, False)
    return works


def gatherer(mesh: Mesh, spread: bool) -> Callable[[Batch, Batch], Batch]:
    """A pure function (works, {`index`: int32 [B]}) → the batch as from `batches.put`.

    Where the images are spread, each device gives of the global batch those that it holds, zeros for the
    others, and the sum over the devices is scattered to where each row belongs: no device ever holds
    more than one global batch besides its share.
    """
    axes = mesh.axis_names
    split, whole = PartitionSpec(axes), PartitionSpec()

    def local(works: Batch, index: jax.Array) -> Batch:
        batch = {name: _rows(values, index) for name, values in works.items() if name != "image"}
        images = works["image"]
        if not spread:
            return batch | {"image": _rows(images, index), "mask": jnp.ones(index.shape, bool)}
        held = images.shape[0]
        wanted = lax.all_gather(index, axes, tiled=True) - lax.axis_index(axes) * held
        here = (wanted >= 0) & (wanted < held)
        mine = jnp.where(here[:, None, None, None], _rows(images, wanted), jnp.uint8(0))
        scattered = lax.psum_scatter(mine, axes, scatter_dimension=0, tiled=True)
        return batch | {"image": scattered, "mask": jnp.ones(index.shape, bool)}

    def gather(works: Batch, batch: Batch) -> Batch:
        specs = {name: split if spread and name == "image" else whole for name in works}
        gathered = jax.shard_map(local, mesh=mesh, in_specs=(specs, split), out_specs=split)(
            works, batch["index"]
        )
        # So that what follows is compiled as for a batch that came from the host, to the same bits.
        return lax.optimization_barrier(gathered)

    return gather


def _rows(values: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take(values, index, axis=0, mode="clip")

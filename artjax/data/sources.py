"""Sources of training batches: device memory, host memory, or the TFRecords.

For a given (seed, step) all sources return the same works in the same order. `device` and `host` return
the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from artjax.data import batches
from artjax.data.canvases import Canvases
from artjax.data.tfrecords import Records
from artjax.data.works import Split, take
from artjax.errors import ConfigError
from artjax.runtime import mesh as mesh_lib
from artjax.runtime import resources
from artjax.runtime.resources import format_bytes

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

Batch = dict[str, jax.Array]

# Share of the free device memory for canvases. Parameters and activations need the rest.
_CANVAS_SHARE = 1 / 3
_PIECE_BYTES = 2**27  # 128 MiB: large enough for the full speed of a bus


@dataclass(frozen=True)
class Source:
    """Batches of a training split.

    Attributes:
      name: `device`, `host` or `stream`.
      why: the reason for this choice, for people.
      batch: step → the arrays that are sent to the devices for this step. Any thread may call it.
      works: the arrays that stay on the devices; empty unless the source is `device`.
      gather: (`works`, result of `batch`) → the batch; pure, for use inside the compiled step.
    """

    name: str
    why: str
    batch: Callable[[int], Batch]
    works: Batch = field(default_factory=dict)
    gather: Callable[[Batch, Batch], Batch] = lambda works, batch: batch


class Choice(NamedTuple):
    """A source, and what it takes.

    Attributes:
      name: `device`, `host` or `stream`.
      why: the reason for it, for people.
      spread: whether each device holds only a share of the canvases.
      held_bytes: bytes of canvases on each device.
    """

    name: str
    why: str
    spread: bool = False
    held_bytes: int = 0

    @property
    def sends_images(self) -> bool:
        """Whether each batch brings its images to the devices. Otherwise it brings their indices."""
        return self.name != "device"


def choose(
    wanted: str, canvas_bytes: int, devices: int, free: int | None, host_free: int
) -> Choice:
    """Chooses between `device` and `host`.

    Args:
      wanted: `auto`, `device` or `host`.
      canvas_bytes: size of all canvases of the training split.
      devices: number of devices.
      free: bytes free on each device; None if the devices use the host's memory.
      host_free: bytes free in the host's memory.

    Raises:
      ConfigError: if `device` is wanted and the canvases do not fit there.
    """
    size, share = f"canvases of {format_bytes(canvas_bytes)}", -(-canvas_bytes // devices)
    if wanted == "host":
        return Choice("host", "as set")
    if free is None:
        if wanted == "auto":
            return Choice("host", "the devices use the host's memory")
        if canvas_bytes > host_free:
            raise ConfigError(
                f"--config.source=device: {size} do not fit in the {format_bytes(host_free)} of memory "
                "that are free; use host, which reads them from the disk"
            )
        return Choice("device", "as set", devices > 1, share)
    room = f"the {format_bytes(free)} that are free on each device"
    if canvas_bytes <= _CANVAS_SHARE * free:
        why = "as set, all on each device" if wanted == "device" else f"{size} fit in {room}"
        return Choice("device", why, held_bytes=canvas_bytes)
    if devices > 1 and share <= (free if wanted == "device" else _CANVAS_SHARE * free):
        why = f"{size}, sharded, {format_bytes(share)} on each of {devices} devices"
        return Choice("device", why, spread=True, held_bytes=share)
    if wanted == "auto":
        limit = f"a third of {room}" if canvas_bytes <= free else room
        return Choice("host", f"{size} do not fit in {limit}")
    if share <= free:
        return Choice("device", "as set", held_bytes=canvas_bytes)
    raise ConfigError(
        f"--config.source=device: {size} need {format_bytes(share)} on each device, which does not fit "
        f"in {room}; use host or auto"
    )


def choose_for(config: ConfigDict, data: Canvases, train: Split, mesh: Mesh) -> Choice:
    """Chooses the source that is set; with `auto`, the first of `device`, `host`, `stream` that fits.

    All processes must call this together.

    Args:
      config: `source` is read.
      data: the collection. If it has no canvases, the source is `stream`.
      train: its training split.
      mesh: the devices.

    Raises:
      ConfigError: if the source does not fit.
    """
    if config.source == "stream" and not data.why_streamed:
        raise ConfigError(
            f"--config.source=stream: the TFRecords of '{data.prepared.name}' are not on this machine, "
            "but its canvases are; use auto"
        )
    if data.why_streamed:
        return Choice("stream", data.why_streamed)
    assert not isinstance(train.images, Records)
    canvas_bytes = len(train) * int(np.prod(train.images.shape[1:])) * train.images.dtype.itemsize
    free, host_free = resources.on_devices(mesh), resources.on_host()
    return choose(config.source, canvas_bytes, mesh.size, free, host_free)


def open_source(
    config: ConfigDict,
    train: Split,
    mesh: Mesh,
    draw_boxes: Callable[[int, np.ndarray], np.ndarray],
    choice: Choice,
) -> Source:
    """Opens a source. For `device` this copies all canvases of the split to the devices.

    Args:
      config: `seed`, `batch_size`, `sampling`, `task`, `image_size`, `augment` and `preprocessing` are
        read.
      train: the training split.
      mesh: the devices.
      draw_boxes: (step, aspects of its works, float32 [B]) → the boxes of its crops, float [B, 4].
      choice: from `choose_for`.
    """
    sharding = mesh_lib.batch_sharding(mesh)
    indices_of = batches.create_order(config, train)

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

    if choice.name == "stream":
        cropped = crops_before_step(config, train)
        return Source("stream", choice.why, from_records if cropped else from_host)
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
    """Whether images are cropped when they are decoded. Otherwise the step crops the canvases."""
    # The decoder cannot cut out a rotated box, and resamples linearly; for other crops the devices cut
    # the box out of a canvas.
    linear = config.preprocessing.interpolation in ("", "linear")
    return isinstance(train.images, Records) and linear and not config.augment.rotate_degrees


def gather_crops(
    train: Split, indices: np.ndarray, boxes: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Decodes a box of each work from the TFRecords.

    Args:
      train: the split; its images are `Records`.
      indices: the works, int [n].
      boxes: left, top, width and height as shares of the image's sides, float [n, 4].
      size: side of the result in pixels.

    Returns:
      `image` uint8 [n, size, size, 3], `label/<task>` [n].
    """
    assert isinstance(train.images, Records)
    columns = train.columns(indices)
    del columns["aspect"]  # tells the step that the images are cropped already
    return columns | {"image": train.images.crops(train.rows[indices], boxes, size)}


def put_works(train: Split, mesh: Mesh, spread: bool) -> Batch:
    """Puts all N works of a split on the devices: `image`, `aspect`, `label/<task>`.

    The images pass through host memory in pieces, so canvases that are larger than that fit, too.

    Args:
      train: the split.
      mesh: the devices.
      spread: whether each device holds only a share of the images. Then their number is rounded up to a
        multiple of the devices.
    """
    images = train.images
    assert not isinstance(images, Records)
    count = len(train)
    # No index refers to the rows that rounding up adds.
    rows = np.pad(train.rows, (0, -count % mesh.size if spread else 0))

    everywhere = mesh_lib.replicated(mesh)
    sharding = mesh_lib.batch_sharding(mesh) if spread else everywhere
    works = {"image": _put_in_pieces(lambda own: take(images, own), rows, sharding)}
    for name, values in train.columns(np.arange(count)).items():
        works[name] = jax.make_array_from_callback(values.shape, everywhere, values.__getitem__)
    return works


def _put_in_pieces(
    read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, sharding: NamedSharding
) -> jax.Array:
    """`read(rows)` on the devices. No more than a piece of it is in host memory at once."""
    row = read(rows[:1])[0]
    shape = (len(rows), *row.shape)
    piece = max(1, _PIECE_BYTES // row.nbytes)
    owners: dict[tuple[int, int], list[jax.Device]] = {}
    for device, index in sharding.addressable_devices_indices_map(shape).items():
        assert index is not None
        begin, end, _ = index[0].indices(len(rows)) if index else (0, len(rows), 1)
        owners.setdefault((begin, end), []).append(device)
    shards = []
    for (begin, end), devices in owners.items():
        blocks = [jnp.zeros((end - begin, *row.shape), row.dtype, device=d) for d in devices]
        for start in range(begin, end, piece):
            values = read(rows[start : min(start + piece, end)])
            blocks = [
                _write(block, jax.device_put(values, device), start - begin)
                for block, device in zip(blocks, devices, strict=True)
            ]
            jax.block_until_ready(blocks)  # else the pieces would pile up
        shards += blocks
    return jax.make_array_from_single_device_arrays(shape, sharding, shards)


@partial(jax.jit, donate_argnums=0)
def _write(block: jax.Array, values: jax.Array, start: int) -> jax.Array:
    return lax.dynamic_update_slice_in_dim(block, values, start, axis=0)


def gatherer(mesh: Mesh, spread: bool) -> Callable[[Batch, Batch], Batch]:
    """A pure function (works, {`index`: int32 [B]}) → the same batch as from `batches.put`.

    If the images are spread, each device builds the global batch with zeros for the images that it does
    not hold. The sum over the devices is then scattered to the devices of the rows. So no device holds
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
        # The step must compile as for a batch from the host, so that both give the same bits.
        return lax.optimization_barrier(gathered)

    return gather


def _rows(values: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take(values, index, axis=0, mode="clip")

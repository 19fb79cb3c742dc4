"""Writes files as `torch.save` does, without PyTorch: the tests need none.

`tests/models/test_torch_files.py` compares them with those of PyTorch, where that is installed.
"""

import collections
import contextlib
import io
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

KINDS = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.uint8): "ByteStorage",
}


@contextlib.contextmanager
def _modules():
    """Modules with the names that the pickles of PyTorch mention, in place of PyTorch's own."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        raise NotImplementedError

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    mine = {"torch": torch, "torch._utils": utils}
    before = {name: sys.modules.get(name) for name in mine}
    sys.modules.update(mine)
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Storage:
    """The elements of an array."""

    def __init__(self, array: np.ndarray, key: int) -> None:
        self.array, self.key = np.ascontiguousarray(array), str(key)


class _Pickler(pickle.Pickler):
    def __init__(self, stream: Any, torch: Any, more: tuple[Any, ...]) -> None:
        super().__init__(stream, protocol=2)
        self.torch, self.more = torch, more
        self.storages: list[Storage] = []

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Storage):
            return None
        kind = getattr(self.torch, KINDS[obj.array.dtype])
        return ("storage", kind, obj.key, "cpu", obj.array.size, *self.more)

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray):
            return NotImplemented
        storage = Storage(obj, len(self.storages))
        self.storages.append(storage)
        strides = tuple(s // obj.itemsize for s in storage.array.strides)
        hooks: Any = collections.OrderedDict()
        arguments = (storage, 0, obj.shape, strides[: obj.ndim], False, hooks)
        return self.torch._utils._rebuild_tensor_v2, arguments


def save(held: Any, file: Path, *, legacy: bool = False) -> None:
    """Writes an object, in which arrays of NumPy stand for tensors.

    Args:
      held: what to save.
      file: where.
      legacy: whether in the layout before PyTorch 1.6.
    """
    with _modules() as torch:
        stream = io.BytesIO()
        pickler = _Pickler(stream, torch, (None,) if legacy else ())
        pickler.dump(held)
    if not legacy:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("archive/data.pkl", stream.getvalue())
            archive.writestr("archive/byteorder", "little")
            for storage in pickler.storages:
                archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
        return
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    keys = [storage.key for storage in pickler.storages]
    with file.open("wb") as out:
        for part in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(part, out, protocol=2)
        out.write(stream.getvalue())
        pickle.dump(keys, out, protocol=2)
        for storage in pickler.storages:
            out.write(storage.array.size.to_bytes(8, "little"))
            out.write(storage.array.tobytes())

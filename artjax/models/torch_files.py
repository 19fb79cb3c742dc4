"""Files of `torch.save` and `torch.jit.save`, read without PyTorch, so that nothing in them is executed.

Such a file is a pickle that names arrays (*tensors*), and the bytes of these. The unpickler here knows
arrays, containers, numbers and text. Every other class that a pickle names, such as the settings of a
trainer or the network's own class, becomes an `Opaque` without behaviour. So checkpoints of Lightning,
or whole pickled networks, can be read, which `torch.load(weights_only=True)` refuses.

There are two layouts (torch/serialization.py): since PyTorch 1.6 a zip archive with `data.pkl` and
`data/KEY` for each storage; before, three small pickles, the pickle, the list of keys, and the storages.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of the first pickle of the older layout
_ZIP = b"PK\x03\x04"
_SIZE_BYTES = 8  # before each storage of the older layout: its number of elements

_DTYPES: Mapping[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "Float": np.float32,
        "Double": np.float64,
        "Half": np.float16,
        "BFloat16": ml_dtypes.bfloat16,
        "Long": np.int64,
        "Int": np.int32,
        "Short": np.int16,
        "Char": np.int8,
        "Byte": np.uint8,
        "Bool": np.bool_,
        "Untyped": np.uint8,
    }.items()
}
_TYPED: Mapping[str, np.dtype] = {  # of tensors that say their dtype beside an untyped storage
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "uint16": np.dtype(np.uint16),
    "uint32": np.dtype(np.uint32),
    "uint64": np.dtype(np.uint64),
}


class NotReadableError(Exception):
    """The file is none of PyTorch's, or damaged; the message says which, in a few words."""


class Opaque(dict[Any, Any]):
    """An object of a class that is not known here. It holds what the pickle put into it.

    Attributes:
      state: what the object's attributes would have been, or None.
    """

    state: Any = None

    def __new__(cls, *arguments: Any, **options: Any) -> Opaque:
        """Ignores what the class would have been made of."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__()

    def __call__(self, *arguments: Any, **options: Any) -> Opaque:
        """Stands for what the object would have returned."""
        return Opaque()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _ignore(self, *arguments: Any) -> None:
        """What the unpickler calls on lists and sets."""

    append = extend = add = _ignore


@dataclass(frozen=True)
class Tensor:
    """An array that has not been read yet.

    Attributes:
      storage: the elements that it is a view of.
      offset: index of its first element in the storage.
      shape: its shape.
      strides: in elements.
      dtype: of its elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def read(self) -> np.ndarray:
        """The values, in memory of their own.

        Raises:
          NotReadableError: if it is larger than its storage, or the file is damaged.
        """
        order: Literal[">", "<"] = ">" if self.storage.file.big_endian else "<"
        try:
            values = np.frombuffer(self.storage.read(), self.storage.dtype.newbyteorder(order))
            values = values.astype(self.storage.dtype, copy=False).view(self.dtype)
        except ValueError as error:  # a part of an element is left over
            raise NotReadableError(_first_line(error)) from None
        last = self.offset + sum(
            (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if n
        )
        least = min((self.offset, *self.shape, *self.strides))
        # A view that repeats its elements could need any amount of memory.
        if least < 0 or self.size > len(values) or (self.size and last >= len(values)):
            raise NotReadableError("an array is larger than what the file holds of it")
        steps = tuple(s * values.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
        return np.ascontiguousarray(view).reshape(self.shape)

    def __setstate__(self, state: Any) -> None:
        """Ignores it: a pickle cannot change what was checked."""


@dataclass(frozen=True)
class Storage:
    """A row of elements in a file."""

    file: TorchFile
    key: str
    dtype: np.dtype
    count: int

    def read(self) -> bytes:
        """Its bytes."""
        return self.file.bytes_of(self)

    def __setstate__(self, state: Any) -> None:
        """Ignores it, as `Tensor` does."""


class TorchFile:
    """A file of PyTorch that is open.

    Attributes:
      held: the object that was saved: dicts, lists, numbers, text, `Tensor` and `Opaque`.
      big_endian: the order of the bytes of its arrays.
    """

    def __init__(self, path: Path) -> None:
        """Reads everything but the arrays.

        Raises:
          NotReadableError: if it is no such file, or damaged.
          OSError: if it cannot be opened.
        """
        self.big_endian = False
        self._path = path
        self._storages: dict[str, Storage] = {}
        self._offsets: dict[str, int] = {}
        self._archive: zipfile.ZipFile | None = None
        self._folder = ""  # in the archive
        self._last: tuple[str, bytes] = ("", b"")  # arrays that share a storage follow each other
        try:
            self.held = self._read_zip() if _is_archive(path) else self._read_pickles()
        except (NotReadableError, OSError):
            raise
        except Exception as error:  # a damaged pickle causes one of many kinds
            raise NotReadableError(_first_line(error)) from None

    def _read_zip(self) -> Any:
        self._archive = archive = zipfile.ZipFile(self._path)
        names = archive.namelist()
        pickles = [name for name in names if f"/{name}".endswith("/data.pkl")]
        if len(pickles) != 1:
            raise NotReadableError("a zip archive without the data.pkl of PyTorch")
        self._folder = pickles[0].removesuffix("data.pkl")
        if f"{self._folder}byteorder" in names:
            self.big_endian = archive.read(f"{self._folder}byteorder") == b"big"
        return self._unpickled(io.BytesIO(archive.read(pickles[0])))

    def _read_pickles(self) -> Any:
        with self._path.open("rb") as stream:
            if self._unpickled(stream) != _MAGIC_NUMBER:
                raise NotReadableError("a pickle, and not one of PyTorch")
            self._unpickled(stream)  # the version of the protocol
            order = self._unpickled(stream)
            self.big_endian = isinstance(order, dict) and order.get("little_endian") is False
            held = self._unpickled(stream)
            for key in self._unpickled(stream):
                stream.seek(_SIZE_BYTES, io.SEEK_CUR)
                storage = self._storages[str(key)]
                self._offsets[str(key)] = stream.tell()
                stream.seek(storage.count * storage.dtype.itemsize, io.SEEK_CUR)
            if stream.tell() > self._path.stat().st_size:
                raise NotReadableError("incomplete: the end of the file is missing")
        return held

    def _unpickled(self, stream: Any) -> Any:
        return _Unpickler(stream, self._storage).load()

    def _storage(self, dtype: np.dtype, key: str, count: int) -> Storage:
        storage = self._storages.setdefault(key, Storage(self, key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise NotReadableError("arrays of several types share their values")
        return storage

    def bytes_of(self, storage: Storage) -> bytes:
        """The bytes of a storage.

        Raises:
          NotReadableError: if the file has none or fewer of them.
        """
        if self._last[0] != storage.key:
            self._last = storage.key, self._read(storage)
        return self._last[1]

    def close(self) -> None:
        """Closes the file."""
        if self._archive is not None:
            self._archive.close()

    def _read(self, storage: Storage) -> bytes:
        size = storage.count * storage.dtype.itemsize
        if self._archive is None:
            with self._path.open("rb") as stream:
                stream.seek(self._offsets[storage.key])
                return stream.read(size)
        try:
            entry = self._archive.getinfo(f"{self._folder}data/{storage.key}")
            # PyTorch never compresses: so nothing becomes larger than the file.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < size:
                raise NotReadableError("an array is larger than what the file holds of it")
            return self._archive.read(entry)[:size]
        except (KeyError, zipfile.BadZipFile) as error:
            raise NotReadableError(_first_line(error)) from None


class _Builder:
    """A function that a pickle may call. A pickle cannot change it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Ignores it."""


@dataclass(frozen=True)
class _Dtype:
    """What a pickle calls `torch.FloatStorage` or `torch.uint16`. A pickle cannot change it."""

    dtype: np.dtype

    def __setstate__(self, state: Any) -> None:
        """Ignores it."""


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: Any
) -> Tensor:
    sizes, steps = tuple(map(int, shape)), tuple(map(int, strides))
    return Tensor(storage, int(offset), sizes, steps, storage.dtype)


def _tensor_with_dtype(
    storage: Storage, offset: int, shape: Any, strides: Any, grad: Any, hooks: Any, of: Any, *_: Any
) -> Tensor:
    dtype = of.dtype if isinstance(of, _Dtype) else storage.dtype
    return replace(_tensor(storage, offset, shape, strides), dtype=dtype)


def _tensor_of_type(build: Any, kind: Any, arguments: tuple[Any, ...], state: Any) -> Any:
    """Of a tensor whose class is another, or that has attributes."""
    return build(*arguments) if isinstance(build, _Builder) else Opaque()


_KNOWN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _Builder(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Builder(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Builder(_tensor_with_dtype),
    ("torch._utils", "_rebuild_parameter"): _Builder(lambda tensor, *rest: tensor),
    ("torch._utils", "_rebuild_parameter_with_state"): _Builder(lambda tensor, *rest: tensor),
    ("torch._tensor", "_rebuild_from_type_v2"): _Builder(_tensor_of_type),
    **{("torch", f"{name}Storage"): _Dtype(dtype) for name, dtype in _DTYPES.items()},
    ("torch.storage", "UntypedStorage"): _Dtype(_DTYPES["Untyped"]),
    **{("torch", name): _Dtype(dtype) for name, dtype in _TYPED.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows `_KNOWN`; everything else becomes `Opaque`. It imports nothing."""

    def __init__(self, stream: Any, storage: Callable[[np.dtype, str, int], Storage]) -> None:
        super().__init__(stream, encoding="latin1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), Opaque)

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            return Opaque  # a class, with its source code
        _, kind, key, _, count = pid[:5]
        if not isinstance(kind, _Dtype):
            raise NotReadableError("arrays of a kind that is not known here")
        return self._storage(kind.dtype, str(key), int(count))


def _is_archive(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        return True
    with path.open("rb") as stream:
        if stream.read(len(_ZIP)) == _ZIP:
            raise NotReadableError("incomplete: the end of the archive is missing")
    return False


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)

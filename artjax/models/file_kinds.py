"""What a file is, by its first bytes: people rename files, and downloads return other things."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

SAFETENSORS, HDF5, TORCH, KERAS = "safetensors", "HDF5", "PyTorch", "Keras"

_FIRST = 512  # bytes
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_MAX_HEADER = 100_000_000  # bytes of the header of safetensors, by its specification

_BY_SUFFIX: Mapping[str, str] = {
    ".safetensors": SAFETENSORS,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".keras": KERAS,
    **dict.fromkeys((".pth", ".pt", ".bin", ".ckpt", ".tar", ".pyth", ".pkl"), TORCH),
}
SUFFIXES = (*(suffix for suffix in _BY_SUFFIX if suffix not in (".tar", ".pkl")), ".pth.tar")
"""How files of weights end."""

_AGAIN = "download it again"
_EXPORT = (
    "save the weights of the original network instead: PyTorch's state_dict, or Keras' .weights.h5"
)

# What else people have under such names: how it begins, what it is, and what to do.
_OTHERS: tuple[tuple[Callable[[bytes], object], str, str], ...] = (
    (lambda b: not b, "is empty", _AGAIN),
    (
        lambda b: b.startswith(b"version https://git-lfs"),
        "is a pointer of Git LFS (a few lines of text), not the weights themselves",
        "fetch them with `git lfs pull` in that repository, or download the file from its page",
    ),
    (
        re.compile(rb"\s*<(!doctype|html|head|\?xml|error)", re.IGNORECASE).match,
        "is a web page, not weights: the address wanted a login, or led to a page about the file",
        "download the file itself",
    ),
    (lambda b: b[4:8] == b"TFL3", "is a network of TensorFlow Lite, made for inference", _EXPORT),
    (
        lambda b: b.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")),
        "is compressed",
        "unpack it first",
    ),
    (lambda b: b[257:262] == b"ustar", "is a tar archive", "unpack it first"),
    (lambda b: b.startswith(b"Rar!"), "is a rar archive", "unpack it first"),
    (lambda b: b.startswith(b"7z\xbc\xaf"), "is a 7z archive", "unpack it first"),
    (
        lambda b: b.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"%PDF")),
        "is a picture or a document",
        "give the file of weights",
    ),
    (lambda b: b.startswith(b"\x93NUMPY"), "is a single array of NumPy, not a network", _EXPORT),
    (
        lambda b: re.match(rb"\s*[{\[]", b) and b"\0" not in b,
        "is text (JSON), such as the settings of a network",
        "give the file of weights that stands beside it",
    ),
)
_OTHER_SUFFIXES: Mapping[str, tuple[str, str]] = {
    ".onnx": ("is a network of ONNX, whose arrays have lost their names", _EXPORT),
    ".tflite": ("is a network of TensorFlow Lite, made for inference", _EXPORT),
    ".mlmodel": ("is a network of Core ML", _EXPORT),
    ".pb": ("is a graph of TensorFlow", _EXPORT),
    ".index": ("is a part of a checkpoint of TensorFlow", _EXPORT),
    ".npz": ("is an archive of NumPy, which none of the networks here publish", _EXPORT),
    ".msgpack": ("holds weights of Flax", "take the same model's .safetensors"),
    ".gguf": ("holds a language model", "none of the networks here read text"),
}


def kind_of(path: Path) -> str | None:
    """The kind of file, by its content, else by its name; None if it is none that is read here.

    Raises:
      OSError: if it cannot be read.
    """
    head = _head(path)
    suffix = path.suffix.lower()
    if head.startswith(_HDF5):
        return HDF5
    if head.startswith(_ZIP):
        return KERAS if suffix == ".keras" else TORCH if suffix not in _OTHER_SUFFIXES else None
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _MAX_HEADER:
        return SAFETENSORS  # whose first byte may be that of a pickle
    if head.startswith(_PICKLE):
        return TORCH
    return _BY_SUFFIX.get(suffix)


def why_not(path: Path) -> tuple[str, str] | None:
    """What a file is if it cannot hold weights for this program, and what to do; None if it may.

    Args:
      path: a file, or a folder that is no workdir.

    Raises:
      OSError: if it cannot be read.
    """
    if path.is_dir():
        return _why_not_folder(path)
    head = _head(path)
    for matches, what, todo in _OTHERS:
        if matches(head):
            return what, todo
    found = _OTHER_SUFFIXES.get(path.suffix.lower())
    if found is None and kind_of(path) is None and ".data-" in path.name:
        found = _OTHER_SUFFIXES[".index"]
    return found


def weights_in(folder: Path) -> Path | None:
    """The weights in a folder as transformers and the hub lay it out; None if it is another folder."""
    files = (folder / name for name in ("model.safetensors", "pytorch_model.bin"))
    return next((file for file in files if file.is_file()), None)


def _why_not_folder(folder: Path) -> tuple[str, str] | None:
    if (folder / "saved_model.pb").is_file():
        return (
            "is a SavedModel folder of TensorFlow",
            "load it with Keras, and save its weights: model.save_weights('NAME.weights.h5')",
        )
    if any(folder.glob("*.index.json")):
        return "has its weights in several files", "save them as one: transformers' save_pretrained"
    if any(folder.glob("*.ckpt.index")) or (folder / "checkpoint").is_file():
        return "is a folder of checkpoints of TensorFlow", _EXPORT
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_FIRST)

"""What people give as weights, and what is said of those that are none."""

import io
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save

from artjax.errors import WeightsError
from artjax.models.weights import read
from tests import torch_files

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5096\n"
HTML = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
TAR = b"w.pth".ljust(257, b"\0") + b"ustar\0" + bytes(250)


@pytest.mark.parametrize(
    ("name", "content", "what", "todo"),
    [
        ("w.pth", b"", "this is empty", "Download it again"),
        ("w.bin", LFS, "this is a pointer of Git LFS", "git lfs pull"),
        ("w.safetensors", LFS, "this is a pointer of Git LFS", "git lfs pull"),
        ("w.pth", HTML, "this is a web page", "Download the file itself"),
        ("w.h5", b"<html>not found</html>", "this is a web page", "Download the file itself"),
        ("w.onnx", b"\x08\x07\x12\x07pytorch", "a network of ONNX", "state_dict"),
        ("w.tflite", b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite", ".weights.h5"),
        ("w.pth", b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite", ".weights.h5"),
        ("w.tar.gz", b"\x1f\x8b\x08\0", "this is compressed", "Unpack it first"),
        ("w.pth.tar", TAR, "this is a tar archive", "Unpack it first"),
        ("saved_model.pb", b"\x08\x01", "a graph of TensorFlow", "state_dict"),
        ("m.ckpt.data-00000-of-00001", b"\0\0", "part of a checkpoint of TensorFlow", "state_dict"),
        ("config.json", b'{"hidden_size": 384}', "this is text", "stands beside it"),
        ("w.npz", b"PK\x03\x04", "an archive of NumPy", "state_dict"),
        ("w.npy", b"\x93NUMPY\x01\0", "a single array of NumPy", "state_dict"),
        ("model.gguf", b"GGUF\x03\0", "a language model", "read text"),
        ("w.jpg", b"\xff\xd8\xff\xe0", "a picture or a document", "file of weights"),
    ],
)
def test_what_is_no_weights_is_named_with_what_to_do(name, content, what, todo, tmp_path):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read(str(file))
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{file}: ")
    assert what in first
    assert todo in second


def test_folders_of_other_libraries_are_named_or_their_weights_read(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(
        WeightsError, match=r"this is a SavedModel folder .*\nLoad it with Keras.*NAME.weights.h5"
    ):
        read(str(tmp_path))
    (tmp_path / "saved_model.pb").unlink()
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(WeightsError, match="weights in several files"):
        read(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(save({"a": np.ones(3, np.float32)}))
    assert read(str(tmp_path)).origin["file"] == "model.safetensors"


def test_the_content_says_what_a_file_is_whatever_its_name(tmp_path):
    array = np.arange(3, dtype=np.float32)
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as root:
        root["layers/dense/vars/0"] = array
    keras = io.BytesIO()
    with zipfile.ZipFile(keras, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", hdf5.getvalue())
    torch_files.save({"a": array}, tmp_path / "w.pth")
    contents = {
        "a": (save({"a": array}), (tmp_path / "w.pth").read_bytes()),
        "dense/0": (hdf5.getvalue(), keras.getvalue()),
    }
    for name, files in contents.items():
        for content in files:
            (tmp_path / "w.keras").write_bytes(content)
            if content is not contents["a"][1]:  # both are zip archives: there the name decides
                np.testing.assert_array_equal(read(str(tmp_path / "w.keras")).arrays[name], array)
    for suffix in ("ckpt", "pyth", "pth.tar", "pt", "bin", "model", "safetensors"):
        file = tmp_path / f"v.{suffix}"
        file.write_bytes(contents["a"][1])
        np.testing.assert_array_equal(read(str(file)).arrays["a"], array)

"""Files of PyTorch: which network is read of them, and that nothing in them is executed."""

import argparse
import collections
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from artjax.errors import WeightsError
from artjax.models.torch_files import NotReadableError, TorchFile
from artjax.models.weights import read
from tests import torch_files

STATE = collections.OrderedDict(
    {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
        "bn.running_mean": np.array([1, 2], np.float16),
        "half.weight": np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16),
        "bn.num_batches_tracked": np.array(7, np.int64),
    }
)


class Settings:
    """Of a trainer: a class that no reader knows."""

    def __init__(self):
        self.rate = 0.1


@pytest.mark.parametrize("legacy", [False, True])
def test_arrays_are_read_beside_objects_of_any_class(legacy, tmp_path):
    held = {
        "epoch": 3,
        "args": argparse.Namespace(rate=0.1),
        "hyper_parameters": [Settings(), {1, 2}, collections.defaultdict(list, a=[1])],
        "state_dict": STATE,
    }
    torch_files.save(held, tmp_path / "w.ckpt", legacy=legacy)
    weights = read(str(tmp_path / "w.ckpt"))
    assert list(weights.arrays) == list(STATE)
    for name, expected in STATE.items():
        np.testing.assert_array_equal(weights.arrays[name], expected.astype(np.float32))
    assert weights.arrays["half.weight"].dtype == np.float32
    assert weights.arrays["bn.num_batches_tracked"].dtype == np.int64
    assert weights.origin["read_from"] == "state_dict"


def scaled(factor):
    return {name: (factor * array).astype(array.dtype) for name, array in STATE.items()}


@pytest.mark.parametrize(
    ("held", "where", "beside"),
    [
        (scaled(2), "", ()),
        ({"model": scaled(1), "model_ema": scaled(2), "epoch": 3}, "model_ema", ("model",)),
        ({"state_dict": scaled(1), "state_dict_ema": scaled(2)}, "state_dict_ema", ("state_dict",)),
        ({"student": scaled(1), "teacher": scaled(2)}, "teacher", ("student",)),
        ({"checkpoint": {"model": scaled(2)}}, "checkpoint.model", ()),
        ([3, scaled(2)], "1", ()),
        # An average of a part is no network, and fewer arrays are a part.
        ({"model": scaled(2), "loss_ema": {"x": np.float32([1])}}, "model", ()),
        ({"head": {"x": np.float32([1])}, "net": scaled(2)}, "net", ()),
        # The state of an optimizer has as many numbers again, twice.
        (
            {
                "optimizer": {"state": {0: {**STATE, **{f"m.{n}": v for n, v in STATE.items()}}}},
                "model": scaled(2),
            },
            "model",
            (),
        ),
    ],
)
def test_the_network_is_found_in_what_a_training_saved(held, where, beside, tmp_path):
    torch_files.save(held, tmp_path / "w.pth")
    weights = read(str(tmp_path / "w.pth"))
    assert (weights.origin.get("read_from", ""), weights.beside) == (where, beside)
    np.testing.assert_array_equal(weights.arrays["conv.weight"], 2 * STATE["conv.weight"])


class Module:
    """A network that was pickled as a whole."""

    def __init__(self, parameters, modules):
        self.training = True
        self._parameters, self._buffers, self._modules = parameters, {}, modules


def test_a_whole_pickled_network_gives_its_arrays(tmp_path):
    inner = Module({"weight": STATE["conv.weight"], "bias": None}, {})
    torch_files.save(Module({}, {"conv": inner}), tmp_path / "w.pt")
    arrays = read(str(tmp_path / "w.pt")).arrays
    assert list(arrays) == ["conv.weight"]
    np.testing.assert_array_equal(arrays["conv.weight"], STATE["conv.weight"])


class Trap:
    """An object whose unpickling would write a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_executed(legacy, tmp_path):
    held = {"state_dict": STATE, "callback": Trap(tmp_path / "sprung")}
    torch_files.save(held, tmp_path / "w.pt", legacy=legacy)
    assert set(read(str(tmp_path / "w.pt")).arrays) == set(STATE)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(WeightsError, match="not one of PyTorch"):
        read(str(tmp_path / "bare.pt"))
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_cannot_change_what_it_may_call(tmp_path):
    # GLOBAL, (None, {'_make': 'changed'}), BUILD: would set an attribute of the function.
    changing = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x05\0\0\0_makeX\x07\0\0\0changedstb."
    )
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("archive/data.pkl", changing)
    TorchFile(tmp_path / "w.pt")
    torch_files.save(STATE, tmp_path / "next.pt")
    assert set(read(str(tmp_path / "next.pt")).arrays) == set(STATE)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_damaged_file_is_refused(legacy, tmp_path):
    file = tmp_path / "w.pth"
    torch_files.save({"state_dict": STATE}, file, legacy=legacy)
    whole = file.read_bytes()
    for content in (whole[:-20], whole[: len(whole) // 2], whole[:60], b"junk"):
        file.write_bytes(content)
        cut = not legacy and content != b"junk"
        words = (
            f"not a file of PyTorch, or damaged: {'incomplete: the end of the arch' if cut else ''}"
        )
        with pytest.raises(WeightsError, match=words) as error:
            read(str(file))
        assert len(str(error.value).splitlines()) == 2


def test_an_array_larger_than_its_storage_is_refused(tmp_path):
    torch_files.save({"a": np.zeros(4, np.float32)}, tmp_path / "w.pt")
    tensor = TorchFile(tmp_path / "w.pt").held["a"]
    for changes in ({"shape": (5,)}, {"offset": 1}, {"strides": (-1,)}, {"strides": (2,)}):
        with pytest.raises(NotReadableError, match="larger than what the file holds"):
            type(tensor)(**{**vars(tensor), **changes}).read()
    repeated = {"shape": (1 << 40,), "strides": (0,)}
    with pytest.raises(NotReadableError, match="larger than what the file holds"):
        type(tensor)(**{**vars(tensor), **repeated}).read()


def test_compressed_arrays_are_refused(tmp_path):
    torch_files.save({"a": np.zeros(1000, np.float32)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(WeightsError, match="larger than what the file holds"):
        read(str(tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"epoch": 3}, "holds no arrays"),
        ({"optimizer": {"state": {0: {"exp_avg": np.zeros(3, np.float32)}}}}, "of an optimizer"),
    ],
)
def test_a_file_without_a_network_says_what_it_holds(held, words, tmp_path):
    torch_files.save(held, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=words):
        read(str(tmp_path / "w.pth"))


def test_files_of_pytorch_itself_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    state = {"a.weight": torch.arange(6.0).reshape(2, 3).bfloat16().t(), "a.n": torch.tensor(3)}
    layer = torch.nn.Linear(2, 3)
    for legacy in (False, True):
        options = {"_use_new_zipfile_serialization": not legacy}
        torch.save({"args": argparse.Namespace(), "model": state}, tmp_path / "w.pth", **options)
        arrays = read(str(tmp_path / "w.pth")).arrays
        np.testing.assert_array_equal(arrays["a.weight"], [[0, 3], [1, 4], [2, 5]])
        torch.save(layer, tmp_path / "w.pth", **options)
        np.testing.assert_array_equal(
            read(str(tmp_path / "w.pth")).arrays["weight"], layer.weight.detach().numpy()
        )
        # And those of the tests are read by PyTorch.
        torch_files.save(STATE, tmp_path / "w.pth", legacy=legacy)
        theirs = torch.load(tmp_path / "w.pth", weights_only=True)
        assert set(theirs) == set(STATE)
        np.testing.assert_array_equal(theirs["conv.weight"].numpy(), STATE["conv.weight"])
    torch.jit.save(torch.jit.script(layer), tmp_path / "w.pt")
    assert set(read(str(tmp_path / "w.pt")).arrays) == {"weight", "bias"}

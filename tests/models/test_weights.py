"""Files of weights: what is read, what is refused, and with which words."""

import builtins
import hashlib
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save, save_file

from artjax import models
from artjax.errors import WeightsError
from artjax.models import create_model, family_of, registry
from artjax.models.weights import Weights, read, translated_for, trunk_shapes, variables_for
from tools.weights_parity import made, save_as_keras2, uniform

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(2, np.int64)}
MODEL = "squeezenet1_1"


def held(arrays, source="w.safetensors"):
    return Weights(arrays, {"source": source, "file": source, "sha256": "", "revision": None})


def zeros(shapes):
    """Arrays of these shapes that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@pytest.fixture
def golden(pytestconfig):
    def shapes(name):
        file = pytestconfig.rootpath / "tests" / "models" / "golden" / f"{name}.json"
        return json.loads(file.read_text())["shapes"]

    return shapes


@pytest.fixture
def fitting(golden):
    """Arrays that fit `MODEL`."""
    return zeros(golden(f"{MODEL}-torchvision"))


def refusal(arrays, name=MODEL, side=32, **options):
    with pytest.raises(WeightsError) as caught:
        variables_for(name, held(arrays), trunk_shapes(name, side, **options), side)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    assert message.startswith("w.safetensors")
    return message


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_safetensors_of_any_precision_become_float32(dtype, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file({**ARRAYS, "a.weight": ARRAYS["a.weight"].astype(dtype)}, file)
    weights = read(str(file))
    assert weights.arrays["a.weight"].dtype == np.float32
    assert weights.arrays["a.bias"].dtype == np.int64
    np.testing.assert_array_equal(weights.arrays["a.weight"], ARRAYS["a.weight"])
    assert weights.origin == {
        "source": str(file),
        "file": "w.safetensors",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "revision": None,
    }


WHOLE = save(ARRAYS)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.safetensors", WHOLE[:-3], "not a safetensors file, or incomplete"),
        ("w.safetensors", WHOLE[:20], "not a safetensors file, or incomplete"),
        ("w.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "not an HDF5 file, or incomplete"),
        ("w.dat", b"junk", "unknown kind of weights; files end with .safetensors, .h5"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(name, content, words, tmp_path):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read(str(file))
    assert str(caught.value).startswith(str(file))
    assert len(str(caught.value).splitlines()) <= 2


def test_a_truncated_keras_file_is_refused(tmp_path):
    file = tmp_path / "w.h5"
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = ["dense"]
        root.create_group("dense").attrs["weight_names"] = ["kernel"]
        root["dense/kernel"] = np.ones((100, 100))
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match="not an HDF5 file, or incomplete"):
        read(str(file))


def test_a_file_that_is_not_there_or_not_permitted_is_refused(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="there is no such file"):
        read(str(tmp_path / "w.safetensors"))
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError, match=r"folder.safetensors: cannot be read: Is a directory"):
        read(str(tmp_path / "folder.safetensors"))

    def forbid(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)  # the tests may run as root
    with pytest.raises(WeightsError, match="no permission to read"):
        read(str(tmp_path / "w.safetensors"))


def without(monkeypatch, library):
    """Makes a library one that is not installed."""
    real = builtins.__import__

    def importer(name, *arguments, **options):
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", importer)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    without(monkeypatch, "h5py")
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match="pip install h5py") as caught:
        read(str(tmp_path / "w.h5"))
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_become_the_variables_of_a_network(fitting):
    expected = trunk_shapes(MODEL, 32)
    variables = variables_for(MODEL, held(fitting), expected, 32)
    assert variables["params"]["stage1_fire1"]["squeeze"]["kernel"].shape == (1, 1, 64, 16)
    assert trunk_shapes(MODEL, 32, head_layers=(8,)) == expected


def test_missing_unknown_and_misshapen_arrays_are_listed(fitting):
    del fitting["features.0.bias"]
    fitting["features.0.weight"] = np.zeros((64, 4, 3, 3), np.float32)
    fitting["features.13.weight"] = np.zeros(3, np.float32)
    message = refusal(fitting)
    assert "missing: params/stem_conv/bias; " in message
    assert "unknown: features.13.weight; " in message
    assert "shapes: params/stem_conv/kernel [3, 3, 4, 64] instead of [3, 3, 3, 64]" in message
    assert (
        "Some of its names are those of squeezenet1_1, squeezenet1_0, but it fits none" in message
    )


def test_a_long_list_is_cut(fitting):
    arrays = fitting | zeros({f"more.{i}": (1,) for i in range(11)})
    message = refusal(arrays)
    assert "more.7 and 3 more" in message
    assert "more.8" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(fitting, value):
    fitting["features.0.bias"] = np.full(64, value, np.float32)
    assert "NaN or infinite values in params/stem_conv/bias" in refusal(fitting)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name", "fits"),
    [
        ("squeezenet1_0-torchvision", "squeezenet1_1", "squeezenet1_0"),
        ("resnet50-torchvision", "convnext_tiny", "resnet50"),
        ("convnext_tiny-timm", "resnet50", "convnext_tiny"),
        ("vgg16_bn-timm", "vgg16", "vgg16_bn"),
        ("vgg11-torchvision", "vgg_small", "vgg11"),
    ],
)
def test_weights_of_another_network_are_refused_and_theirs_is_named(golden, file, name, fits):
    message = refusal(zeros(golden(file)), name, side=32)
    assert f"w.safetensors does not fit {name}: " in message
    assert message.endswith(f"The file fits --config.model.name={fits}")


def test_arrays_of_no_known_network_are_refused(tmp_path):
    message = refusal(ARRAYS)
    assert "its names are not those of squeezenet1_1 in torchvision" in message
    assert "It fits none of " in message
    file = tmp_path / "w.h5"
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = ["dense"]
        root.create_group("dense").attrs["weight_names"] = ["kernel"]
        root["dense/kernel"] = np.ones((1, 1))
    with pytest.raises(WeightsError, match="not those of vgg16 in torchvision, timm or Keras"):
        variables_for("vgg16", read(str(file)), trunk_shapes("vgg16", 32), 32)
    with h5py.File(file, "w") as root:
        root["something"] = np.ones(3)
    with pytest.raises(WeightsError, match="no weights of Keras"):
        read(str(file))


def test_a_family_without_a_translation_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_FAMILIES", {})
    models.register(registry.Family(("plain",), lambda: None, lambda n: 1, lambda p: ""))
    with pytest.raises(WeightsError, match="plain cannot start from pretrained weights"):
        variables_for("plain", held(ARRAYS), {}, 32)


def test_the_same_names_with_other_arithmetic_are_refused():
    weights = held(ARRAYS, "hf:timm/tf_efficientnet_b0.ns_jft_in1k")
    with pytest.raises(WeightsError, match="pads and normalises as TensorFlow does"):
        variables_for("efficientnet_b0", weights, {}, 32)


def test_fully_connected_layers_are_only_taken_if_the_network_has_them(golden):
    shapes = golden("vgg11-torchvision")
    head = {"head_layers": (8,)}
    variables = variables_for("vgg11", held(zeros(shapes)), trunk_shapes("vgg11", 32, **head), 32)
    assert "fc1" not in variables["params"]
    trunk = {name: shape for name, shape in shapes.items() if name.startswith("features")}
    variables_for("vgg11", held(zeros(trunk)), trunk_shapes("vgg11", 32, **head), 32)
    message = refusal(zeros(trunk), "vgg11")
    assert "missing: params/fc1/bias, params/fc1/kernel, params/fc2/bias" in message
    assert "--config.model.head_layers replaces those of the network" in message


def test_a_bias_before_batch_norm_goes_into_the_running_mean(golden):
    arrays = zeros(golden("vgg16_bn-torchvision"))
    arrays["features.0.bias"] = np.full(64, 2, np.float32)
    arrays["features.1.running_mean"] = np.full(64, 3, np.float32)
    translated = family_of("vgg16_bn").translate("vgg16_bn", arrays, 32)
    np.testing.assert_array_equal(translated.variables["batch_stats/bn1_1/mean"], np.ones(64))
    assert "params/conv1_1/bias" not in translated.variables


@pytest.mark.slow
def test_every_layout_of_keras_gives_the_outputs_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import jax
    import keras  # takes seconds

    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    for variable in theirs.variables:
        shape = tuple(variable.shape)
        array = made(variable.path, shape, fan_in=int(np.prod(shape[:-1])))
        variable.assign(array / 64 if variable.path == "block1_conv1/kernel" else array)
    pixels = uniform("pixels", (2, 32, 32, 3), 0, 255)
    prepared = keras.applications.vgg16.preprocess_input(pixels.copy())
    with jax.numpy_rank_promotion("allow"):  # of Keras
        expected = np.asarray(theirs(prepared))
    theirs.save_weights(tmp_path / "keras3.weights.h5")
    theirs.save(tmp_path / "whole.h5")
    theirs.save(tmp_path / "whole.keras")
    save_as_keras2(theirs, tmp_path / "keras2.h5")
    # As in transfer learning: a network within a network.
    outer = keras.Sequential([keras.Input((32, 32, 3)), theirs, keras.layers.Flatten()])
    outer.add(keras.layers.Dense(3))
    within = ("within.weights.h5", "within.h5", "within.keras")
    for name in within:
        (outer.save_weights if "weights" in name else outer.save)(tmp_path / name)
    options = {"head_layers": (8,)}
    shapes = trunk_shapes("vgg16", 32, **options)
    model = create_model("vgg16", {}, dtype=jnp.float32, platform="cpu", **options)
    apply = jax.jit(lambda params, x: model.apply({"params": params}, x, until="stage5"))
    for name in ("keras3.weights.h5", "whole.h5", "whole.keras", "keras2.h5", *within):
        translated = translated_for("vgg16", read(str(tmp_path / name)), shapes, 32)
        variables = variables_for("vgg16", read(str(tmp_path / name)), shapes, 32)
        assert translated.prefix == ("vgg16." if name in within else "")
        images = translated.preprocessing.normalise(jnp.asarray(pixels))
        np.testing.assert_allclose(images, prepared, atol=2e-5)
        found = apply(variables["params"], images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download needs. `files` maps OWNER/NAME/FILE to its content."""

    files: dict[str, bytes]

    def do_HEAD(self):
        owner, name, _, revision, file = self.path.strip("/").split("/")
        content = self.files.get(f"{owner}/{name}/{file}")
        if owner == "broken":
            self.refuse(418, "")
        elif owner == "gated":
            self.refuse(403, "GatedRepo")
        elif not any(known.startswith(f"{owner}/{name}/") for known in self.files):
            self.refuse(404, "RepoNotFound")
        elif revision not in ("main", "v1", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif content is None:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    do_GET = do_HEAD  # noqa: N815

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


READ = """
import json, sys
from artjax.errors import WeightsError
from artjax.models import weights
for source in sys.argv[1:]:
    try:
        print(json.dumps(dict(weights.read(source).origin)))
    except WeightsError as error:
        print(json.dumps(str(error)))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="needs the extra hub"
)
def test_models_of_the_hub_are_downloaded_once_and_refusals_are_plain(tmp_path, pytestconfig):
    Hub.files = {
        "ada/net/model.safetensors": WHOLE,
        "ada/other/config.json": b"{}",
        "ada/old/pytorch_model.bin": b"not read here",
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }

    def ask(*sources, **more):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", READ, *sources],
            env=environment | more,
            cwd=pytestconfig.rootpath,
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    try:
        first, tagged, *refused = ask(
            *("hf:ada/net", "hf:ada/net@v1", "hf:ada/none", "hf:ada/net@v9", "hf:ada/other"),
            *("hf:gated/net", "hf:net", "hf:ada/old", "hf:broken/net"),
        )
    finally:
        server.shutdown()
        server.server_close()
    assert first == {
        "source": "hf:ada/net",
        "file": "model.safetensors",
        "sha256": hashlib.sha256(WHOLE).hexdigest(),
        "revision": COMMIT,
    }
    assert tagged == first | {"source": "hf:ada/net@v1"}
    words = (
        "hf:ada/none: there is no such model on the hub, or it is private",
        "hf:ada/net@v9: the model has no revision v9",
        "hf:ada/other: the model has neither model.safetensors nor pytorch_model.bin",
        "hf:gated/net: no permission; accept the model's terms",
        "hf:net: models of the hub are written hf:OWNER/NAME",
        "hf:ada/old: ",  # found, and refused as a file of PyTorch
        "hf:broken/net: ",
    )
    for said, expected in zip(refused, words, strict=True):
        assert said.startswith(expected)
        assert len(said.splitlines()) <= 2

    cached, *offline = ask("hf:ada/net", "hf:bo/net", HF_HUB_OFFLINE="1")
    assert cached == first
    assert "hf:bo/net: not in the cache, and the hub cannot be reached" in offline[0]


def test_the_extra_for_the_hub_is_named_where_it_is_missing(monkeypatch):
    without(monkeypatch, "huggingface_hub")
    with pytest.raises(WeightsError, match=r"pip install artjax\[hub\]"):
        read("hf:ada/net")

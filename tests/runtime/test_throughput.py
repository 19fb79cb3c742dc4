import jax
import jax.numpy as jnp
import pytest
from tiny import tiny_config

from artjax.runtime import throughput
from artjax.runtime.mesh import create_mesh
from artjax.training.training import create_training


def test_arithmetic_of_vgg16_is_the_published_number():
    config = tiny_config(image_size=224, canvas_size=256, model__name="vgg16")
    vgg = create_training(config, {"artist": 1000}, 60, create_mesh(devices=jax.devices()[:1]))
    # torchvision's documentation of vgg16: 15.47 G multiply-adds for each image.
    assert vgg.flops_per_image == pytest.approx(3 * 2 * 15.47e9, rel=1e-3)


def test_zero_padding_of_the_stem_on_a_gpu_is_not_counted():
    mesh = create_mesh(devices=jax.devices()[:1])
    plain, padded = (create_training(tiny_config(), {"artist": 3}, 60, mesh) for _ in range(2))
    padded.network.model = padded.network._create_model("gpu")
    assert padded.network.model.stem_channels == 8
    assert padded.flops_per_image == plain.flops_per_image


def test_rematerialisation_is_not_counted():
    mesh = create_mesh(devices=jax.devices()[:1])
    kept, again = (
        create_training(tiny_config(remat=remat), {"artist": 3}, 60, mesh)
        for remat in (False, True)
    )
    assert kept.flops_per_image == again.flops_per_image


def test_loops_count_every_iteration():
    def product(x, _):
        return x @ x, None

    jaxpr = jax.make_jaxpr(lambda x: jax.lax.scan(product, x, None, length=5)[0])(jnp.ones((4, 4)))
    assert throughput.count_flops(jaxpr.jaxpr) == 5 * 2 * 4**3


@pytest.mark.parametrize(
    ("kind", "dtype", "peak"),
    [
        ("NVIDIA H200", "bfloat16", 989),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA L40S", "bfloat16", 362),
        ("NVIDIA H200", "float32", None),
        ("cpu", "bfloat16", None),
        ("NVIDIA H200 NVL", "bfloat16", 836),
        ("NVIDIA L40", "bfloat16", 181),
        ("NVIDIA A10G", "bfloat16", None),
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
    ],
)
def test_peaks_are_of_the_device_and_the_dtype(kind, dtype, peak):
    found = throughput.peak_of(kind, dtype)
    assert (found and found.tflops_per_second) == peak


def test_row_is_a_share_of_all_devices_peaks(monkeypatch):
    monkeypatch.setattr(throughput, "peak_of", lambda kind, dtype: throughput.Peak(100, "here"))
    row = throughput.row(create_mesh(devices=jax.devices()[:4]), "bfloat16", 1000.0, 2e11)
    assert row["perf/tflops_per_second"] == pytest.approx(200)
    assert row["perf/mfu"] == pytest.approx(0.5)

"""Throughput in FLOP/s: counted arithmetic, compared with the published peak of the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh


class Peak(NamedTuple):
    """The peak of a device for dense bfloat16 arithmetic, and where it is published."""

    tflops_per_second: float
    source: str


_HOPPER = "NVIDIA H100 and H200 datasheets, without sparsity"
_AMPERE = "NVIDIA A100, A10 and A40 datasheets, without sparsity"
_ADA = "NVIDIA L4, L40 and L40S datasheets, without sparsity"
_GA102 = "NVIDIA GA102 whitepaper, appendix A"
_TPU = "Google Cloud TPU documentation"

# The keys are prefixes of JAX's device names. The longest matching prefix is used.
PEAKS: Mapping[str, Peak] = {
    "NVIDIA H200": Peak(989, _HOPPER),
    "NVIDIA H200 NVL": Peak(836, _HOPPER),
    "NVIDIA H100": Peak(989, _HOPPER),
    "NVIDIA H100 PCIe": Peak(756, _HOPPER),
    "NVIDIA H100 NVL": Peak(835, _HOPPER),
    "NVIDIA A100": Peak(312, _AMPERE),
    "NVIDIA A40": Peak(149.7, _AMPERE),
    "NVIDIA A10": Peak(125, _AMPERE),
    "NVIDIA L4": Peak(121, _ADA),
    "NVIDIA L40": Peak(181, _ADA),
    "NVIDIA L40S": Peak(362, _ADA),
    "NVIDIA GeForce RTX 4090": Peak(165.2, "NVIDIA Ada architecture whitepaper, appendix A"),
    "NVIDIA GeForce RTX 3090": Peak(71, _GA102),
    "NVIDIA RTX A6000": Peak(154.8, _GA102),
    "TPU v4": Peak(275, _TPU),
    "TPU v5 lite": Peak(197, _TPU),
    "TPU v5p": Peak(459, _TPU),
    "TPU v6 lite": Peak(918, _TPU),
}


def peak_of(device_kind: str, dtype: str) -> Peak | None:
    """The peak of a device for activations of a dtype; None if it is not in `PEAKS`."""
    # "NVIDIA A100-SXM4-80GB" is an A100, but "NVIDIA L40S" is not an L40.
    names = [
        name
        for name in PEAKS
        if device_kind == name or device_kind.startswith((f"{name} ", f"{name}-"))
    ]
    return PEAKS[max(names, key=len)] if names and dtype == "bfloat16" else None


def count_flops(jaxpr: Any) -> float:
    """Counts the floating-point operations of the convolutions and matrix products in a jaxpr.

    A multiply-add counts as 2, also on the padding of a convolution. Other operations do not count.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            left = equation.invars[0].aval
            total += (
                2 * equation.outvars[0].aval.size * math.prod(left.shape[i] for i in contracted)
            )
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            outputs = kernel.shape[parameters["dimension_numbers"].rhs_spec[0]]
            total += 2 * equation.outvars[0].aval.size * kernel.size / outputs
        else:
            inner = sum(count_flops(jaxpr) for jaxpr in _inner_jaxprs(parameters))
            total += inner * (parameters["length"] if name == "scan" else 1)
    return total


def _inner_jaxprs(parameters: Mapping[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation, such as the body of a scan."""
    found = []
    for value in parameters.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                found.append(item)
    return found


def row(
    mesh: Mesh, dtype: str, images_per_second: float, flops_per_image: float
) -> dict[str, float]:
    """The columns of the log about the devices.

    Args:
      mesh: the devices.
      dtype: name of the dtype of the activations.
      images_per_second: training speed of all devices together.
      flops_per_image: arithmetic of training on one image.

    Returns:
      `perf/tflops_per_second` of all devices together; `perf/mfu`, that as a share of their peak, in
      [0, 1], if the peak is known; and `perf/peak_memory_gb`, the maximum over the devices of this
      process, if they report it.
    """
    tflops = images_per_second * flops_per_image / 1e12
    numbers = {"perf/tflops_per_second": tflops}
    peak = peak_of(mesh.devices.flat[0].device_kind, dtype)
    if peak:
        numbers["perf/mfu"] = tflops / (peak.tflops_per_second * mesh.size)
    local = [d for d in mesh.devices.flat if d.process_index == jax.process_index()]
    most = max((device.memory_stats() or {}).get("peak_bytes_in_use", 0) for device in local)
    if most:
        numbers["perf/peak_memory_gb"] = most / 1e9
    return numbers

"""Compiler options for each platform."""

from __future__ import annotations

import functools

import jax

# On CPU, jaxlib 0.10 uses YNNPACK for float32 convolutions. It takes up to 4 times as long as Eigen,
# which it replaced; the gradients of the kernels are the slowest. These options limit YNNPACK to matrix
# products, and in training to reductions too, which slow a forward pass down. Figures:
# docs/performance.md.
_YNNPACK = "xla_cpu_experimental_ynn_fusion_type"
_CPU_OPTIONS = {_YNNPACK: "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}
_CPU_OPTIONS_FORWARD = {_YNNPACK: "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}

# Compiling the initialisation of `vgg_small` took 6.3 s of CPU time; with this option it takes 1.8 s.
# The initial weights have the same bits and are computed as fast.
_CPU_OPTIONS_ONCE = {"xla_backend_optimization_level": "1"}


@functools.cache
def compiler_options(
    platform: str, *, forward_only: bool = False, runs_once: bool = False
) -> dict[str, str]:
    """Options for `jax.jit(…, compiler_options=…)` on a platform: "cpu", "gpu" or "tpu".

    They only choose kernels and allow no fast-math. Options that the installed jaxlib does not know are
    left out: their names are internal to XLA and change without notice.

    Args:
      platform: name of the platform.
      forward_only: whether the program has no gradients.
      runs_once: whether the program runs only once. It is optimised less, because compiling it takes
        longer than running it.
    """
    if platform != "cpu":
        return {}
    options = _CPU_OPTIONS_FORWARD if forward_only else _CPU_OPTIONS
    options = options | (_CPU_OPTIONS_ONCE if runs_once else {})
    return {name: value for name, value in options.items() if _is_known(name, value)}


def _is_known(name: str, value: str) -> bool:
    trial = jax.jit(lambda x: x + 1, compiler_options={name: value})
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            trial.lower(1.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True

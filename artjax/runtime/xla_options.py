"""What depends on the platform that the code is compiled for."""

from __future__ import annotations

import functools

import jax

# jaxlib 0.10 hands float32 convolutions on CPU to YNNPACK, whose kernels take up to 4 times as long
# as the Eigen ones that they replaced; the kernel gradients are the slowest. Naming what else YNNPACK
# may do (reductions, at which it is the faster one) takes convolutions and matrix products from it.
# Figures: docs/performance.md.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}

# The initial weights of `vgg_small` took 6.3 s of CPU time to compile, and take 1.8 s with this: the
# same bits, computed as fast.
_CPU_OPTIONS_ONCE = {"xla_backend_optimization_level": "1"}


@functools.cache
def compiler_options(platform: str, *, runs_once: bool = False) -> dict[str, str]:
    """Options for `jax.jit(…, compiler_options=…)` on a platform: "cpu", "gpu", "tpu".

    They choose kernels and leave arithmetic as it is: no fast-math. A program that runs once is
    optimised less, as compiling it takes longer than running it. An option that the installed jaxlib
    does not know is left out, for these names are XLA's own and change without notice.
    """
    if platform != "cpu":
        return {}
    options = _CPU_OPTIONS | (_CPU_OPTIONS_ONCE if runs_once else {})
    return {name: value for name, value in options.items() if _is_known(name, value)}


def _is_known(name: str, value: str) -> bool:
    trial = jax.jit(lambda x: x + 1, compiler_options={name: value})
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            trial.lower(1.0).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True

"""Joins the processes of one training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax


def join(flags: Mapping[str, Any]) -> None:
    """Joins the other processes, if there are any.

    Args:
      flags: `coordinator` (HOST:PORT or `auto`), `num_processes` and `process_id`; none for one process.
    """
    coordinator = flags.get("coordinator")
    if coordinator == "auto":
        jax.distributed.initialize()
    elif coordinator:
        jax.distributed.initialize(coordinator, flags["num_processes"], flags["process_id"])

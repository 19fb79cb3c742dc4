"""Networks that share their programs: the folds of a cross-validation trace and compile them once."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jax.sharding import Mesh

from artjax.training.network import Network

if TYPE_CHECKING:  # benchmarks run where ml_collections is not installed
    from ml_collections import ConfigDict

# Programs stay in memory with their network: enough for a run, and what evaluates it beside.
_MOST = 2
_built: OrderedDict[Any, Network] = OrderedDict()


def network_of(config: ConfigDict, classes: Mapping[str, int], mesh: Mesh) -> Network:
    """As `Network(config, classes, mesh)`, which has the programs of an earlier one where they agree.

    They agree if the configurations are the same but for the fold, and classes and devices are the same:
    a program does not depend on which works it sees.

    Raises:
      ConfigError: as `Network` does.
    """
    key = _without_fold(config), tuple(classes.items()), mesh
    network = _built.pop(key, None) or Network(config, classes, mesh)
    if network.boundary:
        _ = network.feature_shape  # traced before the copy, for all of them
    _built[key] = network
    while len(_built) > _MOST:
        _built.popitem(last=False)
    own = copy.copy(network)
    own.config = config
    return own


def _without_fold(config: ConfigDict) -> str:
    fields = config.to_dict()
    fields.pop("fold", None)
    return json.dumps(fields, sort_keys=True, default=list)

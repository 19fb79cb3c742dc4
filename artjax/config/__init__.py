"""Configurations: their fields, reading them, and checking them.

A configuration is an `ml_collections.ConfigDict`. `configs/*.py` change a few fields of
`default_config`. The command line sets single fields (`--config.optim.peak_lr=0.1`), which
`apply_overrides` reads. `check` validates the whole configuration before anything compiles.
`ml_collections` is imported only where a ConfigDict is created: other classes can be used as well.
"""

from artjax.config.checking import check, check_field, require
from artjax.config.describing import as_markdown, as_text
from artjax.config.fields import AUGMENT_LIMITS, FIELDS, LABELS, default_config
from artjax.config.reading import (
    apply_overrides,
    canvas_size,
    changed,
    collection_settings,
    differences,
    field_called,
    from_json,
    label_features,
    leaves,
    load_config_file,
    nearest,
    to_json,
)

__all__ = [
    "AUGMENT_LIMITS",
    "FIELDS",
    "LABELS",
    "apply_overrides",
    "as_markdown",
    "as_text",
    "canvas_size",
    "changed",
    "check",
    "check_field",
    "collection_settings",
    "default_config",
    "differences",
    "field_called",
    "from_json",
    "label_features",
    "leaves",
    "load_config_file",
    "nearest",
    "require",
    "to_json",
]

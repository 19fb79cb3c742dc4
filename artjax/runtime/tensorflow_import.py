"""The one place that imports TensorFlow: for the CPU, and without the lines that it prints of itself."""

from __future__ import annotations

import os
from typing import Any


def import_tensorflow() -> Any:
    """Returns TensorFlow, with which artjax reads and writes TFRecords, and decodes boxes of JPEGs.

    What it logs by itself follows the level of absl's logging, which `--verbosity` sets. It never takes
    memory of a GPU. `TF_CPP_MIN_LOG_LEVEL` and `TF_ENABLE_ONEDNN_OPTS` stay as the user has set them.

    Raises:
      ImportError: if it is not installed.
    """
    from absl import logging

    # Both are read only once, when TensorFlow is imported for the first time. absl counts its levels
    # from -2 (errors) to 1 (debug), TensorFlow from 0 (all) to 3 (only what ends the process).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(max(0, -logging.get_verbosity())))
    # TensorFlow 2.21 says that oneDNN is on before it has read any level, so only switching it off keeps
    # it quiet. No operation that artjax uses is one of oneDNN's: the pixels are the same, bit for bit.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf

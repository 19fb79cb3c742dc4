"""artjax: trains neural networks on collections of digitised art.

Importing this package does not import TensorFlow or TFDS. Only the functions that read or write
TFRecords import them.
"""

__version__ = "0.1.0"

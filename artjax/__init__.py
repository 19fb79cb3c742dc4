"""artjax: teach a convolutional network to see art.

Importing this package imports neither TensorFlow nor TFDS; they load inside the functions that read
or write TFRecords, and nowhere else.
"""

__version__ = "0.1.0"

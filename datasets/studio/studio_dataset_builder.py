"""The studio, where TFDS looks for builders; the code is in the package."""

from artjax.studio.builder import Builder as Builder

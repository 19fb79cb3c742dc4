"""Tests of the studio's builder, on a few of its works."""

import tempfile

import pytest
import tensorflow_datasets as tfds

from studio import studio_dataset_builder


@pytest.mark.slow
class StudioTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = studio_dataset_builder.Builder
    SPLITS = {"train": 68, "validation": 14, "test": 14}
    EXAMPLE_DIR = tempfile.mkdtemp()  # TFDS asks for a folder, though the pictures are drawn

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._works, cls.DATASET_CLASS.WORKS = cls.DATASET_CLASS.WORKS, 96

    @classmethod
    def tearDownClass(cls):
        cls.DATASET_CLASS.WORKS = cls._works
        super().tearDownClass()


if __name__ == "__main__":
    tfds.testing.test_main()

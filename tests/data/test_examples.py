"""Examples read without TensorFlow are those that TFDS reads."""

import pytest
from tiny import SPLITS, open_canvases, tiny_config

from artjax.data.canvas_builder import read_examples
from artjax.data.examples import examples_at
from artjax.errors import DataError


@pytest.mark.parametrize("split", SPLITS)
def test_examples_are_those_of_tfds(split, data_dir):
    prepared = open_canvases(tiny_config(), data_dir, data_dir / "canvases").prepared
    expected = dict(enumerate(read_examples(prepared, split, "image")))
    assert len(expected) > 4
    rows = [0, 3, len(expected) - 1]
    found = dict(examples_at(prepared, split, rows))
    assert list(found) == rows
    for row, example in found.items():
        # What is empty may be left out.
        assert {name for name, value in expected[row].items() if value != b""} <= example.keys()
        assert example == {name: expected[row][name] for name in example}


def test_a_split_without_records_is_one_line(data_dir):
    prepared = open_canvases(tiny_config(), data_dir, data_dir / "canvases").prepared
    with pytest.raises(DataError, match="has no TFRecord files for the split 'nowhere'"):
        next(examples_at(prepared, "nowhere", [0]))

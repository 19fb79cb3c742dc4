"""Files are written whole or not at all."""

import json
import math

import pytest

from artjax.errors import WorkdirError
from artjax.files import finite, json_text, replacing, write_atomically, write_results


def write_half(path):
    with replacing(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "old é")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text(encoding="utf-8") == "old é"
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_finds_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")
    with replacing(path, mark=".mine") as partial:
        partial.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert partial.name == ".file.bin.mine.partial"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_results_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match=r"cannot write .*file/a\.txt: ") as caught:
        write_results(tmp_path / "file", {"a.txt": "x"})
    assert "\n" not in str(caught.value)


def test_json_has_no_nan_and_no_infinity():
    value = {"a": [1.5, math.nan], "b": {"c": (math.inf, "x", True, None)}}
    assert finite(value) == {"a": [1.5, None], "b": {"c": [None, "x", True, None]}}
    assert json.loads(json_text(value)) == finite(value)
    assert json_text({"b": 1, "a": 2}, sort_keys=True).index("a") < 6

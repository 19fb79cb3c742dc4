import os
import time

import pytest

from artjax.errors import DataError
from artjax.prepare import forecast
from artjax.prepare.forecast import SAMPLE, Forecast, in_words, sample_first


def jpegs(folder, sizes):
    for i, size in enumerate(sizes):
        path = folder / f"{i}.jpg"
        path.write_bytes(b"\0" * size)
        yield path


def test_the_first_pictures_are_from_the_whole_list():
    order = sample_first(list(range(1000)))
    assert sorted(order) == list(range(1000))
    assert order[:SAMPLE] == list(range(0, 15 * SAMPLE, 15))
    assert sample_first([3, 1]) == [3, 1]


def test_what_a_build_needs_is_said_after_the_first_pictures(tmp_path, monkeypatch, capsys):
    clock = iter(range(1000, 2000))  # a second for each picture
    monkeypatch.setattr(forecast.time, "time", lambda: next(clock))
    free = type("Usage", (), {"free": 3_000_000_000})
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _: free)
    told = Forecast(tmp_path, 6400, 2, stored=80_000_000)
    for path in jpegs(tmp_path, [100_000] * SAMPLE):
        assert not capsys.readouterr().out
        told.add(path)
    assert capsys.readouterr().out == (
        "6,400 pictures: about 1.8 hours on 2 cores, 720 MB in DATA_DIR, 1.4 GB until the set is "
        "written (3.0 GB free)\n"
    )


def test_pictures_that_are_there_already_take_neither_time_nor_new_space(tmp_path, capsys):
    paths = list(jpegs(tmp_path, [100_000] * SAMPLE))
    for path in paths:
        os.utime(path, (time.time() - 100, time.time() - 100))
    told = Forecast(tmp_path, 6400, 2)
    for path in paths:
        told.add(path)
    assert "6,400 pictures: 640 MB in DATA_DIR, 640 MB until" in capsys.readouterr().out


def test_a_disk_that_is_too_small_ends_the_build_early(tmp_path, monkeypatch):
    free = type("Usage", (), {"free": 1_000_000_000})
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _: free)
    told = Forecast(tmp_path, 6400, 2)
    *others, last = jpegs(tmp_path, [100_000] * SAMPLE)
    for path in others:
        told.add(path)
    with pytest.raises(DataError, match=r"1\.0 GB free, and 6,400 pictures need about 1\.3") as e:
        told.add(last)
    assert "\n" not in str(e.value)


def test_small_collections_say_nothing(tmp_path, capsys):
    told = Forecast(tmp_path, SAMPLE, 2)
    for path in jpegs(tmp_path, [1000] * SAMPLE):
        told.add(path)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "words"), [(70, "70 seconds"), (725, "12 minutes"), (9000, "2.5 hours")]
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words

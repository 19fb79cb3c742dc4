import dataclasses
import os
import signal

import numpy as np
import pytest
from PIL import Image
from processes import kill_while_cleaning, slow_cleaning, times_of

from artjax.errors import DataError
from artjax.prepare import cleaning, picture_decoding
from artjax.prepare.catalogue import Work
from artjax.prepare.cleaning import clean_works


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A picture that is drawn, as the studio's are."""

    level: int

    def draw(self) -> np.ndarray:
        return np.full((9, 9, 3), self.level, np.uint8)


def make_works(folder, count=100):
    rng = np.random.default_rng(0)
    works = []
    for i in range(count):
        path = folder / f"{i:03d}.png"
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
        works.append(Work(path.name, {}, path))
    return works


@pytest.mark.slow
def test_results_are_in_order_and_do_not_depend_on_the_processes(tmp_path):
    works = make_works(tmp_path)
    works.insert(3, Work("lost.png", {}, None))
    works.append(Work("drawn.png", {}, Drawn(7)))
    alone = clean_works(works, tmp_path / "one", 512, processes=1)
    together = clean_works(works, tmp_path / "two", 512, processes=2)
    assert [c.sha256 for c in alone] == [c.sha256 for c in together]
    assert alone[3].problem == together[3].problem == "no such file"
    assert len({c.sha256 for c in alone}) == 102
    for work, cleaned in zip(works[:3], together, strict=False):
        assert cleaned.jpeg.read_bytes() == picture_decoding.clean(work.picture).jpeg


def test_what_was_cleaned_is_not_cleaned_again_until_it_changes(tmp_path):
    works = make_works(tmp_path, 5)
    first = clean_works(works, tmp_path / "cleaned", 512)
    stamps = [c.jpeg.stat().st_mtime_ns for c in first]
    Image.new("RGB", (30, 30), "red").save(works[2].picture)
    second = clean_works(works, tmp_path / "cleaned", 512)
    assert [c.sha256 for c in second][:2] == [c.sha256 for c in first][:2]
    assert [c.jpeg.stat().st_mtime_ns for c in second][:2] == stamps[:2]
    assert second[2].sha256 != first[2].sha256
    assert clean_works(works, tmp_path / "cleaned", 16)[0].sha256 != first[0].sha256


@pytest.mark.slow
def test_a_killed_cleaning_leaves_only_whole_files_and_is_continued(tmp_path):
    works = make_works(tmp_path, 60)
    folder = tmp_path / "cleaned"
    slow = slow_cleaning(tmp_path, folder, '{"processes": 1}')
    kill_while_cleaning(slow, folder, pictures=5)
    left = times_of(folder)
    assert 5 <= len(left) < 60
    resumed = clean_works(works, folder, 512)
    whole = clean_works(works, tmp_path / "other", 512)
    assert [c.sha256 for c in resumed] == [c.sha256 for c in whole]
    assert left.items() <= times_of(folder).items()


@dataclasses.dataclass(frozen=True)
class Crashing:
    """A picture whose decoder takes the process with it, as a damaged file can."""

    def draw(self) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed before")


@pytest.mark.slow
def test_a_decoder_that_crashes_costs_one_picture(tmp_path):
    works = make_works(tmp_path, 70)
    works.insert(5, Work("crash.png", {}, Crashing()))
    cleaned = clean_works(works, tmp_path / "cleaned", 512, processes=2)
    problems = {w.file_name: c.problem for w, c in zip(works, cleaned, strict=True) if c.problem}
    assert problems == {"crash.png": "its decoder crashed, or ran out of memory"}
    alone = clean_works(make_works(tmp_path, 5), tmp_path / "other", 512)
    assert [c.sha256 for c in cleaned[:5]] == [c.sha256 for c in alone]


def test_a_full_disk_skips_no_picture(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cleaning, "_write_whole", full)
    with pytest.raises(DataError, match=r"cannot keep .*\.jpg: No space left on device"):
        clean_works(make_works(tmp_path, 3), tmp_path / "cleaned", 512)

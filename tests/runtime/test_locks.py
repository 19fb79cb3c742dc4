"""Two processes that build the same thing: one builds, the other waits and uses it."""

import os
import re
import shutil
import threading
import time

import pytest
from tiny import open_canvases, tiny_config

from artjax.data import canvases
from artjax.errors import WorkdirError
from artjax.runtime import locks


def at_once(count, function):
    """Runs a function in so many threads. Each opens the lock's file anew, as a process does."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(function())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


def test_blocks_for_one_folder_run_one_after_the_other(tmp_path, capsys):
    inside, most = [], []

    def block():
        with locks.after_others(tmp_path / "new", "building"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.1)
            inside.pop()

    at_once(3, block)
    assert most == [1, 1, 1]
    waited = re.findall(r"waiting in .*new: (.*)", capsys.readouterr().out)
    assert waited == [waited[0]] * 2
    assert re.fullmatch(rf"process {os.getpid()} on \S+ is building in it", waited[0])
    assert not (tmp_path / "new" / ".lock-holder").exists()


def test_who_holds_the_lock_is_known_a_moment_later(tmp_path, capsys):
    with locks.after_others(tmp_path, "building"):
        holder = tmp_path / ".lock-holder"
        name = holder.read_text()
        holder.write_text("")  # as between creating the file and writing it
        threading.Timer(0.1, holder.write_text, [name]).start()
        with pytest.raises(WorkdirError, match=rf"process {os.getpid()} on \S+ is building in it"):
            locks.only_process(tmp_path, "training").__enter__()


def test_another_folder_is_not_waited_for(tmp_path, capsys):
    with locks.after_others(tmp_path / "a", "building"), locks.after_others(tmp_path / "b", "too"):
        assert (tmp_path / "a" / ".lock-holder").exists()
        assert (tmp_path / "b" / ".lock-holder").exists()
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_written_does_not_hold_the_block_up(tmp_path):
    (tmp_path / "file").touch()
    ran = []
    with locks.after_others(tmp_path / "file" / "folder", "building"):
        ran.append(1)
    assert ran
    with pytest.raises(OSError, match="from the block"):  # noqa: SIM117
        with locks.after_others(tmp_path / "c", "building"):
            raise OSError("from the block")


def test_two_first_trainings_build_the_canvases_once(data_dir, tmp_path, monkeypatch):
    shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    built, build = [], canvases.build

    def slowly(*arguments):
        built.append(arguments)
        time.sleep(0.3)
        build(*arguments)

    monkeypatch.setattr(canvases, "build", slowly)
    both = at_once(2, lambda: open_canvases(tiny_config(), tmp_path, None))
    assert len(built) == 1
    for data in both:
        assert len(data.split("train", {"artist": "artist"})) == 60

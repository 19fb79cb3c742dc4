"""Processes that may crash, and that know nothing of the caller's main module."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from processes import wait_for

from artjax.errors import DataError
from artjax.prepare.processes import map_in_order, map_in_processes


def square(number):
    if number < 0:
        raise DataError(f"{number} is negative")
    return os.getpid(), number * number


def crash_at(bad, number):
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_item_has_its_result_and_the_processes_end():
    found = dict(map_in_processes(square, range(50), 3))
    assert {index: square for index, (_, square) in found.items()} == {i: i * i for i in range(50)}
    processes = {pid for pid, _ in found.values()}
    assert 1 <= len(processes) <= 3
    assert os.getpid() not in processes
    assert not any(map(is_there, processes))


def test_no_items_need_no_process():
    assert list(map_in_processes(square, [], 3)) == []


def test_a_crash_costs_one_result():
    found = dict(map_in_processes(partial(crash_at, 4), range(20), 2))
    assert found == {i: None if i == 4 else i for i in range(20)}


def test_results_come_in_order_and_no_more_are_ahead_than_asked_for(tmp_path):
    log = tmp_path / "log"
    found = map_in_order(partial(note_slowly_first, log), range(20), 2, 4)
    assert next(found) == 0
    time.sleep(0.3)
    # While the first was awaited, those up to the fourth could begin; nobody has asked for more.
    assert {int(line) for line in log.read_text().split()} == {0, 1, 2, 3}
    assert list(found) == list(range(1, 20))
    assert list(map_in_order(partial(crash_at, 4), range(8), 2, 3)) == [*range(4), None, 5, 6, 7]
    assert list(map_in_order(square, [], 3, 2)) == []


def note_slowly_first(log, number):
    with log.open("a") as file:
        file.write(f"{number}\n")
    if number == 0:
        time.sleep(0.5)
    return number


def test_an_error_is_raised_here_and_says_where_it_came_from():
    with pytest.raises(DataError) as caught:
        list(map_in_processes(square, [3, -1, 5], 2))
    assert str(caught.value) == "-1 is negative"
    assert "in square" in caught.value.__notes__[0]


def test_processes_end_where_the_caller_stops_listening():
    results = map_in_processes(square, range(1000), 2)
    first = [next(results)[1][0] for _ in range(4)]
    results.close()
    assert not any(map(is_there, first))


MAIN = """
import signal  # a shell that runs the tests in the background lets its children ignore SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
print("main module", flush=True)
from test_processes import square
from artjax.prepare.processes import map_in_order, map_in_processes
main = dict(vars(sys.modules["__main__"]))
for index, (pid, _) in map_in_processes(square, range(400_000), 2):
    assert {name: vars(sys.modules["__main__"])[name] for name in main} == main
    if index == 0:
        print(pid, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_caller_and_do_not_import_its_main_module(tmp_path, end):
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    path = [os.path.dirname(__file__), *sys.path]
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "main module\n"
    pid = int(process.stdout.readline())
    process.send_signal(end)
    assert process.wait(120) != 0
    wait_for(lambda: not is_there(pid))
    assert process.stdout.read() == ""
    process.stdout.close()

"""The fastest of several compiler options is found once, and remembered."""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from artjax.runtime import fastest
from artjax.runtime.fastest import Candidate, FastestProgram

OPTIONS = [{}, {"xla_backend_optimization_level": "1"}]


@pytest.fixture
def cache(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def timed(monkeypatch, seconds):
    """Lets the candidates take the given times, in turns; returns the list of those that were timed."""
    calls = []

    def take(jitted, arguments):
        calls.append(jitted)
        return seconds[(len(calls) - 1) % len(seconds)]

    monkeypatch.setattr(fastest, "_seconds", take)
    return calls


def programs(function, options=OPTIONS):
    return FastestProgram([Candidate(function, each) for each in options])


def program():
    return programs(lambda x, y: x @ x + (0 if y is None else y))


def test_the_faster_one_is_chosen_and_remembered(cache, monkeypatch):
    calls = timed(monkeypatch, [2.0, 1.0])
    first = program()
    values = jnp.ones((4, 4))
    np.testing.assert_array_equal(first(values, None), 4 * np.ones((4, 4)))
    assert len(calls) == 4
    assert list(first._chosen.values()) == [first._jitted[1]]
    first(values, None)
    assert len(calls) == 4
    first(values, values)  # another program
    first(jnp.ones((5, 5)), None)
    assert len(calls) == 12
    second = program()
    second(values, None)
    assert len(calls) == 12
    assert list(second._chosen.values()) == [second._jitted[1]]


def test_a_damaged_note_is_written_anew(cache, monkeypatch):
    calls = timed(monkeypatch, [1.0, 2.0])
    program()(jnp.ones((4, 4)), None)
    (note,) = cache.glob("fastest-*.json")
    note.write_text("{")
    again = program()
    again(jnp.ones((4, 4)), None)
    assert len(calls) == 8
    assert list(again._chosen.values()) == [again._jitted[0]]
    program()(jnp.ones((4, 4)), None)
    assert len(calls) == 8


def test_without_a_cache_it_is_timed_by_each_process():
    function = programs(lambda x: x + 1)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        np.testing.assert_array_equal(function(jnp.zeros(3)), np.ones(3))
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_arguments_that_do_not_decide_get_the_same_choice(cache, monkeypatch):
    calls = timed(monkeypatch, [2.0, 1.0])
    candidates = [Candidate(lambda x, y: x if y is None else x + y, each) for each in OPTIONS]
    function = FastestProgram(candidates, decided_by=1)
    function(jnp.ones(3), None)
    np.testing.assert_array_equal(function(jnp.ones(3), jnp.ones(3)), 2 * np.ones(3))
    assert len(calls) == 4
    function(jnp.ones(4), None)
    assert len(calls) == 8


def test_the_fastest_of_all_rounds_counts(cache, monkeypatch):
    calls = timed(monkeypatch, [0.5, 0.6, 0.9, 0.1])  # the second is disturbed at first
    function = program()
    function(jnp.ones((4, 4)), None)
    assert len(calls) == 4
    assert list(function._chosen.values()) == [function._jitted[1]]


def test_the_same_program_is_timed_once(cache, monkeypatch):
    calls = timed(monkeypatch, [2.0, 1.0])
    candidates = [Candidate(lambda x: x + 1, {}), Candidate(lambda y: y + 1, {}, "other")]
    candidates.append(Candidate(lambda x: x - -1, {}, "really another"))
    function = FastestProgram(candidates)
    function(jnp.zeros(3))
    assert set(calls) == {function._jitted[0], function._jitted[2]}
    assert list(function._chosen.values()) == [function._jitted[2]]


def test_other_values_are_left_out_however_fast(cache, monkeypatch):
    calls = timed(monkeypatch, [2.0, 1.0])
    candidates = [Candidate(lambda x: x + 1, {})]
    candidates += [Candidate(lambda x, y=y: x + y, {}, str(y)) for y in (1.1, 1.001, jnp.nan)]
    function = FastestProgram(candidates)
    function(jnp.zeros(3))
    assert set(calls) == {function._jitted[0], function._jitted[2]}


def test_a_candidate_is_called_within_what_it_needs(cache, monkeypatch):
    timed(monkeypatch, [2.0, 1.0])
    entered = []

    @contextmanager
    def around():
        entered.append(True)
        yield
        entered.append(False)

    function = FastestProgram(
        [Candidate(lambda x: x + 1, {}), Candidate(lambda x: x - -1, {}, "other", around)]
    )
    np.testing.assert_array_equal(function(jnp.zeros(3)), np.ones(3))
    assert entered == [True, False] * 2
    again = FastestProgram(
        [Candidate(lambda x: x + 1, {}), Candidate(lambda x: x - -1, {}, "other", around)]
    )
    again(jnp.zeros(3))  # known from the disk
    assert entered == [True, False] * 3


def test_one_candidate_is_not_timed(monkeypatch):
    calls = timed(monkeypatch, [1.0])
    assert programs(lambda x: x + 1, [{}])(jnp.zeros(())) == 1
    assert not calls

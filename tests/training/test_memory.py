"""The memory of a step, and the messages if it does not fit."""

import json
import os
import re
from functools import cache, partial

import jax
import pytest
from tiny import tiny_config

from artjax.config import changed
from artjax.data.sources import Choice
from artjax.errors import ArtjaxError, TrainingError
from artjax.places import Places
from artjax.runtime.mesh import create_mesh
from artjax.train import train
from artjax.training import memory
from artjax.training.training import Training, create_training

ON_DEVICE = Choice("device", "")
NARROW = {"model__name": "narrow"}


def mesh(devices=1):
    return create_mesh(devices=jax.devices()[:devices])


def training(devices=1, **changes):
    return create_training(tiny_config(**changes), {"artist": 3}, 60, mesh(devices))


def needed(batch_size, **changes):
    return memory.needed_bytes(training(batch_size=batch_size, **changes).compile_train_step())


@pytest.mark.slow
def test_estimate_is_near_what_the_compiler_says():
    small = training(batch_size=64)
    estimate = sum(small.estimated_bytes())
    assert estimate == pytest.approx(needed(64), rel=0.25)
    state, gradients, _ = small.estimated_bytes()
    assert state == sum(leaf.nbytes for leaf in jax.tree.leaves(small.initial_state()))
    assert gradients == 4 * small.network.parameters


def test_the_estimate_names_its_parts():
    small = training()
    shown = memory.describe_estimate(small, Choice("host", ""), None)
    parts = r"state \S+ \S+, gradient \S+ \S+, activations \S+ \S+"
    assert re.search(rf"\(estimate: {parts}, prefetched batches \S+ \S+\)$", shown)
    assert re.search(rf"\(estimate: {parts}\)$", memory.describe_estimate(small, ON_DEVICE, None))


def test_estimate_follows_devices_accumulation_and_rematerialisation():
    activations = training(batch_size=64).estimated_bytes()[2]
    for changes in ({"devices": 4}, {"accumulate": 4}):
        assert training(batch_size=64, **changes).estimated_bytes()[2] == activations / 4
    assert training(batch_size=64, remat=True).estimated_bytes()[2] < 0.2 * activations


@pytest.mark.slow
def test_accumulation_needs_less_memory():
    whole, halves, quarters = (needed(64, **NARROW, accumulate=count) for count in (1, 2, 4))
    assert halves < 0.65 * whole
    assert quarters < 0.75 * halves  # the state is not divided


@pytest.mark.slow
def test_largest_batch_fits_and_one_eighth_more_does_not():
    needs = partial(needed, **NARROW)
    free = needs(52)
    of = partial(training, **NARROW)
    largest = memory._largest(lambda size: of(batch_size=size), ON_DEVICE, free, 8, 64)
    assert needs(largest) <= free < needs(largest + largest // 8)


@pytest.mark.slow
def test_step_that_does_not_fit_is_an_error_before_it_runs(data_dir, tmp_path, monkeypatch):
    needs = partial(needed, **NARROW)
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: needs(32))
    config = tiny_config(**NARROW, batch_size=64, source="device")
    with pytest.raises(TrainingError) as caught:
        train(config, Places(tmp_path, data_dir), devices=jax.devices()[:1])
    said = str(caught.value)
    fits = int(re.search(r"try --config.batch_size=(\d+) \(the largest that fits", said)[1])
    assert needs(fits) <= needs(32) < needs(fits + 2)  # extrapolated from two smaller batches
    assert "out of memory: a step with --config.batch_size=64 needs" in said
    assert "--config.accumulate=" in said
    assert "--config.remat=true" in said
    assert "smaller --config.image_size (now 32)" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.slow
def test_canvases_on_the_device_are_counted_once(data_dir, tmp_path, monkeypatch):
    # What is free beside the canvases is just what the step needs.
    needs = needed(16, **NARROW)
    step = needs + 2**17  # and a little for gathering the batch
    assert step < needs + 60 * 40 * 40 * 3
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: step)
    config = tiny_config(**NARROW, batch_size=16, source="device", steps=1)
    assert train(config, Places(tmp_path, data_dir), devices=jax.devices()[:1]).finished


def test_device_that_runs_out_of_memory_gives_the_same_error(data_dir, tmp_path, monkeypatch):
    def runs_out(self):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(Training, "initial_state", runs_out)
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: None)
    with pytest.raises(TrainingError, match="needs more memory on each device"):
        train(tiny_config(), Places(tmp_path, data_dir), devices=jax.devices()[:1])


def test_other_runtime_errors_keep_their_traceback():
    assert not memory.is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: no"))
    assert not memory.is_out_of_memory(ValueError("RESOURCE_EXHAUSTED"))


@pytest.mark.slow
def test_automatic_batch_size_is_the_largest_that_fits(monkeypatch):
    devices, accumulate = 4, 2
    config = tiny_config(**NARROW, accumulate=accumulate)

    @cache  # traces and compiles the step of each size once
    def of(batch_size):
        sized = changed(config, {"batch_size": batch_size})
        return create_training(sized, {"artist": 3}, 4000, mesh(devices))

    room = memory.needed_bytes(of(72).compile_train_step()) / 0.9
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: int(room))
    assert memory.find_batch_size(of, mesh(devices), ON_DEVICE, 4000, accumulate) == 64
    # Canvases that will be on the devices, and batches that wait, take their share.
    held = Choice("device", "", held_bytes=int(0.3 * room))
    assert memory.find_batch_size(of, mesh(devices), held, 4000, accumulate) == 32
    images = Choice("host", "")
    assert memory.waiting_bytes(of(8), images) == 19 * (8 // devices) * (40 * 40 * 3 + 4 + 4 + 1)
    found = memory.find_batch_size(of, mesh(devices), images, 4000, accumulate)
    fits = [
        memory.needed_bytes(of(size).compile_train_step()) + memory.waiting_bytes(of(size), images)
        <= 0.9 * int(room)
        for size in (found, 2 * found)
    ]
    assert fits == [True, False]
    assert found < 64
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: 2**50)
    # At most a sixteenth of the works, so that an epoch has enough steps.
    assert memory.find_batch_size(of, mesh(devices), ON_DEVICE, 600, accumulate) == 32
    monkeypatch.setattr(memory, "free_bytes", lambda mesh: 1000)
    with pytest.raises(ArtjaxError, match="not even"):
        memory.find_batch_size(of, mesh(devices), ON_DEVICE, 600, accumulate)


@pytest.mark.slow
def test_automatic_batch_size_is_kept_in_the_workdir(data_dir, tmp_path, monkeypatch, capsys):
    config = tiny_config(**NARROW, batch_size=0, steps=3)
    one = {"devices": jax.devices()[:1]}
    monkeypatch.setattr(memory, "find_batch_size", lambda *arguments: 8)
    train(config, Places(tmp_path, data_dir), stop_after_steps=1, **one)
    assert "batch size: auto is 8 here" in capsys.readouterr().out
    assert json.loads((tmp_path / "config.json").read_text())["batch_size"] == 8
    monkeypatch.setattr(memory, "find_batch_size", lambda *arguments: 16)
    assert train(config, Places(tmp_path, data_dir), stop_after_steps=2, **one).step == 2


def test_cpu_devices_share_the_memory_of_their_machine():
    one, eight = memory.free_bytes(mesh(1)), memory.free_bytes(mesh(8))
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert there / 500 < one <= there
    assert eight == pytest.approx(one / 8, rel=0.2)

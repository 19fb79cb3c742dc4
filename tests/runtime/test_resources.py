"""Free bytes of devices, machine and disk, and their format."""

import os
import shutil
from types import SimpleNamespace

import jax
import pytest

from artjax.runtime import resources
from artjax.runtime.mesh import create_mesh


def test_minimum_over_the_devices_counts_and_one_without_numbers_makes_it_unknown():
    def on(*free):
        stats = [f and {"bytes_limit": f + 7, "bytes_in_use": 7} for f in free]
        devices = [SimpleNamespace(memory_stats=lambda s=s: s) for s in stats]
        return resources.on_devices(SimpleNamespace(local_devices=devices))

    assert on(5, 3) == 3
    assert on(5, None) is None
    assert (
        resources.on_devices(create_mesh(devices=jax.devices()[:2])) is None
    )  # a CPU has none of its own


def test_memory_of_this_machine_is_known_and_can_be_shared():
    one, eighth = resources.on_host(), resources.on_host(shares=8)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert there / 500 < one <= there
    assert eighth == pytest.approx(one / 8, rel=0.2)


def test_a_folder_that_does_not_exist_yet_is_on_the_disk_of_its_nearest_parent(tmp_path):
    free = resources.on_disk(tmp_path / "not" / "yet")
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (773.4e9, "773.4 GB"),
        (1e9, "1.0 GB"),
        (999e6, "999 MB"),
        (54.4e6, "54 MB"),
        (1.23e6, "1.2 MB"),
        (288_000, "288 kB"),
        (0, "0 kB"),
    ],
)
def test_format_bytes(size, text):
    assert resources.format_bytes(size) == text

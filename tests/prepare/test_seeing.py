"""Pictures as a network sees them: in order, also beside one that takes its process along."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny import stripes

from artjax.data import decoding
from artjax.prepare import picture_decoding, seeing
from artjax.prepare.seeing import see_all


class Crashing(type(Path())):
    """A picture whose decoder takes the process with it, as a damaged file can."""

    def stat(self, **how):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_processes_see_what_one_sees_and_a_crash_costs_one_picture(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for i, file in enumerate(files):
        stripes(i % 3, np.random.default_rng(i)).save(file)
    files[3].write_text("broken")
    alone = list(see_all(files, 64, (40, 32), processes=0))
    canvas, aspect = decoding.squash(picture_decoding.clean(files[0], 64).jpeg, 32)
    np.testing.assert_array_equal(alone[0].canvases[32], canvas)
    assert alone[0].aspect == aspect
    assert alone[0].canvases[40].shape == (40, 40, 3)
    assert [seen.reason for seen in alone] == [
        *[""] * 3,
        "not a picture in any known format",
        "",
        "",
    ]
    files.insert(2, Crashing(tmp_path / "crash.png"))
    several = list(see_all(files, 64, (40, 32), processes=2))
    assert several.pop(2).reason == seeing.CRASHED
    for one, other in zip(alone, several, strict=True):
        assert (one.aspect, one.reason) == (other.aspect, other.reason)
        for side, pixels in one.canvases.items():
            np.testing.assert_array_equal(pixels, other.canvases[side])

"""The table of modes: each row is whole, and a new mode is one file and one row."""

import importlib
import shlex
import sys

import pytest

import launch
from artjax.command_line import parse
from artjax.config import FIELDS
from artjax.errors import ConfigError
from artjax.modes.flags import ALWAYS, FLAGS
from artjax.modes.table import MODES, Mode, later

WORKS = '''
"""How many works each split has."""


def run(command):
    config, places = command.config_and_places()
    from artjax.setup import open_setup

    setup = open_setup(config, places, mode="count")
    print({name: len(split) for name, split in setup.splits.items()}, command.flags["split"])
    print(command.next("train"))
    return 3
'''


@pytest.mark.parametrize("name", MODES)
def test_each_row_is_whole(name):
    mode = MODES[name]
    assert set(mode.flags) <= {*FLAGS, "pictures"}
    assert not mode.fields or any(field.startswith(mode.fields) for field in FIELDS)
    assert not mode.help.endswith(".")
    command = parse(shlex.split(mode.example))
    assert command.mode == name
    module = mode.run.__closure__[0].cell_contents
    assert callable(importlib.import_module(module).run)


def test_every_flag_belongs_to_a_mode():
    used = {flag for mode in MODES.values() for flag in mode.flags}
    assert used | set(ALWAYS) == {*FLAGS, "pictures", "mode"}


@pytest.mark.parametrize("name", MODES)
def test_every_flag_that_a_mode_does_not_use_is_refused(name):
    for flag in FLAGS.keys() - {*MODES[name].flags, *ALWAYS}:
        with pytest.raises(
            ConfigError, match=rf"--{flag}: --mode {name} does not use it; it is for"
        ):
            parse(["--mode", name, f"--{flag}", "3"])


def test_a_new_mode_is_one_file_and_one_row(data_dir, tmp_path, monkeypatch, capsys):
    (tmp_path / "count_works.py").write_text(WORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    flags = ("config", "workdir", "data_dir", "split")
    row = Mode("count the works", "--mode count", later("count_works"), flags)
    monkeypatch.setitem(MODES, "count", row)
    try:
        small = ["--config.image_size=32", "--config.canvas_size=40", "--config.model.name=narrow"]
        small += ["--config.batch_size=16"]
        given = ["--config", "configs/artist.py:tiny", "--data_dir", str(data_dir), *small]
        given += ["--workdir", str(tmp_path / "run")]
        assert launch.main([*given, "--mode", "count", "--split", "x"]) == 3
        said = capsys.readouterr().out.splitlines()
        assert said[-2] == "{'train': 60, 'validation': 20, 'test': 19} x"
        # The next command has the flags that its own mode uses.
        typed = shlex.split(said[-1].removeprefix("next: python launch.py "))
        assert sorted(typed) == sorted(given)
        with pytest.raises(SystemExit):
            launch.main(["--help"])
        assert "count the works" in capsys.readouterr().out
        with pytest.raises(ConfigError, match="--checkpoint: --mode count does not use it"):
            launch.main([*given, "--mode", "count", "--checkpoint", "last"])
    finally:
        sys.modules.pop("count_works", None)

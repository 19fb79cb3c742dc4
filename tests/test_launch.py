"""The command line: its modes, and the messages for invalid input."""

import math
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny import SPLITS, open_canvases, stripes, tiny_config

import launch
from artjax import default_collection
from artjax.command_line import parse
from artjax.errors import ArtjaxError
from artjax.runtime.resources import format_bytes

TINY = ["--config", "configs/artist.py:tiny"]
SMALL = ["--config.image_size=32", "--config.canvas_size=40", "--config.model.name=vgg_small"]


@pytest.fixture(autouse=True)
def in_the_repository(pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "nothing to train: set --config"),
        (
            ["--config", "configs/artst.py"],
            "no config file configs/artst.py; configs/ has all_labels.py, any.py, artist.py",
        ),
        (["--wrkdir", "x"], "unknown flag --wrkdir; did you mean --workdir?"),
        (
            ["--mode", "evalute"],
            "features, export; did you mean evaluate?",
        ),
        (["--mode", "evaluate"], "--mode evaluate needs the --workdir of a run"),
        (["--mode", "evaluate", "--workdir", "NEW"], "no checkpoint in"),
        (["--mode", "predict", "--workdir", "NEW"], "needs image files"),
        (["picture.jpg", "--workdir", "NEW"], "'picture.jpg' is not a flag; files need"),
        (
            ["--mode", "evaluate", "--workdir", "NEW", "--config.seed=1", "--config.eval.views=5"],
            "--config.seed: --mode evaluate uses the checkpoint's own config; omit this flag (of the "
            "config only eval.* may be set)",
        ),
        (
            ["--mode", "predict", "--workdir", "NEW", "a.jpg", "--config.eval.views=3"],
            "--config.eval.views=3: valid are 1, 5, 10",
        ),
        (
            ["--mode", "evaluate", "--workdir", "NEW", "--config.eval.vews=5"],
            "unknown config field --config.eval.vews; did you mean eval.views?",
        ),
        (
            ["--workdir", "NEW", "--workdir", "OTHER"],
            "--workdir is given 2 times: --mode train takes one, only --mode evaluate, "
            "compare, predict or serve takes",
        ),
        (
            ["--mode", "predict", "--workdir", "NEW", "--workdir", "OTHER", "a.jpg"],
            "a.jpg is not a usable image: no such file or folder",
        ),
        (
            ["--mode", "predict", "--workdir", "NEW", "--workdir", "OTHER", __file__],
            "no checkpoint in",
        ),
        (
            ["--mode", "evaluate", "--workdir", "NEW", "--workdir", "NEW"],
            "is given twice: an ensemble needs different runs",
        ),
        ([*TINY, "--config.optim.peek_lr=1"], "did you mean optim.peak_lr?"),
        ([*TINY, "--config.batch_size=x"], "not of type int"),
        (
            [*TINY, "--config.augment.hue=0.6"],
            "augment.hue=0.6: it must be in [0, 0.5], 0 for none",
        ),
        ([*TINY, "--config.batch_size"], "--config.batch_size needs a value"),
        (
            [*TINY, *SMALL, "--config.batch_size=17"],
            "not divisible by the 8 devices; use 16 or 24",
        ),
        (
            [*TINY, *SMALL, "--config.batch_size=40", "--config.accumulate=3"],
            "batch_size=40 is not divisible by the 8 devices x --config.accumulate=3; use 24 or 48",
        ),
        ([*TINY, "--config.accumulate=0"], "accumulate=0: it must be 1 or more"),
        ([*TINY, "--config.batch_size=-1"], "batch_size=-1: it must be 1 to 1,048,576, or auto"),
        ([*TINY, "--config.fsdp=3"], "must divide the 8 devices"),
        (
            [*TINY, "--config.source=host", "--config.canvas_size=10000000", "--workdir", "NEW"],
            "canvases of 10000000 px need 31,185,000.0 GB in",  # for 99 images, plus 5 %
        ),
        (
            [*TINY[:1], "configs/location.py:tiny"],
            "has no label 'location' for the task 'location'",
        ),
        ([*TINY[:1], "configs/artist.py:tinny"], "did you mean 'tiny'?"),
        (
            [*TINY[:1], "configs/artist.py:collection"],
            "tfds build datasets/collection --manual_dir",
        ),
        ([*TINY[:1], "configs/genre.py:wikiart"], "tfds build datasets/wikiart --config genre"),
        ([*TINY, "--coordinator", "here:1"], "also needs --num_processes and --process_id"),
        (
            [*TINY, "--num_processes", "7", "--process_id", "3"],
            "--num_processes without --coordinator: each process would work alone",
        ),
        ([*TINY, "--process_id", "0"], "--process_id without --coordinator"),
        (
            [*TINY, "--mode", "check", "--split", "nonsense", "--checkpoint", "nonsense"],
            "--split: --mode check does not use it; it is for --mode evaluate",
        ),
        (
            [*TINY, "--mode", "check", "--checkpoint", "last"],
            "--checkpoint: --mode check does not use it; it is for --mode evaluate, compare, predict, ",
        ),
        (
            [*TINY, "--mode", "describe", "--stop_after_steps", "3"],
            "--stop_after_steps: --mode describe does not use it; it is for --mode train",
        ),
        (
            [*TINY, "--mode", "search", "--coordinator", "here:1"],
            "--coordinator: --mode search does not use it; it is for --mode train, ",
        ),
        ([*TINY, "--epochs", "3"], "unknown flag --epochs; did you mean --config.epochs?"),
        ([*TINY, "--batch_size=3"], "did you mean --config.batch_size?"),
        ([*TINY, "--learning_rate", "3"], "did you mean --config.optim.peak_lr?"),
        ([*TINY, "--lr=3"], "did you mean --config.optim.peak_lr?"),
        ([*TINY, "--seed", "3"], "did you mean --config.seed?"),
        ([*TINY, "--optim.momentum=0"], "did you mean --config.optim.momentum?"),
        ([*TINY, "--data_dr", "3"], "did you mean --data_dir?"),
    ],
)
def test_errors_of_the_user_are_one_or_two_lines(argv, says, data_dir, tmp_path):
    argv = [str(tmp_path / "new") if word == "NEW" else word for word in argv]
    with pytest.raises(ArtjaxError) as caught:
        launch.main([*argv, "--data_dir", str(data_dir)])
    assert says in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_errors_end_the_process_with_status_2_and_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "launch.py", "--workdir", str(tmp_path), "--mode", "evaluate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"artjax: no checkpoint in {tmp_path}")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_source_that_does_not_fit_is_one_line_with_needed_and_free_bytes(data_dir, tmp_path):
    # Canvases of twice this machine's memory, as a sparse file.
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    side = math.isqrt(2 * memory // (3 * SPLITS["train"]))
    built = open_canvases(tiny_config(), data_dir, tmp_path / "canvases").directory
    too_large = built.rename(built.with_name(f"{side}px"))
    shape = (SPLITS["train"], side, side, 3)
    np.lib.format.open_memmap(too_large / "train.images.npy", "w+", np.uint8, shape)
    done = subprocess.run(
        [
            *(sys.executable, "launch.py", *TINY, *SMALL, f"--config.canvas_size={side}"),
            *("--config.source=device", "--config.batch_size=16", "--data_dir", str(data_dir)),
            *("--canvas_dir", str(tmp_path / "canvases"), "--workdir", str(tmp_path / "new")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(
        rf"artjax: --config.source=device: canvases of {format_bytes(math.prod(shape))} do not fit in "
        r"the [\d,.]+ [GM]B of memory that are free; use host, which reads them from the disk\n",
        done.stderr,
    )
    assert not (tmp_path / "new").exists()


def test_an_override_and_its_value_may_be_two_arguments():
    command = parse([*TINY, "--config.seed", "3", "--config.optim.peak_lr=0.1", "--mode", "train"])
    assert command.fields == [("seed", "3"), ("optim.peak_lr", "0.1")]
    assert command.flags == {"config": TINY[1]}


def test_config_files_are_found_beside_launch_from_any_folder(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtjaxError, match="did you mean 'tiny'"):
        launch.main(["--config", "configs/artist.py:tinny", "--data_dir", str(data_dir)])
    with pytest.raises(ArtjaxError, match=r"no config file configs/artst\.py"):
        launch.main(["--config", "configs/artst.py:tiny", "--data_dir", str(data_dir)])


@pytest.mark.slow
def test_train_evaluate_and_predict_from_the_command_line(data_dir, tmp_path, capsys):
    flags = ["--data_dir", str(data_dir), "--workdir", str(tmp_path)]
    short = ["--config.model.name=narrow", "--config.steps=2", "--config.batch_size=16"]
    assert launch.main([*TINY, *SMALL, *short, *flags]) == 0
    capsys.readouterr()
    assert launch.main(["--workdir", str(tmp_path)]) == 0
    assert "this run is finished" in capsys.readouterr().out
    evaluate = ["--mode", "evaluate", "--workdir", str(tmp_path), "--split", "validation"]
    assert launch.main([*TINY, *evaluate]) == 0
    assert "validation artist: top-1" in capsys.readouterr().out
    assert launch.main([*evaluate, "--config.eval.views=5"]) == 0
    assert "on 20 works, 5 views of each" in capsys.readouterr().out
    copy = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
    assert launch.main([*evaluate, "--workdir", str(copy)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "ensemble of 2 runs, tiny/1.0.0"
    assert [line.split(",")[0] for line in said[1:3]] == [f"  {tmp_path}", f"  {copy}"]
    assert said[3].startswith("validation artist: top-1")
    assert said[-3] == f"written to {tmp_path / 'evaluation' / 'ensemble-validation'}"
    assert said[-2] == f"report: {tmp_path / 'report-ensemble-validation' / 'index.html'}"
    workdirs = f"--workdir {tmp_path} --workdir {copy}"
    assert said[-1] == f"next: python launch.py {workdirs} --mode predict PICTURE_OR_FOLDER"
    picture = tmp_path / "picture.png"
    stripes(0, np.random.default_rng(0)).save(picture)
    (tmp_path / "text.jpg").write_text("no picture")
    predict = ["--mode", "predict", "--workdir", str(tmp_path)]
    assert launch.main([*predict, str(picture)]) == 0
    assert f"{picture}: artist" in capsys.readouterr().out
    assert launch.main([*predict, str(picture), "--config.eval.views=10"]) == 0
    assert "each the mean of 10 views" in capsys.readouterr().out
    assert launch.main([*predict, str(picture), str(tmp_path / "text.jpg")]) == 2
    assert "text.jpg: not a usable image: not a picture" in capsys.readouterr().err


def test_the_studio_is_chosen_if_wikiart_is_not_prepared(data_dir, tmp_path):
    assert default_collection.choose(("artist",), data_dir, None) == "studio"
    assert "because wikiart is not prepared" in default_collection.why(
        "studio", ("artist",), data_dir
    )
    (tmp_path / "wikiart").mkdir()
    shutil.copytree(data_dir / "tiny" / "1.0.0", tmp_path / "wikiart" / "artist" / "1.0.0")
    assert default_collection.choose(("artist",), tmp_path, None) == "wikiart"
    assert (
        default_collection.choose(("genre",), tmp_path, None) == "wikiart"
    )  # the only config has that label
    assert default_collection.choose(("location",), tmp_path, None) == "studio"
    shutil.copytree(data_dir / "tiny" / "1.0.0", tmp_path / "wga" / "baumer_chen" / "1.0.0")
    assert default_collection.choose(("artist", "genre"), tmp_path, None) == "wga"
    assert default_collection.choose(("artist",), tmp_path, None) == "wikiart"
    assert "because wga is not prepared" in default_collection.why(
        "studio", ("location",), data_dir
    )

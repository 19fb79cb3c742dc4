"""What `tfds build` says of our builders: no more than it must, and at the end what to type next."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from absl import flags, logging

from artjax.command_line import parse
from artjax.config import LABELS, load_config_file
from artjax.data import prepared
from artjax.prepare import tfds_program


@pytest.fixture
def put(data_dir, tmp_path):
    """Prepares sets with the named labels, each of so many classes."""

    def put_one(name, **classes):
        place = tmp_path / "data" / name / "1.0.0"
        shutil.copytree(data_dir / "tiny" / "1.0.0", place)
        described = json.loads((place / "features.json").read_text())
        features = described["featuresDict"]["features"]
        label = features.pop("artist")
        del features["genre"]
        for name, number in classes.items():
            features[name] = label
            (place / f"{name}.labels.txt").write_text("".join(f"{i}\n" for i in range(number)))
        (place / "features.json").write_text(json.dumps(described))
        return prepared.read(place, tmp_path / "data")

    return put_one


def after_launch(found, data_dir):
    """What follows `python launch.py --config `, where launch.py itself can read it."""
    words = shlex.split(tfds_program.next_command(found, data_dir))
    command = parse(words[2:])
    assert command.mode == "describe"
    assert command.flags.get("data_dir") in (None, data_dir)
    for name, value in command.fields:
        assert (name, value in found.labels) == ("task", True)
    file, collection = command.config_file, command.collection
    assert load_config_file(file, collection).collection == collection
    return shlex.join(words[3:])


def test_the_next_command_names_the_set_by_its_plain_name_where_that_means_it(put, tmp_path):
    data = tmp_path / "data"
    few = put("collection/few", artist=3)
    assert after_launch(few, data) == (
        f"configs/artist.py:collection --mode describe --data_dir {data}"
    )
    works = put("collection/works", artist=3)
    for found in (few, works):
        assert after_launch(found, data).startswith(f"configs/artist.py:{found.name} --mode")


def test_the_next_command_is_for_a_label_that_the_set_has(put, tmp_path):
    for name, classes, config in (
        ("a/x", {"style": 3}, "configs/style.py:a"),
        ("b/x", {"artist": 1, "location": 3, "style": 3}, "configs/location.py:b"),
        ("c/x", {"period": 3}, "configs/any.py:c --config.task=period"),
        ("d/x", {"artist": 1, "medium": 3}, "configs/any.py:d --config.task=medium"),
    ):
        said = after_launch(put(name, **classes), tmp_path / "data")
        assert said.startswith(f"{config} --mode describe")


def test_the_default_data_directory_is_not_named(put, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    found = put("collection/works", artist=3)
    assert after_launch(found, tmp_path / "data") == "configs/artist.py:collection --mode describe"
    monkeypatch.delenv("TFDS_DATA_DIR")
    (tmp_path / "my data").symlink_to(tmp_path / "data")
    assert "--data_dir '" in tfds_program.next_command(found, tmp_path / "my data")


def test_elsewhere_the_next_command_has_the_path_of_launch(
    put, tmp_path, monkeypatch, pytestconfig
):
    found = put("collection/works", artist=3)
    monkeypatch.chdir(pytestconfig.rootpath)
    assert tfds_program.next_command(found, tmp_path / "data").startswith("python launch.py ")
    monkeypatch.chdir(tmp_path)
    there = tfds_program.next_command(found, tmp_path / "data")
    assert there.startswith(f"python {pytestconfig.rootpath / 'launch.py'} ")


def test_the_labels_with_a_config_are_those_that_have_a_file(pytestconfig):
    configs = pytestconfig.rootpath / "configs"
    there = tuple(label for label in LABELS if (configs / f"{label}.py").is_file())
    assert there == tfds_program.LABELS_WITH_CONFIG


@pytest.mark.parametrize(
    ("program", "end", "says"),
    [
        ("/usr/bin/tfds", "", True),
        ("/x/tensorflow_datasets/scripts/cli/main.py", "", True),
        ("/usr/bin/tfds", "raise ValueError('the second of two sets')", False),
        ("/usr/bin/pytest", "", False),
        ("", "", False),
    ],
)
def test_the_next_command_is_the_last_line_of_a_build_that_succeeds(
    put, tmp_path, program, end, says
):
    put("collection/works", artist=3)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from artjax.data import prepared\n"
        "from artjax.prepare import tfds_program\n"
        "sys.argv = [sys.argv[1]]\n"
        "data = Path('data')\n"
        "found = prepared.find('collection', ('artist',), data)\n"
        "tfds_program.say_next_at_exit(found, data)\n"
        f"print('what TFDS prints'); {end}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if end else 0), done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "what TFDS prints"
    assert [line.startswith("next: python ") for line in said[1:]] == [True] * says


@pytest.mark.parametrize(
    ("program", "asked", "level"),
    [("tfds", 0, logging.ERROR), ("tfds", 1, logging.INFO), ("pytest", 0, logging.INFO)],
)
def test_only_tfds_is_quiet_and_only_if_nobody_asked_for_its_logs(
    monkeypatch, program, asked, level
):
    before = logging.get_verbosity()
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{program}", "build"])
    monkeypatch.setattr(flags.FLAGS["verbosity"], "present", asked)
    try:
        logging.set_verbosity(logging.INFO)
        tfds_program.log_errors_only()
        assert logging.get_verbosity() == level
    finally:
        logging.set_verbosity(before)

"""`--mode prepare`: builds as `tfds build` does, and ends with the next command."""

import shlex

import pytest
from tiny import write_museum

import launch
from artjax.command_line import main, parse
from artjax.data import prepared
from artjax.errors import ArtjaxError, ConfigError


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    folder = tmp_path_factory.mktemp("museum")
    write_museum(folder)
    return folder


@pytest.mark.slow
def test_a_folder_is_built_and_the_next_command_describes_it(museum, tmp_path, capsys):
    flags = ["--builder_config", "artist", "--data_dir", str(tmp_path)]
    assert main(["--mode", "prepare", str(museum), *flags], "artjax") == 0
    said = capsys.readouterr().out.splitlines()
    found = prepared.find("collection", ("artist",), tmp_path)
    assert f"collection/artist/2.0.0 is in {found.directory}" in said
    assert f"train: {found.splits['train']} works" in said
    next_one = f"artjax --config configs/artist.py:collection --mode describe --data_dir {tmp_path}"
    assert said[-1] == f"next: {next_one}"
    assert parse(shlex.split(next_one)[1:]).config().collection == "collection"
    file = found.directory / "dataset_info.json"
    written = file.stat().st_mtime_ns
    assert launch.main(["--mode", "prepare", str(museum), *flags]) == 0
    said = capsys.readouterr().out
    assert "is prepared already and stays as it is" in said
    assert "\nnext: python launch.py --config configs/artist.py:collection --mode" in said
    assert file.stat().st_mtime_ns == written
    assert launch.main(["--mode", "prepare", str(museum), *flags, "--overwrite"]) == 0
    assert file.stat().st_mtime_ns > written
    assert prepared.find("collection", ("artist",), tmp_path).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--collection collection needs one folder with the pictures, and none is given"),
        (["a", "b"], "needs one folder with the pictures, and 2 are given"),
        (
            ["a", "--collection", "studio"],
            "the collection 'studio' draws its own pictures; leave a out",
        ),
        (
            ["a", "--collection", "wikart"],
            "--collection wikart: valid are wikiart, .* mean wikiart",
        ),
        (["nowhere"], "the folder with the pictures, nowhere, does not exist"),
        (["MUSEUM"], "no works.csv in .*: --builder_config artist"),
        (["MUSEUM", "--builder_config", "artst"], "--builder_config artst: .*did you mean artist"),
        (["MUSEUM", "--builder_config", '{"nme": 1}'], "--builder_config: no setting 'nme'"),
        (["MUSEUM", "--config.epochs=3"], "--config.epochs: --mode prepare uses no configuration"),
        (["MUSEUM", "--config", "configs/artist.py"], "--config: --mode prepare does not use it"),
        (
            ["EMPTY"],
            "no pictures in .*Give the folder with your pictures: .*--builder_config artist",
        ),
    ],
)
def test_errors_are_one_line(argv, says, museum, tmp_path):
    (tmp_path / "empty").mkdir()
    places = {"MUSEUM": str(museum), "EMPTY": str(tmp_path / "empty")}
    argv = [places.get(word, word) for word in argv]
    with pytest.raises(ArtjaxError, match=says) as caught:
        launch.main(["--mode", "prepare", *argv, "--data_dir", str(tmp_path / "data")])
    assert "\n" not in str(caught.value)
    assert not {"--config", "--manual_dir"} & set(str(caught.value).split())  # of `tfds build`


def test_only_two_modes_take_files():
    with pytest.raises(ConfigError, match="files need --mode prepare, predict or explain"):
        parse(["picture.jpg"])

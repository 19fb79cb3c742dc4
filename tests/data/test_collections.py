"""One table names the collections; all that is said of them follows from it."""

import shlex

import pytest

import launch
from artjax.config import LABELS
from artjax.data import collections, prepared
from artjax.data.collections import COLLECTIONS, Collection
from artjax.errors import DataError
from configs import common


def test_every_builder_has_an_entry_and_every_entry_a_builder(pytestconfig):
    folders = (pytestconfig.rootpath / "datasets").glob("*/*_dataset_builder.py")
    assert sorted(file.parent.name for file in folders) == sorted(collections.names())


def test_there_is_one_sample_and_it_needs_no_pictures():
    assert [entry.name for entry in COLLECTIONS if entry.synthetic] == [collections.sample()]
    assert not collections.find(collections.sample()).manual_dir


@pytest.mark.parametrize("tasks", [(label,) for label in LABELS] + [("artist", "genre")])
def test_preferred_collection_is_one_that_has_to_be_prepared(tasks):
    assert collections.find(collections.preferred(tasks)).manual_dir


def test_the_command_for_a_name_of_ones_own_is_one_that_the_builder_takes(monkeypatch):
    from collection.collection_dataset_builder import Builder  # imports TFDS

    entry = collections.find("collection")
    assert set(entry.own_configs) == set(Builder.builder_configs)
    command = collections.build_command("collection/mine", ("artist",), "D")
    assert shlex.split(command)[3:5] == ["--config", '{"name": "mine"}']
    command = collections.build_command("collection/style", ("artist",), "D")
    assert shlex.split(command)[3:5] == ["--config", "style"]
    monkeypatch.setattr(collections, "has_repository", lambda: False)
    command = collections.build_command("collection/mine", ("artist",), "D")
    assert """ --builder_config '{"name": "mine"}' """ in command


def test_made_up_entry_is_in_the_messages_the_help_the_defaults_and_the_recipes(
    monkeypatch, tmp_path, capsys
):
    entry = Collection(
        "frescoes",
        default_config=lambda tasks: f"{tasks[0]}_of_walls",
        preferred_for=lambda tasks: tasks == ("style",),
        recipe="small",
    )
    monkeypatch.setattr(collections, "COLLECTIONS", (entry, *COLLECTIONS))
    with pytest.raises(DataError) as caught:
        prepared.find("frescoes", ("style",), tmp_path)
    assert (
        "build it with `tfds build datasets/frescoes --config style_of_walls --manual_dir "
        f"FOLDER_WITH_THE_PICTURES --data_dir {tmp_path}`"
    ) in str(caught.value)
    with pytest.raises(DataError, match="did you mean 'frescoes'"):
        prepared.find("fresco", ("style",), tmp_path)
    with pytest.raises(SystemExit):
        launch.main(["--help"])
    assert "the collection is frescoes, wikiart, wga," in " ".join(capsys.readouterr().out.split())
    assert collections.preferred(("style",)) == "frescoes"
    assert collections.default_config("frescoes", ("genre",)) == "genre_of_walls"
    assert common.get_config("frescoes/other") == common.get_config("collection")
    assert common.get_config("tiny") == common.get_config("wga") != common.get_config("studio")

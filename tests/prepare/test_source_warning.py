"""A class that was scaled up: the build, the page and the check warn of it; without it, none does."""

import contextlib
import io
import os
import shutil

import numpy as np
import pytest
from html_page import Page
from sources import write_folders
from tiny import tiny_config

from artjax.data import prepared, reports
from artjax.modes.check.sources import source
from artjax.modes.describe.mode import describe
from artjax.places import Places
from artjax.prepare.building import build
from artjax.prepare.cleaning import clean_works
from artjax.prepare.readers.asked import Asked
from artjax.prepare.readers.folder_layouts import read_folder
from artjax.setup import open_setup

pytestmark = pytest.mark.slow
WORKS = 120
WARNING = "what is no painting tells the artist of 100.0% of the test works"


@pytest.fixture(scope="module", params=[True, False], ids=["upscaled", "alike"])
def museum(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("museum")
    write_folders(folder, WORKS, request.param)
    return folder, request.param


@pytest.fixture(scope="module")
def built(museum, tmp_path_factory):
    """The data directory, and what the build said."""
    folder, said = tmp_path_factory.mktemp("data"), io.StringIO()
    with contextlib.redirect_stdout(said):
        build("collection", museum[0], folder, "artist")
    return folder, said.getvalue()


@pytest.fixture
def data_dir(built):
    return built[0]


def folder_of(data_dir):
    return prepared.find("collection/artist", ("artist",), data_dir).directory


def test_a_build_warns(museum, built):
    said = built[1]
    assert (f"warning: {WARNING}" in said) == museum[1]
    assert ("sharpness 100.0%" in said) == museum[1]
    assert ("what is no painting" in said) == museum[1]


def test_the_page_shows_the_facts_by_class(museum, data_dir, tmp_path):
    config = tiny_config(collection="collection/artist")
    summary = describe(config, Places(tmp_path, data_dir))["tasks"]["artist"]["source_facts"]
    page = Page(tmp_path / "describe" / "index.html")
    text = " ".join("".join(page.text).split())
    assert "Facts of the files" in text
    assert "source_facts.csv" in page.links
    assert (tmp_path / "describe" / "source_facts.csv").is_file()
    assert (WARNING in text) == museum[1] == bool(summary["warning"])
    rows = {row["name"]: row for row in summary["facts"]}
    assert rows["sharpness"]["tells"] == museum[1]
    facts = reports.read_source_facts(folder_of(data_dir))
    for name, shown in zip(summary["classes"], rows["sharpness"]["by_class"], strict=True):
        own = [of.sharpness for file, of in facts.items() if file.startswith(f"{name}/")]
        assert shown == f"{np.median(own):.2f}"
    assert rows["format"]["by_class"] == ["PNG RGB", "PNG RGB"]
    assert rows["format"]["alone"] is None  # the same for all
    assert not rows["form of the name"]["tells"]


def test_check_warns(museum, data_dir, tmp_path):
    config = tiny_config(collection="collection/artist", model__name="narrow_bn")
    setup = open_setup(config, Places(tmp_path, data_dir), mode="check", say=lambda line: None)
    verdict = source("artist", setup.data, setup.splits)
    assert verdict.name == "source of artist"
    assert (verdict.verdict == "warning") == museum[1]
    assert (WARNING in verdict.text) == museum[1]
    assert verdict.verdict in ("ok", "warning")


def test_times_of_files_and_a_build_before_change_nothing(museum, data_dir, tmp_path):
    """Copying gives files new times; what was cleaned before is not cleaned again."""
    copied = tmp_path / "copy"
    shutil.copytree(museum[0], copied)
    for number, file in enumerate(sorted(copied.rglob("*.png"))):
        os.utime(file, (number, number))
    works = read_folder(copied, Asked("artist")).works
    before = [of.facts for of in clean_works(works, tmp_path / "cleaned", 512)]
    assert [of.facts for of in clean_works(works, tmp_path / "cleaned", 512)] == before
    build("collection", copied, tmp_path / "data", "artist")
    one, other = folder_of(data_dir), folder_of(tmp_path / "data")
    for file in one.iterdir():
        if file.name != "metadata.json":  # it names the folder
            assert file.read_bytes() == (other / file.name).read_bytes(), file.name
    kept = reports.read_source_facts(one)
    assert [kept[work.file_name] for work in works] == before

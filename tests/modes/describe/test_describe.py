import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from collection.collection_dataset_builder import Builder
from html_page import Page
from PIL import Image
from tiny import ARTISTS, SPLITS, open_canvases, tiny_config, write_tiny

import launch
from artjax import studio
from artjax.errors import DataError, WorkdirError
from artjax.modes.describe.mode import describe
from artjax.places import Places


@pytest.fixture(scope="module")
def museum(tmp_path_factory):
    """A museum's folder with all that can be wrong, prepared: (data_dir, number of works)."""
    folder = tmp_path_factory.mktemp("museum")
    rows = ["path,artist,genre,year,title"]
    names = ("Ada <b>Lind</b>", "Bo & Co", "Cy")
    chosen = [p for p in studio.catalogue() if p.genre in ("portrait", "still life")][:120:2]
    for i, painting in enumerate(chosen):
        picture = Image.fromarray(painting.draw())
        picture.save(folder / f"{i}.png")
        genre = ("portrait", "")[i % 2]
        rows.append(f'{i}.png,{names[i % 3]},{genre},{1500 + 5 * i},"Work ""{i}"""')
        if i % 10 == 0:
            picture.resize((70, 90)).save(folder / f"again{i}.jpg")
            rows.append(f"again{i}.jpg,{names[(i // 10 + i) % 3]},,,")
    (folder / "broken.jpg").write_text("no picture")
    rows += ["broken.jpg,Cy,,,", "lost.jpg,Cy,,,"]
    (folder / "works.csv").write_text("\n".join(rows), encoding="utf-8")
    data_dir = tmp_path_factory.mktemp("prepared")
    Builder(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
    return data_dir, len(chosen) + 6


def museum_config(**changes):
    return tiny_config(collection="collection", **changes)


@pytest.mark.slow
def test_page_of_a_museum_shows_all_and_needs_no_network(museum, tmp_path):
    data_dir, works = museum
    summary = describe(museum_config(task=("artist", "genre")), Places(tmp_path, data_dir))
    folder = tmp_path / "describe"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert sum(summary["works"].values()) == works
    page = Page(folder / "index.html")
    text = "".join(page.text)
    assert "Ada <b>Lind</b>" in text  # as text: a name is no markup
    assert page.tags.isdisjoint(("script", "link", "iframe"))
    assert page.language == "en"
    assert all(page.alternatives)
    assert page.headings_skip_no_level()
    assert len(page.sources) >= 30
    for source in page.sources:
        with Image.open(folder / source) as image:
            assert image.height <= 240
    anchors = set(re.findall(r'id="([^"]+)"', (folder / "index.html").read_text()))
    for link in page.links:
        assert link.removeprefix("#") in anchors if link[0] == "#" else (folder / link).is_file()
    assert summary["near_duplicates"] == {
        "pairs": 6,
        "conflicts": 4,
        "with_near_duplicate_in_train": {},
    }
    assert text.count("another artist") == 4
    reasons = {row["reason"]: row["works"] for row in summary["skipped"]["reasons"]}
    assert reasons == {"not a picture in any known format": 1, "no such file": 1}
    assert "lost.jpg" in text
    years = summary["years"]
    assert (years["known"], years["unknown"]) == (60, 6)
    assert sum(number for _, number in years["bars"]) == 60
    assert sum(number for _, number in summary["aspects"]) == works
    assert sum(number for _, number in summary["short_sides_px"]) == works


@pytest.mark.slow
def test_classes_that_a_split_does_not_have_are_named(tmp_path):
    write_tiny(tmp_path / "data", splits={"train": 30, "validation": 6, "test": 2})
    row = describe(tiny_config(), Places(tmp_path / "run", tmp_path / "data"))["tasks"]["artist"]
    assert row["uncovered"] == {"test": ["cy"]}
    text = "".join(Page(tmp_path / "run" / "describe" / "index.html").text)
    assert "1 of 3 artists has no test work: cy" in text


@pytest.mark.slow
def test_numbers_are_those_of_the_canvases(museum, tmp_path):
    data_dir, _ = museum
    config = museum_config()
    row = describe(config, Places(tmp_path, data_dir))["tasks"]["artist"]
    data = open_canvases(config, data_dir, None)
    labels = {name: data.split(name, {"artist": "artist"}).labels["artist"] for name in SPLITS}
    names = data.prepared.labels["artist"]
    assert sum(of["train"] + of["validation"] + of["test"] for of in row["classes"]) == sum(
        map(len, labels.values())
    )
    for of in row["classes"]:
        for name in SPLITS:
            assert of[name] == (labels[name] == names.index(of["name"])).sum()
    shares = np.bincount(labels["train"]) / len(labels["train"])
    assert row["effective_classes"] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))
    majority = np.bincount(labels["train"]).argmax()
    assert row["majority_class"] == names[majority]
    assert row["majority_top1"]["test"] == pytest.approx((labels["test"] == majority).mean())


@pytest.mark.slow
def test_canvases_alone_are_enough(museum, tmp_path):
    data_dir, _ = museum
    before = describe(museum_config(), Places(tmp_path / "before", data_dir))
    copied = tmp_path / "copied"
    shutil.copytree(data_dir / "canvases", copied)
    after = describe(museum_config(), Places(tmp_path / "after", tmp_path / "nowhere", copied))
    assert before == after
    pictures = tmp_path / "after" / "describe" / "pictures"
    assert len(list(pictures.iterdir())) >= 30


@pytest.mark.slow
def test_any_prepared_set_can_be_described(data_dir, tmp_path, capsys):
    config = Path(tmp_path / "tiny.py")
    config.write_text(
        "from tiny import tiny_config\ndef get_config(collection):\n    return tiny_config()\n"
    )
    arguments = ["--mode", "describe", "--config", f"{config}:tiny", "--data_dir", str(data_dir)]
    assert launch.main([*arguments, "--workdir", str(tmp_path / "w")]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"artist: 3 classes; test top-1 by chance 33.3%, always '\w+' [\d.]+%, by colour", said
    )
    summary = json.loads((tmp_path / "w" / "describe" / "summary.json").read_text())
    assert summary["works"] == SPLITS
    assert {of["name"] for of in summary["tasks"]["artist"]["classes"]} == set(ARTISTS)
    assert summary["short_sides_px"] == []
    assert summary["skipped"]["works"] == 0


@pytest.mark.slow
def test_a_hundred_classes_are_all_there(tmp_path):
    folder = tmp_path / "museum"
    rng = np.random.default_rng(0)
    for i in range(100):
        (folder / f"Painter {i:02d}").mkdir(parents=True)
        for k in range(3):
            noise = rng.integers(0, 256, (24, 30, 3), np.uint8)
            Image.fromarray(noise).save(folder / f"Painter {i:02d}" / f"{k}.png")
    builder = Builder(data_dir=tmp_path / "data", config="artist")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    config = museum_config()
    config.collection = "collection/artist"
    describe(config, Places(tmp_path / "w", tmp_path / "data"))
    page = Page(tmp_path / "w" / "describe" / "index.html")
    assert all("".join(page.text).count(f"Painter {i:02d}") >= 2 for i in range(100))
    # Three of each class, and the first eight of the run with six looks at each of them.
    assert len(page.sources) == 300 + 8 * (1 + 6)


def test_what_cannot_be_described_is_one_line(museum, tmp_path):
    data_dir, _ = museum
    with pytest.raises(DataError, match=r"has no label 'style' .*; it has artist, genre$"):
        describe(museum_config(task=("style",)), Places(tmp_path, data_dir))
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match=r"cannot write .*file/describe"):
        describe(museum_config(), Places(tmp_path / "file", data_dir))

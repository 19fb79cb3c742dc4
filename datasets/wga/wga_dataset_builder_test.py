"""Tests of the Web Gallery of Art's builder, on a gallery made here in the site's own layout."""

import http.server
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tiny import open_canvases, tiny_config

from artjax.data import prepared
from artjax.errors import ConfigError, DataError
from artjax.prepare.dates import read_date
from wga import wga_dataset_builder

Builder = wga_dataset_builder.Builder
WgaConfig = wga_dataset_builder.WgaConfig
HEADER = "AUTHOR;BORN-DIED;TITLE;DATE;TECHNIQUE;LOCATION;URL;FORM;TYPE;SCHOOL;TIMEFRAME"
SCHOOLS = [f"School {i:02d}" for i in range(15)]
GENRES = ["genre", "landscape", "mythological", "portrait", "religious", "still-life"]
GENRES += ["historical", "other"]


def gallery_rows(authors=24):
    """(path, row): author i has 12 + i % 5 paintings, the last four 11, and every seventh a detail."""
    rows = []
    for i in range(authors):
        name = f"MÜLLER {i:02d}, Ödön"
        for j in range(11 if i >= 20 else 12 + i % 5):
            number = len(rows)
            school = SCHOOLS[number % 13 if number % 31 else 13 + number // 31 % 2]
            genre = GENRES[number % 6 if number % 37 else 6 + number // 37 % 2]
            for detail in ("", " (detail)") if number % 7 == 0 else ("",):
                path = f"m/muller{i}/{j:02d}{'d' if detail else ''}"
                title = f'{name}&eacute;; the "{j}."{detail}'
                cells = [name, "(b. ?; d. ?)", title, f"c. {1500 + j}-07", "Oil; wood", "Museum"]
                url = f"http://www.wga.hu/html/{path}.html"
                rows.append((path, [*cells, url, "painting", genre, school, "1501-1550"]))
    return rows


def make_gallery(folder, encoding="cp850", missing=lambda path: False, rows=None):
    """Writes the catalogue, with a sculpture in it, and the pictures that are not `missing`."""
    rng = np.random.default_rng(0)
    rows = gallery_rows() if rows is None else rows
    folder.mkdir(parents=True, exist_ok=True)
    bust = [*rows[0][1][:6], "http://www.wga.hu/html/m/bust.html", "sculpture", *rows[0][1][8:]]
    lines = [HEADER, *(";".join(cells) for cells in [bust, *(cells for _, cells in rows)])]
    (folder / "catalog.csv").write_bytes(("\r\n".join(lines)).encode(encoding))
    for path, _ in rows:
        file = folder / "art" / f"{path}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not missing(path):
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).save(file)
    return folder


def build(data_dir, manual_dir, config="baumer_chen"):
    builder = Builder(data_dir=data_dir, config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def works_of(builder):
    return [
        {**work, "split": split}
        for split in builder.info.splits
        for work in tfds.as_numpy(builder.as_dataset(split=split))
    ]


@pytest.mark.slow
class WgaTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["baumer_chen"]
    SPLITS = {"train": 311, "validation": 34, "test": 33}
    EXAMPLE_DIR = make_gallery(Path(tempfile.mkdtemp()))


@pytest.mark.slow
class WgaFullTest(WgaTest):
    BUILDER_CONFIG_NAMES_TO_TEST = ["full"]
    SPLITS = {"train": 308, "validation": 37, "test": 33}


@pytest.fixture(scope="module")
def baumer_chen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wga")
    return build(folder / "data", make_gallery(folder / "gallery", "latin-1"))


def test_the_classes_are_the_papers_and_the_rest_is_unknown(baumer_chen):
    names = {label: baumer_chen.info.features[label].names for label in Builder.LABELS}
    assert names == {
        "artist": [f"MÜLLER {i:02d}, Ödön" for i in range(20)],
        "genre": GENRES[:6],
        "location": SCHOOLS[:13],
        "period": ["1501-1550"],
    }
    works = works_of(baumer_chen)
    assert len(works) == len(gallery_rows())
    for work in works:
        cells = dict(gallery_rows())[work["file_name"].decode()[4:-4]]
        for label, column in (("artist", 0), ("genre", 8), ("location", 9), ("period", 10)):
            expected = names[label].index(cells[column]) if cells[column] in names[label] else -1
            assert work[label] == expected
        assert work["title"].decode() == cells[2].replace("&eacute;", "é")
        date = read_date(cells[3])
        assert (work["year"], work["year_uncertainty"]) == (date.year, date.uncertainty)
    for label in ("artist", "genre", "location"):
        assert 0 < sum(work[label] == -1 for work in works) < len(works)


@pytest.mark.slow
def test_a_few_of_the_pictures_give_the_same_classes(tmp_path, baumer_chen, capsys):
    few = make_gallery(tmp_path / "gallery", missing=lambda path: zlib.crc32(path.encode()) % 12)
    builder = build(tmp_path / "data", few)
    assert sum(split.num_examples for split in builder.info.splits.values()) < 40
    for label in ("artist", "genre", "location"):
        there = builder.info.features[label].names
        assert there == baumer_chen.info.features[label].names
    said = capsys.readouterr().out
    assert re.search(
        r"note: artist: 1\d of the 20 classes have fewer than 3 works here, and stay", said
    )
    assert re.search(r"warning: \d+ of 13 locations have no test work", said)


def test_details_never_leave_the_split_of_their_work(baumer_chen):
    works = works_of(baumer_chen)
    place = {work["file_name"].decode()[:-4]: (work["work_id"], work["split"]) for work in works}
    details = [name for name in place if name.endswith("d")]
    assert len(details) > 30
    assert all(place[name] == place[name[:-1]] for name in details)
    assert len(set(place.values())) == len(works) - len(details)


@pytest.mark.slow
def test_full_keeps_every_class_with_ten_works_in_every_encoding(tmp_path):
    metadata = []
    for encoding in ("utf-8-sig", "cp850"):
        gallery = make_gallery(tmp_path / encoding, encoding)
        builder = build(tmp_path / "data" / encoding, gallery, "full")
        metadata.append(json.loads((Path(builder.data_dir) / "metadata.json").read_text()))
        assert metadata[-1].pop("manual_dir") == str(gallery)
        assert len(builder.info.features["artist"].names) == 24
        assert builder.info.features["genre"].names == GENRES[:6]
    assert metadata[0] == metadata[1]
    assert set(metadata[0]["left_out_classes"]["genre"]) == set(GENRES[6:])


@pytest.mark.slow
def test_forms_and_numbers_are_settings(tmp_path):
    gallery = make_gallery(tmp_path / "gallery")
    Image.new("RGB", (8, 8)).save(gallery / "art/m/bust.jpg")
    settings = (
        '{"name": "both", "forms": ["painting", "sculpture"], "most_frequent": {"artist": 2}}'
    )
    builder = build(tmp_path / "data", gallery, WgaConfig(**json.loads(settings)))
    works = works_of(builder)
    assert "art/m/bust.jpg" in {work["file_name"].decode() for work in works}
    assert len(builder.info.features["artist"].names) == 2
    assert builder.info.full_name == "wga/both/2.0.0"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "mine", "form": ["painting"]}, r"no setting 'form'; did you mean forms\?"),
        ({"forms": ["painting"]}, "give the settings a name"),
        ({"name": "mine", "forms": "painting"}, r"forms must be a list like \[\"painting\"\]"),
        ({"name": "mine", "most_frequent": {"style": 3}}, "numbers for artist, genre, location"),
        ({"name": "mine", "most_frequent": {"artist": 0}}, "most_frequent artist must be a whole"),
        ({"name": "mine", "classes": {"genre": ["portrait"]}}, "two or more names for artist"),
        (
            {"name": "a", "classes": {"artist": ["A", "B"]}, "most_frequent": {"artist": 2}},
            "artist is in most_frequent and in classes: remove one",
        ),
        ({"name": "mine", "min_works": "5"}, "min_works must be a whole number from 1, not '5'"),
    ],
)
def test_invalid_settings_are_one_line(settings, says):
    with pytest.raises(ConfigError, match=says) as caught:
        WgaConfig(**settings)
    assert "\n" not in str(caught.value)


def wget_of(said):
    """The printed command, without its waiting."""
    words = shlex.split(said[said.index("wget ") :].splitlines()[0])
    assert {"--wait=1", "--random-wait", "--continue", "--limit-rate=500k"} <= set(words)
    return [w for w in words if not w.startswith(("--wait", "--random"))] + ["--no-proxy"]


def fetch(command, site):
    """Runs the command with a server of the folder `site` in the place of the real one."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = Path(command[-2].removeprefix("--input-file="))
        here = urls.read_text().replace(
            "https://www.wga.hu", f"http://127.0.0.1:{server.server_port}"
        )
        local = site / "urls.txt"
        local.write_text(here)
        command = [w.replace(str(urls), str(local)) for w in command]
        subprocess.run(command, check=True, capture_output=True)
        server.shutdown()


needs_wget = pytest.mark.skipif(shutil.which("wget") is None, reason="no wget here")


@pytest.mark.slow
@needs_wget
def test_the_printed_command_fetches_what_is_missing(tmp_path, capsys):
    site = make_gallery(tmp_path / "site")
    gallery = make_gallery(tmp_path / "my gallery", missing=lambda path: path.endswith("/03"))
    broken = gallery / "art/m/muller0/04.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    builder = build(tmp_path / "data", gallery)
    urls = (Path(builder.data_dir) / "missing_urls.txt").read_text().splitlines()
    assert len(urls) == 25
    assert "https://www.wga.hu/art/m/muller7/03.jpg" in urls
    assert "https://www.wga.hu/art/m/muller0/04.jpg" in urls
    said = capsys.readouterr().out
    assert "missing: 25 pictures; download them, then build with --overwrite: wget" in said
    broken.unlink()  # Python's server cannot send the other half of a file, as the real one does
    fetch(wget_of(said), site)
    again = build(tmp_path / "again", gallery)
    assert not (Path(again.data_dir) / "missing_urls.txt").exists()
    assert again.info.metadata["skipped"] == 0
    assert "missing" not in capsys.readouterr().out


def test_without_a_picture_the_build_fails_and_says_how_to_fetch_them(tmp_path):
    gallery = make_gallery(tmp_path / "gallery", missing=lambda path: True)
    with pytest.raises(DataError) as caught:
        build(tmp_path / "data", gallery)
    what, how = str(caught.value).splitlines()
    assert what.startswith("none of the ")
    assert how.startswith("download them: wget ")
    assert how.endswith(f"--input-file={gallery}/missing_urls.txt")
    assert len((gallery / "missing_urls.txt").read_text().splitlines()) == len(gallery_rows())


def test_where_the_gallery_is_read_only_the_urls_are_beside_the_data(tmp_path):
    gallery = make_gallery(tmp_path / "gallery", missing=lambda path: True)
    (gallery / "missing_urls.txt").mkdir()  # root may write to every folder, but not to this file
    with pytest.raises(
        DataError, match=r"download them: wget .*/data/wga/baumer_chen/missing_urls"
    ) as e:
        build(tmp_path / "data", gallery)
    assert str(e.value).count("\n") == 1
    assert (tmp_path / "data/wga/baumer_chen/missing_urls.txt").is_file()


def test_without_a_config_baumer_chen_is_meant(tmp_path, baumer_chen):
    with pytest.raises(DataError, match="datasets/wga --config baumer_chen --manual_dir"):
        prepared.find("wga", ("location",), tmp_path)
    source = Path(baumer_chen.data_dir)
    for config in ("full", "baumer_chen", "artist"):
        shutil.copytree(source, tmp_path / "wga" / config / "2.0.0")
        if config == "full":
            assert prepared.find("wga", ("location",), tmp_path).name == "wga/full"
    for tasks in (("location",), ("artist", "genre", "location")):
        found = prepared.find("wga", tasks, tmp_path)
        assert found.name == "wga/baumer_chen"
        found.check_labels({task: task for task in tasks})
    assert prepared.find("wga/full", ("location",), tmp_path).name == "wga/full"
    shutil.rmtree(tmp_path / "wga" / "baumer_chen")
    with pytest.raises(DataError, match="'wga' can mean wga/artist or wga/full, which have"):
        prepared.find("wga", ("location",), tmp_path)


@pytest.mark.slow
def test_copied_canvases_too_mean_baumer_chen(tmp_path, baumer_chen):
    tasks = ("artist", "genre", "location")
    for config in ("baumer_chen", "full"):
        shutil.copytree(baumer_chen.data_dir, tmp_path / "data" / "wga" / config / "2.0.0")
        there = tiny_config(collection=f"wga/{config}", task=tasks)
        open_canvases(there, tmp_path / "data", tmp_path / "canvases")
    anywhere = tiny_config(collection="wga", task=tasks)
    opened = open_canvases(anywhere, tmp_path / "nowhere", tmp_path / "canvases")
    assert opened.prepared.name == "wga/baumer_chen"
    split = opened.split("train", {task: task for task in tasks})
    assert len(split) == 311
    # Works that lack one of the labels are there, for the others.
    assert all((labels == -1).any() and (labels >= 0).any() for labels in split.labels.values())


if __name__ == "__main__":
    tfds.testing.test_main()

"""Tests of WikiArt's builder, on lists and pictures made here in the official layout."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from artjax.errors import DataError
from wikiart import wikiart_dataset_builder

Builder = wikiart_dataset_builder.Builder
CLASSES = {
    "artist": ("Ada", "Bo"),
    "genre": ("portrait", "landscape"),
    "style": ("Cubism", "Rococo"),
}


def make_archive(folder, works=60, missing=()):
    """Every fifth work is on the test lists; works whose number is in `missing` have no picture."""
    rng = np.random.default_rng(0)
    lists = folder / "wikiart_csv"
    lists.mkdir(parents=True)
    names = [f"{('Cubism', 'Rococo')[i % 2]}/ada_work-{i}.jpg" for i in range(works)]
    for i, name in enumerate(names):
        path = folder / "wikiart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if i not in missing:
            Image.fromarray(rng.integers(0, 256, (8, 12, 3), np.uint8)).save(path)
    for task, classes in CLASSES.items():
        comma = ",," if task == "artist" else ","
        (lists / f"{task}_class.txt").write_text(
            "".join(f"{i} {c}\n" for i, c in enumerate(classes))
        )
        for part, fifth in (("val", True), ("train", False)):
            rows = [f"{n}{comma}{i % 2}" for i, n in enumerate(names) if (i % 5 == 0) == fifth]
            header = "(Path to image),, (Groundtruth class)\n\n" if task == "artist" else ""
            (lists / f"{task}_{part}.csv").write_text(header + "\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
class WikiartTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    SPLITS = {"train": 44, "validation": 4, "test": 12}
    EXAMPLE_DIR = make_archive(Path(tempfile.mkdtemp()))


def build(data_dir, manual_dir, config="artist"):
    builder = Builder(data_dir=data_dir, config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def test_test_split_is_exactly_the_official_list(tmp_path):
    builder = build(tmp_path / "data", make_archive(tmp_path / "archive"), "genre")
    works = tfds.as_numpy(builder.as_dataset(split="test"))
    numbers = sorted(int(work["file_name"].decode()[:-4].rpartition("-")[2]) for work in works)
    assert numbers == list(range(0, 60, 5))
    assert builder.info.features["genre"].names == ["portrait", "landscape"]


def test_missing_pictures_are_named_and_the_official_count_stays(tmp_path, capsys):
    builder = build(tmp_path / "data", make_archive(tmp_path / "archive", missing={0, 5, 7}))
    assert builder.info.metadata["listed"] == {"train": 0, "validation": 0, "test": 12}
    assert builder.info.metadata["official"] == ["test"]
    assert builder.info.metadata["skipped"] == 3
    with (Path(builder.data_dir) / "skipped.csv").open() as file:
        assert {row["file_name"] for row in csv.DictReader(file)} == {
            *("Cubism/ada_work-0.jpg", "Rococo/ada_work-5.jpg", "Rococo/ada_work-7.jpg"),
        }
    assert "test: 10 of the official list's 12 works" in capsys.readouterr().out


def test_a_class_without_pictures_fails_and_is_named(tmp_path):
    archive = make_archive(tmp_path / "archive", missing=set(range(1, 60, 2)))
    with pytest.raises(
        DataError, match=r"the train split has no picture of the artist class\(es\) Bo"
    ):
        build(tmp_path / "data", archive)


def test_a_split_without_pictures_fails_and_is_named(tmp_path):
    archive = make_archive(tmp_path / "archive", missing=set(range(0, 60, 5)))
    with pytest.raises(DataError, match="the test split would be empty"):
        build(tmp_path / "data", archive)


def test_missing_manual_folder_says_where_to_get_what(tmp_path):
    with pytest.raises(
        DataError, match=r"the folder .*nowhere does not exist\. .*cs-chan/ArtGAN.*--manual_dir"
    ):
        build(tmp_path / "data", tmp_path / "nowhere")


if __name__ == "__main__":
    tfds.testing.test_main()

"""Tests of the builder for anybody's own pictures, which are made here."""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from processes import kill_while_cleaning

from artjax.data import prepared
from artjax.errors import ChangedListError, ConfigError, DataError
from artjax.prepare import reuse
from artjax.runtime import locks
from collection import collection_dataset_builder

Builder = collection_dataset_builder.Builder


def make_pictures(folder, works=40):
    """Two painters with half of the works each, a third with one; one file broken, one missing."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(works):
        name = f"pictures/{i:03d}.jpg"
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
        rows.append([name, ("Ada", "Bö")[i % 2], f"Work {i}", 1800 + i])
    rows += [["pictures/lost.jpg", "Ada", "", ""], ["pictures/text.jpg", "Bö", "", ""]]
    (folder / "pictures" / "text.jpg").write_text("no picture")
    Image.fromarray(noise).save(folder / "pictures" / "once.jpg")
    rows.append(["pictures/once.jpg", "Cy", "", ""])
    with (folder / "works.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=";").writerows([["path", "artist", "title", "year"], *rows])
    return folder


def build(data_dir, manual_dir, config=None, overwrite=False):
    builder = Builder(data_dir=data_dir, config=config)
    if overwrite:  # as TFDS's command line does
        builder.data_path.rmtree()
        builder = Builder(data_dir=data_dir, config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


class CollectionTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    SPLITS = {"train": 32, "validation": 4, "test": 4}
    EXAMPLE_DIR = make_pictures(Path(tempfile.mkdtemp()))


def test_what_was_left_out_is_named_counted_and_printed(tmp_path, capsys):
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"))
    folder = Path(builder.data_dir)
    with (folder / "skipped.csv").open() as file:
        skipped = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    assert skipped == {
        "pictures/lost.jpg": "no such file",
        "pictures/text.jpg": "not a picture in any known format",
        "pictures/once.jpg": "its class has too few works",
    }
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["skipped"] == 3
    assert metadata["listed"] == {"train": 0, "validation": 0, "test": 0}  # no list divides them
    assert metadata["official"] == []
    assert metadata["left_out_classes"]["artist"] == {"Cy": 1}
    said = capsys.readouterr().out
    assert "skipped: 3 works" in said
    assert "artist classes with too few works: Cy (1)" in said


@pytest.mark.slow
def test_reading_back_gives_the_catalogue(tmp_path):
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"))
    again = tfds.builder_from_directory(str(builder.data_dir))
    names = again.info.features["artist"].names
    assert names == ["Ada", "Bö"]
    works = [w for split in again.info.splits for w in tfds.as_numpy(again.as_dataset(split=split))]
    assert len(works) == 40
    for work in works:
        number = int(work["file_name"].decode()[-7:-4])
        assert work["artist"] == number % 2
        assert work["genre"] == -1
        assert work["year"] == 1800 + number
        assert work["title"].decode() == f"Work {number}"
        assert work["work_id"] == work["file_name"]
        assert work["image"].shape == (12, 16, 3)


def split_by_name(builder):
    return {
        work["file_name"].decode(): split
        for split in builder.info.splits
        for work in tfds.as_numpy(builder.as_dataset(split=split))
    }


def test_fifteen_pictures_are_enough_for_three_classes(tmp_path, capsys):
    for i in range(15):
        path = tmp_path / "museum" / ("Ada", "Bo", "Cy")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).save(path)
    builder = build(tmp_path / "data", tmp_path / "museum", config="artist")
    counts = Counter((name[:2], split) for name, split in split_by_name(builder).items())
    for artist in ("Ad", "Bo", "Cy"):
        assert [counts[artist, s] for s in ("train", "validation", "test")] == [3, 1, 1]
    assert "warning" not in capsys.readouterr().out
    metadata = json.loads((Path(builder.data_dir) / "metadata.json").read_text())
    assert metadata["uncovered"] == {}


def test_classes_without_a_work_in_a_split_are_named(tmp_path, capsys):
    config = collection_dataset_builder.CollectionConfig(name="all", min_works=1)
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"), config)
    metadata = json.loads((Path(builder.data_dir) / "metadata.json").read_text())
    assert metadata["uncovered"] == {"artist": {"validation": ["Cy"], "test": ["Cy"]}}
    assert "warning: 1 of 3 artists has no test work: Cy" in capsys.readouterr().out


def test_shares_can_be_set(tmp_path):
    config = collection_dataset_builder.CollectionConfig(
        name="mine", split_shares=[0.5, 0.25, 0.25]
    )
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"), config)
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"train": 20, "validation": 10, "test": 10}


@pytest.mark.slow
def test_a_picture_that_was_missing_for_once_keeps_its_split(tmp_path):
    museum = make_pictures(tmp_path / "museum", 60)
    before = split_by_name(build(tmp_path / "data", museum))
    held_out = [name for name, split in before.items() if split != "train"][::2]
    for name in held_out:
        (museum / name).rename(museum / f"{name}.away")
    build(tmp_path / "data", museum, overwrite=True)
    for name in held_out:
        (museum / f"{name}.away").rename(museum / name)
    assert split_by_name(build(tmp_path / "data", museum, overwrite=True)) == before


@pytest.mark.slow
def test_works_put_in_between_move_no_other_when_built_anew(tmp_path):
    """Every second new work is a near-duplicate of an old one, and comes before it in the catalogue."""
    museum = make_pictures(tmp_path / "museum", 60)
    before = split_by_name(build(tmp_path / "data", museum))
    rows = (museum / "works.csv").read_text(encoding="utf-8-sig").splitlines()
    for i in range(60):
        name = f"pictures/new {i}.png"
        with Image.open(museum / "pictures" / f"{i:03d}.jpg") as image:
            image.resize((32, 24)).save(museum / name)
        if i % 2:
            noise = np.random.default_rng(100 + i).integers(0, 256, (12, 16, 3), np.uint8)
            Image.fromarray(noise).save(museum / name)
        rows.insert(1 + 2 * i, f"{name};{('Ada', 'Bö')[i % 2]};;")
    (museum / "works.csv").write_text("\n".join(rows), encoding="utf-8")
    after = split_by_name(build(tmp_path / "data", museum, overwrite=True))
    assert len(after) == 120
    assert before.items() <= after.items()
    twice = range(0, 60, 2)
    assert all(after[f"pictures/new {i}.png"] == before[f"pictures/{i:03d}.jpg"] for i in twice)
    fresh = split_by_name(build(tmp_path / "elsewhere", museum))
    assert not before.items() <= fresh.items()


@pytest.mark.slow
def test_a_killed_build_begun_again_is_the_same_bytes_as_one_that_was_not(tmp_path):
    """In processes of their own, since what differs between two (hash seeds) is the same in one."""
    museum = make_pictures(tmp_path / "museum", 40)
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 256, (400, 500, 3), np.uint8)
        Image.fromarray(noise).save(museum / "pictures" / f"large {i}.bmp")
    with (museum / "works.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"pictures/large {i}.bmp;Ada;;\n" for i in range(40))
    command = [
        *(sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"),
        *(str(Path(__file__).parent), "--manual_dir", str(museum), "--data_dir"),
    ]
    data = tmp_path / "killed"
    cleaned = data / "collection" / "works" / "cleaned.2.0.0"
    kill_while_cleaning([*command, str(data)], cleaned, pictures=20)
    assert not (data / "collection" / "works" / "2.0.0").exists()
    again = subprocess.run(
        [*command, str(data)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "train: " in again.stdout
    assert again.stdout.splitlines()[-1] == (
        f"next: python {Path(__file__).parents[2]}/launch.py --config configs/artist.py:collection "
        f"--mode describe --data_dir {data}"
    )
    # What comes before this line, TFDS prints before it imports the builder.
    before, _, of_builder = again.stdout.partition("INFO[build.py]: Loading dataset")
    assert "INFO" not in before
    assert "INFO" not in of_builder
    assert "WARNING" not in of_builder
    whole = Path(build(tmp_path / "whole", museum).data_dir)
    assert not cleaned.exists()
    folders = (data / "collection" / "works" / "2.0.0", whole)
    files = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]


def test_a_prepared_set_is_left_and_said_to_be_so(tmp_path, capsys):
    museum = make_pictures(tmp_path / "museum")
    build(tmp_path / "data", museum)
    capsys.readouterr()
    build(tmp_path / "data", museum)
    said = capsys.readouterr().out
    assert "collection/works/2.0.0 is prepared already" in said
    assert "--overwrite" in said


def test_two_builds_at_once_are_one_build(tmp_path, capsys):
    manual_dir = make_pictures(tmp_path / "museum", 12)
    with ThreadPoolExecutor() as pool:
        other = pool.submit(build, tmp_path / "data", manual_dir)
        while not (tmp_path / "data" / "collection" / "works" / ".lock-holder").exists():
            assert not other.done()
            time.sleep(0.001)
        builder = build(tmp_path / "data", manual_dir)
        other.result()
    said = capsys.readouterr().out
    assert f"process {os.getpid()} on " in said
    assert "is building collection/works/2.0.0 in it" in said
    assert said.count("is prepared already") == said.count("train: 8 works") == 1
    assert sum(1 for _ in builder.as_dataset("train")) == 8


def test_the_splits_are_noted_by_one_process_at_a_time(tmp_path, capsys):
    manual_dir = make_pictures(tmp_path / "museum", 12)
    build(tmp_path / "data", manual_dir)
    works = tmp_path / "data" / "collection" / "works"
    (works / "splits.csv").unlink()
    said = ""
    with ThreadPoolExecutor() as pool:
        with locks.after_others(works, "noting the splits"):
            other = pool.submit(build, tmp_path / "data", manual_dir)
            while "waiting in" not in said:
                assert not other.done()
                time.sleep(0.01)
                said += capsys.readouterr().out
            assert not (works / "splits.csv").exists()
        other.result()
    assert (works / "splits.csv").exists()


def test_another_folder_does_not_pass_for_the_prepared_one(tmp_path, capsys):
    build(tmp_path / "data", make_pictures(tmp_path / "A"))
    other = make_pictures(tmp_path / "B prints", 44)
    with pytest.raises(
        DataError, match=r"is prepared already, from another folder: \S+/A, not"
    ) as e:
        build(tmp_path / "data", other)
    assert str(e.value).endswith('--config \'{"name": "b_prints"}\'')
    assert "prepared already and stays" not in capsys.readouterr().out
    config = collection_dataset_builder.CollectionConfig(name="b_prints")
    assert build(tmp_path / "data", other, config).info.splits.total_num_examples == 44
    (tmp_path / "A").rename(tmp_path / "moved")  # the same works, elsewhere
    build(tmp_path / "data", tmp_path / "moved")


def test_the_way_out_names_the_settings_too(tmp_path):
    for museum, name in (("A", "1.png"), ("B", "2.png")):
        for artist in ("Ada", "Bo"):
            for i in range(4):
                path = tmp_path / museum / artist / f"{i}{name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
                Image.fromarray(noise).save(path)
    config = {"near_duplicates": False, "label": "artist"}
    config = collection_dataset_builder.CollectionConfig(name="mine", **config)
    build(tmp_path / "data", tmp_path / "A", config)
    with pytest.raises(
        DataError, match=r'{"name": "b", "near_duplicates": false, "label": "artist"}'
    ):
        build(tmp_path / "data", tmp_path / "B", config)


def test_a_list_that_changed_says_what_changed(tmp_path):
    museum = make_pictures(tmp_path / "museum")
    build(tmp_path / "data", museum)
    rows = (museum / "works.csv").read_text(encoding="utf-8-sig").splitlines()
    for changed, says in (
        (
            [*rows[:1], *rows[3:], "pictures/z.jpg;Ada;;"],
            "1 work is new (the first: pictures/z.jpg); 2 works are gone",
        ),
        ([*rows[:1], *rows[3:]], "2 works are gone (the first: pictures/000.jpg)"),
        ([*rows[:1], rows[1].replace("Ada", "Bö"), *rows[2:]], "the same works, with other labels"),
    ):
        (museum / "works.csv").write_text("\n".join(changed), encoding="utf-8")
        with pytest.raises(ChangedListError) as caught:
            build(tmp_path / "data", museum)
        assert says in str(caught.value)
        assert str(caught.value).endswith("--overwrite builds it again")
        assert "\n" not in str(caught.value)


def test_a_picture_that_is_no_longer_missing_is_a_change(tmp_path):
    museum = make_pictures(tmp_path / "museum")
    build(tmp_path / "data", museum)
    (museum / "pictures" / "000.jpg").rename(museum / "pictures" / "lost.jpg")
    with pytest.raises(ChangedListError, match="1 work is there whose picture was missing"):
        build(tmp_path / "data", museum)


def test_another_picture_under_the_same_name_is_a_change(tmp_path, monkeypatch):
    museum = make_pictures(tmp_path / "museum")
    build(tmp_path / "data", museum)
    first, second = (museum / "pictures" / name for name in ("000.jpg", "001.jpg"))
    size = len(content := first.read_bytes())
    os.utime(first)  # touched, and the same
    build(tmp_path / "data", museum)
    first.write_bytes(content[:-4] + bytes(4))
    one = "1 work is there with another picture (the first: pictures/000.jpg)"
    with pytest.raises(ChangedListError, match=re.escape(one)):
        build(tmp_path / "data", museum)
    first.write_bytes(content)
    second.write_bytes(second.read_bytes() + b" ")
    assert len(first.read_bytes()) == size
    monkeypatch.setattr(reuse, "_MOST_READ", 0)  # sizes alone decide
    with pytest.raises(
        ChangedListError, match=r"1 work is there with another picture \(.*001\.jpg"
    ):
        build(tmp_path / "data", museum)


@pytest.mark.slow
def test_a_changed_list_ends_the_programs_with_a_status_of_its_own(tmp_path):
    museum = make_pictures(tmp_path / "museum")
    build(tmp_path / "data", museum)
    repository = Path(__file__).parents[2]
    data = ["--data_dir", str(tmp_path / "data")]
    tfds_build = [
        *(sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"),
        *(str(Path(__file__).parent), "--manual_dir", str(museum), *data),
    ]
    ours = [sys.executable, "launch.py", "--mode", "prepare", str(museum), *data]

    def run(command):
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    with (museum / "works.csv").open("a", encoding="utf-8") as file:
        file.write("pictures/new.jpg;Ada;;\n")
    for command in (tfds_build, ours):
        done = run(command)
        assert done.returncode == 3
        assert "1 work is new (the first: pictures/new.jpg)" in done.stderr.splitlines()[-1]
        assert "next:" not in done.stdout


def test_the_fingerprint_does_not_depend_on_where_the_pictures_were(tmp_path):
    museum = make_pictures(tmp_path / "A")
    first = build(tmp_path / "data", museum)
    museum = museum.rename(tmp_path / "B")
    second = build(tmp_path / "more", museum)
    folders = [Path(builder.data_dir) for builder in (first, second)]
    fingerprints = {prepared._fingerprint(folder) for folder in folders}
    assert len(fingerprints) == 1
    assert [json.loads((f / "metadata.json").read_text())["manual_dir"][-1] for f in folders] == [
        *("A", "B"),
    ]


def test_a_data_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        DataError, match=r"cannot write .*data/collection/works \(.*--data_dir"
    ) as e:
        build(tmp_path / "data", make_pictures(tmp_path / "museum"))
    assert "\n" not in str(e.value)
    assert e.value.__suppress_context__  # one traceback less where nobody catches it


def test_the_description_after_a_build_is_one_line(tmp_path):
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"))
    assert repr(builder.info) == f"collection/works/2.0.0 is in {builder.data_dir}"
    assert "FeaturesDict" in repr(Builder(data_dir=tmp_path / "data").info)


def test_folders_are_the_classes_of_the_label_named(tmp_path):
    for i in range(60):
        path = tmp_path / "museum" / ("portrait", "still life")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(path)
    builder = build(tmp_path / "data", tmp_path / "museum", config="genre")
    assert builder.info.full_name == "collection/genre/2.0.0"
    assert builder.info.features["genre"].names == ["portrait", "still life"]
    with pytest.raises(DataError, match=r"no works.csv in .* --config artist"):
        build(tmp_path / "other", tmp_path / "museum")


@pytest.mark.slow
def test_a_hugging_face_folder_keeps_its_splits(tmp_path, capsys):
    for split, works in {"train": 60, "test": 10}.items():
        (tmp_path / "hf" / split).mkdir(parents=True)
        rows = [{"file_name": f"{i}.png", "label": i % 2} for i in range(works)]
        text = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / "hf" / split / "metadata.jsonl").write_text(text)
        for i in range(works):
            Image.new("RGB", (9, 9), (i, i, i)).save(tmp_path / "hf" / split / f"{i}.png")
    builder = build(tmp_path / "data", tmp_path / "hf", config="genre")
    names = split_by_name(builder)
    assert len(names) == 70
    assert {name for name, split in names.items() if split == "test"} == {
        f"test/{i}.png" for i in range(10)
    }
    assert builder.info.features["genre"].names == ["0", "1"]
    metadata = json.loads((Path(builder.data_dir) / "metadata.json").read_text())
    assert metadata["official"] == []
    said = capsys.readouterr().out
    assert "note: splits: as the folders have them; validation is cut from their train" in said
    assert "test: 10 of 10 works" in said


def test_the_reading_is_said_before_a_picture_is_cleaned(tmp_path, capsys, monkeypatch):
    said = []
    clean_works = reuse.clean_works

    def clean(*args, **settings):
        said.append(capsys.readouterr().out)
        return clean_works(*args, **settings)

    monkeypatch.setattr(reuse, "clean_works", clean)
    museum = make_pictures(tmp_path / "museum")
    (museum / "pictures" / "000.jpg").rename(museum / "pictures" / "000 .jpg")
    with (museum / "works.csv").open("a", encoding="utf-8") as file:
        file.write(";Ada;;\n")
    builder = build(tmp_path / "data", museum)
    lines = [line for line in said[0].splitlines() if line.startswith("reading: ")]
    assert lines == [
        "reading: paths and labels from works.csv",
        "reading: artist: 3 classes, 42 pictures: Bö (21), Ada (20), Cy (1)",
        "reading: 42 pictures: 41 by their path or name, 1 by a similar name (such as "
        "'pictures/000 .jpg' for 'pictures/000.jpg')",
        "reading: 1 of the 44 rows of works.csv cannot be used, and are in skipped.csv: 1 × the path is "
        "empty (the first: row 45)",
    ]
    with (Path(builder.data_dir) / "skipped.csv").open() as file:
        reasons = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons[""] == "the path is empty (works.csv, row 45)"
    assert "skipped: 4 works" in (summary := capsys.readouterr().out)
    assert "1 × the path is empty" in summary
    build(tmp_path / "data", museum)
    assert "are gone" not in capsys.readouterr().out


def test_a_catalogue_in_own_words_with_a_label_of_its_own(tmp_path):
    rows = ["Nr,Hand,Rolle,Technik"]
    (tmp_path / "museum").mkdir()
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "museum" / f"{i:05d}.png")
        rows.append(
            f"{i},{('Ada', 'Bo')[i % 2]},{('Maler', 'Kopist')[i == 0]},{('Öl', 'Ink')[i < 20]}"
        )
    (tmp_path / "museum" / "inventar.csv").write_text("\n".join(rows), encoding="utf-8")
    config = collection_dataset_builder.CollectionConfig(
        name="inventar",
        catalogue="inventar.csv",
        picture="Nr",
        columns={"artist": "Hand", "technique": "Technik"},
        rows="Rolle == Maler",
    )
    builder = build(tmp_path / "data", tmp_path / "museum", config)
    assert builder.info.features["technique"].names == ["Ink", "Öl"]
    assert builder.info.splits.total_num_examples == 39


def test_named_columns_dates_and_the_file_of_same_names_are_in_the_prepared_set(tmp_path, capsys):
    museum = make_pictures(tmp_path / "museum")
    rows = (museum / "works.csv").read_text(encoding="utf-8-sig").splitlines()
    columns = ["Medium", *(("oil", "ink", "unknown")[i % 3] for i in range(len(rows) - 1))]
    dated = [row.replace("1800", "c. 1800") for row in rows]
    text = "\n".join(f"{row};{cell}" for row, cell in zip(dated, columns, strict=True))
    (museum / "works.csv").write_text(text.replace("Ada", "Ada Ek", 1).replace("Ada;", "Ek, Ada;"))
    settings = {"labels": ["Medium"], "near_duplicates": False}
    config = collection_dataset_builder.CollectionConfig(name="mine", **settings)
    first = build(tmp_path / "data", museum, config)
    found = prepared.read(Path(first.data_dir), tmp_path / "data")
    assert found.labels["medium"] == ("ink", "oil")
    doubles = Path(first.data_dir) / "likely_doubles.csv"
    assert str(doubles) in capsys.readouterr().out
    doubles.rename(museum / "same.csv")
    config = collection_dataset_builder.CollectionConfig(
        name="joined", same="same.csv", min_works=1
    )
    joined = build(tmp_path / "data", museum, config)
    found = prepared.read(Path(joined.data_dir), tmp_path / "data")
    assert found.labels["artist"] == ("Bö", "Cy", "Ek, Ada")
    assert found.metadata["possible_labels"] == {"medium": 2}
    with pytest.raises(DataError, match=r"built with \"labels\": \[\"medium\"\]$"):
        found.check_labels({"medium": "medium"})
    with pytest.raises(DataError, match=r"it has artist; did you mean artist\?$"):
        found.check_labels({"artits": "artits"})
    works = tfds.as_numpy(joined.as_dataset(split="all"))
    years = {work["file_name"].decode(): (work["year"], work["year_uncertainty"]) for work in works}
    assert years["pictures/000.jpg"] == (1800, 5)
    assert years["pictures/001.jpg"] == (1801, 0)
    assert years["pictures/once.jpg"] == (-1, -1)


def test_folders_are_classes_of_any_label(tmp_path):
    for i in range(12):
        path = tmp_path / "museum" / ("fresco", "unknown", "oil")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(noise).save(path)
    config = collection_dataset_builder.CollectionConfig(name="mine", label="technique")
    builder = build(tmp_path / "data", tmp_path / "museum", config)
    assert builder.info.features["technique"].names == ["fresco", "oil"]


def test_settings_come_with_the_config(tmp_path):
    config = collection_dataset_builder.CollectionConfig(name="all", min_works=1, short_side_px=6)
    builder = build(tmp_path / "data", make_pictures(tmp_path / "museum"), config)
    assert builder.info.features["artist"].names == ["Ada", "Bö", "Cy"]
    work = next(iter(tfds.as_numpy(builder.as_dataset(split="train"))))
    assert work["image"].shape == (6, 8, 3)


def test_unknown_configs_are_one_line_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"--config artst: .* did you mean artist\?"):
        Builder(data_dir=tmp_path, config="artst")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "mine", "min_work": 5}, r"no setting 'min_work'; did you mean min_works\?"),
        ({"min_works": 5}, "give the settings a name"),
        ({"name": "mine", "min_works": "5"}, "min_works must be a whole number from 1, not '5'"),
        ({"name": "mine", "label": "a/b"}, "'a/b' cannot be a label: letters, digits and _"),
        (
            {"name": "mine", "labels": ["Work ID"]},
            "'work_id' cannot be a label: a set has other data",
        ),
        (
            {"name": "mine", "labels": "medium"},
            r'labels must be a list, as in \["medium", "school"\]',
        ),
        ({"name": "mine", "qualifiers": "joins"}, r"none of keep, join, drop; did you mean join\?"),
        ({"name": "mine", "several": "all"}, "several 'all' is none of keep, first, drop"),
        ({"name": "mine", "period_years": "50"}, "period_years must be a whole number from 1"),
        (
            {"name": "mine", "conflicts": "drip"},
            r"'drip' is none of train, keep, drop; did you mean drop\?",
        ),
        (
            {"name": "mine", "near_duplicates": 1},
            "near_duplicates must be true, false or 'details', not 1",
        ),
        (
            {"name": "mine", "split_shares": [0.8, 0.2]},
            r"as in \[0.7, 0.15, 0.15\], not \[0.8, 0.2\]",
        ),
        (
            {"name": "mine", "split_shares": [0.8, 0.1, 0.2]},
            "split_shares must be the shares of train",
        ),
        ({"name": "mine", "split_shares": [0.9, 0.1, 0.0]}, "each above 0 and 1 in sum"),
        ({"name": "mine", "split_shares": "80/10/10"}, "split_shares must be the shares of train"),
        ({"name": "mine", "rows": "artist"}, "rows must be 'all' or a condition such as"),
        ({"name": "mine", "max_pixels": 0}, "max_pixels must be a whole number from 1, not 0"),
    ],
)
def test_invalid_settings_are_one_line(settings, says):
    with pytest.raises(ConfigError, match=says):
        collection_dataset_builder.CollectionConfig(**settings)


def test_settings_may_not_take_the_name_of_a_config(tmp_path):
    config = collection_dataset_builder.CollectionConfig(name="works", min_works=5)
    with pytest.raises(ConfigError, match="the name 'works' is taken"):
        Builder(data_dir=tmp_path, config=config)


@pytest.mark.parametrize(
    ("works", "min_works", "says"),
    [
        (40, 30, "fewer than two classes are left"),
        (1, 1, "split would be empty: 2 usable works of 4"),
    ],
)
def test_too_few_works_are_one_line(tmp_path, works, min_works, says):
    config = collection_dataset_builder.CollectionConfig(name="mine", min_works=min_works)
    museum = make_pictures(tmp_path / "museum", works)
    with pytest.raises(DataError) as caught:
        build(tmp_path / "data", museum, config)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").glob("collection/*/2.0.0"))


if __name__ == "__main__":
    tfds.testing.test_main()

"""The fingerprint of prepared data: what a run, its features and its canvases are bound to."""

import json
import shutil

import details
import pytest

from artjax.data import prepared


@pytest.fixture
def own(details_dir, tmp_path):
    """A copy of the prepared data that a test may change."""
    shutil.copytree(details_dir / "details" / "1.0.0", tmp_path / "details" / "1.0.0")
    return tmp_path / "details" / "1.0.0"


def fingerprint(folder):
    return prepared.read(folder, folder.parents[1]).fingerprint


def renamed_class(folder):
    file = folder / "artist.labels.txt"
    file.write_text(file.read_text().replace("bo", "ben"))


def exchanged_classes(folder):
    (folder / "artist.labels.txt").write_text("bo\nada\ncy\n")


def longer_records(folder):
    (file,) = folder.glob("*test.tfrecord*")
    with file.open("ab") as records:
        records.write(b"0")


def records_by_another_name(folder):
    (file,) = folder.glob("*test.tfrecord*")
    file.rename(file.with_name(file.name.replace("00000", "00001", 1)))


def other_content(folder):
    (folder / "metadata.json").write_text(json.dumps({"content_sha256": "0"}))


@pytest.mark.parametrize(
    "change",
    [renamed_class, exchanged_classes, longer_records, records_by_another_name, other_content],
)
def test_whatever_decides_a_number_changes_the_fingerprint(change, own):
    before = fingerprint(own)
    assert fingerprint(own) == before
    change(own)
    assert fingerprint(own) != before


def test_each_entry_of_the_metadata_counts_but_where_the_pictures_came_from(own):
    found = []
    for changes in ({}, {"manual_dir": "/elsewhere"}, {"content_sha256": "1"}, {"official": []}):
        metadata = {"manual_dir": "/here", "content_sha256": "0", "official": ["test"]} | changes
        (own / "metadata.json").write_text(json.dumps(metadata))
        found.append(fingerprint(own))
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_works_and_classes_are_those_of_the_collection(own):
    found = prepared.read(own, own.parents[1])
    assert found.labels == {label: tuple(names) for label, names in details.LABELS.items()}
    counts = {name: sum(p.split == name for p in details.PICTURES) for name in found.splits}
    assert found.splits == counts
    assert sum(counts.values()) == len(details.PICTURES)

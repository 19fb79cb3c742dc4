import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import detail, drawn
from PIL import Image

from artjax.data import reports
from artjax.data.reports import SplitRow
from artjax.data.splits import SPLITS, shares_of
from artjax.errors import DataError
from artjax.prepare import details, near_duplicates
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.cleaning import CleanedWork
from artjax.prepare.local_features import MIN_SHARED
from artjax.prepare.selection import select

SHARES = shares_of(SPLITS)


def made(number, problem=""):
    return (
        CleanedWork(None, problem=problem) if problem else CleanedWork(Path("x"), "", str(number))
    )


def works_of(artists, **fields):
    return [
        Work(f"{i:03d}.jpg", {"artist": a} if a else {}, work_id=f"{i:03d}", **fields)
        for i, a in enumerate(artists)
    ]


def rows_of(splits, by=""):
    """The rows of an earlier `splits.csv`, from the splits by work id."""
    return [SplitRow(f"{work}.jpg", work, split, 1, 1, by) for work, split in splits.items()]


def test_classes_are_counted_by_works_that_have_a_picture():
    works = works_of(["Ada"] * 60 + ["Bo"] * 60 + ["Cy"] * 3 + ["Di"] * 3)
    works += [Work(f"detail {i}.jpg", {"artist": "Ed"}, work_id="one") for i in range(4)]
    cleaned = [
        made(i, "no such file" if w.labels["artist"] == "Cy" else "") for i, w in enumerate(works)
    ]
    selection = select(Catalogue(works, class_names(works)), cleaned, SHARES, min_works=3)
    selection.check()
    assert selection.catalogue.class_names["artist"] == ("Ada", "Bo", "Di")
    assert selection.catalogue.left_out_classes == {"artist": {"Cy": 0, "Ed": 1}}
    assert len(selection.skipped) == 3 + 4
    assert sum(map(len, selection.kept.values())) + len(selection.skipped) == len(works)


def test_each_reason_is_the_true_one(tmp_path):
    works = works_of(["Ada"] * 60 + ["Bo"] * 60 + ["Cy", "", "Ada"])
    cleaned = [made(i) for i in range(len(works) - 1)] + [made(0, "image file is truncated")]
    selection = select(Catalogue(works, class_names(works)), cleaned, SHARES, min_works=2)
    selection.write_reports(tmp_path)
    with (tmp_path / "skipped.csv").open() as file:
        rows = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == {
        "120.jpg": "its class has too few works",
        "121.jpg": "it has no label",
        "122.jpg": "image file is truncated",
    }


def test_a_work_keeps_its_other_labels_when_a_class_is_too_small():
    works = [
        Work(
            f"{i}.jpg", {"artist": ("Ada", "Bo")[i % 2], "genre": "x" if i else "y"}, work_id=str(i)
        )
        for i in range(100)
    ]
    selection = select(
        Catalogue(works, class_names(works)), [made(i) for i in range(100)], SHARES, min_works=2
    )
    kept = {work.file_name: work.labels for split in SPLITS for work, _ in selection.kept[split]}
    assert len(kept) == 100
    assert kept["0.jpg"] == {"artist": "Ada"}


def test_official_classes_all_stay_and_missing_test_classes_are_warned_of():
    works = works_of(["Ada"] * 9 + ["Bo"] * 9, split="train")
    works += [
        Work(f"v{a}.jpg", {"artist": a}, work_id=a, split="validation") for a in ("Ada", "Bo")
    ]
    works += [Work("t.jpg", {"artist": "Ada"}, work_id="t", split="test")]
    catalogue = Catalogue(works, {"artist": ("Bo", "Ada")}, official=("test",))
    selection = select(catalogue, [made(i) for i in range(len(works))], SHARES, min_works=100)
    selection.check()
    assert selection.catalogue.class_names["artist"] == ("Bo", "Ada")
    said = selection.summary(Path("data"))
    assert "warning: 1 of 2 artists has no test work: Bo" in said
    assert selection.metadata()["uncovered"] == {"artist": {"test": ["Bo"]}}


def test_very_many_small_classes_make_no_very_long_line():
    works = works_of([f"Painter {i:03d}" for i in range(500)] + ["Ada"] * 60 + ["Bo"] * 60)
    catalogue = Catalogue(works, class_names(works))
    selection = select(catalogue, [made(i) for i in range(len(works))], SHARES, min_works=2)
    line = next(line for line in selection.summary(Path("data")) if line.startswith("left out"))
    assert line.endswith("Painter 019 (1) and 480 more")
    assert len(selection.metadata()["left_out_classes"]["artist"]) == 500


def test_digest_changes_with_any_label_or_pixel():
    works = works_of(["Ada", "Bo"] * 50)
    cleaned = [made(i) for i in range(100)]

    def digest(works, cleaned):
        selection = select(Catalogue(works, class_names(works)), cleaned, SHARES)
        metadata = selection.metadata()
        assert json.loads(json.dumps(metadata)) == metadata
        return metadata["content_sha256"]

    first = digest(works, cleaned)
    assert first == digest(list(works), list(cleaned))
    assert first != digest(works, [*cleaned[:-1], made("other")])
    assert first != digest(
        [*works[:-1], Work("099.jpg", {"artist": "Ada"}, work_id="099")], cleaned
    )


@pytest.mark.parametrize("changes", [{"work_id": "098"}, {"year": 1888}, {"file_name": "x.jpg"}])
def test_digest_changes_with_all_that_is_prepared_of_a_work(changes):
    # All are in the split of a list, so nothing else decides where they are.
    works = works_of(["Ada", "Bo"] * 50, split="train")
    cleaned = [made(i) for i in range(100)]
    other = [*works[:-1], replace(works[-1], **changes)]
    digests = {
        select(Catalogue(given, class_names(given)), cleaned, SHARES).metadata()["content_sha256"]
        for given in (works, other)
    }
    assert len(digests) == 2


def test_digest_changes_where_a_work_moves_to_another_split():
    works = works_of(["Ada", "Bo"] * 50)
    cleaned = [made(i) for i in range(100)]
    digests = set()
    for first in (80, 81):  # in either case they follow each other by name: test, then train
        placed = [
            replace(w, split="test" if i < 100 - first else "train") for i, w in enumerate(works)
        ]
        selection = select(Catalogue(placed, class_names(placed)), cleaned, SHARES)
        assert len(selection.kept["train"]) == first
        digests.add(selection.metadata()["content_sha256"])
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("artists", "problem", "says"),
    [
        (["Ada"] * 30, "no such file", "none of the 30 works .* the first: 000.jpg: no such file"),
        (["Ada"] * 30, "", "fewer than two classes are left to tell apart"),
        (
            ["Ada", "Bo"],
            "",
            "split would be empty: 2 usable works of 2 listed; add works: .* three",
        ),
    ],
)
def test_what_cannot_be_prepared_is_one_line(artists, problem, says):
    works = works_of(artists)
    with pytest.raises(DataError, match=says) as caught:
        select(
            Catalogue(works, class_names(works)),
            [made(i, problem) for i in range(len(works))],
            SHARES,
        ).check()
    assert "\n" not in str(caught.value)


def looking(number, seed, size=(30, 20)):
    """A cleaned picture whose grey copy is noise drawn from `seed`."""
    noise = np.random.default_rng(seed).integers(0, 256, (32, 32), np.uint8)
    return CleanedWork(
        Path("x"),
        "",
        str(number),
        size,
        near_duplicates.fingerprint_of_grey(Image.fromarray(noise)),
    )


def with_near_duplicates(count=200, **fields):
    """Works by two painters; the last twenty look like early ones, under the other name."""
    works = works_of(["Ada", "Bo"] * (count // 2), **fields)
    cleaned = [looking(i, i) for i in range(count - 20)]
    cleaned += [looking(i, i - count + 21) for i in range(count - 20, count)]
    return works, cleaned


def test_near_duplicates_are_kept_in_one_split_and_named(tmp_path):
    works, cleaned = with_near_duplicates()
    selection = select(Catalogue(works, class_names(works)), cleaned, SHARES)
    split = {w.file_name: s for s, kept in selection.kept.items() for w, _ in kept}
    assert all(split[f"{i:03d}.jpg"] == split[f"{i + 179:03d}.jpg"] for i in range(1, 21))
    assert len(set(split.values())) == 3
    selection.write_reports(tmp_path)
    rows = reports.read_near_duplicates(tmp_path)
    assert [(row.file_name, row.near_duplicate) for row in rows] == [
        (f"{i:03d}.jpg", f"{i + 179:03d}.jpg") for i in range(1, 21)
    ]
    assert {row.conflict for row in rows} == {"artist"}
    assert reports.with_near_duplicate_in_train(rows) == {}
    placed = reports.read_split_rows(tmp_path / "splits.csv")
    assert {(row.file_name, row.split) for row in placed} == set(split.items())
    assert {(row.width, row.height) for row in placed} == {(30, 20)}
    said = "\n".join(selection.summary(tmp_path))
    assert (
        f"near-duplicates: 20 pairs of pictures, named in {tmp_path / 'near_duplicates.csv'}"
        in said
    )
    assert "20 of these pairs have different labels, such as 001.jpg and 180.jpg (artist)" in said


def test_pictures_under_two_labels_can_be_dropped():
    works, cleaned = with_near_duplicates()
    catalogue = Catalogue(works, class_names(works))
    selection = select(catalogue, cleaned, SHARES, conflicts="drop")
    assert {row.file_name for row in selection.skipped} == {
        f"{i:03d}.jpg" for i in [*range(1, 21), *range(180, 200)]
    }
    reasons = {row.file_name: row.reason for row in selection.skipped}
    assert reasons["180.jpg"] == "the same picture under another artist: 001.jpg"
    assert selection.near_duplicates == []


def test_a_label_that_only_one_of_two_near_duplicates_has_is_no_conflict():
    works = works_of(["Ada", "Bo"] * 50)
    other_labels = {
        0: {"artist": "Ada", "genre": "portrait"},
        2: {"artist": "Ada"},
        4: {"genre": "portrait"},
        6: {"artist": "Bo", "genre": "portrait"},
    }
    for i, labels in other_labels.items():
        works[i] = replace(works[i], labels=labels)
    # The first three look the same, and so do the next one and another by Ada.
    cleaned = [looking(i, {2: 0, 4: 0, 8: 6}.get(i, i)) for i in range(100)]
    catalogue = Catalogue(works, class_names(works))
    rows = select(catalogue, cleaned, SHARES).near_duplicates
    found = {(row.file_name, row.near_duplicate): row.conflict for row in rows}
    same = [("000.jpg", "002.jpg"), ("000.jpg", "004.jpg"), ("002.jpg", "004.jpg")]
    assert found == dict.fromkeys(same, "") | {("006.jpg", "008.jpg"): "artist"}
    dropped = select(catalogue, cleaned, SHARES, conflicts="drop").skipped
    assert [row.file_name for row in dropped] == ["006.jpg", "008.jpg"]


def test_details_of_a_work_are_kept_in_one_split():
    works = [
        Work(f"{i:03d}.jpg", {"artist": ("Ada", "Bo")[i // 3 % 2]}, work_id=f"work {i // 3}")
        for i in range(180)
    ]
    kept = select(Catalogue(works, class_names(works)), [made(i) for i in range(180)], SHARES).kept
    ids = {split: {work.work_id for work, _ in of_split} for split, of_split in kept.items()}
    assert sum(map(len, ids.values())) == 60
    assert {split: len(of_split) for split, of_split in ids.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }


def test_pictures_under_two_labels_can_be_for_train_only():
    works, cleaned = with_near_duplicates()
    catalogue = Catalogue(works, class_names(works))
    twice = {f"{i:03d}.jpg" for i in [*range(1, 21), *range(180, 200)]}
    kept = select(catalogue, cleaned, SHARES, conflicts="train").kept
    assert twice <= {work.file_name for work, _ in kept["train"]}
    assert len(kept["validation"]) + len(kept["test"]) == 40
    previous = {"001": "test", "002": "train"}
    selection = select(catalogue, cleaned, SHARES, conflicts="train", previous=rows_of(previous))
    assert {row.file_name: row.reason for row in selection.skipped} == {
        "001.jpg": "the same picture under another artist: 180.jpg",
        "180.jpg": "the same picture under another artist: 001.jpg",
    }


def test_what_would_link_splits_is_left_out_with_one_of_each():
    works, cleaned = with_near_duplicates()
    cleaned[150] = replace(cleaned[1], sha256="150")
    previous = {f"{i:03d}": "test" if i == 1 else "train" for i in range(200) if i not in (180,)}
    selection = select(
        Catalogue(works, class_names(works)),
        cleaned,
        SHARES,
        previous=rows_of(previous | {"150": "test"}),
    )
    assert selection.skipped == []
    previous |= {"150": "train"}
    selection = select(
        Catalogue(works, class_names(works)), cleaned, SHARES, previous=rows_of(previous)
    )
    said = {row.file_name: row for row in selection.skipped}
    assert said["150.jpg"].reason.endswith("in different splits: 180.jpg (test)")
    assert said["150.jpg"].kind == "a near-duplicate of works in different splits"


def test_of_official_lists_straddling_near_duplicates_are_counted_and_stay():
    works, cleaned = with_near_duplicates(split="train")
    works[180:] = [replace(work, split="test") for work in works[180:]]
    works[160:180] = [replace(work, split="validation") for work in works[160:180]]
    catalogue = Catalogue(works, class_names(works), official=("test",))
    selection = select(catalogue, cleaned, SHARES)
    assert len(selection.kept["test"]) == 20
    in_train = reports.with_near_duplicate_in_train(selection.near_duplicates)
    assert in_train == {"test": {f"{i:03d}.jpg" for i in range(180, 200)}}
    said = "\n".join(selection.summary(Path("data")))
    assert "warning: 20 test works have a near-duplicate in train" in said


@pytest.mark.parametrize("looked_for", [True, "details"])
def test_details_are_kept_in_one_split_where_they_are_looked_for(tmp_path, looked_for):
    pictures = [drawn(seed) for seed in range(8)]
    pictures += [detail(picture) for picture in pictures]
    works = works_of(["Ada", "Bo"] * 8)
    cleaned = []
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.jpg")
        fingerprint = near_duplicates.fingerprint_of_grey(picture.convert("L"))
        cleaned.append(CleanedWork(tmp_path / f"{i}.jpg", "", str(i), picture.size, fingerprint))
    selection = select(
        Catalogue(works, class_names(works)), cleaned, SHARES, near_duplicates=looked_for
    )
    selection.write_reports(tmp_path)
    rows = reports.read_near_duplicates(tmp_path)
    if looked_for is True:
        assert rows == []
        return
    split = {work.file_name: name for name, kept in selection.kept.items() for work, _ in kept}
    assert all(split[f"{i:03d}.jpg"] == split[f"{i + 8:03d}.jpg"] for i in range(8))
    assert [(row.file_name, row.near_duplicate) for row in rows] == [
        (f"{i:03d}.jpg", f"{i + 8:03d}.jpg") for i in range(8)
    ]
    assert all(row.shared_points >= MIN_SHARED for row in rows)


def test_details_without_opencv_are_one_line(monkeypatch):
    monkeypatch.setattr(details, "available", lambda: False)
    works, cleaned = with_near_duplicates()
    with pytest.raises(DataError, match="needs OpenCV: pip install opencv-python-headless"):
        select(Catalogue(works, class_names(works)), cleaned, SHARES, near_duplicates="details")


def test_near_duplicates_are_not_looked_for_where_that_is_off(tmp_path):
    works, cleaned = with_near_duplicates()
    selection = select(Catalogue(works, class_names(works)), cleaned, SHARES, near_duplicates=False)
    selection.write_reports(tmp_path)
    assert reports.read_near_duplicates(tmp_path) is None
    assert {split: len(kept) for split, kept in selection.kept.items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }
    split = {w.file_name: s for s, kept in selection.kept.items() for w, _ in kept}
    assert any(split[f"{i:03d}.jpg"] != split[f"{i + 179:03d}.jpg"] for i in range(1, 21))

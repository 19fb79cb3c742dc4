"""Works that a network has learnt from are known again by name, picture and look, in any split."""

from dataclasses import replace

import details
import numpy as np
import pytest
import tiny
from tiny import open_canvases, tiny_config

from artjax.data import colours
from artjax.data.folds import fold_of
from artjax.runs import fingerprints, seen

NONE = np.empty(0, np.uint64)
LABELS = {"artist": "artist"}
LEARNT = ("train", "validation")


@pytest.fixture(scope="module")
def data(details_dir, tmp_path_factory):
    canvases = tmp_path_factory.mktemp("canvases")
    return open_canvases(details.details_config(), details_dir, canvases)


@pytest.fixture(scope="module")
def learnt(data):
    return seen.of_splits(data, [data.split(name, LABELS) for name in LEARNT])


def by_name(learnt):
    """The works, known by name alone."""
    return replace(learnt, pictures=NONE, fingerprints=fingerprints.NONE)


def renamed(data):
    """The same pictures as another collection."""
    return replace(data, prepared=replace(data.prepared, name="other"))


def test_works_are_known_again_in_another_division(data, learnt):
    works = {p.work_id for p in details.PICTURES if p.split in LEARNT and p.labels["artist"] >= 0}
    counts = []
    for fold in range(3):
        split = fold_of(data, 3, fold).split("test", LABELS)
        # The test split of a fold is sorted otherwise than any prepared split.
        for known in (
            learnt,
            by_name(learnt),
            replace(learnt, works=NONE, fingerprints=fingerprints.NONE),
            replace(learnt, works=NONE, pictures=NONE),
        ):
            found, unknown = known.seen(data, split)
            assert found.tolist() == [work in works for work in split.work_ids]
            assert not unknown
        counts.append(int(found.sum()))
    assert all(count > 0 for count in counts)
    assert not learnt.seen(data, data.split("test", LABELS)).pictures.any()


def test_a_picture_stands_for_all_pictures_of_its_work(data):
    split = data.split("test", LABELS)
    detail = split.file_names.tolist().index("20b.jpg")
    one = replace(seen.of_splits(data, [split.only(np.asarray([detail]))]), works=NONE)
    found = split.file_names[one.seen(renamed(data), split).pictures].tolist()
    assert sorted(found) == ["20a.jpg", "20b.jpg", "20c.jpg"]


def test_a_work_id_counts_in_its_own_collection_only(data, learnt):
    split = data.split("train", LABELS)
    assert by_name(learnt).seen(data, split).pictures.all()
    assert not by_name(learnt).seen(renamed(data), split).pictures.any()


def test_pictures_are_known_again_in_another_collection_and_size(data_dir, tmp_path):
    # Its first 80 pictures are those of train and validation of `tiny`, under other names.
    tiny.write_tiny(tmp_path, "other", {"train": 99})
    source = open_canvases(tiny_config(), data_dir, tmp_path / "canvases")
    learnt = seen.of_splits(source, [source.split(name, LABELS) for name in LEARNT])
    other = open_canvases(tiny_config(collection="other", canvas_size=24), tmp_path, None)
    for name in tiny.SPLITS:
        split = other.split(name, LABELS)
        numbers = [
            int(file.removeprefix("train/").removesuffix(".jpg")) for file in split.file_names
        ]
        found, unknown = learnt.seen(other, split)
        assert found.tolist() == [number < 80 for number in numbers]
        assert not unknown


def test_where_colours_are_not_counted_looks_are_enough(details_dir, tmp_path, data, learnt):
    bare = open_canvases(details.details_config(), details_dir, tmp_path)
    (bare.directory.parent / colours.FILE).unlink()
    uncounted = seen.of_splits(bare, [bare.split(name, LABELS) for name in LEARNT])
    assert len(uncounted.pictures) == 0
    split = fold_of(bare, 3, 0).split("test", LABELS)
    expected = learnt.seen(data, split).pictures.tolist()
    for known, where in ((uncounted, renamed(data)), (learnt, renamed(bare))):
        found, unknown = known.seen(where, split)
        assert found.tolist() == expected
        assert not unknown
    assert 0 < sum(expected) < len(expected)


def test_what_is_saved_is_read_again(data, learnt, tmp_path):
    split = data.split("test", LABELS)
    weights = replace(seen.of_splits(renamed(data), [split]), unknown=("a file is lost",))
    seen.save(tmp_path, learnt, weights)
    assert [path.name for path in tmp_path.iterdir()] == [seen.FILE]
    together = seen.of_run(tmp_path)
    assert together.works.tolist() == sorted({*learnt.works.tolist(), *weights.works.tolist()})
    assert len(together.pictures) == len(learnt.pictures) + len(split)
    for field in fingerprints.Fingerprints._fields:
        both = [getattr(part.fingerprints, field) for part in (learnt, weights)]
        np.testing.assert_array_equal(getattr(together.fingerprints, field), np.concatenate(both))
    assert together.unknown == ("a file is lost",)
    seen.save(tmp_path, learnt, None)
    assert seen.of_run(tmp_path).works.tolist() == learnt.works.tolist()


def test_the_warning_counts_works_not_pictures(data):
    splits = {name: data.split(name, LABELS) for name in ("validation", "test")}
    test = splits["test"]
    some = np.flatnonzero(np.isin(test.work_ids, ["work 10", "work 20"]))
    (line,) = seen.warnings(seen.of_splits(data, [test.only(some)]), data, splits)
    works = {p.work_id for p in details.PICTURES if p.split == "test" and p.labels["artist"] >= 0}
    assert len(some) == 6
    assert line.startswith(
        f"warning: the weights have learnt from 2 of the {len(works)} test works: "
    )
    validation = seen.of_splits(data, [splits["validation"]])
    assert seen.warnings(validation, data, splits)[0].startswith(
        "warning: the weights have learnt from 8 of the 8 validation works: their score"
    )
    assert seen.warnings(seen.of_splits(data, [data.split("train", LABELS)]), data, splits) == []


def of_config(data, name, **metadata):
    """The works as another config has them, whose pictures were prepared otherwise."""
    there = data.prepared.metadata | metadata
    return replace(data, prepared=replace(data.prepared, name=name, metadata=there))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("wikiart/artist", "/a"), ("wikiart/genre", "/b"), True),
        (("wikiart/artist", "/a"), ("wga/full", "/a"), False),
        (("collection/works", "/a"), ("collection/apart", "/a"), True),
        (("collection/works", "/a"), ("collection/other", "/b"), False),
        (("foreign/one", "/a"), ("foreign/two", "/a"), False),
    ],
)
def test_a_work_id_counts_in_all_configs_of_one_source(first, second, same, data):
    one, other = (of_config(data, name, manual_dir=folder) for name, folder in (first, second))
    learnt = seen.of_splits(one, [one.split("train", LABELS)])
    found = by_name(learnt).seen(other, other.split("train", LABELS))
    assert found.pictures.tolist() == [same] * len(found.pictures)


def test_a_file_of_another_version_is_said_to_be_unknown(data, learnt, tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(seen, "_VERSION", 3)
        seen.save(tmp_path, learnt, None)
        assert seen.of_run(tmp_path).unknown == ()
    assert not seen.is_there(tmp_path)
    found = seen.of_run(tmp_path)
    assert found.unknown == (f"{tmp_path / seen.FILE} is of another version of artjax",)
    assert not len(found.works)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half"])
def test_a_lost_or_damaged_file_is_said_to_be_unknown(content, data, tmp_path):
    if content is not None:
        (tmp_path / seen.FILE).write_bytes(content)
    assert not seen.is_there(tmp_path)
    found = seen.of_run(tmp_path)
    splits = {name: data.split(name, LABELS) for name in ("validation", "test")}
    (line,) = seen.warnings(found, data, splits)
    assert line.startswith("warning: it cannot be known which works the weights have learnt from (")
    problem = "is missing" if content is None else "cannot be read"
    assert f"{tmp_path / seen.FILE} {problem}" in line

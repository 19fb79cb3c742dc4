"""Which pictures are not independent of each other."""

import details
import numpy as np
import pytest
from tiny import open_canvases

from artjax.data.groups import linked_groups, links_of_equal, named_groups
from artjax.errors import DataError

LABELS = {label: label for label in details.LABELS}


def test_works_are_linked_directly_and_through_others():
    works = np.asarray(["b", "a", "b", "c", "d", "e"])
    groups = linked_groups(works, [(2, 3), (3, 4)])
    assert named_groups(groups, works).tolist() == ["b", "a", "b", "b", "b", "e"]
    assert len(set(linked_groups(works, []).tolist())) == 5


def test_unknown_values_link_nothing():
    assert linked_groups(np.arange(5), links_of_equal([-1, 2, -1, 2, 0])).tolist() == [
        0,
        1,
        2,
        1,
        3,
    ]


@pytest.fixture(scope="module")
def data(details_dir):
    return open_canvases(details.details_config(), details_dir, None)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_pictures_of_a_split_are_grouped_as_in_the_whole_collection(name, data):
    split = data.split(name, LABELS)
    expected = details.groups()
    found = data.groups(split).tolist()
    pairs = {(expected[file], group) for file, group in zip(split.file_names, found, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) < len(split)


def test_works_are_grouped_by_a_label_where_it_is_asked_for(data):
    split = data.split("test", LABELS)
    of_label = data.values(split, "label/artist")
    by_work, by_artist = data.groups(split), data.groups(split, "artist")
    for artist in set(of_label.tolist()) - {-1}:
        assert len(set(by_artist[of_label == artist].tolist())) == 1
    for group in set(by_work.tolist()):
        assert len(set(by_artist[by_work == group].tolist())) == 1
    assert len(set(by_artist.tolist())) < len(set(by_work.tolist()))
    with pytest.raises(
        DataError, match="'details' has no label 'painter' to group works by; it has"
    ):
        data.groups(split, "painter")

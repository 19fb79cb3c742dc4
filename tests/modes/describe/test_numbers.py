import pytest
from drawn import drawn
from PIL import ImageOps
from tiny import encoded, open_canvases, store, tiny_config

from artjax.modes.describe.numbers import near_duplicate_rows, near_duplicate_summary


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A prepared set without our tables: three test works are train works again."""
    pictures = {
        "train": [(drawn(i), 0, i % 2) for i in range(6)],
        "validation": [(drawn(50), 0, 0), (drawn(51), 1, 1)],
        "test": [
            (ImageOps.mirror(drawn(0)), 1, 0),  # under another artist
            (drawn(1).resize((128, 100)), 0, -1),  # its genre is not known
            (drawn(60), 1, 1),
            (drawn(2), 1, 1),  # under another artist and genre
        ],
    }
    splits = {
        name: [
            {
                "image": encoded(picture),
                "artist": artist,
                "genre": genre,
                "file_name": f"{name}{i}.jpg",
                "work_id": f"{name}{i}",
            }
            for i, (picture, artist, genre) in enumerate(of)
        ]
        for name, of in pictures.items()
    }
    folder = tmp_path_factory.mktemp("foreign")
    store(folder, "foreign", {"artist": ("ada", "bo"), "genre": ("portrait", "still life")}, splits)
    return folder


def test_near_duplicates_of_a_set_without_a_list_are_found_among_its_canvases(foreign):
    config = tiny_config(collection="foreign", task=("artist", "genre"), canvas_size=128)
    data = open_canvases(config, foreign, None)
    labels = {"artist": "artist", "genre": "genre"}
    splits = {name: data.split(name, labels) for name in ("train", "validation", "test")}
    rows = near_duplicate_rows(config, data, splits)
    found = {
        (row.file_name, row.split, row.near_duplicate, row.near_duplicate_split): row.conflict
        for row in rows
    }
    assert found == {
        ("train0.jpg", "train", "test0.jpg", "test"): "artist",
        ("train1.jpg", "train", "test1.jpg", "test"): "",
        ("train2.jpg", "train", "test3.jpg", "test"): "artist genre",
    }
    assert all(row.correlation >= 0.95 and row.distance <= 15 for row in rows)
    assert near_duplicate_summary(rows) == {
        "pairs": 3,
        "conflicts": 2,
        "with_near_duplicate_in_train": {"test": 3},
    }

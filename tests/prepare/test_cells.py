import pickle

from artjax.prepare.cells import Cells, SharedLabels

PLACES = {"path": 0, "artist": 1, "title": 2}


def test_cells_are_a_mapping_of_those_that_are_not_empty():
    cells = Cells(PLACES, ["a.jpg", "", "Hills", "too many"])
    assert cells == {"path": "a.jpg", "title": "Hills"} == dict(cells)
    assert len(cells) == 2
    assert "artist" not in cells
    assert (cells.get("artist"), cells.get("none", "-"), cells["title"]) == ("", "-", "Hills")
    assert pickle.loads(pickle.dumps(cells)) == cells  # to other processes


def test_rows_with_fewer_cells_than_columns_have_no_others():
    assert Cells(PLACES, ["a.jpg"]) == {"path": "a.jpg"}
    assert Cells(PLACES, ["a.jpg"]).get("title", "?") == "?"


def test_the_same_labels_are_one_object():
    shared = SharedLabels()
    first = shared({"artist": "Ada"})
    assert shared({"artist": "Ada"}) is first
    assert shared({"artist": "Bo"}) == {"artist": "Bo"}

"""What of a catalogue's cells become classes."""

import pytest

from artjax.errors import DataError
from artjax.prepare.catalogue import Catalogue, Work, class_names
from artjax.prepare.labels import LabelSettings, settled
from artjax.prepare.same_names import read_same


def catalogue_of(rows):
    """A work for each row, which is a mapping of columns; `artist` and `period` are labels."""
    works = [
        Work(
            f"{i}.jpg",
            {name: row[name] for name in ("artist", "period") if row.get(name)},
            columns={name: cell for name, cell in row.items() if name not in ("artist", "period")},
            date=row.get("year", ""),
        )
        for i, row in enumerate(rows)
    ]
    return Catalogue(works, class_names(works))


def artists(*cells, **settings):
    """The artist of each cell, or None; and the notes."""
    found = settled(catalogue_of([{"artist": cell} for cell in cells]), LabelSettings(**settings))
    return [work.labels.get("artist") for work in found.works], found.notes


MEDIA = [
    {"artist": "Ada", "medium": ("oil", "tempera", "")[i % 3], "url": f"{i}"} for i in range(30)
]


def test_a_named_column_is_a_label():
    found = settled(catalogue_of(MEDIA), LabelSettings(labels=("medium",)))
    assert found.class_names["medium"] == ("oil", "tempera")
    assert [work.labels.get("medium") for work in found.works[:3]] == ["oil", "tempera", None]
    assert found.possible_labels == {}


def test_columns_that_could_be_labels_are_named_and_the_others_are_not():
    found = settled(catalogue_of(MEDIA), LabelSettings())
    assert found.possible_labels == {"medium": 2}
    assert found.notes == [
        'columns that could be labels, too: medium (2 classes); name them, as in "labels": ["medium"]'
    ]
    assert "medium" not in found.class_names


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([f"inv. {i}" for i in range(40)], "names each work apart (40 values in 40 works, such as"),
        ([f"{i}.5" for i in range(30)] * 2, "holds numbers, 30 different ones such as '0.5'"),
        ([f"1928.{i}" for i in range(30)], "holds numbers, 30 different ones such as '1928.0'"),
        (
            [f"c. {1600 + i}" for i in range(30)] * 2,
            "holds dates, such as 'c. 1600'; \"period_years\"",
        ),
        (["oil"] * 30, "has one value only, 'oil'"),
        ([""] * 30, 'no column "medium" with a cell that is not empty; it has artist'),
    ],
)
def test_columns_that_are_no_classes_are_refused_with_one_line(cells, says):
    rows = [{"artist": "Ada", "medium": cell} for cell in cells]
    rows = [{name: cell for name, cell in row.items() if cell} for row in rows]
    with pytest.raises(DataError) as caught:
        settled(catalogue_of(rows), LabelSettings(labels=("medium",)))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert settled(catalogue_of(rows), LabelSettings()).possible_labels == {}


def test_a_misspelt_column_has_the_nearest():
    with pytest.raises(DataError, match=r'no column "medum" .* did you mean medium\?'):
        settled(catalogue_of(MEDIA), LabelSettings(labels=("medum",)))


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "nan",
            "NaN",
            "None",
            "N/A",
            "n/a",
            "NULL",
            "unknown",
            "Unknown",
            "UNIDENTIFIED",
            "-",
            "--",
        ),
        *("?", "—", "[unknown]", "(Unknown)", "unknown artist", "Artist unknown", "n.d."),
    ],
)
def test_words_for_a_missing_label_are_no_class_and_counted(cell):
    found, notes = artists("Ada", cell, "Ada", cell)
    assert found == ["Ada", None, "Ada", None]
    assert notes == [f"artist: 2 works have '{cell}': no label"]
    assert artists("Ada", cell, missing=())[0] == ["Ada", cell]


@pytest.mark.parametrize("cell", ["Anonymous", "Unknown Flemish master", "Nan Goldin", "A"])
def test_what_only_looks_like_such_a_word_is_a_class(cell):
    assert artists("Ada", cell) == (["Ada", cell], [])
    assert artists("Ada", cell, missing=("anonymous",))[0][1] == (None if "Anon" in cell else cell)


@pytest.mark.parametrize(
    ("several", "found"),
    [
        (
            "keep",
            ["Ada Ek", "Ada Ek|Bo Al", "Ada Ek; Bo Al", "Bo Al & Cy Ug", "Gilbert and George"],
        ),
        ("first", ["Ada Ek", "Ada Ek", "Ada Ek", "Bo Al", "Gilbert and George"]),
        ("drop", ["Ada Ek", None, None, None, "Gilbert and George"]),
    ],
)
def test_several_painters_in_a_cell(several, found):
    cells = ["Ada Ek", "Ada Ek|Bo Al", "Ada Ek; Bo Al", "Bo Al & Cy Ug", "Gilbert and George"]
    names, notes = artists(*cells, several=several)
    assert names == found
    assert notes[0].startswith(
        "artist: 3 works have several names in a cell, such as 'Ada Ek; Bo Al'"
    )


def test_and_separates_people_only():
    rows = [{"artist": "Ada", "medium": ("oil and tempera", "wood & ink")[i % 2]} for i in range(4)]
    found = settled(catalogue_of(rows), LabelSettings(labels=("medium",), several="drop"))
    assert found.class_names["medium"] == ("oil and tempera", "wood & ink")


HANDS = (
    *("Peter Paul Rubens", "Workshop of Peter Paul Rubens", "Rubens, Peter Paul (follower of)"),
    *("after Titian", "School of Fontainebleau", "School of Peter Paul Rubens"),
)


@pytest.mark.parametrize(
    ("qualifiers", "found"),
    [
        ("keep", list(HANDS)),
        (
            "join",
            ["Peter Paul Rubens"] * 3 + ["Titian", "School of Fontainebleau", "Peter Paul Rubens"],
        ),
        ("drop", ["Peter Paul Rubens", None, None, None, "School of Fontainebleau", None]),
    ],
)
def test_hands_near_a_painter(qualifiers, found):
    names, notes = artists(*HANDS, qualifiers=qualifiers)
    assert names == found
    assert notes[0].startswith("artist: 4 works have a name like ")


def test_a_file_says_which_names_are_the_same(tmp_path):
    file = tmp_path / "same.csv"
    file.write_text(
        "label,name,works,use,why\n"
        'artist,"Rijn, Rembrandt van",3,Rembrandt,x\n'
        "artist,Rembrandt,3,Rembrandt van Rijn,x\n"
        ",Nobody,3,,x\n"
        "style,Ada,1,Bo,x\n"
        "artist,Rembrand van Rijn,1,Rembrandt van Rijn,x\n"
        "artist,unknown,1,Unknown master,x\n"
    )
    cells = ("Rembrandt van Rijn", "Rijn, Rembrandt van", "Rembrandt", "Nobody", "Ada", "unknown")
    names, notes = artists(*cells, same=read_same(file))
    assert names == ["Rembrandt van Rijn"] * 3 + [None, "Ada", "Unknown master"]
    assert 'artist: 4 works have a name that the file of "same" names: as it says' in notes
    assert notes[-1].startswith("\"same\": 2 names are not in the list, such as 'Ada'")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no file"),
        ("a,b\n1,2\n", "needs the columns name and use (found: a, b)"),
        ("name,use\nA,B\nA,C\n", "row 3: 'A' is 'B' in a row above; keep one of them"),
        ("name,use\nA,B\nB,A\n", "A → B → A is a circle; leave one of them out"),
        ("name,use\n,A\n", "row 2: the cell below 'name' is empty"),
    ],
)
def test_a_file_of_names_that_is_invalid_is_one_line(tmp_path, text, says):
    if text:
        (tmp_path / "same.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_same(tmp_path / "same.csv")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_likely_doubles_are_listed_and_not_joined():
    found = settled(
        catalogue_of([{"artist": a} for a in ("Ada Ek", "Ada Ek", "Ek, Ada", "Bo Al")]),
        LabelSettings(),
    )
    assert [row[:4] for row in found.doubles] == [("artist", "Ek, Ada", 1, "Ada Ek")]
    assert found.class_names["artist"] == ("Ada Ek", "Bo Al", "Ek, Ada")


def test_dates_become_years_and_those_that_cannot_be_read_are_counted():
    rows = [
        {"artist": "Ada", "year": year} for year in ("1650", "c. 1650-55", "n.d.", "n.d.", "x", "")
    ]
    found = settled(catalogue_of(rows), LabelSettings())
    assert [(work.year, work.year_uncertainty) for work in found.works] == [
        *((1650, 0), (1653, 8), (-1, -1), (-1, -1), (-1, -1), (-1, -1)),
    ]
    assert found.notes == [
        "3 of 5 dates could not be read, such as 'n.d.'",
        "1 of 5 dates are spans or uncertain: the year is the middle, year_uncertainty says how far it "
        "may be off",
    ]


def test_a_period_is_made_where_all_years_of_a_date_are_in_it():
    years = ("1650", "1699", "1649-50", "c. 1660", "c. 1652", "17th century", "n.d.")
    rows = [{"artist": "Ada", "year": year} for year in years]
    found = settled(catalogue_of(rows), LabelSettings(period_years=50))
    assert [work.labels.get("period") for work in found.works] == [
        *("1650-1699", "1650-1699", None, "1650-1699", None, None, None),
    ]
    assert (
        "period: 3 works by their date, in steps of 50 years; 3 dates are in two or more: no period"
        in (found.notes)
    )
    century = settled(catalogue_of(rows), LabelSettings(period_years=100))
    assert [work.labels.get("period") for work in century.works][-2:] == ["1600-1699", None]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"artist": "Ada", "year": "1650", "period": "Baroque"}, "has a column period already"),
        ({"artist": "Ada"}, "has no dates, in a column year or date"),
    ],
)
def test_a_period_that_cannot_be_made_is_one_line(row, says):
    with pytest.raises(DataError, match=says):
        settled(catalogue_of([row]), LabelSettings(period_years=50))

"""Which class names are listed as likely the same, and which are not."""

import pytest

from artjax.prepare import spellings
from artjax.prepare.names import names_in, qualified
from artjax.prepare.spellings import likely_doubles

SAME = [
    ("Rembrandt van Rijn", "Rijn, Rembrandt van"),
    ("Rembrandt van Rijn", "REMBRANDT  VAN RIJN"),
    ("Rembrandt van Rijn", "Rembrandt van Rijn (1606–1669)"),
    ("Rembrandt van Rijn", "Rembrandt van Rijn, Dutch, 1606-1669"),
    ("Rembrandt van Rijn", "Rembrandt"),
    ("Peter Paul Rubens", "P. P. Rubens"),
    ("Joseph Mallord William Turner", "Turner, J.M.W."),
    ("Vincent van Gogh", "V. van Gogh"),
    ("Édouard Manet", "Edouard Manet"),
    ("Pieter Bruegel the Elder", "Pieter Brueghel the Elder"),
    ("Lucas Cranach the Elder", "Lucas Cranach I"),
    ("Lucas Cranach the Elder", "Lucas Cranach d. Ä."),
    ("Willem van de Velde the Younger", "Willem van de Velde II"),
    ("Workshop of Rubens", "Rubens (workshop of)"),
    ("Pierre-Auguste Renoir", "Pierre Auguste Renoir"),
    ("Isaak Levitan", "Isaac Levitan"),
]
DIFFERENT = [
    ("Jan Brueghel the Elder", "Jan Brueghel the Younger", "Jan Brueghel"),
    ("Lucas Cranach I", "Lucas Cranach II"),
    ("Rembrandt van Rijn", "attributed to Rembrandt van Rijn", "Workshop of Rembrandt van Rijn"),
    ("School of Fontainebleau", "School of Barbizon"),
    ("Giovanni Bellini", "Gentile Bellini", "Jacopo Bellini"),
    ("Ludovico Carracci", "Annibale Carracci", "Agostino Carracci"),
    ("Salomon van Ruysdael", "Jacob van Ruisdael"),
    ("Jan Both", "Andries Both", "Jan Bath"),
    ("Anna Boch", "Anna Koch"),
    ("Jan Steen", "Jacob Steen", "J. Steen"),  # whose initial?
    ("Anonymous", "Anonymous Florentine"),
    ("Ada Ek", "Ada Ek and Bo Al", "Ada Ek|Bo Al"),
]
OTHER_SAME = [
    ("Oil on canvas", "oil on  Canvas."),
    ("Oil on canvas", "Oil on canvass"),
    ("still life", "Still-life"),
    ("watercolour on paper", "watercolor on paper"),
    ("etching", "etchings"),
]
OTHER_DIFFERENT = [
    ("Oil on canvas", "Oil on panel", "Oil on copper"),
    ("19th century", "18th century"),
    ("1600-1649", "1650-1699"),
    ("Northern Song", "Southern Song"),
    ("Impressionism", "Expressionism", "Post-Impressionism"),
    ("Realism", "Surrealism"),
    ("Ming dynasty", "Qing dynasty"),
    ("Type I", "Type II"),
    ("lithograph", "photolithograph"),
    ("oil and tempera", "oil"),
]


def doubles(names, people):
    works = {name: 100 - i for i, name in enumerate(names)}
    return likely_doubles("artist" if people else "medium", works, people)


@pytest.mark.parametrize("people", [True, False])
def test_spellings_of_one_name_are_listed(people):
    for first, other in SAME if people else OTHER_SAME:
        found = doubles([first, other, "Somebody Else"], people)
        assert [(row.name, row.works, row.use) for row in found] == [(other, 99, first)]


@pytest.mark.parametrize("people", [True, False])
def test_different_names_are_not_listed(people):
    for names in DIFFERENT if people else OTHER_DIFFERENT:
        assert doubles(names, people) == []


def test_the_spelling_with_the_most_works_is_the_one_to_use():
    works = {"Rijn, Rembrandt van": 5, "Rembrandt van Rijn": 5, "REMBRANDT VAN RIJN": 2}
    assert {row.use for row in likely_doubles("artist", works, True)} == {"Rembrandt van Rijn"}
    works["REMBRANDT VAN RIJN"] = 9
    assert {row.use for row in likely_doubles("artist", works, True)} == {"REMBRANDT VAN RIJN"}


def test_names_are_found_wherever_they_are_among_many(monkeypatch):
    monkeypatch.setattr(spellings, "_ROWS", 7)
    names = [f"{chr(97 + i % 9) * 9} {chr(107 + i // 9) * 9}" for i in range(60)]
    found = doubles([*names, "Aelbert Cuypers", "Zacharias Ellinger", "Aelbart Cuypers"], True)
    assert [(row.name, row.use) for row in found] == [("Aelbart Cuypers", "Aelbert Cuypers")]


@pytest.mark.parametrize(
    ("name", "kind", "of"),
    [
        ("Workshop of Rubens", "workshop of", "Rubens"),
        ("Rubens (workshop of)", "workshop of", "Rubens"),
        ("Rembrandt van Rijn, Follower of", "follower of", "Rembrandt van Rijn"),
        ("Attributed to Édouard Manet", "attributed to", "Édouard Manet"),
        ("after Watteau", "after", "Watteau"),
        ("d'après Watteau", "after", "Watteau"),
        ("Umkreis des Caravaggio", "circle of", "Caravaggio"),
        ("Style of Bosch", "manner of", "Bosch"),
    ],
)
def test_qualifiers_are_understood(name, kind, of):
    assert qualified(name) == (kind, of)


@pytest.mark.parametrize("name", ["Afterman Jones", "Studio Ghibli", "Rubens, Peter Paul", "after"])
def test_names_without_a_qualifier_have_none(name):
    assert qualified(name) is None


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("A|B", ["A", "B"]),
        ("Turner, J. M. W.; Cotman", ["Turner, J. M. W.", "Cotman"]),
        ("Jan Both and Karel Dujardin", ["Jan Both", "Karel Dujardin"]),
        ("Smith & Sons Ltd", ["Smith & Sons Ltd"]),
        ("Anne and Patrick Poirier", ["Anne and Patrick Poirier"]),
    ],
)
def test_several_people_in_a_cell(cell, names):
    assert names_in(cell, people=True) == names

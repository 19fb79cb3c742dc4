"""Trees on the facts of the files: they find each fact that tells a class, and nothing in drawn ones."""

import numpy as np
import pytest
from sources import drawn_facts

from artjax.data.splits import SPLITS
from artjax.prepare.source_baseline import (
    Told,
    columns_of,
    form_of,
    shown_better,
    source_baseline,
    told,
)

WORKS = 200
LABELS = np.arange(WORKS) % 2
ROWS = dict(zip(SPLITS, np.split(np.arange(WORKS), [120, 160]), strict=True))
NAMES = [f"{'ab'[label]}/{i}.jpg" for i, label in enumerate(LABELS)]
# For each fact, what it is of the works of the second class.
TELLING = {
    "shorter side": {"width": 300, "height": 900},
    "longer side": {"width": 1000},
    "width : height": {"width": 1200, "height": 600},
    "bytes per pixel": {"bytes": 2_000_000},
    "format": {"format": "TIFF RGB"},
    "JPEG tables": {"chroma_step": 21.0},
    "colour profile": {"profile": 2},
    "date in the file": {"date": "1999-01-01"},
    "sharpness": {"quarter_sharpness": -1.0},
    "border": {"border": 1.5},
}


def found(facts, names=NAMES, labels=LABELS):
    baseline = source_baseline(columns_of(facts, names), ROWS, labels)
    return baseline, told(baseline, "test", labels[ROWS["test"]], [])


@pytest.mark.parametrize("fact", TELLING)
def test_each_fact_that_tells_a_class_is_found_and_named(fact):
    facts = [
        row._replace(**TELLING[fact]) if label else row
        for row, label in zip(drawn_facts(WORKS), LABELS, strict=True)
    ]
    baseline, of_test = found(facts)
    assert of_test.top1 > 0.9
    assert baseline["validation_top1"] > 0.9
    assert fact in of_test.facts_that_tell()
    assert f"{fact} 1" in of_test.warning("genre")
    assert of_test.warning("genre").startswith("what is no painting tells the genre of ")


def test_facts_that_tell_nothing_are_no_warning():
    _, of_test = found(drawn_facts(WORKS))
    assert len(of_test.alone) == 10
    assert 0.2 < of_test.top1 < 0.65
    assert not of_test.warning("genre")


def test_the_form_of_a_name_tells_and_its_folder_length_and_number_do_not():
    facts = drawn_facts(WORKS)
    names = [f"a/{i}.{('jpg', 'JPG')[label]}" for i, label in enumerate(LABELS)]
    assert found(facts, names)[1].alone["form of the name"] == 1
    names = [f"{'ab'[label]}/{i if label else 100_000 + i}.jpg" for i, label in enumerate(LABELS)]
    of_test = found(facts, names)[1]
    assert "form of the name" not in of_test.alone  # it is the same for all, so it is not tried
    assert not of_test.warning("genre")
    assert form_of("Class A/IMG_0012.JPG") == form_of("b/XY_7.JPG") == "0A_ .JPG"
    assert form_of("b/Müller 3.png") == " 0Aaé .png"
    assert form_of("b/12") == "0 "


def test_what_is_right_is_kept_for_each_work():
    facts = drawn_facts(WORKS)
    baseline, of_test = found(facts)
    for name in ("validation", "test"):
        right = [int(character) for character in baseline[f"{name}_right"]]
        assert len(right) == len(ROWS[name])
        assert np.mean(right) == baseline[f"{name}_top1"]
    assert of_test.works == len(ROWS["test"])
    assert baseline == found(facts)[0]


def test_test_works_have_no_part_in_the_fit():
    facts = drawn_facts(WORKS)
    changed = LABELS.copy()
    changed[ROWS["test"]] = 1 - changed[ROWS["test"]]
    one, other = found(facts)[0], found(facts, labels=changed)[0]
    assert one["validation_right"] == other["validation_right"]
    assert one["test_top1"] == pytest.approx(1 - other["test_top1"])


def test_without_works_or_with_one_class_there_is_no_baseline():
    columns = columns_of(drawn_facts(WORKS), NAMES)
    empty = ROWS | {"test": ROWS["test"][:0]}
    assert source_baseline(columns, empty, LABELS) is None
    assert source_baseline(columns, ROWS, np.zeros(WORKS, int)) is None


def test_details_of_one_work_count_once():
    labels = np.arange(40) % 2
    baseline = {"test_top1": 0.7, "test_alone": {"border": 1.0}}
    assert told(baseline, "test", labels, [f"{i // 10}" for i in range(40)]).works == 4
    assert Told("test", 40, 0.7, 0.5, {}).warning("genre")
    assert not Told("test", 4, 0.7, 0.5, {}).warning("genre")


def test_many_facts_need_more_to_tell_and_the_best_one_is_named_anyway():
    few = Told("test", 40, 0.7, 0.5, {"border": 0.675})  # 27 of 40: p = 0.019
    assert few.facts_that_tell() == ["border"]
    many = few._replace(alone={f"fact {i}": 0.5 for i in range(9)} | few.alone)
    assert many.facts_that_tell() == []
    assert "(alone: border 67.5%)" in many.warning("genre")
    assert "(alone: no fact)" in few._replace(alone={"border": 0.5}).warning("genre")
    four = few._replace(alone=dict(zip("abcd", (0.9, 1.0, 0.8, 0.85), strict=True)))
    assert "(alone: b 100.0%, a 90.0%, d 85.0%)" in four.warning("genre")


@pytest.mark.parametrize(
    ("right", "works", "share", "better"),
    # P(X >= right) = 0.016, 0.031, 0.035, 0.0244, 1
    [
        (6, 6, 0.5, True),
        (5, 5, 0.5, False),
        (7, 8, 0.5, False),
        (3, 3, 0.29, True),
        (0, 5, 0, False),
    ],
)
def test_better_is_an_exact_binomial_test(right, works, share, better):
    assert shown_better(right / works, works, share) == better

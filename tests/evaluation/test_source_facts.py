"""What the facts of the files say beside a score: kept, shown, and pooled over folds."""

import json
import shutil
from dataclasses import replace

import details
import numpy as np
import pytest
from sources import drawn_facts
from tiny import open_canvases

from artjax.data import reports
from artjax.data.folds import fold_of
from artjax.evaluation import evaluate, report, source_facts
from artjax.evaluation.metrics import Predictions

NAMES = {"genre": details.LABELS["genre"]}


def write_facts(folder, tells):
    """Facts of the files of `details`; with `tells` the border is the genre."""
    rows = [
        (of.file_name, *(facts._replace(border=float(of.labels["genre"])) if tells else facts))
        for of, facts in zip(details.PICTURES, drawn_facts(len(details.PICTURES)), strict=True)
    ]
    header = ["file_name", *reports.SourceFacts._fields]
    reports.write_csv(folder / reports.SOURCE_FACTS_CSV, header, rows)


@pytest.fixture(scope="module")
def opened(details_dir, tmp_path_factory):
    """Canvases with facts that tell, and with such that do not."""

    def of(tells):
        folder = tmp_path_factory.mktemp("data")
        shutil.copytree(details_dir / "details", folder / "details")
        write_facts(folder / "details" / "1.0.0", tells)
        return open_canvases(details.details_config(), folder, None)

    return {tells: of(tells) for tells in (True, False)}


def splits_of(data):
    return evaluate.open_splits(details.details_config(task=("genre",)), data, "test")


def row_of(data, name="test"):
    """The row of `metrics.json` of a network that names all works rightly."""
    splits = splits_of(data)
    split = splits[name]
    known = np.flatnonzero(split.labels["genre"] >= 0)
    labels = split.labels["genre"][known]
    logs = np.log(np.where(np.eye(3)[labels] > 0, 0.9, 0.05))
    given = known, Predictions(labels, logs, split.work_ids[known])
    predictions = evaluate.in_context({"genre": given}, data, splits, name)
    return evaluate.scores(predictions, data, splits, name, NAMES)["genre"]


def said(row, split="test"):
    result = {"split": split, "views": 1, "cluster_by": "", "tasks": {"genre": row}}
    return "\n".join(report.report_lines(result))


@pytest.mark.slow
def test_facts_that_tell_the_labels_are_a_baseline_and_a_warning(opened):
    row = row_of(opened[True])
    kept = source_facts.kept_source_baseline(opened[True], splits_of(opened[True]), "genre")
    assert row["baselines"]["source_facts"] == kept["test_top1"] == 1
    assert row["source_facts"]["works"] == row["works"] < row["n"] == len(kept["test_right"])
    assert row["source_facts"]["alone"]["border"] == 1
    lines = said(row)
    assert "facts of the files 100.0%" in lines
    warning = "  warning: what is no painting tells the genre of 100.0% of the test works"
    assert warning in lines
    assert "(alone: border 100.0%): a score may be that of the source; --mode describe" in lines
    assert "what is no painting" not in said(row_of(opened[True], "validation"), "validation")
    assert row_of(opened[True], "train")["source_facts"] is None


@pytest.mark.slow
def test_facts_that_tell_nothing_are_a_baseline_without_a_warning(opened):
    kept = source_facts.kept_source_baseline(opened[False], splits_of(opened[False]), "genre")
    for name in ("validation", "test"):
        row = row_of(opened[False], name)
        assert row["baselines"]["source_facts"] == kept[f"{name}_top1"] < 0.7
        assert row["source_facts"]["alone"] == kept[f"{name}_alone"]
    assert kept["validation_top1"] != kept["test_top1"]
    lines = said(row)
    assert "facts of the files " in lines
    assert "what is no painting" not in lines


@pytest.mark.slow
def test_a_set_without_facts_has_no_baseline(details_dir, tmp_path):
    row = row_of(open_canvases(details.details_config(), details_dir, tmp_path))
    assert row["baselines"]["source_facts"] is None
    assert row["source_facts"] is None
    assert "facts of the files" not in said(row)


@pytest.mark.slow
def test_it_is_computed_once_for_the_same_works_labels_and_facts(opened):
    data, splits = opened[False], splits_of(opened[False])
    first = source_facts.kept_source_baseline(data, splits, "genre")
    file = data.directory.parent / "source_facts.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({key: row | {"test_top1": 7} for key, row in kept.items()}))

    def top1(splits):
        return source_facts.kept_source_baseline(data, splits, "genre")["test_top1"]

    assert top1(splits) == 7
    labels = {"genre": np.roll(splits["test"].labels["genre"], 1)}
    assert top1(splits | {"test": replace(splits["test"], labels=labels)}) != 7
    assert top1({n: fold_of(data, 3, 0).split(n, {"genre": "genre"}) for n in splits}) != 7
    # One work goes from validation to train, and the list of all works stays.
    one, other = (splits[name] for name in ("train", "validation"))
    names = np.concatenate([one.file_names, other.file_names[:1]])
    genres = {"genre": np.concatenate([one.labels["genre"], other.labels["genre"][:1]])}
    moved = {"train": replace(one, file_names=names, labels=genres)}
    moved["validation"] = other.only(np.arange(1, len(other)))
    assert other.labels["genre"][0] >= 0
    assert top1(splits | moved) != 7
    report_file = data.reports / reports.SOURCE_FACTS_CSV
    before = report_file.read_text()
    write_facts(data.reports, tells=True)
    assert top1(splits) == 1
    labelled = next(of for of in details.PICTURES if of.labels["genre"] >= 0)
    report_file.write_text(before.replace(labelled.file_name, "another.jpg"))
    assert source_facts.kept_source_baseline(data, splits, "genre") is None
    report_file.write_text(before)
    file.unlink()
    assert source_facts.kept_source_baseline(data, splits, "genre") == first


def test_facts_of_folds_count_by_their_works():
    rows = [
        {
            "n": n,
            "baselines": {"best_constant": constant},
            "source_facts": {"works": works, "alone": alone},
        }
        for n, works, constant, alone in (
            (10, 8, 0.5, {"border": 0.6, "format": 0.9}),
            (30, 20, 0.4, {"border": 0.8}),  # here the format is the same for all of train
        )
    ]
    assert source_facts.pooled(rows) == {
        "works": 28,
        "alone": {"border": pytest.approx(0.75), "format": pytest.approx(0.525)},
    }
    rows[1]["source_facts"] = None
    assert source_facts.pooled(rows) is None


def test_the_warning_of_folds_is_of_all_their_works():
    row = {
        "baselines": {"source_facts": 0.62, "best_constant": 0.5},
        "source_facts": {"works": 100, "alone": {"border": 0.55}},
    }
    (line,) = source_facts.warning("genre", "folds", row)
    assert "tells the genre of 62.0% of the tested works" in line
    assert "(alone: border 55.0%)" in line
    row["source_facts"]["works"] = 50  # 31 of 50: p = 0.06
    assert source_facts.warning("genre", "folds", row) == []

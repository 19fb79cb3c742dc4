"""The page of a run: numbers of `metrics.json`, links that lead somewhere, names that are no markup."""

import csv
import json
import re
import sys
from functools import partial

import jax
import numpy as np
import pytest
from html_page import Page
from PIL import Image
from sklearn.metrics import confusion_matrix
from tiny import GENRES, encoded, store, stripes, tiny_config

import launch
from artjax.files import json_text
from artjax.pages import templates
from artjax.places import Places
from artjax.report.shown import MOST_EXPLAINED
from artjax.report.writing import report_folder
from artjax.train import train
from artjax.training import history

ARTISTS = ("<script>alert(1)</script>", "a & b", '"cy"')
report_config = partial(
    tiny_config, model__name="narrow_bn", task=("artist", "genre"), eval__report=True
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run with mistakes, of two labels, whose classes have names that look like markup."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)

    def example(split, number):
        return {
            "image": encoded(stripes(number % 3, rng)),
            "artist": number % 3,
            "genre": number % 3 - 1,
            "file_name": f"{split}/<b>{number}.jpg",
            "work_id": f"{split}/{number}",
            "title": f"<i>{number}</i>",
            "year": 1600 + 10 * number,
        }

    splits = {
        split: [example(split, number) for number in range(works)]
        for split, works in (("train", 30), ("validation", 12), ("test", 24))
    }
    store(folder / "data", "tiny", {"artist": ARTISTS, "genre": GENRES}, splits)
    config = report_config(steps=4, eval_every=2, log_every=1, source="host")
    train(config, Places(folder / "run", folder / "data"), devices=jax.devices()[:1])
    return folder / "run"


@pytest.fixture(scope="module")
def pages(workdir):
    """The pages of the report, read, by name."""
    return {file.name: Page(file) for file in (workdir / "report").glob("*.html")}


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def result_of(workdir):
    return json.loads((workdir / "evaluation" / "test" / "metrics.json").read_text())


def test_pages_are_whole_and_lead_only_to_what_is_there(workdir, pages):
    assert set(pages) == {"index.html", "works-1.html", "works-2.html"}
    ids = {
        name: set(re.findall(r' id="([^"]+)"', (workdir / "report" / name).read_text()))
        for name in pages
    }
    for name, page in pages.items():
        assert page.language == "en"
        assert page.headings_skip_no_level()
        assert all(page.alternatives)
        assert page.sources
        for source in page.sources:
            assert (workdir / "report" / source).is_file()
        assert page.links
        for link in page.links:
            target, _, place = link.partition("#")
            assert (workdir / "report" / (target or name)).is_file()
            assert not place or place in ids[target or name], link
        html = (workdir / "report" / name).read_text()
        assert not re.search(r"https?:|@import|url\(", html)


def test_names_are_never_markup(pages):
    for name, page in pages.items():
        assert ("script" in page.tags) == (name == "index.html")  # its own, which sorts tables
        text = "".join(page.text)
        assert "a & b" in text or name == "works-2.html"
        assert "<b>" in text
    assert "<script>alert(1)</script>" in "".join(pages["index.html"].text)
    assert pages["index.html"].tags.isdisjoint(("iframe", "object"))


def test_numbers_are_those_of_the_evaluation(workdir, pages):
    result, summary = result_of(workdir), summary_of(workdir / "report")
    text = " ".join(" ".join(pages["index.html"].text).split())
    assert list(summary["tasks"]) == list(result["tasks"]) == ["artist", "genre"]
    for task, row in result["tasks"].items():
        of_task = summary["tasks"][task]
        assert {name: of_task[name] for name in row if name != "by_class"} == {
            name: value for name, value in row.items() if name != "by_class"
        }
        low, high = row["top1_ci95"]
        assert f"{row['top1']:.1%} of {row['n']} test works are named rightly" in text
        assert f"95 % interval {low:.1%} to {high:.1%}" in text
        assert f"colour histograms {row['baselines']['colour_histograms']:.1%}" in text
        for name, of_class in row["by_class"].items():
            shown = [f"{of_class['n']:,}"]
            shown += [
                "–" if of_class[of] is None else f"{of_class[of]:.1%}"
                for of in ("recall", "precision")
            ]
            shown += ["–" if of_class["f1"] is None else f"{of_class['f1']:.3f}"]
            assert " ".join([name, *shown]) in text


def test_the_matrix_is_that_of_scikit_learn_and_leads_to_the_works(workdir):
    with (workdir / "evaluation" / "test" / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == "artist"]
    labels, named = ([row[column] for row in rows] for column in ("label", "predicted"))
    expected = confusion_matrix(labels, named, labels=list(ARTISTS))
    html = (workdir / "report" / "index.html").read_text()
    matrix = html[html.index('aria-label="Confusion matrix of artist"') :]
    matrix = matrix[matrix.index("<tbody>") : matrix.index("</tbody>")]
    for line, counts in zip(matrix.split("<tr>")[1:], expected, strict=True):
        cells = re.findall(r'<td(?: colspan="(\d+)")?[^>]*>(?:<a href="([^"]+)"[^>]*>(\d+))?', line)
        found = [n for span, _, works in cells for n in [int(works or 0)] * int(span or 1)]
        assert found == counts.tolist()
    works = (workdir / "report" / "works-1.html").read_text()
    wrong = [(i, j, n) for (i, j), n in np.ndenumerate(expected) if i != j and n]
    assert wrong
    for i, j, n in wrong:
        cell = works[works.index(f'id="cell-{i}-{j}"') :].partition('class="cell"')[0]
        pictures = cell.partition("</div>\n</div>")[0].count("<img ")
        assert pictures == n


def test_heat_maps_lie_beside_the_pictures_that_they_explain(workdir):
    """Those of a class are of that class: another task has other maps of the same work."""
    folder = workdir / "report"
    summary, maps = summary_of(folder), sorted((folder / "heat").iterdir())
    assert len(maps) == summary["heat_maps"] == min(MOST_EXPLAINED, len(maps))
    assert summary["pictures"] == len(list((folder / "pictures").iterdir())) > 24
    assert "Grad-CAM, layer " in summary["heat_method"]
    html = (folder / "index.html").read_text()
    pairs = re.findall(r'src="(pictures/\d+\.jpg)"[^>]*><img src="(heat/\d+\.jpg)"', html)
    assert len(pairs) == len(set(pairs)) > 24  # some works are shown for both tasks
    for picture, heat in pairs:
        with Image.open(folder / picture) as plain, Image.open(folder / heat) as explained:
            assert plain.size == explained.size
            difference = np.asarray(plain, float) - np.asarray(explained, float)
            assert np.abs(difference).mean() > 1


def test_the_nearest_train_works_stand_below_in_their_order(workdir):
    html = (workdir / "report" / "index.html").read_text()
    rows = html.split('<div class="near">')[1:]
    assert len(rows) == html.count('class="work card"')
    for row in rows:
        near = re.findall(r'title="([\d.]+) train/[^"]+"></?[^>]*><?(?:figcaption>)?([^<]+)', row)
        assert len(near) == 3
        cosines = [float(cosine) for cosine, _ in near]
        assert cosines == sorted(cosines, reverse=True)
        assert all(0 <= cosine <= 1 for cosine in cosines)


def test_the_reliability_diagram_has_the_bins_of_the_calibration_error(workdir):
    html = (workdir / "report" / "index.html").read_text()
    (said, *_) = re.findall(r'aria-label="Reliability: ([^"]+)"', html)
    bins = re.findall(r"([\d.]+)% of ([\d,]+) works right where ([\d.]+)% was said", said)
    right, works, probability = np.asarray(bins, float).T
    row = result_of(workdir)["tasks"]["artist"]
    assert works.sum() == row["n"]
    assert (works * np.abs(right - probability)).sum() / works.sum() / 100 == pytest.approx(
        row["ece"], abs=0.002
    )
    assert (works * right).sum() / works.sum() / 100 == pytest.approx(row["top1"], abs=0.002)


def test_the_training_is_told(workdir, pages):
    events = history.read(workdir)
    assert [event.what for event in events if event.what != history.WARNED] == [
        history.STARTED,
        history.FINISHED,
    ]
    warned = [event.text for event in events if event.what == history.WARNED]
    assert any("validation works with a known artist are too few" in text for text in warned)
    (training,) = summary_of(workdir / "report")["training"]
    assert training["warnings"] == warned
    assert (training["steps"], training["starts"], training["resumed_at"]) == (4, 1, [])
    text = "".join(pages["index.html"].text)
    for curve in ("Loss", "Top-1", "Learning rate", "Gradient norm"):
        assert f"{curve} by step" in text
    assert warned[0][1:] in text


def test_another_split_has_a_page_of_its_own_and_a_field_leaves_it_out(workdir, capsys):
    before = (workdir / "report" / "index.html").read_bytes()
    command = ["--workdir", str(workdir), "--mode", "evaluate", "--split", "validation"]
    assert launch.main([*command, "--config.eval.report=False"]) == 0
    folder = report_folder(workdir, "validation")
    assert not folder.exists()
    assert "report:" not in capsys.readouterr().out
    assert launch.main(command) == 0
    assert f"report: {folder / 'index.html'}" in capsys.readouterr().out
    text = " ".join("".join(Page(folder / "index.html").text).split())
    assert "No unseen works: checkpoint, temperature and thresholds were chosen by them" in text
    assert "95 % interval" not in text.partition("Where errors concentrate")[0]
    assert (workdir / "report" / "index.html").read_bytes() == before


@pytest.mark.parametrize("why", ["the folder cannot be replaced", "jinja2 is missing"])
def test_a_report_that_fails_costs_a_line_and_no_number(workdir, why, monkeypatch, capsys):
    folder = report_folder(workdir, "train")
    if why == "jinja2 is missing":
        monkeypatch.setitem(sys.modules, "jinja2", None)
        templates._environment.cache_clear()
    else:
        folder.write_text("a file")
    command = ["--workdir", str(workdir), "--mode", "evaluate", "--split", "train"]
    assert launch.main(command) == 0
    templates._environment.cache_clear()
    said = capsys.readouterr().out
    assert "warning: no report was written (" in said
    assert "the results are complete without it" in said
    result = json.loads((workdir / "evaluation" / "train" / "metrics.json").read_text())
    assert json_text(result)
    assert [file.name for file in workdir.glob("report*.incomplete-*")] == []
    folder.unlink(missing_ok=True)

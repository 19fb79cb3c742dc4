import csv
import io
import math
import re

import numpy as np
import pytest
from html_page import Page
from tiny import tiny_config

from artjax.evaluation.over_tasks import standard_error
from artjax.modes.search import combining, page
from artjax.modes.search.results import Result
from artjax.modes.search.space import Hyperparameters, Space

OWN = Hyperparameters(1e-3, 0.0, 0.1, 0.0, ())
SPACE = Space((1e-4, 1e-1), (0.0, 0.0), (0.0, 0.2), (0.0, 0.5), ((), (64,)), OWN)
RESULTS = [
    Result(0, Hyperparameters(1e-4, 0.0, 0.0, 0.0, ()), 20, 0.25, 2.0, 0.1, False),
    Result(1, Hyperparameters(1e-1, 0.0, 0.2, 0.5, (64,)), 40, 0.75, 0.5, 0.1, True, "trial001"),
    Result(2, Hyperparameters(1e-2, 0.0, 0.1, 0.5, ()), 40, 0.0, math.inf, 0.0, True),
]


def test_plots_place_each_trial_by_its_value_and_its_score():
    plots = {plot.title: plot for plot in page.plots(SPACE, RESULTS)}
    assert set(plots) == {"learning rate", "label smoothing", "dropout", "hidden layers"}
    ticks = {text: x for x, text in plots["learning rate"].across}
    (low, lower, stopped, what), (high, higher, finished, _) = plots["learning rate"].points
    assert (stopped, finished) == (False, True)
    assert low == ticks["0.0001"]
    assert high == ticks["0.1"]
    np.testing.assert_allclose(ticks["0.01"], low + (high - low) * 2 / 3)  # logarithmic
    assert higher < lower  # y points down
    assert "trial 0: learning rate 0.0001, label smoothing 0, dropout 0" in what
    ups = {text: y for y, text in plots["dropout"].up}
    np.testing.assert_allclose((ups["60%"] + ups["40%"]) / 2, (lower + higher) / 2, atol=1e-6)


def test_the_table_has_a_row_for_each_trial_with_its_numbers_as_they_are():
    rows = list(csv.DictReader(io.StringIO(page.table(RESULTS))))
    assert [row["trial"] for row in rows] == ["1", "2", "0"]
    assert rows[0]["folder"] == "trial001"
    assert float(rows[0]["validation_top1"]) == 0.75
    assert [row["status"] for row in rows] == ["finished", "diverged", "stopped at step 20"]
    assert rows[0]["layers"] == "64"


def test_the_page_shows_the_commands_and_loads_nothing(tmp_path):
    best = {
        "trials": 3,
        "trial": 1,
        "validation_top1": 0.75,
        "validation_loss": 0.5,
        "standard_error": 0.1,
        "train": "python launch.py --config 'a<b'",
        "evaluate": "",
        "hints": page.hints(SPACE, RESULTS[1].drawn),
        "folder": "w/search",
        "comparison": {"works": 64, "in_words": ["no setting <is> better"]},
        "chosen": {"kind": "soup", "trials": [1, 0], "top1": 0.8, "loss": 0.4},
        "compared": [{"kind": "soup", "trials": [1, 0], "top1": 0.8, "loss": 0.4}],
    }
    html = page.render(best, SPACE, RESULTS, tiny_config())
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    shown = Page(tmp_path / "index.html")
    text = "".join(shown.text)
    assert "python launch.py --config 'a<b'" in text  # as it is to be copied
    assert "No setting <is> better." in text
    assert "on the works by which it was chosen" in text
    assert "upper end of its range" in text
    assert (shown.sources, shown.links) == ([], [])
    assert "script" not in shown.tags
    assert shown.language == "en"
    assert shown.headings_skip_no_level()
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in html.split("<tr>")]
    assert ["soup of 2", "80.0%", "0.400", "1, 0"] in cells
    assert ["1", "0.1", "0.2", "0.5", "64", "75.0%", "0.500", "finished"] in cells
    assert ["2", "0.01", "0.1", "0.5", "none", "0.0%", "inf", "diverged"] in cells
    assert html.count("<circle") == 4 * 2
    said = page.lines(best)
    assert "a soup of the best 2, top-1 80.0%" in " ".join(said)
    assert said[0].endswith("on the 64 validation works by which it was chosen")
    assert "no setting <is> better" in said


def test_the_own_settings_have_a_place_in_the_plots_also_outside_of_the_ranges():
    own = Hyperparameters(1.0, 0.0, 0.3, 0.2, (8,))
    space = Space((1e-4, 1e-1), (1e-5, 1e-3), (0.0, 0.2), (0.0, 0.5), ((), (64,)), own)
    of_own = Result(0, own, 40, 0.5, 1.0, 0.1, True)
    drawn = Hyperparameters(1e-1, 1e-5, 0.2, 0.5, (64,))
    plots = page.plots(space, [of_own, Result(1, drawn, 40, 0.75, 0.5, 0.1, True)])
    places = {plot.title: [point[0] for point in plot.points] for plot in plots}
    assert places["learning rate"][0] > places["learning rate"][1]
    assert places["weight decay"][0] == places["weight decay"][1]  # 0 is at the lower end
    assert places["label smoothing"][0] > places["label smoothing"][1]
    assert {text for _, text in plots[-1].across} == {"none", "64", "8"}
    assert page.hints(space, own) == []


def test_the_mean_of_members_is_that_of_their_probabilities():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), (3, 7))
    members = [
        {"artist": combining.Predictions(np.arange(7) % 4, np.log(share))} for share in shares
    ]
    together = combining.mean_predictions(members)["artist"]
    np.testing.assert_allclose(np.exp(together.log_probabilities), shares.mean(0), rtol=1e-12)
    top1 = (shares.mean(0).argmax(-1) == np.arange(7) % 4).mean()
    assert combining.scores({"artist": together})[0] == top1


def test_several_tasks_are_scored_by_the_mean_top1_and_the_summed_loss():
    rng = np.random.default_rng(0)
    tasks, sizes, classes = ("artist", "genre"), (40, 10), (4, 3)
    given, top1, losses = {}, [], []
    for task, n, count in zip(tasks, sizes, classes, strict=True):
        labels, shares = rng.integers(0, count, n), rng.dirichlet(np.ones(count), n)
        given[task] = combining.Predictions(labels, np.log(shares))
        right = shares.argmax(1) == labels
        top1.append(right.mean())
        losses.append(-np.log(shares[np.arange(n), labels]).mean())
    found = combining.scores(given)
    assert found == (
        pytest.approx(np.mean(top1)),
        pytest.approx(sum(losses)),
        pytest.approx(standard_error(list(given.values()))),
    )
    row = combining.scored("single", RESULTS[1:2], given).row
    assert (row["top1"], row["loss"], row["trials"]) == (*found[:2], [1])


def test_of_equal_top1_the_lower_loss_is_chosen_and_of_equal_ones_the_first():
    rows = [
        {"kind": kind, "top1": top1, "loss": loss}
        for kind, top1, loss in (
            ("single", 0.75, 0.6),
            ("ensemble", 0.75, 0.5),
            ("soup", 0.75, 0.5),
            ("worse", 0.7, 0.1),
        )
    ]
    for given in (rows, rows[1:]):
        assert combining.choose(given)["kind"] == "ensemble"
    assert combining.choose(rows[::-1])["kind"] == "soup"


def test_a_diverged_network_scores_nothing():
    labels = np.zeros(3, int)
    nan = combining.Predictions(labels, np.full((3, 2), np.nan))
    assert combining.scores({"artist": nan}) == (0.0, math.inf, 0.0)

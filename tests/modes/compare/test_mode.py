"""`--mode compare` on runs that were trained for a few steps: what it writes, and what it refuses."""

import csv
import json
from functools import partial

import jax
import numpy as np
import pytest
from html_page import Page
from tiny import tiny_config

from artjax.command_line import main
from artjax.errors import ArtjaxError, ConfigError
from artjax.places import Places
from artjax.train import train

pytestmark = pytest.mark.slow
narrow_config = partial(tiny_config, model__name="narrow_bn")


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in (
        ("a", {}),
        ("b", {"seed": 1}),
        ("genre", {"task": ("genre",)}),
        ("fold", {"folds": 3, "fold": 0}),
    ):
        config = narrow_config(steps=8, **changes)
        train(config, Places(folder / name, data_dir), devices=jax.devices()[:1])
    return folder


def compared(runs, *names, out=None):
    words = [word for name in names for word in ("--workdir", str(runs / name))]
    words += ["--mode", "compare", *(("--out", str(out)) if out else ())]
    return main(words)


def test_the_page_its_numbers_and_its_table(runs, capsys):
    assert compared(runs, "a", "b") == 0
    said = capsys.readouterr().out
    folder = runs / "a" / "compare"
    assert f"written to {folder / 'index.html'}" in said
    summary = json.loads((folder / "summary.json").read_text())
    (pair,) = summary["pairs"]
    assert list(summary["differences"]) == ["seed"]
    assert summary["recipes_runs"] == [[0, 1]]
    with (folder / "works.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    right = [[row[f"predicted ({name})"] == row["label"] for row in rows] for name in "ab"]
    for number, name in enumerate("ab"):
        there = json.loads((runs / name / "evaluation" / "test" / "metrics.json").read_text())
        assert np.mean(right[number]) == there["tasks"]["artist"]["top1"]
    only = [x and not y for x, y in zip(*right, strict=True)]
    assert pair["only_first"] == sum(only)
    page = Page(folder / "index.html")
    assert page.headings_skip_no_level()
    assert all(page.alternatives)
    assert len(page.sources) == pair["only_first"] + pair["only_second"] > 0
    assert all((folder / source).is_file() for source in page.sources)
    assert "script" not in page.tags
    assert any("validation loss over steps" in text for text in page.text)
    assert compared(runs, "a", "b") == 0  # the page is replaced


def test_what_cannot_be_compared_is_one_line(runs, tmp_path):
    for other, says in (
        ("genre", "tells artist, "),
        ("fold", "works were tested by only one of them"),
        ("a", "the same --workdir is given twice"),
    ):
        with pytest.raises(ArtjaxError, match=says) as raised:
            compared(runs, "a", other)
        assert "\n" not in str(raised.value)
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match="is not a comparison"):
        compared(runs, "a", "b", out=tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    with pytest.raises(ConfigError, match="two or more runs"):
        compared(runs, "a")

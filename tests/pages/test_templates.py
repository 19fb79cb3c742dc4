"""What all pages have in common, tried on a page of this test."""

import re

import jinja2
import pytest
from html_page import Page

from artjax.pages import templates

SOURCE = """
{% extends "pages/base.html" %}
{% import "pages/parts.html" as parts %}
{% block title %}{{ name }}{% endblock %}
{% block content %}
<h2>Numbers</h2>
{% call parts.card(1234 | count, true) %}works by {{ name }}{% endcall %}
{{ parts.keys([("train", "seen"), ("test", "unseen")]) }}
{{ parts.bars([(name, "#there", [("train", 3), ("test", 1)], 1234, "a note"),
  ("few", "", [("train", 2)], 2, "")]) }}
{{ parts.table([("what", "text"), ("works", "count"), ("top-1", "percent"), ("loss", "%.3f")],
  [(name, 12345, 0.123, 1.23456), ("no number", 0, none, none)]) }}
{% call parts.figure("a caption of " ~ name) %}
  {{ parts.image("pictures/0.jpg", 30, 20, name) }}
{% endcall %}
{{ parts.command("python launch.py --config 'a b' <x>") }}
{% endblock %}
"""


@pytest.fixture
def html():
    """The page, with a name that looks like markup."""
    page = templates._environment().from_string(SOURCE)
    return page.render(name='Ada <b>"Lind"</b>')


@pytest.fixture
def page(html, tmp_path):
    """The page, read."""
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    return Page(tmp_path / "index.html")


def test_a_page_is_whole_and_loads_only_what_lies_beside_it(page, html):
    assert html.lstrip().startswith("<!doctype html>")
    assert page.language == "en"
    assert page.tags.isdisjoint(("script", "link", "iframe", "object"))
    assert page.sources == ["pictures/0.jpg"]
    assert not re.search(r"https?:|@import|url\(", html)
    assert page.headings_skip_no_level()


def test_text_is_never_markup(page):
    text = "".join(page.text)
    # Title, heading, card, bar, cell, caption.
    assert text.count('Ada <b>"Lind"</b>') == 6
    assert page.alternatives == ['Ada <b>"Lind"</b>']
    assert "python launch.py --config 'a b' <x>" in text


def test_the_longest_bar_fills_the_room_and_the_others_are_to_its_scale(html):
    widths = re.findall(r'<i class="(\w+)" style="width: ([\d.]+)%">', html)
    assert widths == [("train", "75.00"), ("test", "25.00"), ("train", "50.00")]


def test_a_table_writes_each_number_in_its_columns_form(html):
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in html.split("<tr>")[1:]]
    assert rows[1][1:] == ["12,345", "12.3%", "1.235"]
    assert rows[2] == ["no number", "0", "–", "–"]
    assert re.findall(r'<th scope="col" class="(\w+)">', html) == ["text", *["number"] * 3]


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        templates._environment().from_string(SOURCE).render()


def luminance(colour):
    """Relative luminance of a colour such as #ffffff (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_enough_to_read(html):
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", html))
    for paper in ("paper", "card", "warn"):
        for text in ("ink", "quiet", "train"):  # train is the colour of links as well
            assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    for bar in ("train", "validation", "test"):
        for paper in ("paper", "card"):
            assert contrast(colours[bar], colours[paper]) >= 3, (bar, paper)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)

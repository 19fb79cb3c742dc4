"""Charts: places that follow the values, round numbers at the axes, nothing where there is nothing."""

import math

import pytest

from artjax.pages.charts import HEIGHT, LEFT, WIDTH, Line, line_chart, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 2.48, [0, 0.5, 1, 1.5, 2]),
        (25, 1263, [500, 1000]),
        (0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
        (7, 7, [7]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def places(text):
    return [tuple(map(float, point.split(","))) for point in text.split()]


def test_lines_follow_their_values_and_leave_out_what_is_not_finite():
    falling = Line("train", "train", [(1, 3.0), (2, math.nan), (3, 2.0), (5, 0.5)])
    chart = line_chart("Loss", [falling], marked=(3.0, "best"))
    ((colour, text),) = chart.lines
    drawn = places(text)
    assert colour == "train"
    assert len(drawn) == 3
    assert drawn == sorted(drawn)
    assert [y for _, y in drawn] == sorted(y for _, y in drawn)  # SVG counts from the top
    assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert chart.marked[0] == pytest.approx(drawn[1][0], abs=0.1)
    assert "Loss by step: train from 3 to 0.5, lowest 0.5, highest 3" in chart.alternative


def test_a_long_curve_keeps_its_shape_in_few_points():
    long = Line("train", "train", [(step, float(step % 2)) for step in range(5000)])
    ((_, text),) = line_chart("Loss", [long]).lines
    heights = {y for _, y in places(text)[:-1]}
    assert len(places(text)) <= 400
    assert max(heights) - min(heights) < 0.1 * HEIGHT  # means of neighbours


def test_one_point_is_no_curve():
    assert line_chart("Loss", [Line("train", "train", [(1, 3.0)])]) is None
    assert line_chart("Loss", []) is None

"""A line over time, drawn without a library."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from quire.page.lines import HEIGHT, WIDTH, Point, draw_line

START = datetime(2026, 1, 1, tzinfo=UTC)


def points(values):
    return [Point(START + timedelta(days=7 * week), value) for week, value in enumerate(values)]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_every_point_lies_inside_the_picture(values):
    svg = draw_line(points(values), title="r2")
    places = re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', svg)
    assert len(places) == len(values)
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in places)


def test_a_higher_value_is_drawn_higher():
    low, high = re.findall(r'cy="([\d.]+)"', draw_line(points([1.0, 2.0]), title="r2"))
    assert float(high) < float(low)


def test_marks_and_labels_are_escaped_and_there():
    svg = draw_line(points([1.0, 2.0]), title="a<b", marks=[(START, "version <2>")])
    assert "<title>a&lt;b</title>" in svg
    assert "<title>version &lt;2&gt;</title>" in svg
    assert "2026-01-08" in svg


def test_without_a_point_there_is_no_picture():
    assert draw_line([], title="r2") == ""

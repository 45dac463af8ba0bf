"""The menus of the live page, without a browser."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from quire import report
from quire.report.filters import live_filters

from .test_monitoring import benchmark, champion, quiet  # noqa: F401 - fixtures


@pytest.fixture
def menus(quiet):  # noqa: F811
    """The menus by their names, and what they show."""
    return parts_of(live_filters(quiet))


def parts_of(box):
    """The menus by their names, and the charts that follow them."""
    _, of_drift, drift, segment, segments = box.children
    return {menu.description: menu for menu in (*of_drift.children, segment)} | {"drift": drift, "segments": segments}


def test_the_page_that_nobody_can_use_menus_on_says_where_they_are(quiet):  # noqa: F811
    assert "quire dashboard" in str(report.filters(quiet, SimpleNamespace(live=False)))


def test_the_newest_period_is_chosen_first(menus, quiet):  # noqa: F811
    assert menus["period"].value == quiet.drift["period"].max()
    assert len(menus["period"].options) == quiet.drift["period"].nunique()


def test_three_charts_follow_the_menus_above_them(menus):
    assert menus["drift"].value.count("<svg") == 2
    assert menus["segments"].value.count("<svg") == 1
    menus["column"].value = "n3"
    assert ">n3: " in menus["drift"].value
    menus["column"].value = "n4"
    assert ">n4: " in menus["drift"].value
    assert ">n3: " not in menus["drift"].value


def test_the_headline_of_the_history_is_of_the_chosen_column(menus):
    for column in ("n3", "c1"):
        menus["column"].value = column
        headlines = re.findall("<h3[^>]*>(.*?)</h3>", menus["drift"].value)
        assert len(headlines) == 2
        assert all(headline.startswith(column) for headline in headlines), headlines


def test_a_period_is_named_in_its_legend_and_marked_in_the_history(menus):
    label, earlier = menus["period"].options[3]
    menus["period"].value = earlier
    assert f">{label}</text>" in menus["drift"].value
    assert "marks the chosen period" in menus["drift"].value


def test_without_segments_there_is_a_remark_in_their_place(quiet):  # noqa: F811
    none = replace(quiet, figures=replace(quiet.figures, segments=quiet.figures.segments.head(0)))
    assert "No segment" in parts_of(live_filters(none))["segments"].value

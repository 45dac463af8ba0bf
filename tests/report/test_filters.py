"""The menus of the live page, without a browser."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from quire import report
from quire.report.filters import live_filters

from .test_monitoring import benchmark, champion, quiet  # noqa: F401 - fixtures


@pytest.fixture
def menus(quiet):  # noqa: F811
    """The menus by their names, and what they show."""
    box = live_filters(quiet)
    return {menu.description: menu for menu in box.children[0].children} | {"shown": box.children[1]}


def test_the_page_that_nobody_can_use_menus_on_says_where_they_are(quiet):  # noqa: F811
    assert "quire dashboard" in str(report.filters(quiet, SimpleNamespace(live=False)))


def test_the_newest_period_is_chosen_first(menus, quiet):  # noqa: F811
    assert menus["period"].value == quiet.drift["period"].max()
    assert len(menus["period"].options) == quiet.drift["period"].nunique()


def test_three_charts_follow_the_menus(menus):
    assert menus["shown"].value.count("<svg") == 3
    menus["column"].value = "n3"
    assert ">n3: " in menus["shown"].value
    menus["column"].value = "n4"
    assert ">n4: " in menus["shown"].value
    assert ">n3: " not in menus["shown"].value


def test_without_segments_there_is_a_remark_in_their_place(quiet):  # noqa: F811
    none = replace(quiet, figures=replace(quiet.figures, segments=quiet.figures.segments.head(0)))
    assert "No segment" in live_filters(none).children[1].value

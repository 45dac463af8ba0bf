"""Templates to pages."""

import jinja2
import pytest
from markupsafe import Markup

from quire import page
from quire.page.rendering import moment


def test_texts_are_escaped_and_markup_is_not():
    html = page.render("shell", title="a<b", content=Markup("<p>here</p>"))
    assert "<h1>a&lt;b</h1>" in html
    assert "<p>here</p>" in html


def test_a_name_that_is_missing_is_an_error_not_a_gap():
    with pytest.raises(jinja2.UndefinedError, match="content"):
        page.render("shell", title="x")


def test_every_page_brings_its_style_and_works_on_a_phone():
    html = page.render("shell", title="x", content="")
    assert "prefers-color-scheme: dark" in html
    assert ".quire-banner" in html
    assert 'name="viewport"' in html


def test_the_page_that_is_shown_is_marked_in_the_tabs():
    html = page.render("shell", title="x", content="", nav=[("Predict", "/", True), ("Health", "/health", False)])
    assert '<a href="/" aria-current="page">Predict</a>' in html
    assert '<a href="/health">Health</a>' in html


def test_importing_a_module_of_the_room_hides_no_function():
    import importlib

    for name in ("rendering", "frame", "dates", "run", "lines"):
        importlib.import_module(f"quire.page.{name}")
    assert callable(page.render)
    assert callable(page.report)
    assert callable(page.backfill)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05+00:00", "2026-01-02 03:04 UTC"),
        ("2026-01-02T03:00:00+03:00", "2026-01-02"),
        ("", "–"),
        (None, "–"),
    ],
)
def test_a_time_is_told_in_utc_and_midnight_as_its_date(text, shown):
    assert moment(text) == shown

"""The answer of a notebook."""

import json
import shutil

import pytest

from quire import artifacts, config, report

CHROMIUM = shutil.which("chromium")


def test_numbers_of_facts_are_rounded_and_notes_kept():
    told = report.answer("good", "It wins.", [("R²", 0.934567, "0.92 to 0.94"), ("Rows", 12345)])
    assert [(fact.label, fact.value, fact.note) for fact in told.facts] == [
        ("R²", "0.935", "0.92 to 0.94"),
        ("Rows", "12,345", ""),
    ]


def test_a_metric_that_is_no_number_is_left_out():
    told = report.answer("good", "x", metrics={"r2": 0.9, "mae": float("nan"), "rmse": None, "n": float("inf")})
    assert told.metrics == {"r2": 0.9}


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="found 'fine'"):
        report.answer("fine", "x")


def test_it_is_shown_as_a_banner_with_tiles_and_escaped():
    html = report.answer("bad", "<b>", [("a<", "c&d", "e>")])._repr_html_()
    assert "quire-answer quire-bad" in html
    assert "&lt;b&gt;" in html
    assert "<dt>a&lt;</dt><dd>c&amp;d</dd><dd>e&gt;</dd>" in html
    assert html.startswith("<style>")


def test_a_run_keeps_it_for_its_index(tmp_path, monkeypatch):
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path))
    run = artifacts.open_stage(config.load("demo"), str(tmp_path / "runs" / "r" / "artifacts" / "train"))
    run.answer(report.answer("good", "It wins.", [("Rows", 10)], {"r2": 0.9}))
    assert json.loads((run.folder / "_answer.json").read_text()) == {
        "status": "good",
        "headline": "It wins.",
        "facts": [{"label": "Rows", "value": "10", "note": ""}],
        "metrics": {"r2": 0.9},
    }


def test_as_text_it_says_the_same():
    assert str(report.answer("warn", "Look.", [("Rows", 10, "hours")])) == "Needs attention: Look.\n  Rows: 10 (hours)"


def test_the_tiles_stand_beside_each_other_under_jupyters_style_sheet():
    """Jupyter floats dt and dd, which once laid the tiles over each other in JupyterLab and Voila."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing; `make test` installs it")
    if not CHROMIUM:
        pytest.skip("Chromium is not here: install it with `apt install chromium`.")
    jupyter = """
        .jp-OutputArea-output dl, .jp-OutputArea-output dt, .jp-OutputArea-output dd { display: block; }
        .jp-OutputArea-output dt { float: left; width: 20%; margin: 0; }
        .jp-OutputArea-output dd { float: left; width: 80%; margin: 0; }
    """
    shown = report.answer("good", "All is well.", facts=[("rows", "168", "of 168"), ("error", "3.2", "was 3.1")])
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 600})
        page.set_content(f'<div class="jp-OutputArea-output">{shown._repr_html_()}</div>')
        page.add_style_tag(content=jupyter)
        tiles = [tile.bounding_box() for tile in page.locator(".jp-OutputArea-output .quire-tile").all()]
        values = [
            value.bounding_box() for value in page.locator(".jp-OutputArea-output .quire-tile dd:first-of-type").all()
        ]
        browser.close()
    assert tiles[0]["x"] + tiles[0]["width"] <= tiles[1]["x"]
    for tile, value in zip(tiles, values, strict=True):
        assert tile["y"] <= value["y"]
        assert value["y"] + value["height"] <= tile["y"] + tile["height"]

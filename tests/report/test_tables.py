"""Tables that can be read."""

import re

import numpy as np
import pandas as pd

from quire import report


def cells(table):
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table.html)][1:]


def test_values_are_rounded_and_missing_ones_are_a_dash():
    frame = pd.DataFrame(
        {
            "share": [0.12345, np.nan],
            "rows": pd.array([12345, None], dtype="Int64"),
            "name": ["a<b", None],
            "at": pd.to_datetime(["2026-01-01", None], utc=True),
        }
    )
    shown = report.table(frame, formats={"share": ".1%"})
    assert cells(shown) == [["12.3%", "12,345", "a&lt;b", "2026-01-01"], ["–", "–", "–", "–"]]


def test_words_of_a_status_become_chips():
    html = report.table(pd.DataFrame({"status": ["pass", "warn", "fail", "other"]})).html
    assert re.findall(r"quire-chip quire-(\w+)", html) == ["good", "warn", "bad", "neutral"]


def test_what_is_left_out_is_said():
    html = report.table(pd.DataFrame({"a": range(60)}), limit=50, note="Of March.").html
    assert "10 more rows are not shown. Of March." in html
    assert html.count("<td") == 50


def test_headings_may_be_named_and_underscores_are_spaces():
    html = report.table(pd.DataFrame({"share_missing": [0.5], "n": [1]}), names={"n": "rows"}).html
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", html) == ["share missing", "rows"]


def test_numbers_stand_at_the_right_and_texts_at_the_left():
    html = report.table(pd.DataFrame({"a": [1.5], "b": ["x"]})).html
    assert '<th class="quire-right">a</th><th>b</th>' in html


def test_a_note_is_escaped():
    assert "a &lt; b" in report.note("a < b").html

"""Lines and tables end between words, at any width."""

import pytest

from quire.flow import terminal

SENTENCE = (
    "The candidate (hist_gradient_boosting) is better than the champion by 0.0123 [0.0100, 0.0150]; it is promoted, "
    "and the reasons stand in the report of evaluate, which 'quire show' names."
)
WORDS = set(SENTENCE.split())
ROWS = [
    ["stage", "status", "seconds", "artifacts", "why"],
    [
        "ingest",
        "reused",
        "0.0",
        "manifest, test, train, current, labels",
        "unchanged since run 20260101T000000000-aaaa",
    ],
    ["train", "succeeded", "12.4", "candidate, trials, importance", f"its code changed: {SENTENCE}"],
]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_a_summary_line_ends_between_words(columns):
    lines = terminal.wrapped(f"! evaluate   {SENTENCE}", columns, indent=" " * 13).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert {word for line in lines for word in line.split()} == WORDS | {"!", "evaluate"}
    assert all(line.startswith(" " * 13) for line in lines[1:])


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_a_table_fits_and_breaks_no_word(columns):
    text = terminal.as_table(ROWS, columns)
    assert all(len(line) <= columns for line in text.splitlines())
    assert {word for row in ROWS[1:] for cell in row for word in cell.split()} <= set(text.split())


def test_where_no_table_fits_rows_become_lists():
    text = terminal.as_table(ROWS, 40)
    assert "status     succeeded" in text
    assert set(text.split()) >= WORDS


def test_off_a_terminal_nothing_is_wrapped(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.width() is None
    assert SENTENCE in terminal.as_table(ROWS, None)
    assert terminal.wrapped(SENTENCE, None) == SENTENCE


@pytest.mark.parametrize("text", ["", "\n", "a\n\nb", "x" * 500])
def test_lines_that_are_empty_or_one_long_word_stay(text):
    assert terminal.wrapped(text, 60) == text


def test_the_indent_of_code_stays():
    assert terminal.wrapped("failed:\n\n    value['y'] + 1", 60) == "failed:\n\n    value['y'] + 1"

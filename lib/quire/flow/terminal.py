"""Text and tables that fit the terminal: lines end between words. Off a terminal they are as long as they are."""

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TextIO

import click

GAP = 2
"""Spaces between two columns."""


def width(stream: TextIO | None = None) -> int | None:
    """Return the columns of the terminal that ``stream`` (stdout) goes to, or COLUMNS; None if it is no terminal."""
    stream = stream or sys.stdout
    if os.environ.get("COLUMNS", "").isdigit() or stream.isatty():
        return max(20, shutil.get_terminal_size().columns)
    return None


def wrapped(text: str, columns: int | None, *, indent: str = "") -> str:
    """Return a text whose lines end between words within ``columns``; all but the first start with ``indent``."""
    if columns is None:
        return text
    lines = [_wrap(line, columns, indent if number else "", indent) for number, line in enumerate(text.split("\n"))]
    return "\n".join(line for part in lines for line in part)


def as_table(rows: Sequence[Sequence[str]], columns: int | None, colours: Mapping[str, str] | None = None) -> str:
    """Return rows, the names of the columns first, as a table within ``columns``.

    Cells are wrapped between words; where that is not enough, each row becomes a list of names and values.
    colours: of cells with these texts.
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    words = [[word for row in rows[1:] for word in row[place].split()] for place in range(len(widths))]
    least = [max(map(len, [name, *column])) for name, column in zip(rows[0], words, strict=True)]
    if columns is not None and _total(least) > columns:
        return "\n\n".join(_as_list(rows[0], row, columns) for row in rows[1:])
    while columns is not None and _total(widths) > columns:
        spare = [wide - few for wide, few in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    lines = []
    for row in rows:
        cells = [_wrap(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            styled = [
                click.style(part.ljust(wide), fg=colours[cell]) if colours and cell in colours else part.ljust(wide)
                for part, wide, cell in zip(parts, widths, row, strict=True)
            ]
            lines.append((" " * GAP).join(styled).rstrip())
    return "\n".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _as_list(names: Sequence[str], row: Sequence[str], columns: int) -> str:
    label = max(map(len, names)) + GAP
    pairs = [(name, value) for name, value in zip(names, row, strict=True) if value]
    return "\n".join(wrapped(f"{name.ljust(label)}{value}", columns, indent=" " * label) for name, value in pairs)


def _wrap(text: str, columns: int, first: str = "", indent: str = "") -> list[str]:
    lines = textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return lines or [""]

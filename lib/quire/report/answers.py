"""The answer of a notebook: a verdict in one sentence and the few numbers behind it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

from quire.page.sheet import report_style
from quire.report.numbers import number

Status = Literal["good", "warn", "bad", "neutral"]

ICONS = {"good": "✓", "warn": "!", "bad": "✕", "neutral": "i"}
WORDS = {"good": "Good", "warn": "Needs attention", "bad": "Bad", "neutral": "For information"}
LONG = 14
"""A fact with more characters than this is set smaller, so that it fits its tile."""


@dataclass(frozen=True)
class Fact:
    """One number of the answer: what it is, its value as text, and a few words on it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What a notebook found. ``run.answer`` hands it to the run's index page."""

    status: Status
    headline: str
    facts: tuple[Fact, ...] = ()
    metrics: Mapping[str, float] | None = None

    def _repr_html_(self) -> str:
        """Return the banner and a tile for each fact."""
        tiles = "".join(map(_tile, self.facts))
        return (
            f'{report_style()}<div class="quire quire-answer quire-{self.status}">'
            f'<div class="quire-banner"><span class="quire-icon" role="img" aria-label="{WORDS[self.status]}">'
            f"{ICONS[self.status]}</span><p>{escape(self.headline)}</p></div>"
            + (f'<dl class="quire-tiles">{tiles}</dl>' if tiles else "")
            + "</div>"
        )

    def __str__(self) -> str:
        lines = [f"{WORDS[self.status]}: {self.headline}"]
        lines += [f"  {fact.label}: {fact.value}{f' ({fact.note})' if fact.note else ''}" for fact in self.facts]
        return "\n".join(lines)


def answer(
    status: Status,
    headline: str,
    facts: Iterable[tuple[Any, ...] | Fact] = (),
    metrics: Mapping[str, float] | None = None,
) -> Answer:
    """Return the answer of a notebook.

    facts: (label, value) or (label, value, note); numbers are rounded to what a person reads.
    metrics: what the run's index page compares with the last run; those that are missing or infinite are left out.
    Raises ValueError if the status is not one of good, warn, bad, neutral.
    """
    if status not in get_args(Status):
        raise ValueError(f"The status of an answer is one of {', '.join(get_args(Status))}; found {status!r}.")
    entries = tuple(fact if isinstance(fact, Fact) else _fact(*fact) for fact in facts)
    finite = {
        name: float(value) for name, value in (metrics or {}).items() if value is not None and math.isfinite(value)
    }
    return Answer(status, headline, entries, finite)


def _fact(label: str, value: Any, note: str = "") -> Fact:
    return Fact(label, number(value), str(note or ""))


def _tile(fact: Fact) -> str:
    long = ' class="quire-long"' if len(fact.value) > LONG else ""
    note = f"<dd>{escape(fact.note)}</dd>" if fact.note else ""
    return f'<div class="quire-tile"><dt>{escape(fact.label)}</dt><dd{long}>{escape(fact.value)}</dd>{note}</div>'

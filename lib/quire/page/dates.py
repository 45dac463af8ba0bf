"""The page of a backfill: how metrics went over all its dates, and each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from quire.page.lines import Point, draw_line
from quire.page.numbers import number
from quire.page.rendering import render
from quire.page.svg import themed

TONES = {"succeeded": "good", "reused": "good", "failed": "bad", "interrupted": "warn"}


@dataclass(frozen=True)
class Date:
    """One date of a backfill: its run, how it ended, what it measured, and which version was champion after it."""

    as_of: str
    run_id: str = ""
    status: str = "waiting"
    seconds: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    champion: str = ""
    headline: str = ""
    link: str = ""


def backfill(dates: Sequence[Date], *, title: str, params: str, every: str, alias: str = "backfill") -> str:
    """Return the page of a backfill as HTML.

    dates: in the order of time; ``metrics`` are named stage.metric, and each name becomes a chart.
    every: the step as written, such as 7d. alias: the registry alias that moved instead of the live one.
    """
    finished_dates = [date for date in dates if date.status in ("succeeded", "failed")]
    failed = [date for date in dates if date.status == "failed"]
    names = list(dict.fromkeys(name for date in dates for name in date.metrics))
    moves = [(_at(after), f"version {after.champion}") for before, after in pairwise(dates) if _moved(before, after)]
    return render(
        "backfill",
        title=f"Backfill: {title}",
        params=params,
        every=every,
        alias=alias,
        dates=dates,
        tones=TONES,
        verdict=_verdict(dates, finished_dates, failed),
        charts=[(name, *_chart(name, dates, moves)) for name in names],
        moves=len(moves),
        seconds=sum(date.seconds or 0 for date in dates),
    )


def _verdict(dates: Sequence[Date], done: Sequence[Date], failed: Sequence[Date]) -> dict[str, str]:
    if failed:
        text = f"{len(failed)} of {len(dates)} dates failed, the first {failed[0].as_of[:10]}."
        return {"tone": "bad", "icon": "✕", "text": text}
    if len(done) < len(dates):
        text = f"{len(done)} of {len(dates)} dates are done; the same command goes on from there."
        return {"tone": "warn", "icon": "!", "text": text}
    return {"tone": "good", "icon": "✓", "text": f"All {len(dates)} dates are done."}


def _chart(name: str, dates: Sequence[Date], moves: Sequence[tuple[datetime, str]]) -> tuple[str, Any]:
    """Return the message and the SVG of one metric."""
    from markupsafe import Markup

    metric_dates = [date for date in dates if name in date.metrics]
    points = [
        Point(_at(date), date.metrics[name], f"{date.as_of[:10]}: {date.metrics[name]:.4g}") for date in metric_dates
    ]
    worst = min(points, key=lambda point: point.value)
    best = max(points, key=lambda point: point.value)
    message = f"{name} lies between {number(worst.value)}, on {_day(worst)}, and {number(best.value)}, on {_day(best)}"
    return message, Markup(themed(draw_line(points, title=message, marks=moves), title=message))


def _day(point: Point) -> str:
    return f"{point.at.day} {point.at:%B %Y}"


def _moved(before: Date, after: Date) -> bool:
    return bool(after.champion) and after.champion != before.champion


def _at(date: Date) -> datetime:
    return datetime.fromisoformat(date.as_of)

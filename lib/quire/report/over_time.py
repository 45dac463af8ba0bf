"""The data over time: how the target moved, its rhythm, and whether every period is there."""

import numpy as np
import pandas as pd

from quire.config import duration
from quire.report.charts import Chart
from quire.report.findings import Findings
from quire.report.numbers import number
from quire.report.panels import percent, tints, wrapped
from quire.report.tables import Table, note
from quire.report.theme import ACCENT, figure

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WORDS = {"M": "month", "W": "week", "D": "day", "h": "hour"}


def times(found: Findings) -> pd.Series | None:
    """Return the timestamps of the rows in the schema's time zone, or None if the data has none."""
    name = found.schema.timestamp
    return None if name is None else found.frame[name].dt.tz_convert(found.schema.timezone)


def period_of(at: pd.Series) -> str:
    """Return the pandas period that cuts the window into a readable number of steps: M, W, D or h."""
    days = (at.max() - at.min()).days
    return "M" if days > 3 * 365 else "W" if days > 90 else "D" if days > 4 else "h"


def periods(at: pd.Series) -> pd.Series:
    """Return the period that each time falls into."""
    return at.dt.tz_localize(None).dt.to_period(period_of(at))


def change(found: Findings) -> Chart | Table:
    """Return the target over time."""
    at = times(found)
    if at is None:
        return note("The data has no timestamp, so change over time cannot be shown.")
    grouped = pd.Series(found.goal, index=at.index).groupby(periods(at))
    table = pd.DataFrame(
        {"mean": grouped.mean(), "low": grouped.quantile(0.1), "high": grouped.quantile(0.9), "rows": grouped.size()}
    )
    # A period that the window cuts short would look like a jump.
    table = table[table["rows"] >= table["rows"].median() * 0.5]
    fig, ax = figure(height=3.2)
    x = table.index.to_timestamp()
    if found.schema.task == "regression":
        ax.fill_between(x, table["low"], table["high"], color=ACCENT, alpha=0.16, linewidth=0)
    ax.plot(x, table["mean"], color=ACCENT)
    ax.set_ylabel(wrapped(found.goal_name))
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    word = WORDS[period_of(at)]
    band = " Band: where the middle 80% of its rows lie." if found.schema.task == "regression" else ""
    how = (
        f"Line: the mean of each {word}.{band} Part of a change may be the season, where the window is not whole years."
    )
    return Chart(f"The mean of {found.goal_name} {_moved(table['mean'])}", fig, how)


def _moved(means: pd.Series) -> str:
    """Return how the means moved from the first to the last quarter of the window, in words."""
    part = max(1, len(means) // 4)
    first, last = means.iloc[:part].mean(), means.iloc[-part:].mean()
    window = "from the first to the last quarter of the window"
    if not first:
        return f"went from {number(first)} to {number(last)} {window}"
    by = last / first - 1
    if abs(by) < 0.02:
        return f"stayed at about {number(last)} {window}"
    return f"{'rose' if by > 0 else 'fell'} by {percent(abs(by))}, to {number(last)}, {window}"


def rhythm(found: Findings) -> Chart | Table:
    """Return the target by hour and weekday, where the rows are finer than a day."""
    at = times(found)
    if at is None:
        return note("The data has no timestamp, so it has no daily or weekly rhythm to show.")
    if at.dt.hour.nunique() < 12:
        return note("The rows are not finer than two hours, so there is no rhythm of the day to show.")
    goal = pd.Series(found.goal, index=at.index)
    table = goal.groupby([at.dt.day_of_week, at.dt.hour]).mean().unstack().reindex(columns=range(24))
    fig, ax = figure(height=2.9)
    mesh = ax.pcolormesh(np.arange(25), np.arange(len(table) + 1), table, cmap=tints(ACCENT))
    ax.set_yticks(np.arange(len(table)) + 0.5, [DAYS[day] for day in table.index])
    ax.set_xticks(np.arange(0, 24, 3) + 0.5, [f"{hour}h" for hour in range(0, 24, 3)])
    ax.invert_yaxis()
    ax.grid(visible=False)
    fig.colorbar(mesh, ax=ax, label=wrapped(found.goal_name), pad=0.01)
    means = table.stack()
    (day, hour), (low_day, low_hour) = means.idxmax(), means.idxmin()
    text = (
        f"The mean of {found.goal_name} peaks on {DAYS[day]} at {hour}h ({number(means.max())}) "
        f"and is lowest on {DAYS[low_day]} at {low_hour}h ({number(means.min())})"
    )
    return Chart(text, fig, f"Colour: the mean of each hour of the week, in the time zone {found.schema.timezone}.")


def coverage(found: Findings, message: str) -> Chart:
    """Return the rows of each period under ``message``, which gains what share of the expected rows is there."""
    at = times(found)
    assert at is not None
    every = found.every
    rows = every.groupby(periods(every)).size()
    fig, ax = figure(height=2.2)
    ax.fill_between(rows.index.to_timestamp(), rows.to_numpy(), color=ACCENT, alpha=0.25, linewidth=0, step="mid")
    ax.step(rows.index.to_timestamp(), rows.to_numpy(), color=ACCENT, where="mid")
    ax.set_ylim(0)
    word = WORDS[period_of(every)]
    ax.set_ylabel(f"rows per {word}")
    frequency = found.schema.frequency
    if frequency:
        expected = (every.max() - every.min()) / duration(frequency) + 1
        absent = max(0, round(expected) - every.nunique())
        message += f"; {_absent(absent, frequency)}"
    return Chart(
        message, fig, f"Height: rows in each {word}; a dip is a stretch that was not delivered, or a window's edge."
    )


def _absent(count: int, frequency: str) -> str:
    every = _spelled(frequency)
    if not count:
        return f"every row is there, one per {every}"
    return f"{count:,} row{'s' if count > 1 else ''} of one per {every} {'are' if count > 1 else 'is'} absent"


def _spelled(frequency: str) -> str:
    """Return ``1h`` as ``hour``, ``7d`` as ``7 days``."""
    count = int(frequency[:-1])
    unit = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second"}[frequency[-1]]
    return unit if count == 1 else f"{count} {unit}s"

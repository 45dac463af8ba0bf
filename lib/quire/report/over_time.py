"""The data over time: how the target moved, its rhythm, and whether every period is there."""

import numpy as np
import pandas as pd

from quire.config import duration
from quire.report.charts import Chart
from quire.report.findings import Findings
from quire.report.numbers import number, percent
from quire.report.panels import absent_steps, tints, wrapped
from quire.report.tables import Table, note
from quire.report.theme import ACCENT, NEUTRAL, figure

YEAR = {"M": 12, "W": 52}
"""Periods of a year: what is compared with each other has the same season, and weeks the same weekdays."""

LEAST_PAIRS = {"month": 2, "week": 4, "day": 2, "hour": 2}
"""Periods with a counterpart a year before from which on they are compared."""

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
    frame = change_frame(found.goal, at)
    fig, ax = figure(height=3.2)
    if found.schema.task == "regression":
        ax.fill_between(frame["at"], frame["low"], frame["high"], color=ACCENT, alpha=0.16, linewidth=0)
    ax.plot(frame["at"], frame["mean"], color=ACCENT, marker="o" if len(frame) < 3 else None)
    if frame["year_before"].notna().any():
        ax.plot(frame["at"], frame["year_before"], color=NEUTRAL, linewidth=1, label="a year before")
        ax.legend(loc="upper left")
    ax.set_ylabel(wrapped(found.goal_name))
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    word = WORDS[period_of(at)]
    band = " Band: where the middle 80% of its rows lie." if found.schema.task == "regression" else ""
    help_text = f"Line: the mean of each {word}.{band}"
    if frame["year_before"].isna().all():
        help_text += " Less than a year and some weeks: season and trend cannot be told apart."
    return Chart(change_message(frame, found, word), fig, help_text, frame)


def change_frame(goal: np.ndarray, at: pd.Series) -> pd.DataFrame:
    """Return the mean of each period of the window, beside that of the same period a year before.

    Columns: ``at`` (start), ``mean``, ``low`` and ``high`` (10% and 90%), ``rows``, ``year_before`` (NaN where the
    window does not hold it). Periods that the window cuts short are left out: they would look like a jump.
    """
    kind = period_of(at)
    grouped = pd.Series(goal, index=at.index).groupby(periods(at))
    frame = pd.DataFrame(
        {"mean": grouped.mean(), "low": grouped.quantile(0.1), "high": grouped.quantile(0.9), "rows": grouped.size()}
    )
    frame = frame[frame["rows"] >= frame["rows"].median() * 0.5]
    year = YEAR.get(kind)
    before = frame["mean"].reindex(frame.index - year).to_numpy() if year else np.nan
    frame = frame.assign(year_before=before).rename_axis("at").reset_index()
    return frame.assign(at=frame["at"].dt.to_timestamp())


def change_message(frame: pd.DataFrame, found: Findings, word: str) -> str:
    """Return how the target moved: like for like a year later, or between which levels where there is no year."""
    form = number if found.schema.task == "regression" else percent
    name = f"{'mean ' if found.schema.task == 'regression' else ''}{found.goal_name}"
    pairs = frame[frame["year_before"].notna()]
    if len(pairs) < LEAST_PAIRS[word]:
        low, high = form(float(frame["mean"].min())), form(float(frame["mean"].max()))
        return (
            f"The {name} of a {word} lies between {low} and {high}"
            if low != high
            else f"The {name} is {low} throughout"
        )
    before, now = float(pairs["year_before"].mean()), float(pairs["mean"].mean())
    same = f"in the same {len(pairs)} {word}s a year before"
    if before > 0 and found.schema.task == "regression":
        by = now / before - 1
        if abs(by) < 0.005:
            return f"The {name} is as it was {same} ({form(now)} after {form(before)})"
        side = "higher" if by > 0 else "lower"
        return f"The {name} is {percent(abs(by))} {side} than {same} ({form(now)} after {form(before)})"
    return f"The {name} is {form(now)}, after {form(before)} {same}"


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
    help_text = f"Colour: the mean of each hour of the week, in the time zone {found.schema.timezone}."
    return Chart(rhythm_message(table, found), fig, help_text, table)


def rhythm_message(table: pd.DataFrame, found: Findings) -> str:
    """Return when in the week the mean is highest and lowest; ``table``: weekdays in rows, hours in columns."""
    means = table.stack().dropna()
    form = number if found.schema.task == "regression" else percent
    name = f"{'mean ' if found.schema.task == 'regression' else ''}{found.goal_name}"
    if means.max() == means.min():
        return f"The {name} is {form(float(means.max()))} in every hour of the week"
    (day, hour), (low_day, low_hour) = means.idxmax(), means.idxmin()
    return (
        f"The {name} peaks on {DAYS[day]} at {hour}h ({form(float(means.max()))}) "
        f"and is lowest on {DAYS[low_day]} at {low_hour}h ({form(float(means.min()))})"
    )


def coverage(found: Findings, message: str) -> Chart:
    """Return the rows of each period under ``message``, which gains how many steps of the frequency have no row."""
    every = found.every
    rows = every.groupby(periods(every)).size()
    frame = pd.DataFrame({"at": rows.index.to_timestamp(), "rows": rows.to_numpy()})
    fig, ax = figure(height=2.2)
    ax.fill_between(frame["at"], frame["rows"], color=ACCENT, alpha=0.25, linewidth=0, step="mid")
    ax.step(frame["at"], frame["rows"], color=ACCENT, where="mid", marker="o" if len(frame) < 3 else None)
    ax.set_ylim(0)
    word = WORDS[period_of(every)]
    ax.set_ylabel(f"rows per {word}")
    frequency = found.schema.frequency
    if frequency:
        steps = round((every.max() - every.min()) / duration(frequency)) + 1
        present = every.dt.floor(duration(frequency)).nunique()
        message += f"; {absent_steps(max(0, steps - present), max(steps, present), frequency)}"
        frame.attrs |= {"steps": steps, "present": present}
    help_text = f"Height: rows in each {word}; a dip is a stretch that was not delivered, or a window's edge."
    return Chart(message, fig, help_text, frame)

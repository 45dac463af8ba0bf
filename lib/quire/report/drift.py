"""Charts of drift: which columns differ, since when, and how."""

from typing import Any

import numpy as np
import pandas as pd

from quire.monitor.look import Seen
from quire.report.charts import Chart
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, INK, MUTED, NEUTRAL, STATUS, figure

TONES = {"ok": "neutral", "warn": "warn", "alert": "bad", "unknown": "neutral"}
PARTS = {"values": "", "zeros": " (zeros)", "missing": " (missing)", "level": " (beside the others)"}
FLOOR = 0.02
"""Shares of the threshold below this are drawn at it: the scale is logarithmic."""

MOST_PLOTS = 12


def latest(drift: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last period."""
    return drift[drift["period"] == drift["period"].max()] if len(drift) else drift


def shown(drift: pd.DataFrame) -> pd.DataFrame:
    """Return the last period without the parts of columns that are as they were, except their values."""
    now = latest(drift)
    return now[(now["part"] == "values") | now["status"].isin(["warn", "alert"])]


def drift_overview(seen: Seen) -> Chart:
    """Return how far each column is from the reference, as a share of the PSI from which on it alerts."""
    now = shown(seen.drift)
    now = now.assign(share=(now["psi"] / now["threshold"]).clip(lower=FLOOR))
    now = now.sort_values("share", na_position="first")
    drawn, axes = figure(height=1.3 + 0.32 * len(now))
    places = np.arange(len(now))
    colours = [STATUS[TONES[status]] for status in now["status"]]
    axes.hlines(places, FLOOR, now["share"], color=colours, linewidth=2)
    axes.scatter(now["share"], places, color=colours, s=45, zorder=3)
    axes.axvline(1, color=BAD, linewidth=1.2)
    axes.set_xscale("log")
    most = now["share"].max()
    right = max(3.0, 2.2 * most if most == most else 3.0)
    axes.set(xlim=(FLOOR * 0.9, right), ylim=(-0.7, len(now) - 0.3), xlabel="PSI as a share of the alert threshold")
    axes.set_yticks(places, [name_of(row) for row in now.itertuples()])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y", visible=False)
    for place, row in zip(places, now.itertuples(), strict=True):
        text = f"{row.psi:.2g}" if row.psi == row.psi else "no rows"
        at = (row.share if row.share == row.share else FLOOR, place)
        axes.annotate(text, at, (7, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
    top = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom", "ha": "center"}
    axes.annotate("alert", (1, 1), (0, 1), fontsize=9, color=BAD, **top)
    how = (
        "The number is the population stability index. Right of the line it is large, beyond what chance gives, and "
        "beyond what windows of the reference show against the rest of it."
    )
    return Chart(overview_message(now), drawn, how)


def name_of(row: Any) -> str:
    """Return what a row of a drift table is about."""
    return f"{row.column}{PARTS.get(row.part, '')}"


def overview_message(now: pd.DataFrame) -> str:
    """Return the sentence over the overview: which columns alert, which warn, or that none does."""
    alert, warn = ([name_of(row) for row in now.itertuples() if row.status == one][::-1] for one in ("alert", "warn"))
    columns = now["column"].nunique()
    if not alert and not warn:
        return f"None of {columns} columns differs from its reference by more than is usual"
    parts = [f"{several(alert)} beyond the threshold"] if alert else []
    parts += [f"{several(warn)} above the usual level for two periods"] if warn else []
    return f"{columns} columns compared: {'; '.join(parts)}"


def several(names: list[str], most: int = 4) -> str:
    """Return names as a list for a sentence; beyond ``most`` they are counted."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def drift_history(seen: Seen, *, column: str = "") -> Chart | Table:
    """Return the PSI of each column over the periods, with the band in which it is no alert: first what alerted.

    Earlier runs of the same model are part of it. column: only this one.
    """
    past = past_and_present(seen)
    if past["end"].isna().all():
        return note("Without a timestamp there is one period, so no history.")
    nearest = shown(seen.drift).assign(share=lambda one: one["psi"] / one["threshold"])
    nearest = nearest.sort_values("share", ascending=False)
    parts = pd.concat([past[past["status"] == "alert"], nearest])[["column", "part"]].drop_duplicates()
    names = [(row.column, row.part) for row in parts.itertuples() if column in ("", row.column)][:MOST_PLOTS]
    many = min(3, max(len(names), 1))
    rows = -(-max(len(names), 1) // many)
    height = 0.5 + 1.75 * rows
    # All panels are alike: fixed margins do, and take a third of the time of finding the best ones.
    margins = {"left": 0.06, "right": 0.99, "bottom": 0.4 / height, "top": 1 - 0.25 / height}
    spaces = {"wspace": 0.22, "hspace": 0.32}
    drawn, grid = figure(rows, many, height=height, sharex=True, squeeze=False, gridspec_kw=margins | spaces)
    drawn.set_layout_engine("none")
    for axes, (name, part) in zip(grid.flat, names, strict=False):
        _draw_history(axes, past[(past["column"] == name) & (past["part"] == part)], f"{name}{PARTS[part]}")
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    how = "The line is the PSI of each period against the reference; the shaded band is what does not alert."
    left = len(parts) - len(names) if not column else 0
    return Chart(
        _history_message(past), drawn, how + (f" {left} columns far from theirs are left out." if left else "")
    )


def past_and_present(seen: Seen) -> pd.DataFrame:
    """Return drift of earlier runs and of this one, each period once, in order of time."""
    names = ["column", "part", "start", "end", "psi", "threshold", "status"]
    frames = [one[names] for one in (seen.history, seen.drift) if len(one)]
    past = pd.concat(frames, ignore_index=True) if frames else seen.drift[names]
    past = past.assign(start=pd.to_datetime(past["start"], utc=True), end=pd.to_datetime(past["end"], utc=True))
    return past.drop_duplicates(["column", "part", "end"], keep="last").sort_values("end", kind="stable")


def _draw_history(axes: Any, mine: pd.DataFrame, title: str) -> None:
    axes.fill_between(mine["end"], 0, mine["threshold"], color=NEUTRAL, alpha=0.25, linewidth=0)
    axes.plot(mine["end"], mine["threshold"], color=MUTED, linewidth=0.8)
    axes.plot(mine["end"], mine["psi"], color=ACCENT, linewidth=1.5)
    colours = [STATUS[TONES[status]] if status in ("warn", "alert") else ACCENT for status in mine["status"]]
    axes.scatter(mine["end"], mine["psi"], color=colours, s=16, zorder=3)
    axes.set_title(title, fontsize=9)
    axes.set_ylim(0, None)
    axes.tick_params(labelsize=8)
    dates(axes)


def dates(axes: Any) -> None:
    """Give the horizontal axis a few short dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _history_message(past: pd.DataFrame) -> str:
    bad = past[past["status"] == "alert"]
    periods, last = past["end"].nunique(), past["end"].max()
    if bad.empty:
        return f"No column alerted in the {periods} periods up to {last:%-d %B %Y}"
    names, now = (list(dict.fromkeys(map(name_of, rows.itertuples()))) for rows in (bad, bad[bad["end"] == last]))
    since = f"first in that from {bad['start'].min():%-d %B %Y}"
    latest_one = f"in the last one {'none' if not now else 'again' if now == names else several(now)}"
    return f"{several(names)} alerted in {bad['end'].nunique()} of {periods} periods, {since}, {latest_one}"


def drift_details(seen: Seen, *, column: str = "", period: int | None = None) -> Chart | Table:
    """Return how the values of the columns nearest to their threshold are spread, now and in the reference.

    column: only this one. period: which of the recent periods, by its number; by default the last.
    """
    number = seen.drift["period"].max() if period is None else period
    now = seen.drift[(seen.drift["period"] == number) & (seen.drift["part"] == "values")]
    now = now[now["column"] == column] if column else now
    nearest = now.assign(share=now["psi"] / now["threshold"]).sort_values("share", ascending=False).head(4)
    if nearest.empty:
        return note("There is no column to compare.")
    shares = seen.shares[(seen.shares["period"] == number) & (seen.shares["part"] == "values")]
    many = min(2, len(nearest))
    rows = -(-len(nearest) // many)
    drawn, grid = figure(rows, many, height=0.6 + 2.5 * rows, squeeze=False)
    for axes, name in zip(grid.flat, nearest["column"], strict=False):
        _draw_shares(axes, shares[shares["column"] == name])
    for axes in list(grid.flat)[len(nearest) :]:
        axes.set_visible(False)
    first = nearest.iloc[0]
    message = f"{first['column']}{'' if column else ' is nearest to its threshold'}: {first['change']}"
    how = "Grey is the whole training data, in bins of about equal size; blue is the period."
    return Chart(message, drawn, how)


def _draw_shares(axes: Any, shares: pd.DataFrame) -> None:
    places = shares["bin"].to_numpy()
    axes.bar(places - 0.2, shares["reference"], width=0.4, color=NEUTRAL, label="reference")
    axes.bar(places + 0.2, shares["now"], width=0.4, color=ACCENT, label="now")
    short = [label if len(label) <= 16 else f"{label[:15]}…" for label in shares["label"]]
    axes.set_xticks(places, short, rotation=40, ha="right", fontsize=7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(shares["column"].iloc[0], fontsize=9)
    axes.grid(axis="x", visible=False)
    axes.legend(fontsize=7, loc="best")


def drift_table(seen: Seen) -> Table:
    """Return all figures of drift of the latest period, the column nearest to its threshold first."""
    now = shown(seen.drift)
    now = now.assign(share=now["psi"] / now["threshold"]).sort_values("share", ascending=False)
    kept = ["column", "part", "status", "psi", "threshold", "noise", "usual", "windows", "ks", "distance", "p_value"]
    names = {"psi": "PSI", "ks": "KS", "p_value": "p, corrected", "n": "rows", "distance": "Wasserstein, sd"}
    told = (
        "The threshold is the largest of what is large, noise and usual. KS and Wasserstein distance and p are for "
        "information: with many rows every difference is significant."
    )
    return table(now[[*kept, "n", "reference"]], "Drift of the latest period", names=names, note=told)

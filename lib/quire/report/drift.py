"""Charts of drift: which columns differ, since when, and how; each sentence is made of the frame that is drawn."""

from typing import Any

import numpy as np
import pandas as pd

from quire.monitor.drift import REFERENCES
from quire.monitor.monitoring_result import MonitoringResult
from quire.report.charts import Chart
from quire.report.labels import label_text, name_columns, name_rows, percent_axis
from quire.report.numbers import percent
from quire.report.panels import listed
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, INK, MUTED, NEUTRAL, STATUS, figure

TONES = {"ok": "neutral", "warn": "warn", "alert": "bad", "unknown": "neutral"}
PARTS = {"values": "", "zeros": " (zeros)", "missing": " (missing)", "level": " (given the others)"}

WIDEST = 1.5
"""Share of the alert level at which the overview ends; what is beyond it is drawn there, with its number."""

MOST_PLOTS = 12
MOST_DETAILS = 4


def latest(drift: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last period."""
    return drift[drift["period"] == drift["period"].max()] if len(drift) else drift


def shown(drift: pd.DataFrame) -> pd.DataFrame:
    """Return the last period without the parts of columns that are as they were, except their values.

    ``share`` is added: the PSI as a share of the alert level; the nearest to it first, those without rows last.
    """
    now = latest(drift)
    now = now[(now["part"] == "values") | now["status"].isin(["warn", "alert"])]
    share = now["psi"].astype(float) / now["threshold"].astype(float)
    return now.assign(share=share).sort_values("share", ascending=False, na_position="last", kind="stable")


def drift_overview(result: MonitoringResult) -> Chart | Table:
    """Return how far each column is from its reference, as a share of the PSI from which on it alerts."""
    frame = shown(result.drift)
    if frame.empty:
        return note("No column is compared with training: all of them are ignored, or there are no rows.")
    fig, axes = figure(height=1.2 + 0.32 * len(frame))
    places = np.arange(len(frame))
    colours = [STATUS[TONES[status]] for status in frame["status"]]
    at = frame["share"].clip(0, WIDEST).fillna(0.0)
    axes.hlines(places, 0, at, color=colours, linewidth=2)
    axes.scatter(at, places, color=colours, s=45, zorder=3)
    axes.axvline(1, color=BAD, linewidth=1.2)
    axes.set(xlim=(0, WIDEST * 1.12), ylim=(len(frame) - 0.4, -0.7), xlabel="PSI as a share of the alert level")
    axes.set_xticks(np.linspace(0, WIDEST, 7))
    percent_axis(axes.xaxis)
    name_rows(axes, map(name_of, frame.itertuples()))
    axes.grid(axis="y", visible=False)
    for place, (x, share) in enumerate(zip(at, frame["share"], strict=True)):
        axes.annotate(_share_text(share), (x, place), (7, 0), textcoords="offset points", va="center", fontsize=9,
                      color=INK)  # fmt: skip
    axes.annotate("alert", (1, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
                  ha="center", fontsize=9, color=BAD)  # fmt: skip
    help_text = (
        "The number is the population stability index (PSI) as a share of the column's alert level; a dot at the right "
        "edge is beyond it. The alert level is what is large, beyond chance, and beyond what windows of the reference "
        "show against the rest of it."
    )
    return Chart(overview_message(frame), fig, help_text, frame)


def _share_text(share: float) -> str:
    return "no rows" if pd.isna(share) else percent(share) if share < 10 else f"{share:,.0f} times"


def name_of(row: Any) -> str:
    """Return what a row of a drift table is about."""
    return f"{label_text(row.column)}{PARTS.get(row.part, '')}"


def overview_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the overview: which columns alert, which warn, or that none does."""
    alert, warn = ([name_of(row) for row in frame.itertuples() if row.status == status] for status in ("alert", "warn"))
    columns = frame.loc[frame["status"] != "unknown", "column"].nunique()
    compared = f"{columns} column{'s' if columns != 1 else ''} compared"
    if not columns:
        return "No column has rows to compare"
    if not alert and not warn:
        nearest = frame.iloc[0]
        return f"{compared}: none is at its alert level; {name_of(nearest)} is nearest, at {percent(nearest['share'])}"
    parts = [f"{listed(alert)} {'are' if len(alert) > 1 else 'is'} beyond the alert level"] if alert else []
    parts += (
        [f"{listed(warn)} {'are' if len(warn) > 1 else 'is'} above the usual level for two periods"] if warn else []
    )
    return f"{compared}: {'; '.join(parts)}"


def drift_history(result: MonitoringResult, *, column: str = "", period: int | None = None) -> Chart | Table:
    """Return the PSI of each column over the periods, with the band in which it is no alert: first what alerted.

    Earlier runs of the same model are part of it. column: only this one. period: one that is marked.
    """
    frame = history_frame(result, column)
    if frame["end"].nunique() < 2 and result.about.start is None:
        return note("Without a timestamp a run is one period: the history begins with the second run of this model.")
    if frame.empty:
        return note("There is no column to compare.")
    parts = frame[["column", "part"]].drop_duplicates()
    many = min(3, len(parts))
    rows = -(-len(parts) // many)
    height = 0.5 + 1.75 * rows
    # All panels are alike: fixed margins do, and take a third of the time of finding the best ones.
    margins = {"left": 0.06, "right": 0.99, "bottom": 0.4 / height, "top": 1 - 0.25 / height}
    spaces = {"wspace": 0.22, "hspace": 0.32}
    fig, grid = figure(rows, many, height=height, sharex=True, squeeze=False, gridspec_kw=margins | spaces)
    fig.set_layout_engine("none")
    period_end = _end_of(result, period)
    for axes, row in zip(grid.flat, parts.itertuples(), strict=False):
        periods = frame[(frame["column"] == row.column) & (frame["part"] == row.part)]
        _draw_history(axes, periods, label_text(name_of(row), 40), period_end)
    for axes in list(grid.flat)[len(parts) :]:
        axes.set_visible(False)
    help_text = "The line is the PSI of each period against its reference; the shaded band is what does not alert."
    help_text += " The vertical line marks the chosen period." if period_end is not None else ""
    n_omitted = int(frame["left_out"].iloc[0])
    help_text += f" {n_omitted} columns far from their alert level are left out." if n_omitted else ""
    return Chart(history_message(frame), fig, help_text, frame)


def history_frame(result: MonitoringResult, column: str = "") -> pd.DataFrame:
    """Return the PSI over the periods of what the history shows: first what alerted, then the nearest to it.

    Columns: those of `past_and_present`, and ``left_out``: of how many columns and parts there was no room.
    """
    past = past_and_present(result)
    past = past[past["column"] == column] if column else past
    parts = pd.concat([past[past["status"] == "alert"], shown(result.drift)])[["column", "part"]].drop_duplicates()
    parts = parts[parts["column"] == column] if column else parts
    top_parts = parts.head(MOST_PLOTS).assign(place=np.arange(min(len(parts), MOST_PLOTS)))
    frame = past.merge(top_parts, on=["column", "part"]).sort_values(["place", "end"], kind="stable")
    return frame.drop(columns="place").assign(left_out=len(parts) - len(top_parts)).reset_index(drop=True)


def past_and_present(result: MonitoringResult) -> pd.DataFrame:
    """Return drift of earlier runs and of this one, each period once, in order of time.

    Where the rows have no timestamp a run is one period, which ends when the run was: ``result.about.at``.
    """
    names = ["column", "part", "start", "end", "psi", "threshold", "status"]
    present = result.drift[names]
    frames = [frame[names] for frame in (result.history, present) if len(frame)]
    past = pd.concat(frames, ignore_index=True) if frames else present
    start, end = (pd.to_datetime(past[name], utc=True, format="ISO8601").dt.as_unit("us") for name in ("start", "end"))
    at = result.about.at or result.about.end
    end = end.fillna(pd.Timestamp(at)) if at is not None else end
    past = past.assign(start=start.where(start.notna(), end), end=end)
    past = past[past["end"].notna()].drop_duplicates(["column", "part", "end"], keep="last")
    return past.sort_values("end", kind="stable").reset_index(drop=True)


def _end_of(result: MonitoringResult, period: int | None) -> Any:
    """Return where the chosen period ends, in the units of a time axis; None for none, and for the only one."""
    if period is None or result.about.start is None:
        return None
    ends = result.drift.loc[result.drift["period"] == period, "end"].dropna()
    return ends.iloc[0] if len(ends) else None


def _draw_history(axes: Any, mine: pd.DataFrame, title: str, marked: Any) -> None:
    levels = np.array([*mine["psi"], *mine["threshold"], 0.0], dtype=float)
    top = 1.08 * levels[np.isfinite(levels)].max() or 1.0
    # Where the reference is too short to say what is usual there is no alert level: the band fills the panel.
    limit = mine["threshold"].clip(upper=2 * top)
    axes.fill_between(mine["end"], 0, limit, color=NEUTRAL, alpha=0.25, linewidth=0)
    axes.plot(mine["end"], limit, color=MUTED, linewidth=0.8)
    axes.plot(mine["end"], mine["psi"], color=ACCENT, linewidth=1.5)
    colours = [STATUS[TONES[status]] if status in ("warn", "alert") else ACCENT for status in mine["status"]]
    axes.scatter(mine["end"], mine["psi"], color=colours, s=16, zorder=3)
    if marked is not None:
        axes.axvline(marked, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.set_title(title, fontsize=9)
    axes.set_ylim(0, top)
    axes.tick_params(labelsize=8)
    dates(axes)


def dates(axes: Any) -> None:
    """Give the horizontal axis a few short dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def history_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the history: what alerted, in how many periods, and whether it still does."""
    bad = frame[frame["status"] == "alert"]
    periods, last = frame["end"].nunique(), frame["end"].max()
    several = frame[["column", "part"]].drop_duplicates().shape[0] > 1
    subject = "No column" if several else name_of(frame.iloc[0])
    if bad.empty:
        verb = "alerted" if several else "did not alert"
        return f"{subject} {verb} in {_periods(periods)} up to {last:%-d %B %Y}"
    names, now = (list(dict.fromkeys(map(name_of, rows.itertuples()))) for rows in (bad, bad[bad["end"] == last]))
    first = f"first in the period from {bad['start'].min():%-d %B %Y}"
    latest_text = (
        "none in the last one"
        if not now
        else "still in the last one"
        if now == names
        else f"{listed(now)} in the last one"
    )
    return f"{listed(names)} alerted in {bad['end'].nunique()} of {_periods(periods)}, {first}, {latest_text}"


def _periods(count: int) -> str:
    return f"{count:,} period{'s' if count != 1 else ''}"


def drift_details(result: MonitoringResult, *, column: str = "", period: int | None = None) -> Chart | Table:
    """Return how the values of the columns nearest to their alert level are spread, now and in their reference.

    column: only this one. period: which of the recent periods, by its number; by default the last.
    """
    frame = details_frame(result, column, period)
    if frame.empty:
        return note("There is no column to compare.")
    names = list(dict.fromkeys(frame["column"]))
    many = min(2, len(names))
    rows = -(-len(names) // many)
    fig, grid = figure(rows, many, height=0.6 + 2.5 * rows, squeeze=False)
    now = "now" if period is None else span_text(frame.iloc[0])
    for axes, name in zip(grid.flat, names, strict=False):
        _draw_shares(axes, frame[frame["column"] == name], now)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    return Chart(details_message(frame, chosen=bool(column)), fig, _details_how(frame), frame)


def details_frame(result: MonitoringResult, column: str = "", period: int | None = None) -> pd.DataFrame:
    """Return the shares of each bin of the columns that the details show, the nearest to its alert level first.

    Columns: those of `measure_shares`, and ``share`` (of the alert level), ``status``.
    """
    number = result.drift["period"].max() if period is None else period
    now = result.drift[
        (result.drift["period"] == number) & (result.drift["part"] == "values") & result.drift["psi"].notna()
    ]
    now = now[now["column"] == column] if column else now
    nearest = now.assign(share=now["psi"] / now["threshold"]).sort_values("share", ascending=False, kind="stable")
    nearest = nearest.head(MOST_DETAILS).assign(place=np.arange(min(len(nearest), MOST_DETAILS)))
    shares = result.shares[(result.shares["period"] == number) & (result.shares["part"] == "values")]
    defaults = {"compared_with": "", "intervals": False, "end": pd.NaT}  # runs of before did not keep it
    shares = shares.assign(**{name: value for name, value in defaults.items() if name not in shares})
    frame = shares.merge(nearest[["column", "share", "status", "place"]], on="column")
    return frame.sort_values(["place", "bin"], kind="stable").drop(columns="place").reset_index(drop=True)


def details_message(frame: pd.DataFrame, *, chosen: bool = False) -> str:
    """Return the sentence over the details: of the first column, the bin whose share changed most."""
    first = frame[frame["column"] == frame["column"].iloc[0]].reset_index(drop=True)
    name = label_text(first["column"].iloc[0])
    change = (first["now"] - first["reference"]).abs().round(9)
    most = first.loc[change[::-1].idxmax()]
    change_text = (
        f"{label_text(most['label'])} is {percent(most['now'])} of the rows, before {percent(most['reference'])}"
    )
    nearest = "" if chosen or frame["column"].nunique() == 1 else " is nearest to its alert level"
    if first["share"].iloc[0] > 1 and nearest:
        nearest = " is furthest beyond its alert level"
    return f"{name}{nearest}: {change_text}"


def _details_how(frame: pd.DataFrame) -> str:
    kinds = dict.fromkeys(frame["compared_with"])
    grey = listed([REFERENCES.get(kind, "the whole training data") for kind in kinds])
    help_text = f"Grey is what the column is compared with ({grey}); blue is the period."
    return help_text + (
        " The intervals of numbers hold about equal shares of the whole training data."
        if frame["intervals"].any()
        else ""
    )


def span_text(row: Any) -> str:
    """Return the days of a period, for a legend or a menu."""
    start, end = row["start"], row["end"]
    if pd.isna(start):
        return "now"
    return f"{start:%-d %b %Y}" if pd.isna(end) else f"{start:%-d %b} to {end:%-d %b %Y}"


def _draw_shares(axes: Any, shares: pd.DataFrame, now: str) -> None:
    places = np.arange(len(shares))
    reference = REFERENCES.get(shares["compared_with"].iloc[0], "training")
    axes.bar(places - 0.2, shares["reference"], width=0.4, color=NEUTRAL, label=reference)
    axes.bar(places + 0.2, shares["now"], width=0.4, color=ACCENT, label=now)
    name_columns(axes, shares["label"], most=16, rotation=40, ha="right", fontsize=7)
    percent_axis(axes.yaxis)
    axes.set_title(label_text(shares["column"].iloc[0], 40), fontsize=9)
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.28)  # room for the legend above the bars
    axes.legend(fontsize=7, loc="upper right", ncols=2)


def drift_table(result: MonitoringResult) -> Table:
    """Return all figures of drift of the latest period, the column nearest to its alert level first."""
    now = shown(result.drift)
    now = now.assign(part=[PARTS[part].strip(" ()") or part for part in now["part"]])
    columns = ["column", "part", "status", "share", "psi", "threshold", "usual", "noise", "ks", "distance", "p_value"]
    names = {
        "psi": "PSI",
        "share": "of the alert level",
        "threshold": "alert level",
        "usual": "usual up to",
        "noise": "chance up to",
        "ks": "KS",
        "p_value": "p, corrected",
        "n": "rows",
        "distance": "Wasserstein, sd",
        "windows": "windows known",
        "reference": "compared with",
    }
    remark = (
        "The alert level is the largest of what is large, what chance gives, and what is usual: a PSI that looks large "
        "by itself can be usual for the column. KS, Wasserstein distance and p are for information: with many rows "
        "every difference is significant."
    )
    now = now.assign(
        reference=[REFERENCES.get(reference, reference) for reference in now["reference"]],
        share=now["share"].map(_share_text),
    )
    return table(now[[*columns, "windows", "n", "reference"]], "Drift of the latest period", names=names, note=remark)

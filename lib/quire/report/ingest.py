"""The ingest report: which rows a run sees, in which windows, and what was changed on the way in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.data.snapshot import Ingested
from quire.data.window import PARTS
from quire.report.answers import Answer, answer
from quire.report.charts import Chart
from quire.report.labels import label_text, name_rows, percent_axis
from quire.report.numbers import number, percent
from quire.report.panels import absent_steps
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, INK, MUTED, NEUTRAL, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"train": NEUTRAL, "test": ACCENT, "current": PALETTE[1]}
MOST_BARS = 160
MOST_COLUMNS = 30


def ingest_answer(ingested: Ingested) -> Answer:
    """Return how many rows there are, of when, and whether anything was dropped or changed."""
    manifest, windows = ingested.manifest, ingested.manifest["windows"]
    dropped_rows, changed_values = manifest["dropped_rows"], manifest["changed_values"]
    facts = [(name, windows[name]["rows"], _span(windows[name])) for name in PARTS]
    facts.append(("dropped", dropped_rows, "rows" if dropped_rows else "every row was kept"))
    facts.append(
        ("changed", changed_values, "values, listed below" if changed_values else "every value is as in the source")
    )
    facts.append(("fingerprint", manifest["fingerprint"][:8], "SHA-256 of the content"))
    many = dropped_rows > 0.05 * manifest["read"]["all"]
    return answer(
        "warn" if many else "good",
        _headline(ingested, dropped_rows, changed_values),
        facts=facts,
        metrics={"rows": manifest["rows"], "rows_dropped": dropped_rows, "values_changed": changed_values},
    )


def rows_over_time(ingested: Ingested, schema: Schema) -> Chart:
    """Return how many rows each period has, with the windows shaded; without timestamps, the size of each part."""
    if not schema.timestamp:
        return _parts_chart(ingested)
    frames = {name: ingested.frames[name][schema.timestamp] for name in PARTS}
    times = pd.concat(frames.values())
    start, end = times.min(), pd.Timestamp(ingested.manifest["as_of"])
    step = _period(end - start)
    fig, axes = figure(height=3.2)
    for name, part in frames.items():
        periods = np.ceil(
            (end - part).dt.total_seconds() / pd.Timedelta(step).total_seconds()
        )  # counted back from as_of, so that windows start with one
        # Of a source larger than memory the frames are samples.
        counts = periods.value_counts().sort_index() * (ingested.manifest["windows"][name]["rows"] / len(part))
        starts = end - counts.index.to_numpy() * pd.Timedelta(step)
        axes.bar(starts, counts.to_numpy(), width=pd.Timedelta(step) * 0.92, align="edge", color=COLOURS[name])
    for name in ("test", "current"):
        window = ingested.manifest["windows"][name]
        axes.axvspan(pd.Timestamp(window["start"]), pd.Timestamp(window["end"]), color=COLOURS[name], alpha=0.12, lw=0)
    _label_windows(axes, ingested)
    axes.set(xlabel="", ylabel=f"rows per {_period_name(step)}", xlim=(start, end))
    axes.margins(y=0.25)
    axes.grid(axis="x", visible=False)
    help_text = (
        "Each bar is a period. A model learns from train, is judged on test, and predicts current; the windows "
        "follow each other in time, so nothing of the future is learnt from. The first bar can be lower: it is cut."
    )
    frame = gaps_frame(ingested, schema)
    return Chart(rows_message(frame, schema), fig, help_text, frame)


def missing_values(ingested: Ingested) -> Chart | Table:
    """Return the share of missing values by column, in the source and in the snapshot."""
    frame = missing_frame(ingested)
    lacking = frame[(frame["before"] > 0) | (frame["after"] > 0)].tail(MOST_COLUMNS).reset_index(drop=True)
    if lacking.empty:
        return note(f"No value is missing in any of the {len(frame)} columns, in the source as in the snapshot.")
    fig, axes = figure(height=1.2 + 0.3 * len(lacking))
    places = range(len(lacking))
    axes.hlines(places, lacking["before"], lacking["after"], color=NEUTRAL, linewidth=1.5)
    axes.scatter(lacking["before"], places, color=MUTED, s=45, label="in the source", zorder=3)
    axes.scatter(lacking["after"], places, color=ACCENT, s=45, label="in the snapshot", zorder=3)
    name_rows(axes, lacking["column"])
    axes.set(xlabel="share of rows without a value", xlim=(-0.02 * lacking[["before", "after"]].max().max(), None))
    percent_axis(axes.xaxis)
    axes.set_ylim(-0.7, len(lacking) - 0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.35 / max(1.2, 0.3 * len(lacking))), ncols=2)
    help_text = (
        "Grey is the source, blue the snapshot after the answers that schema.yaml gives (fill, drop, set missing)."
    )
    return Chart(missing_message(frame), fig, help_text, frame)


def missing_frame(ingested: Ingested) -> pd.DataFrame:
    """Return the share of missing values of each column, the column that lacks most last.

    Columns: ``column``, ``before`` (in the source), ``after`` (in the snapshot), ``rows_before``, ``rows_after``.
    """
    frame = pd.DataFrame(ingested.manifest["missing"])
    rows = {"before": ingested.manifest["read"]["all"], "after": ingested.manifest["rows"]}
    counts = {f"rows_{name}": (frame[name] * of).round().astype(int) for name, of in rows.items()}
    most = frame[["before", "after"]].max(axis=1)
    return frame.assign(**counts).iloc[most.argsort(kind="stable")].reset_index(drop=True)


def missing_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the missing values: the column that lacks most, in the source and in the snapshot."""
    lacking, worst = int(((frame["before"] > 0) | (frame["after"] > 0)).sum()), frame.iloc[-1]
    name = label_text(worst["column"])
    before, after = (f"{worst[f'rows_{side}']:,} values ({percent(worst[side])})" for side in ("before", "after"))
    if not worst["before"]:
        clause = f"{name}: {after} were set missing"
    elif worst["rows_before"] == worst["rows_after"]:
        clause = f"{name} lacks {after}"
    elif not worst["after"]:
        clause = f"{name} lacks {before} in the source, none in the snapshot"
    else:
        clause = f"{name} lacks {before} in the source, {after} in the snapshot"
    columns = f"{len(frame)} column{'s' if len(frame) != 1 else ''}"
    return (
        f"{lacking} of {columns} miss{'' if lacking != 1 else 'es'} values, most of all {clause}"
        if lacking > 1
        else clause
    )


def changes_table(ingested: Ingested) -> Table:
    """Return everything that was coerced, filled, clipped or dropped: column, what, rows, share, why, examples."""
    changes = ingested.manifest["changes"]
    if not changes:
        return note("Nothing was coerced, filled, clipped or dropped: every value was of its type and allowed.")
    of = max(ingested.manifest["read"]["all"], 1)
    rows = [
        {
            "column": change["column"],
            "what": change["what"],
            "rows": change["rows"],
            "share": change["rows"] / of,
            "why": change["why"],
            "examples": ", ".join(repr(text) for text in change["examples"][:3]),
        }
        for change in changes
    ]
    frame = pd.DataFrame(rows).sort_values("rows", ascending=False, kind="stable")
    return table(frame.assign(share=frame["share"].map(percent)))


def columns_table(ingested: Ingested, schema: Schema) -> Table:
    """Return the columns of the snapshot: role, type, unit, the values that train has, and what it means."""
    train = ingested.train
    rows = [
        {
            "column": name,
            "role": schema.columns[name].role,
            "type": schema.columns[name].type,
            "values in train": _values(train[name]),
            "unit": schema.columns[name].unit,
            "meaning": schema.columns[name].description or schema.columns[name].why,
        }
        for name in train.columns
    ]
    ignored_columns = [
        f"{name} ({column.why or 'ignored'})" for name, column in schema.columns.items() if name not in train.columns
    ]
    unused = ingested.manifest["source"]["unused_columns"]
    remarks = [f"Not read, as schema.yaml says: {'; '.join(ignored_columns)}."] if ignored_columns else []
    remarks += [f"In the source but not in schema.yaml: {', '.join(unused)}."] if unused else []
    return table(pd.DataFrame(rows), limit=200, note=" ".join(remarks))


def _headline(ingested: Ingested, dropped: int, changed: int) -> str:
    manifest = ingested.manifest
    date_text = f" as of {number(pd.Timestamp(manifest['as_of']).to_pydatetime())}" if manifest["as_of"] else ""
    changes = [f"{dropped:,} row{'s were' if dropped > 1 else ' was'} dropped"] if dropped else []
    changes += [f"{changed:,} value{'s were' if changed > 1 else ' was'} changed"] if changed else []
    rows = f"{manifest['rows']:,} row{'s are' if manifest['rows'] != 1 else ' is'}"
    return f"{rows} in the snapshot{date_text}; {' and '.join(changes) or 'nothing had to be changed'}."


def _span(window: dict[str, Any]) -> str:
    if not window["start"]:
        return "rows, drawn at random"
    start, end = (pd.Timestamp(window[name]) for name in ("start", "end"))
    return f"rows, {number(start.to_pydatetime())} until {number(end.to_pydatetime())}"


def gaps_frame(ingested: Ingested, schema: Schema) -> pd.DataFrame:
    """Return for each window how many steps of the schema's frequency it has, and how many of them have a row.

    Columns: ``window``, ``rows``, ``first``, ``last`` (times of its rows), ``steps``, ``present`` (NaN without a
    frequency, and where the frame is a sample of the window). Rows whose label is not known yet are in no window.
    """
    return pd.DataFrame([_window_gaps(name, ingested, schema) for name in PARTS])


def _window_gaps(name: str, ingested: Ingested, schema: Schema) -> dict[str, Any]:
    from quire.config import duration

    window, times = ingested.manifest["windows"][name], ingested.frames[name][str(schema.timestamp)]
    about = {"window": name, "rows": window["rows"], "first": times.min(), "last": times.max()}
    if not schema.frequency or len(times) < window["rows"]:
        return about | {"steps": np.nan, "present": np.nan}
    step = pd.Timedelta(duration(schema.frequency))
    steps = int(-(-(pd.Timestamp(window["end"]) - pd.Timestamp(window["start"]).floor(step)) // step))
    present = int(times.dt.floor(step).nunique())
    return about | {"steps": max(steps, present), "present": present}


def rows_message(frame: pd.DataFrame, schema: Schema) -> str:
    """Return the sentence over the chart of rows: the span, and how many steps of its frequency have no row."""
    span = f"{frame['rows'].sum():,} rows from {frame['first'].min():%-d %B %Y} to {frame['last'].max():%-d %B %Y}"
    if frame["steps"].isna().any():
        return span
    steps = int(frame["steps"].sum())
    return f"{span}; {absent_steps(steps - int(frame['present'].sum()), steps, str(schema.frequency))}"


def _period(length: pd.Timedelta) -> str:
    """Return the shortest of hour, day, week, four weeks that gives at most `MOST_BARS` bars."""
    for step in ("1h", "1D", "7D", "28D"):
        if length / pd.Timedelta(step) <= MOST_BARS:
            return step
    return f"{int(-(-(length / MOST_BARS) // pd.Timedelta('1D')))}D"


def _period_name(step: str) -> str:
    return {"1h": "hour", "1D": "day", "7D": "week", "28D": "four weeks"}.get(step, f"{step[:-1]} days")


def _label_windows(axes: "Axes", ingested: Ingested) -> None:
    """Write each window's name and rows over it; names of narrow windows stack, so that they do not meet."""
    for place, name in enumerate(PARTS):
        window = ingested.manifest["windows"][name]
        start, end = (pd.Timestamp(window[key]) for key in ("start", "end"))
        axes.annotate(
            f"{name} {window['rows']:,}",
            (start + (end - start) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -10 - 13 * (place == 2)),
            textcoords="offset points",
            ha="center" if name == "train" else "right",
            va="top",
            color=INK,
            fontsize=9,
            fontweight="bold",
        )


def _parts_chart(ingested: Ingested) -> Chart:
    windows = ingested.manifest["windows"]
    total = sum(windows[name]["rows"] for name in PARTS)
    fig, axes = figure(height=1.6)
    offset = 0
    for name in PARTS:
        rows = windows[name]["rows"]
        axes.barh([0], [rows], left=offset, color=COLOURS[name], height=0.6)
        axes.text(offset + rows / 2, 0.42, f"{name} {rows:,}", ha="center", va="bottom", fontsize=9, fontweight="bold")
        offset += rows
    axes.set(yticks=[], xlabel="rows", xlim=(0, total), ylim=(-0.4, 0.75))
    axes.grid(visible=False)
    frame = pd.DataFrame({"window": PARTS, "rows": [windows[name]["rows"] for name in PARTS]})
    share = percent(windows["test"]["rows"] / total)
    message = f"{total:,} rows, split at random: {share} to judge the model"
    help_text = (
        "The data has no timestamp, so the parts are drawn at random with a fixed seed, with the same share of each "
        "class where the target is one. A random split cannot show how a model ages."
    )
    return Chart(message, fig, help_text, frame)


def _values(column: pd.Series) -> str:
    """Return the range of numbers and times, or the most frequent values."""
    present = column.dropna()
    if present.empty:
        return "none"
    if pd.api.types.is_bool_dtype(column.dtype):
        return f"true in {percent(float(present.mean()))}"
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        low, high = present.min(), present.max()
        return f"{_text(low)} to {_text(high)}"
    common: Sequence[Any] = present.value_counts().index[:4].tolist()
    distinct = present.nunique()
    return ", ".join(map(str, common)) + (f" and {distinct - 4:,} more" if distinct > 4 else "")


def _text(value: Any) -> str:
    return number(value.to_pydatetime() if hasattr(value, "to_pydatetime") else value)

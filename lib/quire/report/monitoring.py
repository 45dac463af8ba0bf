"""The monitoring page: the answer, checks, performance, segments, feedback, service and alerts."""

from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.monitor.concept import beside_prediction, outcome_name
from quire.monitor.monitoring_result import MonitoringResult
from quire.monitor.performance import loss_of
from quire.monitor.performance_result import PerformanceResult
from quire.monitor.verdict import Finding
from quire.report.answers import Answer, answer
from quire.report.charts import Chart
from quire.report.drift import TONES, dates, latest, span_text
from quire.report.labels import label_text, name_columns, name_rows, percent_axis
from quire.report.numbers import is_missing, number, percent
from quire.report.tables import Table, note, sentences, table
from quire.report.theme import ACCENT, BAD, INK, MUTED, NEUTRAL, PALETTE, STATUS, figure

MOST_SEGMENTS = 15


def monitoring_answer(result: MonitoringResult) -> Answer:
    """Return the status of the latest period with its reason, and the few numbers behind it."""
    now, last, metric = latest(result.drift), result.figures.latest, result.figures.metric
    n_drifted, n_watched = (now.loc[now["status"] == status, "column"].nunique() for status in ("alert", "warn"))
    compared = now.loc[now["status"] != "unknown", "column"].nunique()
    failed = int((result.checks["status"] == "alert").sum())
    facts: list[tuple[Any, ...]] = [
        ("period", _span(result), f"{result.about.rows:,} rows predicted"),
        ("model", f"version {result.about.version}", _trained(result)),
        ("drift", f"{n_drifted} of {compared} columns", _drift_note(result, n_watched)),
        ("data checks", f"{failed} failed", f"of {len(result.checks)}"),
    ]
    metrics = {"columns_drifted": n_drifted, "columns_watched": n_watched, "checks_failed": failed}
    if last is not None and not is_missing(last["value"]):
        remark = f"{number(float(last['expected']))} on the test window"
        remark += "" if result.figures.is_current else f"; period to {last['end']:%-d %b %Y}"
        facts.append((f"{metric}, realised", float(last["value"]), remark))
        metrics[metric] = float(last["value"])
    if len(result.figures.estimated):
        guess = result.figures.estimated.iloc[-1]
        off = f"usually off by {number(result.figures.past_error)}"
        facts.append((f"{metric}, estimated", float(guess["estimated"]), off))
    return answer(result.verdict.status, result.verdict.headline, facts=facts, metrics=metrics)


def _drift_note(result: MonitoringResult, watched: int) -> str:
    followers = [finding.follows for finding in result.verdict.findings if finding.follows]
    if followers:
        return f"{len(followers)} of the findings follow{'s' if len(followers) == 1 else ''} from {followers[0]}"
    return f"{watched or 'none'} to watch"


def _span(result: MonitoringResult) -> str:
    start, end = result.about.start, result.about.end
    return span_text({"start": start, "end": end}) if start and end else "the current rows"


def _trained(result: MonitoringResult) -> str:
    until = result.about.trained_until
    return f"trained on data until {until:%-d %b %Y}" if until else "trained on rows of the same time"


def findings_table(result: MonitoringResult) -> Table:
    """Return what was found, the worst first: since when, how bad, how sure, and what it may come from.

    What the page shows as notable without being a finding (a segment, another metric) is told too.
    """
    entries: list[tuple[str, str, str]] = [
        (
            finding.severity,
            finding.what,
            " · ".join(part for part in (_since(finding), finding.sure, _cause(finding)) if part),
        )
        for finding in result.verdict.findings
    ]
    entries += [("note", text, more) for text, more in _remarks(result.figures)]
    if not entries:
        return note("There is nothing to report.")
    return sentences("What was found", entries)


def _remarks(figures: PerformanceResult) -> list[tuple[str, str]]:
    remarks = []
    worse = figures.segments[figures.segments["status"] == "warn"]
    if len(worse):
        names = [f"{segment_name(row)} by {percent(row['change'])}" for _, row in worse.iterrows()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        text = (
            f"The error of {len(worse)} of {len(figures.segments)} segments is clearly larger than on the test window"
        )
        remarks.append((f"{text}: {', '.join(names[:3])}{more}.", "of the current rows; see Weakest segments"))
    others = figures.judged[(figures.judged["metric"] != figures.metric)]
    others = others[others["status"].isin(["warn", "alert"])]
    if len(others):
        names = [f"{row.metric} ({number(row.value)}, was {number(row.expected)})" for row in others.itertuples()]
        remarks.append((f"Not judged by, but worse than is usual: {', '.join(names)}.", "see the table of metrics"))
    return remarks


def _since(one: Finding) -> str:
    return f"since {one.since:%-d %b %Y}" if one.since else "in this period"


def _cause(one: Finding) -> str:
    return f"likely cause: {one.cause}" if one.cause and one.cause not in one.what else ""


def checks_table(result: MonitoringResult) -> Table:
    """Return the checks of the data that do not hold; a sentence where all do."""
    checks = result.checks
    bad = checks[checks["status"] != "ok"]
    if bad.empty:
        facts = " ".join(checks.loc[checks["column"] == "", "detail"])
        return note(f"All {len(checks)} checks of the period's data hold. {facts}".strip())
    return table(bad[["status", "column", "what", "detail"]], "What does not hold", limit=40)


def predicted_and_actual(result: MonitoringResult, schema: Schema) -> Chart | Table:
    """Return the mean prediction of each period beside the mean of the actual values."""
    frame = _timed(result.figures.concept)
    if frame.empty:
        return note("There is no course over time: the rows have no timestamp, or no outcome is known yet.")
    fig, axes = figure(height=3.0)
    axes.plot(frame["end"], frame["actual"], color=INK, label="actual", marker="o", markersize=4)
    axes.plot(frame["end"], frame["predicted"], color=ACCENT, label="predicted", marker="o", markersize=4)
    axes.fill_between(frame["end"], frame["predicted"], frame["actual"], color=ACCENT, alpha=0.12, linewidth=0)
    unit = schema.columns[schema.target].unit
    axes.set(ylabel=label_text(f"mean of {schema.target}{f', {unit}' if unit else ''}"))
    from_zero(axes, frame[["actual", "predicted"]])
    axes.legend(loc="lower right", ncols=2)
    dates(axes)
    return Chart(
        actual_message(frame, schema),
        fig,
        "Each point is the mean of one period. The gap is the signed error.",
        frame,
    )


def actual_message(frame: pd.DataFrame, schema: Schema) -> str:
    """Return the sentence over predicted and actual: the last period that is drawn, and the test window."""
    last = frame.iloc[-1]
    period_text = f"In the period to {last['end']:%-d %B %Y}"
    message = f"{period_text} the actual {outcome_name(schema)} was {beside_prediction(last['share'])}"
    return f"{message}; on the test window it was {beside_prediction(last['expected'])}"


def from_zero(axes: Any, values: pd.DataFrame) -> None:
    """Let the vertical axis begin at zero where no value is below it."""
    if not (values.to_numpy(dtype=float) < 0).any():
        axes.set_ylim(bottom=0)


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the periods that have an end, which is given as a time."""
    frame = frame[frame["end"].notna()]
    return frame.assign(end=pd.to_datetime(frame["end"], utc=True)).reset_index(drop=True)


def predictions_spread(result: MonitoringResult, schema: Schema) -> Chart | Table:
    """Return how the predictions are spread, now and on the test window."""
    frame, quantity = result.spread, "probability" if schema.task == "binary" else "prediction"
    if frame.empty or not frame["now"].sum():
        return note("There is no prediction in this period.")
    fig, axes = figure(height=2.8)
    if frame["low"].isna().all():
        places = np.arange(len(frame))
        axes.bar(places - 0.2, frame["test"], width=0.4, color=NEUTRAL, label="test window")
        axes.bar(places + 0.2, frame["now"], width=0.4, color=ACCENT, label="now")
        name_columns(axes, frame["label"], most=20)
    else:
        edges = [*frame["low"], frame["high"].iloc[-1]]
        axes.stairs(frame["test"], edges, color=NEUTRAL, fill=True, alpha=0.5, label="test window")
        axes.stairs(frame["now"], edges, color=ACCENT, linewidth=1.8, label="now")
    percent_axis(axes.yaxis)
    axes.set(xlabel=quantity, ylabel="share of the rows")
    axes.margins(y=0.2)
    axes.legend(ncols=2, loc="upper right")
    return Chart(spread_message(frame, quantity), fig, "Both are shares of the rows, in the same bins.", frame)


def spread_message(frame: pd.DataFrame, what: str) -> str:
    """Return the sentence over the spread: the class whose share changed most, or the middle of both histograms."""
    if frame["low"].isna().all():
        most = frame.loc[(frame["now"] - frame["test"]).abs().idxmax()]
        now, test = percent(most["now"]), percent(most["test"])
        return f"{label_text(most['label'])} is predicted for {now} of the rows, on the test window for {test}"
    middle = (frame["low"] + frame["high"]) / 2
    means = [
        float(np.average(middle, weights=frame[name])) if frame[name].sum() else np.nan for name in ("now", "test")
    ]
    return f"The mean {what} is about {number(means[0])}, on the test window about {number(means[1])}"


def performance_over_time(result: MonitoringResult) -> Chart | Table:
    """Return the realised and the estimated metric of each period, with what is expected and usual."""
    figures = result.figures
    main, estimated = _timed(figures.main), _timed(figures.estimated)
    if main.empty:
        return note(performance_message(figures) + ".")
    fig, axes = figure(height=3.4)
    expected = figures.expected[figures.metric].value
    axes.axhline(expected, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _name_line(axes, expected, "test window", MUTED)
    bound = float(main["usual"].iloc[-1])
    if bound == bound:
        axes.axhline(bound, color=BAD, linewidth=1)
        _name_line(axes, bound, "alert level", BAD)
    _draw_interval(axes, [main[name] for name in ("end", "value", "low", "high")], INK, "realised", -1)
    if len(estimated):
        guesses = [estimated[name] for name in ("end", "estimated", "low", "high")]
        _draw_interval(axes, guesses, PALETTE[1], "estimated", 1)
    axes.set(ylabel=figures.metric)
    axes.margins(x=0.1, y=0.25)
    from_zero(axes, main[["value"]])
    axes.legend(loc="upper left", ncols=2)
    dates(axes)
    help_text = (
        "Dots are single periods, bars their intervals. Estimated is what could be said before the labels were known."
    )
    return Chart(performance_message(figures), fig, help_text, main)


def _name_line(axes: Any, at: float, name: str, colour: str) -> None:
    # Beside the chart, where no line crosses it.
    axes.annotate(name, (1, at), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="left",
                  va="center", fontsize=8, color=colour)  # fmt: skip


def _draw_interval(axes: Any, drawn: list[pd.Series], colour: str, name: str, side: int) -> None:
    at, value, low, high = drawn
    times = pd.to_datetime(at, utc=True)
    step = times.diff().median() if len(times) > 1 else pd.Timedelta(days=7)
    breaks = (times.diff() > 1.5 * step).to_numpy()
    times = times + side * step * 0.08
    floor = 0.0 if (value.dropna() >= 0).all() else -np.inf  # an estimate's interval knows nothing of what cannot be
    axes.vlines(times, low.astype(float).clip(lower=floor), high.astype(float), color=colour, linewidth=1.4, alpha=0.6)
    for part in np.split(np.arange(len(times)), np.flatnonzero(breaks)):
        drawn_to = value.iloc[part].astype(float)
        label = name if part[0] == 0 else None
        axes.plot(times.iloc[part], drawn_to, color=colour, marker="o", markersize=5, linewidth=1, label=label)


def performance_message(figures: PerformanceResult) -> str:
    """Return the sentence over the chart: what the metric is, beside what was expected."""
    last, metric = figures.latest, figures.metric
    expected = f"on the test window it was {number(figures.expected[metric].value)}"
    if last is not None and not is_missing(last["value"]):
        period_text = (
            "" if figures.is_current else f" in the period to {last['end']:%-d %B %Y}, the last whose outcomes are due"
        )
        return f"{metric} is {number(float(last['value']))}{period_text}, {_beside_usual(last, metric)}; {expected}"
    if not len(figures.estimated):
        return f"No outcome is known yet; {metric}: {expected}"
    guess = number(float(figures.estimated["estimated"].iloc[-1]))
    return f"No outcome is known yet; {metric} is estimated at {guess}, {expected}"


def _beside_usual(last: pd.Series, metric: str) -> str:
    if last["status"] == "alert":
        return "worse than is usual"
    if last["status"] == "warn":
        return "worse for two periods"
    better = loss_of(metric, last["value"]) <= loss_of(metric, last["expected"])
    return "no worse than was expected" if better else "a little worse, as is usual"


def metrics_table(result: MonitoringResult) -> Table:
    """Return every metric of the latest period beside the test window, with the estimate and its own past error."""
    figures = result.figures
    last = figures.judged
    rows = last[["metric", "status", "labelled", "rows", "value", "low", "high", "expected", "change"]]
    names = {"low": "from", "high": "to", "expected": "on the test window", "change": "change in error"}
    remark = ""
    if len(figures.estimated):
        guess = number(float(figures.estimated["estimated"].iloc[-1]))
        remark = (
            f"{figures.metric} was estimated at {guess} without labels; "
            f"where both were known, estimates were off by {number(figures.past_error)} on average."
        )
    title = "The latest period" if figures.is_current else "The last period whose outcomes are due"
    return table(rows, title, names=names, formats={"change": "+.1%"}, note=remark)


def signed_errors(result: MonitoringResult, schema: Schema) -> Chart | Table:
    """Return the signed error of each period as a share of the predictions, with the band that is usual."""
    concept = result.figures.concept
    if concept.empty:
        return note("No outcome is known yet, or the task has several classes: there is no signed error.")
    frame = _timed(concept)
    if frame.empty:
        return table(concept[["labelled", "actual", "predicted", "bias", "low", "high", "status"]], "Signed error")
    fig, axes = figure(height=2.8)
    low, high = frame["usual_low"].iloc[-1], frame["usual_high"].iloc[-1]
    if not is_missing(low):
        axes.axhspan(low, high, color=NEUTRAL, alpha=0.2, linewidth=0)
        axes.annotate("usual", (0, high), (4, -3), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="top", fontsize=8, color=MUTED)  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    colours = [STATUS[TONES[status]] if status in ("warn", "alert") else ACCENT for status in frame["status"]]
    axes.plot(frame["end"], frame["share"], color=NEUTRAL, linewidth=1)
    axes.scatter(frame["end"], frame["share"], color=colours, s=30, zorder=3)
    percent_axis(axes.yaxis, signed=True)
    axes.set(ylabel="actual minus predicted")
    axes.margins(x=0.05, y=0.2)
    dates(axes)
    help_text = (
        "As a share of the predictions; above zero the actual value was higher. The band is what is usual, by the "
        "periods of the test window."
    )
    return Chart(signed_message(frame, schema), fig, help_text, frame)


def signed_message(frame: pd.DataFrame, schema: Schema) -> str:
    """Return the sentence over the signed errors: which way the model errs in the last period that is drawn."""
    last = frame.iloc[-1]
    words = {
        "alert": "more than is usual",
        "warn": "for two periods more than on the test window",
        "ok": "as is usual",
    }
    name = outcome_name(schema)
    if is_missing(last["share"]) or last["share"] == 0:
        return f"In the period to {last['end']:%-d %B %Y} the actual {name} was {beside_prediction(last['share'])}"
    verb = "under-predicts" if last["share"] > 0 else "over-predicts"
    word = words.get(last["status"], "")
    clause = f"in the period to {last['end']:%-d %B %Y} the actual value was {beside_prediction(last['share'])}"
    return f"The model {verb} the {name}: {clause}{f', {word}' if word else ''}"


def segments_chart(result: MonitoringResult, *, column: str = "") -> Chart | Table:
    """Return the main metric of each segment beside what it was on the test window; ``column``: of one only."""
    rows = result.figures.segments
    rows = rows[rows["column"] == column] if column else rows
    if rows.empty:
        return note("No segment has enough labelled rows in this period.")
    frame = rows.head(MOST_SEGMENTS).reset_index(drop=True)
    fig, axes = figure(height=1.2 + 0.34 * len(frame))
    places = np.arange(len(frame))
    colours = [STATUS["warn"] if status == "warn" else ACCENT for status in frame["status"]]
    axes.hlines(places, frame["low"], frame["high"], color=colours, linewidth=2, alpha=0.5)
    axes.scatter(frame["value"], places, color=colours, s=40, zorder=3, label="now")
    axes.scatter(frame["expected"], places, color=MUTED, marker="|", s=160, linewidth=2, zorder=4, label="test window")
    name_rows(axes, [f"{segment_name(row)} ({row['rows']:,})" for _, row in frame.iterrows()])
    axes.set(xlabel=result.figures.metric, ylim=(len(frame) - 0.3, -0.7))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.3 / max(1.2, 0.34 * len(frame))), ncols=2)
    help_text = "Bars are intervals; the number of rows is in brackets. The mark is the test window."
    n_omitted = len(rows) - len(frame)
    help_text += f" {n_omitted} segments that changed for the better are left out." if n_omitted else ""
    return Chart(segments_message(frame), fig, help_text, frame)


def segment_name(row: Any) -> str:
    """Return what a segment is called: its column and its value, each cut to what a chart has room for."""
    return f"{label_text(row['column'], 18)} = {label_text(row['segment'], 18)}"


def segments_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the segments, the one whose error grew most first."""
    valid_rows = frame[frame["change"].notna()]
    if valid_rows.empty:
        return "None of the segments had enough rows on the test window to compare with"
    worst = valid_rows.loc[valid_rows["change"].idxmax()]
    name, change = segment_name(worst), percent(abs(worst["change"]))
    clearly = valid_rows[valid_rows["status"] == "warn"]
    if len(clearly):
        most = clearly.loc[clearly["change"].idxmax()]
        size = percent(most["change"])
        return f"{segment_name(most)} is clearly worse: its error is {size} larger than on the test window"
    if len(valid_rows) == 1:
        side = (
            "as large as" if worst["change"] == 0 else f"{change} {'larger' if worst['change'] > 0 else 'smaller'} than"
        )
        return f"The error of {name} is {side} on the test window{', within chance' if worst['change'] > 0 else ''}"
    if worst["change"] < 0:
        text = f"The error is smaller than on the test window in all {len(valid_rows)} segments"
        return f"{text}, least so where {name} (by {change})"
    if worst["change"] == 0:
        return f"The error has grown in none of {len(valid_rows)} segments since the test window"
    return f"No segment is clearly worse than on the test window; {name} comes closest, with an error {change} larger"

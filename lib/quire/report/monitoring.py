"""The monitoring page: the answer, checks, performance, segments, feedback, service and alerts."""

from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.monitor.figures import Figures
from quire.monitor.look import Seen
from quire.monitor.verdict import Finding
from quire.report.answers import Answer, answer
from quire.report.charts import Chart
from quire.report.drift import TONES, dates, latest
from quire.report.numbers import number
from quire.report.tables import Table, note, sentences, table
from quire.report.theme import ACCENT, BAD, INK, MUTED, NEUTRAL, PALETTE, STATUS, figure


def monitoring_answer(seen: Seen) -> Answer:
    """Return the status of the latest period with its reason, and the few numbers behind it."""
    now, last, metric = latest(seen.drift), seen.figures.latest, seen.figures.metric
    drifted, watched = (now.loc[now["status"] == one, "column"].nunique() for one in ("alert", "warn"))
    failed = int((seen.checks["status"] == "alert").sum())
    facts: list[tuple[Any, ...]] = [
        ("period", _span(seen), f"{seen.about.rows:,} rows predicted"),
        ("model", f"version {seen.about.version}", _trained(seen)),
        ("drift", f"{drifted} of {now['column'].nunique()} columns", f"{watched or 'none'} to watch"),
        ("data checks", f"{failed} failed", f"of {len(seen.checks)}"),
    ]
    metrics = {"columns_drifted": drifted, "columns_watched": watched, "checks_failed": failed}
    if last is not None and last["value"] == last["value"]:
        beside = f"{number(float(last['expected']))} on the test window"
        facts.append((f"{metric}, realised", float(last["value"]), beside))
        metrics[metric] = float(last["value"])
    if len(seen.figures.estimated):
        guess = seen.figures.estimated.iloc[-1]
        off = f"usually off by {number(seen.figures.past_error)}"
        facts.append((f"{metric}, estimated", float(guess["estimated"]), off))
    return answer(seen.verdict.status, seen.verdict.headline, facts=facts, metrics=metrics)


def _span(seen: Seen) -> str:
    start, end = seen.about.start, seen.about.end
    return f"{start:%-d %b} to {end:%-d %b %Y}" if start and end else "the current rows"


def _trained(seen: Seen) -> str:
    until = seen.about.trained_until
    return f"trained on data until {until:%-d %b %Y}" if until else "trained on rows of the same time"


def findings_table(seen: Seen) -> Table:
    """Return what was found, the worst first: since when, how bad, how sure, and what it may come from."""
    if not seen.verdict.findings:
        return note("There is nothing to report.")
    found = [
        (one.severity, one.what, " · ".join(part for part in (_since(one), one.sure, _cause(one)) if part))
        for one in seen.verdict.findings
    ]
    return sentences("What was found", found)


def _since(one: Finding) -> str:
    return f"since {one.since:%-d %b %Y}" if one.since else "in this period"


def _cause(one: Finding) -> str:
    return f"likely cause: {one.cause}" if one.cause and one.cause not in one.what else ""


def checks_table(seen: Seen) -> Table:
    """Return the checks of the data that do not hold; a sentence where all do."""
    checks = seen.checks
    bad = checks[checks["status"] != "ok"]
    if bad.empty:
        facts = " ".join(checks.loc[checks["column"] == "", "detail"])
        return note(f"All {len(checks)} checks of the period's data hold. {facts}".strip())
    return table(bad[["status", "column", "what", "detail"]], "What does not hold", limit=40)


def predicted_and_actual(seen: Seen, schema: Schema) -> Chart | Table:
    """Return the mean prediction of each period beside the mean of what happened."""
    concept = seen.figures.concept
    if concept.empty or concept["end"].isna().all():
        return note("There is no course over time: the rows have no timestamp, or what happened is not known yet.")
    drawn, axes = figure(height=3.0)
    axes.plot(concept["end"], concept["actual"], color=INK, label="what happened", marker="o", markersize=4)
    axes.plot(concept["end"], concept["predicted"], color=ACCENT, label="predicted", marker="o", markersize=4)
    axes.fill_between(concept["end"], concept["predicted"], concept["actual"], color=ACCENT, alpha=0.12, linewidth=0)
    unit = schema.columns[schema.target].unit
    axes.set(ylabel=f"mean of {schema.target}{f', {unit}' if unit else ''}", ylim=(0, None))
    axes.legend(loc="lower right", ncols=2)
    dates(axes)
    last = concept.iloc[-1]
    now = f"In the last period {_more(last['share'])} happened than was predicted"
    message = f"{now}; on the test window {_more(last['expected'])}"
    return Chart(message, drawn, "Each point is the mean of one period. The gap is the model's signed error.")


def _more(share: float) -> str:
    return f"{abs(share):.0%} {'more' if share >= 0 else 'less'}"


def predictions_spread(seen: Seen, schema: Schema) -> Chart:
    """Return how the predictions are spread, now and on the test window."""
    spread, what = seen.spread, "probability" if schema.task == "binary" else "prediction"
    drawn, axes = figure(height=2.8)
    if spread["low"].isna().all():
        places = np.arange(len(spread))
        axes.bar(places - 0.2, spread["test"], width=0.4, color=NEUTRAL, label="test window")
        axes.bar(places + 0.2, spread["now"], width=0.4, color=ACCENT, label="now")
        axes.set_xticks(places, spread["label"])
        most = spread.loc[(spread["now"] - spread["test"]).abs().idxmax()]
        message = (
            f"{most['label']} is predicted for {most['now']:.0%} of the rows, on the test window {most['test']:.0%}"
        )
    else:
        edges = [*spread["low"], spread["high"].iloc[-1]]
        axes.stairs(spread["test"], edges, color=NEUTRAL, fill=True, alpha=0.5, label="test window")
        axes.stairs(spread["now"], edges, color=ACCENT, linewidth=1.8, label="now")
        middle = (spread["low"] + spread["high"]) / 2
        means = [number(float((middle * spread[name]).sum())) for name in ("now", "test")]
        message = f"The mean {what} is about {means[0]}, on the test window about {means[1]}"
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlabel=what, ylabel="share of the rows")
    axes.legend()
    return Chart(message, drawn, "Both are shares of the rows, in the same bins.")


def performance_over_time(seen: Seen) -> Chart | Table:
    """Return the realised and the estimated metric of each period, with what is expected and usual."""
    figures = seen.figures
    main, estimated = figures.main, figures.estimated
    if main["end"].isna().all():
        return note(performance_message(figures) + ".")
    drawn, axes = figure(height=3.4)
    expected = figures.expected[figures.metric].value
    axes.axhline(expected, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _name_line(axes, expected, "test window", MUTED)
    bound = float(main["usual"].iloc[-1])
    if bound == bound:
        axes.axhline(bound, color=BAD, linewidth=1)
        _name_line(axes, bound, "beyond usual", BAD)
    _draw_interval(axes, [main[name] for name in ("end", "value", "low", "high")], INK, "realised", -1)
    if len(estimated):
        guesses = [estimated[name] for name in ("end", "estimated", "low", "high")]
        _draw_interval(axes, guesses, PALETTE[1], "estimated", 1)
    axes.set(ylabel=figures.metric)
    axes.margins(x=0.1, y=0.25)
    if (main["value"].dropna() >= 0).all():
        axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", ncols=2)
    dates(axes)
    how = "Dots are single periods, bars their intervals. Estimated is what could be said before the labels were known."
    return Chart(performance_message(figures), drawn, how)


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


def performance_message(figures: Figures) -> str:
    """Return the sentence over the chart: what the metric is, beside what was expected."""
    last, metric = figures.latest, figures.metric
    expected = f"on the test window it was {number(figures.expected[metric].value)}"
    if last is not None and last["value"] == last["value"]:
        words = {"alert": "worse than is usual", "warn": "worse for two periods", "ok": "as expected"}
        return f"{metric} is {number(float(last['value']))}, {words.get(last['status'], '')}: {expected}"
    if not len(figures.estimated):
        return f"What happened is not known yet; {metric}: {expected}"
    guess = number(float(figures.estimated["estimated"].iloc[-1]))
    return f"What happened is not known yet; {metric} is estimated at {guess}, {expected}"


def metrics_table(seen: Seen) -> Table:
    """Return every metric of the latest period beside the test window, with the estimate and its own past error."""
    figures = seen.figures
    last = figures.periods.groupby("metric", sort=False).tail(1)
    rows = last[["metric", "status", "labelled", "rows", "value", "low", "high", "expected", "change"]]
    names = {"low": "from", "high": "to", "expected": "on the test window", "change": "change of the loss"}
    told = ""
    if len(figures.estimated):
        guess = number(float(figures.estimated["estimated"].iloc[-1]))
        told = (
            f"{figures.metric} was estimated at {guess} without labels; "
            f"where both were known, estimates were off by {number(figures.past_error)} on average."
        )
    return table(rows, "The latest period", names=names, formats={"change": "+.1%"}, note=told)


def signed_errors(seen: Seen, schema: Schema) -> Chart | Table:
    """Return the signed error of each period as a share of the predictions, with the band that is usual."""
    concept = seen.figures.concept
    if concept.empty:
        return note("What happened is not known yet, or the task has several classes: there is no signed error.")
    if concept["end"].isna().all():
        return table(concept[["labelled", "actual", "predicted", "bias", "low", "high", "status"]], "Signed error")
    drawn, axes = figure(height=2.8)
    low, high = concept["usual_low"].iloc[-1], concept["usual_high"].iloc[-1]
    if low == low:
        axes.axhspan(low, high, color=NEUTRAL, alpha=0.2, linewidth=0)
        axes.annotate("usual", (0, high), (4, -3), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="top", fontsize=8, color=MUTED)  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    colours = [STATUS[TONES[status]] if status in ("warn", "alert") else ACCENT for status in concept["status"]]
    axes.plot(concept["end"], concept["share"], color=NEUTRAL, linewidth=1)
    axes.scatter(concept["end"], concept["share"], color=colours, s=30, zorder=3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+.0%}")
    axes.set(ylabel="happened less predicted")
    axes.margins(x=0.05, y=0.2)
    dates(axes)
    last = concept.iloc[-1]
    words = {"alert": "more than is usual", "warn": "for two periods more than expected"}
    lean = "under" if last["bias"] > 0 else "over"
    word = words.get(last["status"], "as is usual")
    message = f"The model {lean}-predicts {schema.target}: {_more(last['share'])} happened, {word}"
    how = "Above zero more happened than was predicted. The band is what periods of the test window lead one to expect."
    return Chart(message, drawn, how)


def segments_chart(seen: Seen, *, column: str = "") -> Chart | Table:
    """Return the main metric of each segment beside what it was on the test window; ``column``: of one only."""
    found = seen.figures.segments
    found = found[found["column"] == column] if column else found
    if found.empty:
        return note("No segment has enough labelled rows in this period.")
    rows = found.head(15).iloc[::-1]
    drawn, axes = figure(height=1.2 + 0.34 * len(rows))
    places = np.arange(len(rows))
    colours = [STATUS["warn"] if status == "warn" else ACCENT for status in rows["status"]]
    axes.hlines(places, rows["low"], rows["high"], color=colours, linewidth=2, alpha=0.5)
    axes.scatter(rows["value"], places, color=colours, s=40, zorder=3, label="now")
    axes.scatter(rows["expected"], places, color=MUTED, marker="|", s=160, linewidth=2, zorder=4, label="test window")
    axes.set_yticks(places, [f"{row.column} = {row.segment} ({row.rows})" for row in rows.itertuples()])
    axes.set(xlabel=seen.figures.metric, ylim=(-0.7, len(rows) - 0.3))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.3 / max(1.2, 0.34 * len(rows))), ncols=2)
    worst = found.iloc[0]
    name = f"{worst['column']} = {worst['segment']}"
    message = f"No segment is clearly worse than on the test window; {name} changed most"
    if worst["status"] == "warn":
        message = f"{name} lost most: its error is {worst['change']:.0%} larger than on the test window"
    return Chart(message, drawn, "Bars are intervals; the number of rows is in brackets. The mark is the test window.")

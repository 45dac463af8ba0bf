"""The evaluation report: candidate, champion and baseline side by side, and what the gate made of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from quire.model.bootstrap import Interval
from quire.model.evaluation import Evaluation, Score
from quire.model.metrics import HIGHER_IS_BETTER
from quire.model.verdict import Verdict
from quire.report.answers import Answer
from quire.report.answers import answer as make_answer
from quire.report.charts import Chart
from quire.report.labels import label_text, name_rows, percent_axis
from quire.report.numbers import is_missing, number, percent, signed
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, GOOD, INK, MUTED, NEUTRAL, figure

MOST_SEGMENTS = 24
MOST_FEATURES = 20
SHOWN = {
    "regression": ("r2", "mae", "rmse"),
    "binary": ("roc_auc", "average_precision", "log_loss"),
    "multiclass": ("log_loss", "accuracy", "f1_macro"),
}


def answer(evaluation: Evaluation, verdict: Verdict, outcome: Mapping[str, Any]) -> Answer:
    """Return what was decided and why. outcome: the artifact ``verdict``, as `Verdict.record` made it."""
    metric = evaluation.metric
    facts: list[tuple[Any, ...]] = [_fact(metric, "candidate", evaluation.candidate)]
    if evaluation.champion is not None:
        facts.append(_fact(metric, f"champion {evaluation.champion_version}".strip(), evaluation.champion))
    facts.append(_fact(metric, "naive baseline", evaluation.baseline, note=evaluation.baseline.name))
    if evaluation.over_champion is not None and not evaluation.same:
        gain = evaluation.over_champion[metric]
        facts.append(("gain over champion", signed(gain.value), _ends(gain, signed)))
    facts.append(("test rows", evaluation.rows, _when(evaluation)))
    facts.append(("champion now", outcome["version"] or "none", "promoted" if outcome["promoted"] else "not moved"))
    metrics = {name: interval.value for name, interval in evaluation.candidate.test.items()}
    return make_answer(verdict.status, _headline(verdict, outcome), facts, metrics)


def reasons_table(verdict: Verdict) -> Table:
    """Return each rule of the gate with whether it holds, and why."""
    rows = [
        ("note" if reason.note else "pass" if reason.holds else "fail", reason.rule, reason.text)
        for reason in verdict.reasons
    ]
    return table(pd.DataFrame(rows, columns=["status", "rule", "why"]), "What the gate looked at")


def metrics_table(evaluation: Evaluation) -> Table:
    """Return every metric of candidate, champion and baseline, and the candidate's gain over the champion."""
    frame = pd.DataFrame(
        [_metric_row(name, evaluation) for name in evaluation.candidate.test],
    ).dropna(axis=1, how="all")
    remark = f"95% intervals from {evaluation.resampling.resamples} draws of a {evaluation.resampling.unit}."
    return table(frame, "All metrics on the same test rows", note=remark + " A gain above zero is better.")


def contenders(evaluation: Evaluation) -> Chart:
    """Return the main metrics of candidate, champion and baseline with their intervals."""
    frame = contenders_frame(evaluation)
    names = list(dict.fromkeys(frame["contender"]))
    metrics = list(dict.fromkeys(frame["metric"]))
    fig, grid = figure(1, len(metrics), height=1.3 + 0.4 * len(names), sharey=True, squeeze=False)
    colours = dict(zip(names, [ACCENT, INK, MUTED] if len(names) == 3 else [ACCENT, MUTED], strict=True))
    for metric, ax in zip(metrics, grid.flat, strict=True):
        for row in frame[frame["metric"] == metric].itertuples():
            place, colour = names.index(row.contender), colours[row.contender]
            ax.hlines(place, row.low, row.high, color=colour, linewidth=3, alpha=0.5)
            ax.scatter(row.value, place, color=colour, s=50, zorder=3)
            ax.annotate(number(row.value), (row.value, place), (0, 7), textcoords="offset points", ha="center")
        ax.set_title(
            f"{metric} ({'higher' if HIGHER_IS_BETTER.get(metric, True) else 'lower'} is better)", fontsize=9.5
        )
        ax.margins(x=0.15, y=0.35)
    name_rows(grid.flat[0], names)
    grid.flat[0].invert_yaxis()
    help_text = (
        f"Dot: {evaluation.rows:,} test rows. Bar: 95% interval (bootstrap by {evaluation.resampling.unit}). "
        "The contenders are compared draw by draw, so their difference can be sure even where bars overlap."
    )
    return Chart(contenders_message(evaluation), fig, help_text, frame)


def contenders_frame(evaluation: Evaluation) -> pd.DataFrame:
    """Return ``metric``, ``contender``, ``value``, ``low``, ``high``: the deciding metric first, then the usual ones.

    A metric that cannot be computed for a contender is left out for it.
    """
    metrics = [evaluation.metric, *(name for name in SHOWN[evaluation.task] if name != evaluation.metric)]
    rows = [
        {"metric": metric, "contender": name, "value": interval.value, "low": interval.low, "high": interval.high}
        for metric in metrics[:3]
        for name, score, _ in _scores(evaluation)
        if (interval := score.test.get(metric)) is not None and not is_missing(interval.value)
    ]
    return pd.DataFrame(rows, columns=["metric", "contender", "value", "low", "high"])


def segments(evaluation: Evaluation, max_loss: float | None = None) -> Chart | Table:
    """Return the error by segment; with a champion the relative loss, with the gate's limit as a line."""
    frame = evaluation.segments.head(MOST_SEGMENTS).reset_index(drop=True)
    if frame.empty:
        return note("There are no segments to compare.")
    compared = evaluation.champion is not None and not evaluation.same
    fig, ax = figure(height=1.1 + 0.27 * len(frame))
    if compared:
        _draw_losses(ax, frame, max_loss)
    else:
        places = np.arange(len(frame))
        ax.hlines(places, 0, frame["candidate"], color=NEUTRAL, linewidth=1.5)
        ax.scatter(frame["candidate"], places, color=ACCENT, s=40, zorder=3)
        ax.set_xlabel(f"{_segment_metric(frame)} of the candidate (lower is better)")
    name_rows(ax, [f"{_segment(row)} ({row['rows']:,})" for _, row in frame.iterrows()], most=48, fontsize=8.5)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    help_text = "In brackets: test rows. " + (
        "Line: 95% interval. Green is better for sure, red is worse for sure, grey is within chance. The gate looks "
        "at all but the rows by time."
        if compared
        else "Segments are those of schema.yaml, then the most important other features, then time."
    )
    help_text += f" The first {len(frame)} are shown." if len(frame) < len(evaluation.segments) else ""
    return Chart(segments_message(frame, compared), fig, help_text, frame)


def _draw_losses(ax: Any, frame: pd.DataFrame, max_loss: float | None) -> None:
    places = np.arange(len(frame))
    ax.hlines(places, frame["loss_low"], frame["loss_high"], color=NEUTRAL, linewidth=2)
    limits = zip(frame["loss_low"], frame["loss_high"], strict=True)
    colours = [BAD if low > 0 else GOOD if high < 0 else MUTED for low, high in limits]
    ax.scatter(frame["loss"], places, color=colours, s=40, zorder=3)
    ax.axvline(0, color=MUTED, linewidth=1)
    if max_loss is not None:
        ax.axvline(max_loss, color=BAD, linewidth=1, linestyle="--")
        ax.annotate(" allowed", (max_loss, 1), xycoords=("data", "axes fraction"), color=BAD, va="bottom", fontsize=9)
    percent_axis(ax.xaxis, signed=True)
    ax.set_xlabel(f"{_segment_metric(frame)} of the candidate over the champion's (below zero is better)")


def _segment(row: Any) -> str:
    return f"{label_text(row['column'], 22)}: {label_text(row['segment'], 22)}"


def importance(evaluation: Evaluation) -> Chart | Table:
    """Return how much the model relies on each feature."""
    frame = evaluation.importance.reset_index(drop=True)
    top_features = frame.head(MOST_FEATURES)
    if top_features.empty:
        return note("The model has no feature to shuffle.")
    fig, ax = figure(height=1 + 0.28 * len(top_features))
    ax.barh(
        range(len(top_features)),
        top_features["importance"],
        xerr=top_features["std"],
        color=ACCENT,
        height=0.6,
        ecolor=MUTED,
    )
    name_rows(ax, top_features["feature"])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"how much {evaluation.importance_metric} gets worse when the feature is shuffled")
    help_text = (
        "Each feature's values are shuffled among the test rows, five times; line: standard deviation. Features that "
        "are redundant share their importance: shuffling one leaves the other."
    )
    help_text += f" The first {MOST_FEATURES} are shown." if len(frame) > MOST_FEATURES else ""
    return Chart(importance_message(frame), fig, help_text, frame)


def importance_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the importances, the highest first; one within its own spread makes no difference."""
    matters = frame[frame["importance"] > 2 * frame["std"]]
    matters = matters[matters["importance"] > 0]
    idle = len(frame) - len(matters)
    if matters.empty:
        return f"None of {len(frame)} features makes a difference when it is shuffled"
    message = f"The model relies most on {label_text(matters['feature'].iloc[0])}"
    message += f", then on {label_text(matters['feature'].iloc[1])}" if len(matters) > 1 else ""
    verb = "make" if idle > 1 else "makes"
    return f"{message}; {idle} of {len(frame)} features {verb} no difference" if idle else message


def _scores(evaluation: Evaluation) -> list[tuple[str, Score, str]]:
    scores: list[tuple[str, Score, str]] = [("candidate", evaluation.candidate, ACCENT)]
    if evaluation.champion is not None:
        scores.append((f"champion {evaluation.champion_version}".strip(), evaluation.champion, INK))
    return [*scores, ("baseline", evaluation.baseline, MUTED)]


def _metric_row(name: str, evaluation: Evaluation) -> dict[str, Any]:
    interval = evaluation.candidate.test[name]
    row: dict[str, Any] = {"metric": name, "candidate": interval.value}
    row["95% interval"] = _ends(interval, number)
    row["champion"] = evaluation.champion.test[name].value if evaluation.champion else None
    gain = evaluation.over_champion[name] if evaluation.over_champion and not evaluation.same else None
    row["gain"] = f"{signed(gain.value)} ({_ends(gain, signed)})" if gain and not is_missing(gain.value) else None
    return row | {"baseline": evaluation.baseline.test[name].value}


def _headline(verdict: Verdict, outcome: Mapping[str, Any]) -> str:
    if outcome["promoted"]:
        return f"Version {outcome['version']} is the new champion. {verdict.headline}"
    stands = f"Version {outcome['version']} stays champion." if outcome["version"] else "There is no champion yet."
    if verdict.promote and outcome["held_back"]:
        return f"{verdict.headline} Not promoted: {outcome['held_back']}. {stands}"
    if verdict.passed and not verdict.same:
        return f"{verdict.headline} It waits for approval: `quire promote`. {stands}"
    return f"{verdict.headline} {stands}"


def _fact(metric: str, label: str, score: Score, note: str = "") -> tuple[str, str, str]:
    interval = score.test[metric]
    return f"{metric}, {label}", f"{interval.value:.3f}", note or _ends(interval, "{:.3f}".format)


def _ends(found: Interval, shown: Callable[[float], str]) -> str:
    return f"{shown(found.low)} to {shown(found.high)}" if found.is_known else "no interval"


def _when(evaluation: Evaluation) -> str:
    window = evaluation.window
    return f"{window['start'][:10]} to {window['end'][:10]}" if window else "drawn at random"


def contenders_message(evaluation: Evaluation) -> str:
    """Return the sentence over the contenders: whether the candidate beats the baseline, and the champion."""
    metric = evaluation.metric
    naive = evaluation.over_baseline.get(metric)
    baseline = f"the naive baseline ({evaluation.baseline.name})"
    if naive is None or is_missing(naive.low):
        text = f"Whether the candidate beats {baseline} cannot be told"
    else:
        text = f"The candidate {'beats' if naive.low > 0 else 'does not beat'} {baseline}"
    if evaluation.over_champion is None:
        return f"{text}; there is no champion to compare with"
    if evaluation.same:
        return f"{text}; it is the champion itself"
    gain = evaluation.over_champion.get(metric)
    if gain is None or is_missing(gain.low):
        return f"{text}; how it compares with the champion by {metric} cannot be told"
    sure = "is better than" if gain.low > 0 else "is worse than" if gain.high < 0 else "cannot be told from"
    return f"{text} and {sure} the champion by {metric}"


def _segment_metric(frame: pd.DataFrame) -> str:
    return str(frame["metric"].iloc[0]) if len(frame) else ""


def segments_message(frame: pd.DataFrame, compared: bool) -> str:
    """Return the sentence over the segments that are shown: how many are better or worse for sure, and the worst."""
    if not compared:
        valid_rows = frame[frame["candidate"].notna()]
        if valid_rows.empty:
            return "The error of no segment can be computed"
        worst = valid_rows.loc[valid_rows["candidate"].idxmax()]
        if valid_rows["candidate"].min() == worst["candidate"] and len(valid_rows) > 1:
            return f"The error is the same in all {len(valid_rows)} segments ({number(float(worst['candidate']))})"
        name = f"{label_text(worst['column'])} is {label_text(worst['segment'])}"
        return f"The error is largest where {name} ({number(float(worst['candidate']))})"
    worse, better = frame[frame["loss_low"] > 0], int((frame["loss_high"] < 0).sum())
    text = f"The candidate is better for sure in {better} of {len(frame)} segments and worse in {len(worse)}"
    if worse.empty:
        return text
    worst = worse.loc[worse["loss"].idxmax()]
    name = f"{label_text(worst['column'])} is {label_text(worst['segment'])}"
    return f"{text}, most where {name} ({percent(float(worst['loss']), signed=True)})"

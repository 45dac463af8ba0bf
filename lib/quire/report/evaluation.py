"""The evaluation report: candidate, champion and baseline side by side, and what the gate made of it."""

from collections.abc import Mapping
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
from quire.report.numbers import number
from quire.report.tables import Table, table
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
        facts.append(("gain over champion", f"{gain.value:+.4f}", _ends(gain, "+.4f")))
    facts.append(("test rows", evaluation.rows, _when(evaluation)))
    facts.append(("champion now", outcome["version"] or "none", "promoted" if outcome["promoted"] else "not moved"))
    metrics = {name: found.value for name, found in evaluation.candidate.test.items()}
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
    note = f"95 % intervals from {evaluation.resampling.resamples} draws of a {evaluation.resampling.unit}."
    return table(frame, "All metrics on the same test rows", note=note + " A gain above zero is better.")


def contenders(evaluation: Evaluation) -> Chart:
    """Return the main metrics of candidate, champion and baseline with their intervals."""
    scores = _scores(evaluation)
    names = SHOWN[evaluation.task]
    drawn, axes = figure(1, len(names), height=1.3 + 0.4 * len(scores), sharey=True)
    for metric, ax in zip(names, axes, strict=True):
        for place, (_, score, colour) in enumerate(scores):
            found = score.test[metric]
            if not np.isfinite(found.value):
                continue
            ax.hlines(place, found.low, found.high, color=colour, linewidth=3, alpha=0.5)
            ax.scatter(found.value, place, color=colour, s=50, zorder=3)
            ax.annotate(number(found.value), (found.value, place), (0, 7), textcoords="offset points", ha="center")
        ax.set_xlabel(f"{metric} ({'higher' if HIGHER_IS_BETTER[metric] else 'lower'} is better)")
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.15, y=0.35)
    axes[0].set_yticks(range(len(scores)), [name for name, _, _ in scores])
    axes[0].invert_yaxis()
    how = (
        f"Dot: {evaluation.rows:,} test rows. Bar: 95 % interval, by drawing each {evaluation.resampling.unit} again. "
        "The contenders are compared draw by draw, so their difference can be sure even where bars overlap."
    )
    return Chart(_contenders_message(evaluation), drawn, how)


def segments(evaluation: Evaluation, max_loss: float | None = None) -> Chart:
    """Return the error by segment; with a champion the relative loss, with the gate's limit as a line."""
    frame = evaluation.segments.head(MOST_SEGMENTS)
    compared = evaluation.champion is not None and not evaluation.same
    drawn, ax = figure(height=1.1 + 0.27 * len(frame))
    places = np.arange(len(frame))
    if compared:
        ax.hlines(places, frame["loss_low"], frame["loss_high"], color=NEUTRAL, linewidth=2)
        worse = frame["loss_low"] > 0
        colours = [
            BAD if bad else GOOD if high < 0 else MUTED for bad, high in zip(worse, frame["loss_high"], strict=True)
        ]
        ax.scatter(frame["loss"], places, color=colours, s=40, zorder=3)
        ax.axvline(0, color=MUTED, linewidth=1)
        if max_loss is not None:
            ax.axvline(max_loss, color=BAD, linewidth=1, linestyle="--")
            ax.annotate(
                " allowed", (max_loss, 1), xycoords=("data", "axes fraction"), color=BAD, va="bottom", fontsize=9
            )
        ax.xaxis.set_major_formatter(lambda share, _: f"{share:+.0%}")
        ax.set_xlabel(f"{_segment_metric(frame)} of the candidate over the champion's (below zero is better)")
    else:
        ax.hlines(places, 0, frame["candidate"], color=NEUTRAL, linewidth=1.5)
        ax.scatter(frame["candidate"], places, color=ACCENT, s=40, zorder=3)
        ax.set_xlabel(f"{_segment_metric(frame)} of the candidate (lower is better)")
    ax.set_yticks(places, [f"{row.column}: {row.segment} ({row.rows:,})" for row in frame.itertuples()], fontsize=8.5)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    how = "In brackets: test rows. " + (
        "Line: 95 % interval. Green is better for sure, red is worse for sure, grey is within chance. The gate looks "
        "at all but the rows by time."
        if compared
        else "Segments are those of schema.yaml, then the most important other features, then time."
    )
    return Chart(_segments_message(frame, compared), drawn, how)


def importance(evaluation: Evaluation) -> Chart:
    """Return how much the model relies on each feature."""
    frame = evaluation.importance.head(MOST_FEATURES)
    drawn, ax = figure(height=1 + 0.28 * len(frame))
    ax.barh(frame["feature"], frame["importance"], xerr=frame["std"], color=ACCENT, height=0.6, ecolor=MUTED)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"how much {evaluation.importance_metric} gets worse when the feature is shuffled")
    whole = evaluation.importance
    idle = int((whole["importance"] <= 2 * whole["std"]).sum())
    message = f"The model relies most on {whole['feature'][0]}"
    message += f", then on {whole['feature'][1]}" if len(whole) > 1 else ""
    message += f"; {idle} of {len(whole)} features make no difference" if idle else ""
    how = (
        "Each feature's values are shuffled among the test rows, five times; line: standard deviation. Features that "
        "say the same share their importance: shuffling one leaves the other."
    )
    return Chart(message, drawn, how)


def _scores(evaluation: Evaluation) -> list[tuple[str, Score, str]]:
    found: list[tuple[str, Score, str]] = [("candidate", evaluation.candidate, ACCENT)]
    if evaluation.champion is not None:
        found.append((f"champion {evaluation.champion_version}".strip(), evaluation.champion, INK))
    return [*found, ("baseline", evaluation.baseline, MUTED)]


def _metric_row(name: str, evaluation: Evaluation) -> dict[str, Any]:
    found = evaluation.candidate.test[name]
    row: dict[str, Any] = {"metric": name, "candidate": found.value}
    row["95 % interval"] = f"{number(found.low)} to {number(found.high)}" if found.is_known else "none"
    row["champion"] = evaluation.champion.test[name].value if evaluation.champion else None
    gain = evaluation.over_champion[name] if evaluation.over_champion and not evaluation.same else None
    row["gain"] = f"{gain.value:+.4f} ({_ends(gain, '+.4f')})" if gain and np.isfinite(gain.value) else None
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
    found = score.test[metric]
    return f"{metric}, {label}", f"{found.value:.3f}", note or _ends(found, ".3f")


def _ends(found: Interval, form: str) -> str:
    return f"{found.low:{form}} to {found.high:{form}}" if found.is_known else "no interval"


def _when(evaluation: Evaluation) -> str:
    window = evaluation.window
    return f"{window['start'][:10]} to {window['end'][:10]}" if window else "drawn at random"


def _contenders_message(evaluation: Evaluation) -> str:
    metric = evaluation.metric
    naive = evaluation.over_baseline[metric]
    text = (
        f"The candidate {'beats' if naive.low > 0 else 'does not beat'} the naive baseline ({evaluation.baseline.name})"
    )
    if evaluation.over_champion is None:
        return f"{text}; there is no champion to compare with"
    if evaluation.same:
        return f"{text}; it is the champion itself"
    gain = evaluation.over_champion[metric]
    sure = "is better than" if gain.low > 0 else "is worse than" if gain.high < 0 else "cannot be told from"
    return f"{text} and {sure} the champion by {metric}"


def _segment_metric(frame: pd.DataFrame) -> str:
    return str(frame["metric"].iloc[0]) if len(frame) else ""


def _segments_message(frame: pd.DataFrame, compared: bool) -> str:
    if frame.empty:
        return "There are no segments to compare"
    if not compared:
        worst = frame.loc[frame["candidate"].idxmax()]
        return f"The error is largest where {worst['column']} is {worst['segment']} ({number(worst['candidate'])})"
    worse, better = int((frame["loss_low"] > 0).sum()), int((frame["loss_high"] < 0).sum())
    text = f"The candidate is better for sure in {better} of {len(frame)} segments and worse in {worse}"
    if not worse:
        return text
    worst = frame.loc[frame["loss"].where(frame["loss_low"] > 0).idxmax()]
    return f"{text}, most where {worst['column']} is {worst['segment']} ({worst['loss']:+.0%})"

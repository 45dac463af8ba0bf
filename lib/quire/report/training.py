"""The training report: what was tried, what was chosen, on what features, and how it does on rows it did not see."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.data.histogram import histogram_edges
from quire.io.artifacts import count_rows
from quire.model.metrics import HIGHER_IS_BETTER, Outcomes, measure
from quire.model.train import Candidate
from quire.report.answers import Answer, Status
from quire.report.answers import answer as make_answer
from quire.report.charts import Chart
from quire.report.labels import label_text, name_rows, percent_axis
from quire.report.numbers import is_missing, number, percent, signed
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, MUTED, NEUTRAL, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TRIALS = 30
GRID_CELLS = 45


def answer(candidate: Candidate, schema: Schema) -> Answer:
    """Return what was chosen, and how well it does in cross-validation."""
    metric, values = candidate.scoring, candidate.metrics
    spread = values[f"{metric}_std"]
    score = measure(candidate.outcomes, (metric,))[metric]
    window = candidate.window
    period_text = f"{window['start'][:10]} to {window['end'][:10]}" if window else "drawn at random"
    headline = (
        f"{_title(candidate.estimator)} predicts {schema.target} with {metric} {values[metric]:.3f} "
        f"(± {spread:.3f} over the folds) in cross-validation; {_number_of(candidate)} tried."
    )
    headline = " ".join([headline, *candidate.remarks])
    facts = [
        ("estimator", candidate.estimator),
        (f"{metric}, cross-validated", values[metric], "learn from the past, judge on what follows" if window else ""),
        (f"{metric}, out of fold", score, "whole weeks left out in turn" if window else "rows left out in turn"),
        ("rows", candidate.rows, period_text),
        ("features", len(candidate.features), f"{schema.target} and ignored columns are not among them"),
        ("seconds", round(candidate.seconds, 1), "for search, fit and out-of-fold predictions"),
    ]
    if candidate.threshold is not None:
        facts.insert(3, ("threshold", candidate.threshold, f"{schema.positive} from this probability on"))
    status: Status = "neutral" if candidate.remarks else "good"
    return make_answer(status, headline, facts, {name: values[name] for name in values if not name.endswith("_std")})


def joined_answer(candidate: Candidate, schema: Schema) -> Answer:
    """Return how well the models of all segments predict together."""
    metric, values, parts = candidate.scoring, candidate.metrics, candidate.trials["segment"].nunique()
    headline = (
        f"{parts} models, {candidate.estimator}, predict {schema.target} with {metric} {values[metric]:.3f} together, "
        "each row by a model that did not learn from it."
    )
    headline = " ".join([headline, *candidate.remarks])
    facts = [
        (f"{metric}, out of fold", values[metric], "all segments together"),
        ("segments", parts),
        ("rows", candidate.rows),
        ("features", len(candidate.features)),
        ("seconds", round(candidate.seconds, 1), "of search, fit and out-of-fold predictions, added up"),
    ]
    return make_answer("good", headline, facts, {name: values[name] for name in values if not name.endswith("_std")})


def parts_table(candidate: Candidate) -> Table:
    """Return what each segment's model is, and what it scored alone."""
    metric, parts = candidate.scoring, candidate.trials[candidate.trials["chosen"]]
    names = {metric: f"{metric}, alone", f"{metric}_std": "± over folds"}
    formats = {metric: ".4f", f"{metric}_std": ".4f"}
    columns = ["segment", "estimator", metric, f"{metric}_std"]
    return table(parts[columns], "A model for each segment", names=names, formats=formats)


def rows_note(train: pd.DataFrame) -> Table:
    """Return in words whether the model learned from all training rows or from a sample of them."""
    rows = count_rows(train)
    if rows["used"] == rows["of"]:
        return note(f"Learned from all {rows['of']:,} training rows.")
    return note(
        f"Learned from a sample of {rows['used']:,} of {rows['of']:,} training rows, chosen by a hash of their keys: "
        "the same rows every time. `memory_rows` in config.yaml says how many fit into memory."
    )


def trials(candidate: Candidate) -> Chart:
    """Return the score of every trial with the spread over its folds, best first."""
    metric = candidate.scoring
    top_trials = candidate.trials.head(MOST_TRIALS)
    places = np.arange(len(top_trials))
    fig, axes = figure(height=1.2 + 0.32 * len(top_trials))
    axes.hlines(
        places,
        top_trials[metric] - top_trials[f"{metric}_std"],
        top_trials[metric] + top_trials[f"{metric}_std"],
        color=NEUTRAL,
    )
    colours = [ACCENT if is_chosen else MUTED for is_chosen in top_trials["chosen"]]
    axes.scatter(top_trials[metric], places, color=colours, s=45, zorder=3)
    name_rows(axes, [_trial_name(row) for row in top_trials.itertuples()])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    better = "higher" if HIGHER_IS_BETTER[metric] else "lower"
    axes.set_xlabel(f"{metric} in cross-validation ({better} is better)")
    help_text = (
        "Dot: mean over the folds. Line: one standard deviation over the folds to either side. All trials are judged "
        "on the same folds, so a small difference can be real even where lines overlap. Blue was "
        "chosen: an estimator's first trial, its default, unless another beats it by more than a standard error."
    )
    help_text += f" The {len(top_trials)} best are shown." if len(top_trials) < len(candidate.trials) else ""
    return Chart(trials_message(candidate.trials, metric), fig, help_text, candidate.trials)


def trials_table(candidate: Candidate) -> Table:
    """Return what each trial set, and what it scored; settings that are the same in all are left out."""
    frame = candidate.trials
    varied = [name for name in frame if name.startswith("param_") and frame[name].astype(str).nunique() > 1]
    several = ["estimator"] if frame["estimator"].nunique() > 1 else []
    columns = ["rank", "trial", "chosen", *several, *varied, candidate.scoring, f"{candidate.scoring}_std", "seconds"]
    names = {name: name.removeprefix("param_") for name in varied}
    names |= {f"{candidate.scoring}_std": "± over folds", "seconds": "seconds a fit"}
    formats = {candidate.scoring: ".4f", f"{candidate.scoring}_std": ".4f"}
    return table(frame[columns], "Trials, best first", names=names, formats=formats)


def features_table(candidate: Candidate, schema: Schema) -> Table:
    """Return every feature that the model takes, and every column that it is not given, with why."""
    rows = [(name, *_source(name, schema)) for name in candidate.features]
    for name, column in schema.columns.items():
        if name not in schema.features:
            reasons = {"target": "what is predicted", "key": "identifies the row", "timestamp": "orders the rows"}
            rows.append((name, column.type, f"not a feature: {reasons.get(column.role, column.why or 'ignored')}"))
    caption = f"{len(candidate.features)} features, and what is left out"
    return table(pd.DataFrame(rows, columns=["column", "type", "what"]), caption, limit=200)


def out_of_fold(candidate: Candidate, schema: Schema) -> Chart:
    """Return predictions against actual values, each by a model that did not see the row."""
    outcomes = candidate.outcomes
    if outcomes.task == "regression":
        return _numbers_chart(outcomes, schema)
    return _classes_chart(outcomes)


def _numbers_chart(found: Outcomes, schema: Schema) -> Chart:
    unit = schema.columns[schema.target].unit
    name = label_text(f"{schema.target}{f' ({unit})' if unit else ''}", 48)
    frame = pd.DataFrame({"predicted": found.prediction, "actual": found.truth}).astype("float64")
    low, high = np.quantile(frame.to_numpy(), [0, 0.999])
    edges = histogram_edges(np.array([low, high]), GRID_CELLS)
    low, high = edges[0], edges[-1]
    fig, axes = figure(width=6.2, height=5)
    cells, x_edges, y_edges = np.histogram2d(frame["predicted"], frame["actual"], bins=[edges, edges])
    counts = np.ma.masked_equal(cells.T, 0)
    mesh = axes.pcolormesh(x_edges, y_edges, counts, cmap="Blues", norm="log", rasterized=True)
    # The usual formatter of a logarithmic axis writes its powers in the language of mathematics.
    fig.colorbar(mesh, ax=axes, label="rows", shrink=0.8, format=lambda rows, _: number(float(rows)))
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle="--")
    axes.annotate("as predicted", (high, high), color=MUTED, ha="right", va="bottom", fontsize=9)
    axes.set(xlabel=f"predicted {name}", ylabel=f"actual {name}")
    help_text = (
        "Each cell counts rows of the training window, predicted by a model that did not learn from them. Above the "
        "line the actual value was higher than predicted."
    )
    return Chart(fit_message(frame, measure(found)), fig, help_text, frame)


def fit_message(frame: pd.DataFrame, values: Mapping[str, float]) -> str:
    """Return the sentence over predicted and actual: how far off half of the predictions are at most."""
    half = float((frame["predicted"] - frame["actual"]).abs().median())
    message = f"Half of the out-of-fold predictions are within {number(half)} of the actual value"
    scores = [f"{name} {number(values[name])}" for name in ("r2", "mae") if not is_missing(values.get(name))]
    return f"{message} ({', '.join(scores)})" if scores else message


def _classes_chart(found: Outcomes) -> Chart:
    assert found.probability is not None
    binary = found.task == "binary"
    probabilities = found.score if binary else found.probability[np.arange(len(found.truth)), found.truth]
    fig, axes = figure(height=3.2)
    for at, name in enumerate(found.classes[: len(PALETTE)]):
        _density(axes, probabilities[found.truth == at], PALETTE[at], label_text(name, 24))
    axes.legend(title="actual")
    positive = label_text(found.classes[1]) if binary else "the actual class"
    axes.set(xlabel=f"out-of-fold probability of {positive}", ylabel="share of the class's rows", xlim=(0, 1))
    percent_axis(axes.yaxis)
    axes.grid(axis="x", visible=False)
    frame = pd.DataFrame({"actual": found.truth, "predicted": found.prediction, "probability": probabilities})
    help_text = "Each line is one class. The less the lines overlap, the better the model tells the classes apart."
    return Chart(classes_message(frame, found.classes, measure(found)), fig, help_text, frame)


def classes_message(frame: pd.DataFrame, classes: Sequence[str], values: Mapping[str, float]) -> str:
    """Return the sentence over the probabilities: how often a pair is ranked right, or a row classed right."""
    auc = values.get("roc_auc")
    if len(classes) == 2 and not is_missing(auc):
        assert auc is not None
        return f"A row of {classes[1]} is ranked above one of {classes[0]} in {percent(auc)} of cases"
    right = float((frame["actual"] == frame["predicted"]).mean())
    return f"The predicted class is the right one in {percent(right)} of the rows"


def _density(axes: "Axes", values: np.ndarray, colour: str, name: str) -> None:
    counts, edges = np.histogram(values, bins=25, range=(0, 1))
    axes.stairs(counts / max(1, len(values)), edges, color=colour, label=f"{name} ({len(values):,})", linewidth=1.8)


def trials_message(frame: pd.DataFrame, metric: str) -> str:
    """Return the sentence over the trials: what was chosen, and how much it gains over its estimator's default."""
    winner = frame[frame["chosen"]].iloc[0]
    same = frame[frame["estimator"] == winner["estimator"]]
    first = same.loc[same["trial"].idxmin()]
    if len(frame) == 1:
        return f"One setting was tried, the default: {metric} {winner[metric]:.3f}"
    others = len(same) - 1
    if winner["trial"] == first["trial"]:
        few = "The other setting does not beat" if others == 1 else f"None of {others} other settings beats"
        text = f"{few} the default beyond chance" if others else f"{winner['estimator']} was tried with its default"
    else:
        gain = signed(float(winner[metric] - first[metric]))
        text = f"The chosen one of {len(same)} settings changes {metric} by {gain} from the default"
    several = f", and {winner['estimator']} is the best of {frame['estimator'].nunique()} estimators"
    return f"{text}{several if len(same) < len(frame) else ''}: {metric} {winner[metric]:.3f}"


def _trial_name(row: object) -> str:
    return f"{row.estimator}, trial {row.trial}"  # type: ignore[attr-defined]


def _source(name: str, schema: Schema) -> tuple[str, str]:
    column = schema.columns.get(name)
    if column is not None and column.type != "datetime":
        return column.type, "; ".join(text for text in (column.description, column.unit) if text)
    source = next(feature for feature in schema.features if re.match(rf"{re.escape(feature)}_", name))
    return "number", f"{name.removeprefix(f'{source}_').replace('_', ' ')} of {source}, {schema.timezone} time"


def _number_of(candidate: Candidate) -> str:
    count = len(candidate.trials)
    return "one setting was" if count == 1 else f"{count} settings were"


def _title(estimator: str) -> str:
    return estimator.replace("_", " ").capitalize().replace("Hist ", "Histogram ")

"""Where predictions go wrong: residuals of a regression; calibration, threshold and confusion of a classification."""

import numpy as np
import pandas as pd

from quire.config import Decision, Schema
from quire.data.histogram import histogram_edges
from quire.model.calibration import calibration_curve
from quire.model.evaluation import Evaluation
from quire.model.metrics import Outcomes
from quire.model.threshold import threshold_curve
from quire.report.charts import Chart
from quire.report.labels import label_text, name_columns, name_rows
from quire.report.numbers import number, percent
from quire.report.theme import ACCENT, BAD, INK, MUTED, NEUTRAL, PALETTE, figure

BINS = 10


def honesty(evaluation: Evaluation, schema: Schema) -> Chart:
    """Return whether predictions mean what they say: mean truth by size of prediction, or the calibration curve."""
    if evaluation.task == "regression":
        return _by_size(evaluation.candidate.outcomes, schema)
    return _calibration(evaluation)


def errors(evaluation: Evaluation, schema: Schema, decision: Decision | None = None) -> Chart:
    """Return the errors: over time or as a distribution for a regression, by threshold, or between classes."""
    if evaluation.task == "regression":
        if evaluation.times is None:
            return _distribution(evaluation.candidate.outcomes, schema)
        return _over_time(evaluation, schema)
    if evaluation.task == "binary":
        return _by_threshold(evaluation, decision or Decision())
    return _confusion(evaluation.candidate.outcomes)


def _by_size(found: Outcomes, schema: Schema) -> Chart:
    frame = size_frame(found)
    fig, ax = figure(height=3.8)
    ax.vlines(frame["predicted"], frame["low"], frame["high"], color=NEUTRAL, linewidth=5, alpha=0.5)
    ax.plot(frame["predicted"], frame["actual"], color=ACCENT, marker="o")
    limits = [float(frame["predicted"].min()), float(frame["predicted"].max())]
    ax.plot(limits, limits, color=MUTED, linestyle="--", linewidth=1)
    ax.annotate("as predicted", (limits[1], limits[1]), color=MUTED, ha="right", va="bottom", fontsize=9)
    ax.set(xlabel=f"predicted {_named(schema)}", ylabel=f"actual {label_text(schema.target)}")
    help_text = (
        "Test rows in deciles of the prediction. Dot: mean of the actual values; bar: where the middle 80% lie. Dots "
        "below the dashed line: predictions of that size are too high."
    )
    return Chart(size_message(frame), fig, help_text, frame)


def size_frame(found: Outcomes) -> pd.DataFrame:
    """Return mean ``predicted`` and ``actual`` of each decile of the prediction, ``low``, ``high`` (80%), ``rows``."""
    rank = pd.Series(found.prediction).rank(method="first").to_numpy() - 1
    rows = pd.DataFrame({"bin": rank * BINS // len(rank), "predicted": found.prediction, "actual": found.truth})
    grouped = rows.astype("float64").groupby("bin")
    frame = grouped[["predicted", "actual"]].mean()
    low, high = grouped["actual"].quantile(0.1), grouped["actual"].quantile(0.9)
    return frame.assign(low=low, high=high, rows=grouped.size()).reset_index(drop=True)


def size_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the deciles: by how much predictions lie above or below on average."""
    predicted, actual = (float(np.average(frame[name], weights=frame["rows"])) for name in ("predicted", "actual"))
    bias = predicted - actual
    if abs(bias) <= 1e-9 * max(abs(actual), abs(predicted), 1.0):
        return "On average predictions are as high as the actual values"
    share = f" ({percent(abs(bias / actual))} of the mean)" if actual else ""
    return f"On average predictions lie {number(abs(bias))} {'above' if bias > 0 else 'below'} the actual values{share}"


def _over_time(evaluation: Evaluation, schema: Schema) -> Chart:
    assert evaluation.times is not None
    frame = errors_frame(evaluation.candidate.outcomes, evaluation.times.dt.tz_convert(schema.timezone))
    step = frame.attrs["step"]
    fig, (value_axes, error_axes) = figure(2, 1, height=4.8, sharex=True, height_ratios=[2, 1])
    value_axes.plot(frame["at"], frame["actual"], color=INK, label="actual")
    value_axes.plot(frame["at"], frame["predicted"], color=ACCENT, label="predicted")
    value_axes.set_ylabel(_named(schema))
    value_axes.margins(y=0.2)  # room for the legend above the lines
    value_axes.legend(ncols=2, loc="upper right")
    width = pd.Timedelta(1, unit=step) * 0.85
    error_axes.bar(
        frame["at"], frame["error"], width=width, color=[BAD if error > 0 else ACCENT for error in frame["error"]]
    )
    error_axes.axhline(0, color=MUTED, linewidth=1)
    error_axes.set_ylabel("error")
    name = "day" if step == "D" else "hour"
    help_text = f"Means by {name}. Below: predicted minus actual; red is too high. Runs of one colour are a bias."
    return Chart(worst_message(frame), fig, help_text, frame)


def errors_frame(found: Outcomes, local: pd.Series) -> pd.DataFrame:
    """Return ``at``, mean ``actual``, ``predicted`` and ``error`` of each day, or hour where there are few days."""
    step = "D" if local.max() - local.min() > pd.Timedelta("3D") else "h"
    rows = pd.DataFrame({"actual": found.truth, "predicted": found.prediction}).astype("float64")
    frame = rows.assign(error=rows["predicted"] - rows["actual"]).groupby(local.dt.floor(step).to_numpy()).mean()
    frame = frame.rename_axis("at").reset_index()
    frame.attrs["step"] = step
    return frame


def worst_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the errors by day or hour: the one with the largest mean error."""
    step = frame.attrs["step"]
    name, form = ("day", "%-d %B %Y") if step == "D" else ("hour", "%-d %B %Y, %H:%M")
    worst = frame.loc[frame["error"].abs().idxmax()]
    if not worst["error"]:
        return f"The mean error is zero on every {name}"
    way = "too high" if worst["error"] > 0 else "too low"
    size = number(abs(float(worst["error"])))
    return f"The {name} with the largest mean error was {worst['at'].strftime(form)}: predictions were {size} {way}"


def _distribution(found: Outcomes, schema: Schema) -> Chart:
    frame = pd.DataFrame({"error": (found.prediction - found.truth).astype("float64")})
    fig, ax = figure(height=3)
    ax.hist(frame["error"], bins=histogram_edges(frame["error"].to_numpy(), 60), color=ACCENT, alpha=0.85)
    ax.axvline(0, color=MUTED, linewidth=1)
    ax.grid(axis="x", visible=False)
    ax.set(xlabel=f"predicted minus actual: {_named(schema)}", ylabel="rows")
    return Chart(distribution_message(frame), fig, "Right of zero the prediction was too high.", frame)


def distribution_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the distribution of errors: between which values nine of ten lie, and their median."""
    low, middle, high = (number(float(quantile)) for quantile in frame["error"].quantile([0.05, 0.5, 0.95]))
    return f"Nine of ten errors lie between {low} and {high}; the median error is {middle}"


def _calibration(evaluation: Evaluation) -> Chart:
    frame = calibration_curve(evaluation.candidate.outcomes)
    fig, ax = figure(width=5.6, height=4.6)
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
    ax.vlines(frame["predicted"], frame["low"], frame["high"], color=NEUTRAL, linewidth=3, alpha=0.6)
    if evaluation.champion is not None and not evaluation.same:
        other = calibration_curve(evaluation.champion.outcomes)
        ax.plot(other["predicted"], other["observed"], color=MUTED, marker=".", label="champion")
    ax.plot(frame["predicted"], frame["observed"], color=ACCENT, marker="o", label="candidate")
    ax.legend(loc="upper left")
    positive = label_text(evaluation.candidate.outcomes.classes[1])
    subject = f"of {positive}" if evaluation.task == "binary" else "of the predicted class"
    ax.set(xlabel=f"predicted probability {subject}", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    help_text = (
        "Test rows in deciles of the predicted probability. Bar: 95% interval (Wilson). On the dashed line "
        "probabilities are right; below it they are too high."
    )
    return Chart(calibration_message(frame), fig, help_text, frame)


def calibration_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the calibration curve: the mean distance, and in how many bins it is beyond chance."""
    off = float(np.average((frame["predicted"] - frame["observed"]).abs(), weights=frame["rows"]))
    outside = int(((frame["predicted"] < frame["low"]) | (frame["predicted"] > frame["high"])).sum())
    chance = f"in {outside} of {len(frame)} bins beyond chance" if outside else "no bin beyond chance"
    return f"Probabilities are off by {percent(off)} on average, {chance}"


def _by_threshold(evaluation: Evaluation, decision: Decision) -> Chart:
    outcomes = evaluation.candidate.outcomes
    curve, threshold = threshold_curve(outcomes, decision), evaluation.threshold
    assert threshold is not None
    fig, ax = figure(height=3.6)
    lines = ["precision", "recall", "f1"] + (["cost"] if decision.rule == "cost" else [])
    for name, colour in zip(lines, PALETTE, strict=False):
        values = curve[name] / (curve[name].max() or 1.0) if name == "cost" else curve[name]
        ax.plot(
            curve["threshold"], values, color=colour, label="cost (share of the highest)" if name == "cost" else name
        )
    ax.axvline(threshold, color=INK, linewidth=1)
    ax.annotate(
        f" threshold {threshold:.2f}", (threshold, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9
    )
    ax.legend()
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"threshold on the probability of {label_text(outcomes.classes[1])}")
    frame = pd.DataFrame({"probability": outcomes.score, "positive": outcomes.truth == 1})
    help_text = (
        "The threshold was chosen on out-of-fold predictions of the training rows; the curves are of the test rows."
    )
    return Chart(threshold_message(frame, threshold, outcomes.classes[1]), fig, help_text, frame)


def threshold_message(frame: pd.DataFrame, threshold: float, positive: str) -> str:
    """Return the sentence over the threshold: how many positives it finds, and how many of those flagged are right."""
    flagged = frame["probability"] >= threshold
    if not flagged.any():
        return f"From {threshold:.2f} on no row is predicted {positive}"
    right = percent(float(frame.loc[flagged, "positive"].mean()))
    if not frame["positive"].any():
        return f"From {threshold:.2f} on {int(flagged.sum()):,} rows are predicted {positive}; none of the rows is"
    recall = percent(float(flagged[frame["positive"]].mean()))
    return f"From {threshold:.2f} on, {recall} of all {positive} are found, and {right} of those flagged are right"


def _confusion(found: Outcomes) -> Chart:
    size = len(found.classes)
    counts = np.zeros((size, size))
    np.add.at(counts, (found.truth, found.prediction), 1)
    names = [label_text(name, 20) for name in found.classes]
    frame = pd.DataFrame(counts, index=list(found.classes), columns=list(found.classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    fig, ax = figure(width=2.6 + 0.6 * size, height=2 + 0.5 * size)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(size, size):
        colour = "white" if shares[row, column] > 0.6 else "black"
        text = percent(shares[row, column])
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(text) < 6 else 7)
    name_columns(ax, names, rotation=30, ha="right")
    name_rows(ax, names)
    ax.set(xlabel="predicted", ylabel="actual")
    ax.grid(visible=False)
    return Chart(
        confusion_message(frame), fig, "Each line sums to 100%: how the rows of one class were predicted.", frame
    )


def confusion_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the confusion of classes: which is taken for which most often, as a share of its rows.

    frame: counts, actual classes in rows and predicted ones in columns.
    """
    counts = frame.to_numpy(dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    off = shares - np.diag(np.diag(shares))
    if not off.any():
        return "No row is taken for another class"
    row, column = np.unravel_index(off.argmax(), off.shape)
    actual, predicted = (label_text(frame.index[place]) for place in (row, column))
    return f"Most often {actual} is taken for {predicted} ({percent(off[row, column])} of its rows)"


def _named(schema: Schema) -> str:
    unit = schema.columns[schema.target].unit
    return label_text(f"{schema.target} ({unit})" if unit else schema.target, 60)

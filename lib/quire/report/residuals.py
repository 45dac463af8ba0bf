"""Where predictions go wrong: residuals of a regression; calibration, threshold and confusion of a classification."""

import numpy as np
import pandas as pd

from quire.config import Decision, Schema
from quire.model.calibration import calibration_curve
from quire.model.evaluation import Evaluation
from quire.model.metrics import Outcomes, measure
from quire.model.threshold import threshold_curve
from quire.report.charts import Chart
from quire.report.numbers import number
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
    rank = pd.Series(found.prediction).rank(method="first").to_numpy() - 1
    frame = pd.DataFrame({"bin": rank * BINS // len(rank), "predicted": found.prediction, "truth": found.truth})
    grouped = frame.groupby("bin")
    means = grouped[["predicted", "truth"]].mean()
    low, high = grouped["truth"].quantile(0.1), grouped["truth"].quantile(0.9)
    drawn, ax = figure(height=3.8)
    ax.vlines(means["predicted"], low, high, color=NEUTRAL, linewidth=5, alpha=0.5)
    ax.plot(means["predicted"], means["truth"], color=ACCENT, marker="o")
    limits = [float(means["predicted"].min()), float(means["predicted"].max())]
    ax.plot(limits, limits, color=MUTED, linestyle="--", linewidth=1)
    ax.annotate("as predicted", (limits[1], limits[1]), color=MUTED, ha="right", va="bottom", fontsize=9)
    ax.set(xlabel=f"predicted {_named(schema)}", ylabel=f"{schema.target} that happened")
    bias = float((found.prediction - found.truth).mean())
    share = abs(bias) / max(abs(float(found.truth.mean())), 1e-12)
    way = "above" if bias > 0 else "below"
    message = f"On average predictions lie {number(abs(bias))} {way} what happened ({share:.1%} of the mean)"
    how = (
        "Test rows in ten parts of like many rows, by predicted size. Dot: mean of what happened; bar: where the "
        "middle 80 % lie. Dots below the dashed line: predictions of that size are too high."
    )
    return Chart(message, drawn, how)


def _over_time(evaluation: Evaluation, schema: Schema) -> Chart:
    found, times = evaluation.candidate.outcomes, evaluation.times
    assert times is not None
    local = times.dt.tz_convert(schema.timezone)
    span = local.max() - local.min()
    step = "D" if span > pd.Timedelta("3D") else "h"
    period = local.dt.floor(step)
    frame = pd.DataFrame({"truth": found.truth, "prediction": found.prediction})
    means = frame.groupby(period).mean()
    error = (frame["prediction"] - frame["truth"]).groupby(period).mean()
    drawn, (above, below) = figure(2, 1, height=4.6, sharex=True, height_ratios=[2, 1])
    above.plot(means.index, means["truth"], color=INK, label="happened")
    above.plot(means.index, means["prediction"], color=ACCENT, label="predicted")
    above.set_ylabel(_named(schema))
    above.legend(ncols=2, loc="upper right")
    width = pd.Timedelta(1, unit=step) * 0.85
    below.bar(error.index, error, width=width, color=[BAD if one > 0 else ACCENT for one in error])
    below.axhline(0, color=MUTED, linewidth=1)
    below.set_ylabel("error")
    worst = error.abs().idxmax()
    name = "day" if step == "D" else "hour"
    form = "%Y-%m-%d" if step == "D" else "%Y-%m-%d %H:%M"
    way = "too high" if error[worst] > 0 else "too low"
    message = f"The worst {name} was {worst.strftime(form)}: {number(abs(float(error[worst])))} {way} on average"
    how = f"Means by {name}. Below: predicted minus happened; red is too high. Runs of one colour are a bias."
    return Chart(message, drawn, how)


def _distribution(found: Outcomes, schema: Schema) -> Chart:
    error = found.prediction - found.truth
    low, middle, high = (float(one) for one in np.quantile(error, [0.05, 0.5, 0.95]))
    drawn, ax = figure(height=3)
    ax.hist(error, bins=60, color=ACCENT, alpha=0.85)
    ax.axvline(0, color=MUTED, linewidth=1)
    ax.grid(axis="x", visible=False)
    ax.set(xlabel=f"predicted minus happened: {_named(schema)}", ylabel="rows")
    message = f"Nine of ten errors lie between {number(low)} and {number(high)}, half below {number(middle)}"
    return Chart(message, drawn, "Right of zero the prediction was too high.")


def _calibration(evaluation: Evaluation) -> Chart:
    curve = calibration_curve(evaluation.candidate.outcomes)
    drawn, ax = figure(width=5.6, height=4.6)
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
    ax.vlines(curve["predicted"], curve["low"], curve["high"], color=NEUTRAL, linewidth=3, alpha=0.6)
    if evaluation.champion is not None and not evaluation.same:
        other = calibration_curve(evaluation.champion.outcomes)
        ax.plot(other["predicted"], other["observed"], color=MUTED, marker=".", label="champion")
    ax.plot(curve["predicted"], curve["observed"], color=ACCENT, marker="o", label="candidate")
    ax.legend(loc="upper left")
    what = f"of {evaluation.candidate.outcomes.classes[1]}" if evaluation.task == "binary" else "of the predicted class"
    ax.set(xlabel=f"predicted probability {what}", ylabel="share that was so", xlim=(0, 1), ylim=(0, 1))
    outside = int(((curve["predicted"] < curve["low"]) | (curve["predicted"] > curve["high"])).sum())
    message = f"Probabilities are off by {evaluation.calibration_error:.1%} on average"
    message += f"; in {outside} of {len(curve)} parts beyond chance" if outside else ", no part beyond chance"
    how = (
        "Test rows in ten parts of like many rows, by predicted probability. Bar: 95 % interval (Wilson). On the "
        "dashed line probabilities mean what they say; below it they are too high."
    )
    return Chart(message, drawn, how)


def _by_threshold(evaluation: Evaluation, decision: Decision) -> Chart:
    found = evaluation.candidate.outcomes
    curve, threshold = threshold_curve(found, decision), evaluation.threshold
    assert threshold is not None
    drawn, ax = figure(height=3.6)
    lines = ["precision", "recall", "f1"] + (["cost"] if decision.rule == "cost" else [])
    for name, colour in zip(lines, PALETTE, strict=False):
        values = curve[name] / curve[name].max() if name == "cost" else curve[name]
        ax.plot(
            curve["threshold"], values, color=colour, label="cost (share of the highest)" if name == "cost" else name
        )
    ax.axvline(threshold, color=INK, linewidth=1)
    ax.annotate(
        f" threshold {threshold:.2f}", (threshold, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=9
    )
    ax.legend()
    ax.set(xlabel=f"threshold on the probability of {found.classes[1]}", xlim=(0, 1), ylim=(0, 1.02))
    values = measure(found, ("precision", "recall"))
    message = (
        f"From {threshold:.2f} on, {values['recall']:.0%} of all {found.classes[1]} are found, and "
        f"{values['precision']:.0%} of those flagged are right"
    )
    how = "The threshold was chosen on out-of-fold predictions of the training rows; the curves are of the test rows."
    return Chart(message, drawn, how)


def _confusion(found: Outcomes) -> Chart:
    size = len(found.classes)
    counts = np.zeros((size, size))
    np.add.at(counts, (found.truth, found.prediction), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn, ax = figure(width=2.6 + 0.6 * size, height=2 + 0.5 * size)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(size, size):
        colour = "white" if shares[row, column] > 0.6 else "black"
        ax.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(size), found.classes, rotation=30, ha="right")
    ax.set_yticks(range(size), found.classes)
    ax.set(xlabel="predicted", ylabel="happened")
    ax.grid(visible=False)
    off = shares - np.diag(np.diag(shares))
    row, column = np.unravel_index(off.argmax(), off.shape)
    message = (
        f"Most often {found.classes[row]} is taken for {found.classes[column]} ({off[row, column]:.0%} of its rows)"
    )
    return Chart(message, drawn, "Each line sums to 100 %: how the rows of one class were predicted.")


def _named(schema: Schema) -> str:
    unit = schema.columns[schema.target].unit
    return f"{schema.target} ({unit})" if unit else schema.target

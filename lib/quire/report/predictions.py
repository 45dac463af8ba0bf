"""The report of a batch of predictions: what is predicted, against what the model learned from."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.config import Schema, label
from quire.report.answers import Answer, answer
from quire.report.charts import Chart
from quire.report.numbers import number
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, NEUTRAL, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from quire.serve.predict import Champion

USUAL = (0.005, 0.995)
"""Quantiles of the training target between which a prediction is usual."""

MOST_UNUSUAL = 0.05
"""Share of predictions outside them from which on the answer warns; of training rows it is 1%."""


def predictions_answer(
    predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema, champion: "Champion", saved: int | None
) -> Answer:
    """Return how much was predicted by which version, and whether it is like what the model learned from.

    history: the target of the training rows. saved: new rows in the database, None where none is kept.
    """
    usual, today, what = _levels(predictions, history, schema)
    unusual = _unusual_share(predictions, history, schema)
    kept = "not kept in the database" if saved is None else f"{saved:,} new in the database"
    facts = [
        ("predictions", len(predictions), kept),
        ("model version", champion.version.version, f"champion since {number(champion.version.created_at)}"),
        (what, today, f"{number(usual)} in training"),
    ]
    metrics = {"predictions": len(predictions), "level": today}
    if unusual is not None:
        facts.append(("unusual", f"{unusual:.1%}", "outside 99% of the training values; about 1% is normal"))
        metrics["unusual_share"] = unusual
    many = unusual is not None and unusual > MOST_UNUSUAL
    headline = (
        f"{len(predictions):,} rows are predicted by version {champion.version.version}: {what} is {number(today)}, "
        f"against {number(usual)} in training."
    )
    if many:
        headline += f" {unusual:.1%} of them lie outside the range that 99% of the training values have."
    return answer("warn" if many else "good", headline, facts=facts, metrics=metrics)


def predictions_distribution(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart:
    """Return the distribution of the predictions beside that of the training target."""
    if schema.task == "binary":
        return _probabilities(predictions, history, schema)
    if schema.task == "multiclass":
        return _classes(predictions, history, schema)
    actual = history[schema.target].astype("float64").dropna()
    predicted = predictions["prediction"]
    low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
    edges = np.linspace(low, high, 41) if high > low else np.array([low - 0.5, low + 0.5])
    drawn, axes = figure()
    for values, colour, name in ((actual, NEUTRAL, "training target"), (predicted, ACCENT, "predictions")):
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins=edges, weights=weights, color=colour, alpha=0.65, label=name)
    axes.set(xlabel=_axis(schema), ylabel="share of rows")
    axes.legend()
    middle, before = float(predicted.median()), float(actual.median())
    message = (
        f"Half of the predictions are above {number(middle)}; of the training values, half are above {number(before)}"
    )
    how = "Both areas add up to 1. Predictions spread less than values, because chance is not predicted."
    return Chart(message, drawn, how)


def predictions_over_time(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart | Table:
    """Return the predictions over time before what is usual at such times; a remark without timestamps.

    Usual is the middle 80% of the training values of the same hour of the week (of the same weekday for longer
    windows), from the last 12 weeks of training.
    """
    if not schema.timestamp or predictions.empty:
        return note("There is no course over time to show: the rows have no timestamp, or there are none.")
    times = predictions[schema.timestamp]
    hourly = times.max() - times.min() <= pd.Timedelta("10D")
    step = "1h" if hourly else "1D"
    wanted = _wanted(history, schema)
    now = _mean_by(times, _predicted_number(predictions, schema, wanted), step)
    recent = history[history[schema.timestamp] >= history[schema.timestamp].max() - pd.Timedelta("84D")]
    past = _mean_by(recent[schema.timestamp], _number_of(recent[schema.target], schema, wanted), step)
    quantiles = past.groupby(_phase(past.index, hourly)).quantile([0.1, 0.9]).unstack()
    band = quantiles.reindex(_phase(now.index, hourly)).set_axis(now.index)
    drawn, axes = figure()
    axes.fill_between(band.index, band[0.1], band[0.9], color=NEUTRAL, alpha=0.35, label="usual in training", lw=0)
    axes.plot(now.index, now, color=ACCENT, label="predictions")
    axes.set(xlabel="time (UTC)", ylabel=_axis(schema))
    axes.legend(loc="upper left", ncols=2)
    axes.margins(x=0.01, y=0.15)
    _date_ticks(axes)
    above, below = float((now > band[0.9]).mean()), float((now < band[0.1]).mean())
    name = "hour" if hourly else "day"
    message = (
        f"Predictions are above what was usual in training in {above:.0%} of the {name}s, and below it in {below:.0%}"
    )
    of_week = "hour of the week" if hourly else "weekday"
    how = (
        f"Means per {name}. The band holds 80% of the training values of the same {of_week}, last 12 weeks of training."
    )
    return Chart(message, drawn, how)


def predictions_table(predictions: pd.DataFrame, schema: Schema, *, rows: int = 10) -> Table:
    """Return the rows with the highest predictions, or with the highest probability."""
    by = "probability" if "probability" in predictions else "prediction"
    shown = predictions.sort_values(by, ascending=False, kind="stable") if schema.task != "multiclass" else predictions
    return table(
        shown.head(rows), f"The {min(rows, len(shown))} highest" if schema.task != "multiclass" else "First rows"
    )


def _levels(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> tuple[float, float, str]:
    """Return the level of the training target, that of the predictions, and what they are called."""
    wanted = _wanted(history, schema)
    before = float(_number_of(history[schema.target], schema, wanted).mean())
    now = float(_predicted_number(predictions, schema, wanted).mean())
    return before, now, f"share of {schema.target} = {wanted}" if wanted else f"mean {schema.target}"


def _unusual_share(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> float | None:
    if schema.task != "regression":
        return None
    low, high = history[schema.target].astype("float64").quantile(list(USUAL))
    return float(((predictions["prediction"] < low) | (predictions["prediction"] > high)).mean())


def _wanted(history: pd.DataFrame, schema: Schema) -> str:
    """Return the class that is counted: the positive one, or the most frequent of several; empty for a regression."""
    if schema.task == "regression":
        return ""
    return label(schema.positive) if schema.positive is not None else str(_texts(history[schema.target]).mode().iloc[0])


def _number_of(target: pd.Series, schema: Schema, wanted: str = "") -> pd.Series:
    """Return the target as a number; for classes 1 where it is ``wanted``, by default the positive class."""
    if schema.task == "regression":
        return target.astype("float64")
    return (_texts(target) == (wanted or label(schema.positive or ""))).astype("float64")


def _predicted_number(predictions: pd.DataFrame, schema: Schema, wanted: str = "") -> pd.Series:
    if schema.task == "binary":
        return predictions["probability"]
    return _number_of(predictions["prediction"], schema, wanted)


def _texts(target: pd.Series) -> pd.Series:
    return target.astype(object).map(label, na_action="ignore")


def _mean_by(times: pd.Series, values: pd.Series, step: str) -> pd.Series:
    return values.groupby(times.dt.floor(step)).mean()


def _phase(times: Any, hourly: bool) -> Any:
    """Return where in the week each time lies: the hour of the week, or the weekday."""
    return times.day_of_week * 24 + times.hour if hourly else times.day_of_week


def _date_ticks(axes: "Axes") -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def _axis(schema: Schema) -> str:
    if schema.task == "binary":
        return f"probability of {schema.target} = {label(schema.positive)}"  # type: ignore[arg-type]
    unit = schema.columns[schema.target].unit
    return f"{schema.target} ({unit})" if unit else schema.target


def _probabilities(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart:
    drawn, axes = figure()
    edges = np.linspace(0, 1, 21)
    positive = label(schema.positive)  # type: ignore[arg-type]
    for name, colour in ((positive, ACCENT), (None, NEUTRAL)):
        is_positive = predictions["prediction"] == positive
        values = predictions.loc[is_positive if name else ~is_positive, "probability"]
        axes.hist(values, bins=edges, color=colour, label=f"predicted {positive}" if name else "predicted otherwise")
    rate = float(_number_of(history[schema.target], schema).mean())
    axes.axvline(rate, color=PALETTE[1], linestyle="--")
    axes.annotate(f" {rate:.0%} of training rows", (rate, axes.get_ylim()[1]), va="top", fontsize=9, color=PALETTE[1])
    axes.set(xlabel=_axis(schema), ylabel="rows", xlim=(0, 1))
    axes.legend(loc="upper right")
    said, mean = float(is_positive.mean()), float(predictions["probability"].mean())
    message = (
        f"{said:.0%} of the rows are predicted {positive}; the mean probability is {mean:.0%}, training had {rate:.0%}"
    )
    how = "Where the mean probability leaves the share seen in training, the rows differ from those learned from."
    return Chart(message, drawn, how)


def _classes(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart:
    before = _texts(history[schema.target]).value_counts(normalize=True)
    now = predictions["prediction"].value_counts(normalize=True)
    names = list(before.index.union(now.index, sort=True))
    places: Any = np.arange(len(names))
    drawn, axes = figure(height=1.2 + 0.45 * len(names))
    axes.barh(places + 0.2, before.reindex(names, fill_value=0), 0.38, color=NEUTRAL, label="training target")
    axes.barh(places - 0.2, now.reindex(names, fill_value=0), 0.38, color=ACCENT, label="predictions")
    axes.set_yticks(places, names)
    axes.set(xlabel="share of rows")
    axes.legend()
    change = (now.reindex(names, fill_value=0) - before.reindex(names, fill_value=0)).abs()
    message = f"{change.idxmax()} differs most from training: {now.get(change.idxmax(), 0):.0%} of the predictions"
    return Chart(message, drawn, "Each class's share of the predictions beside its share of the training rows.")

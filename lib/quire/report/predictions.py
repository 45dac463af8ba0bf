"""The report of a batch of predictions: what is predicted, against what the model learned from."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.config import Schema, label
from quire.report.answers import Answer, answer
from quire.report.charts import Chart
from quire.report.labels import label_text, name_rows, percent_axis
from quire.report.numbers import number, percent
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, NEUTRAL, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from quire.serve.predict import Champion

USUAL = (0.005, 0.995)
"""Quantiles of the training target between which a prediction is usual."""

MOST_UNUSUAL = 0.05
"""Share of predictions outside them from which on the answer warns; of training rows it is 1%."""

SEASON_DAYS = 42
"""How far from the predicted days, in the year, training rows may lie to be of the same season."""

LEAST_ROWS = 4
"""Training values of an hour of the week, or a weekday, that must be known before it is said what is usual."""

YEAR = pd.Timedelta(days=365.2425)


def predictions_answer(
    predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema, champion: "Champion", saved: int | None
) -> Answer:
    """Return how much was predicted by which version, and whether it is like what the model learned from.

    history: the target of the training rows. saved: new rows in the database, None where none is kept.
    """
    today, unusual = level_of(predictions, history, schema), _unusual_share(predictions, history, schema)
    remark = "not kept in the database" if saved is None else f"{saved:,} new in the database"
    facts = [
        ("predictions", len(predictions), remark),
        ("model version", champion.version.version, f"registered {number(champion.version.created_at)}"),
        *_level_facts(today, schema),
    ]
    metrics = {"predictions": len(predictions), "level": today["level"]}
    if unusual is not None:
        facts.append(("unusual", percent(unusual), "outside 99% of the training values; about 1% is normal"))
        metrics["unusual_share"] = unusual
    many = unusual is not None and unusual > MOST_UNUSUAL
    level = level_message(today, schema)
    headline = f"{len(predictions):,} rows are predicted by version {champion.version.version}: {level}."
    if many and unusual is not None:
        headline += f" {percent(unusual)} of them lie outside the range that 99% of the training values have."
    return answer("warn" if many else "good", headline, facts=facts, metrics=metrics)


def level_of(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> dict[str, Any]:
    """Return the level of the predictions beside that of the training target.

    ``level`` and ``training``: means; of classes the mean probability of the positive one (of several the share of the
    rows predicted as the most frequent one), and its share in training. ``predicted``: the share predicted as it.
    """
    target_class = _wanted(history, schema)
    level = {
        "class": target_class,
        "level": float(_predicted_number(predictions, schema, target_class).mean()),
        "training": float(_number_of(history[schema.target], schema, target_class).mean()),
    }
    if schema.task != "regression":
        level["predicted"] = float((predictions["prediction"].astype(str) == target_class).mean())
    return level


def level_message(level: dict[str, Any], schema: Schema) -> str:
    """Return in words what `level_of` returns."""
    if schema.task == "regression":
        return f"the mean {schema.target} is {number(level['level'])}, against {number(level['training'])} in training"
    message = f"{percent(level['predicted'])} of them as {schema.target} = {level['class']}"
    if schema.task == "binary":
        message += f"; the mean probability is {percent(level['level'])}"
    return f"{message}, against {percent(level['training'])} of the rows in training"


def _level_facts(level: dict[str, Any], schema: Schema) -> list[tuple[Any, ...]]:
    if schema.task == "regression":
        return [(f"mean {schema.target}", level["level"], f"{number(level['training'])} in training")]
    facts: list[tuple[Any, ...]] = [(f"predicted {level['class']}", percent(level["predicted"]), "of the rows")]
    if schema.task == "binary":
        facts.append(("mean probability", percent(level["level"]), f"{percent(level['training'])} in training"))
    return facts


def predictions_distribution(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart | Table:
    """Return the distribution of the predictions beside that of the training target."""
    if predictions.empty:
        return note("There are no rows to predict.")
    if schema.task == "binary":
        return _probabilities(predictions, history, schema)
    if schema.task == "multiclass":
        return _classes(predictions, history, schema)
    frame = pd.concat(
        [
            pd.DataFrame({"of": "training target", "value": history[schema.target].astype("float64")}),
            pd.DataFrame({"of": "predictions", "value": predictions["prediction"].astype("float64")}),
        ],
        ignore_index=True,
    ).dropna()
    low, high = frame["value"].min(), frame["value"].max()
    edges = np.linspace(low, high, 41) if high > low else np.array([low - 0.5, low + 0.5])
    fig, axes = figure()
    for name, colour in (("training target", NEUTRAL), ("predictions", ACCENT)):
        values = frame.loc[frame["of"] == name, "value"]
        weights = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins=edges, weights=weights, color=colour, alpha=0.65, label=name)
    axes.set(xlabel=_axis(schema), ylabel="share of rows")
    percent_axis(axes.yaxis)
    axes.legend()
    help_text = "Both areas add up to 100%. Predictions spread less than values, because chance is not predicted."
    return Chart(distribution_message(frame), fig, help_text, frame)


def distribution_message(frame: pd.DataFrame) -> str:
    """Return the sentence over both distributions: their medians."""
    middle = frame.groupby("of")["value"].median()
    if "training target" not in middle:
        return f"The median of the predictions is {number(float(middle['predictions']))}"
    now, before = (number(float(middle[name])) for name in ("predictions", "training target"))
    return f"The median of the predictions is {now}; that of the training values is {before}"


def predictions_over_time(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart | Table:
    """Return the predictions over time before what is usual at such times; a remark without timestamps.

    Usual is the middle 80% of the training values of the same season and hour of the week (of the same weekday for
    longer windows); where training has no rows of the season, nothing is said of it.
    """
    if not schema.timestamp or predictions.empty or not predictions[schema.timestamp].notna().any():
        return note("There is no course over time to show: the rows have no timestamp, or there are none.")
    frame = course_frame(predictions, history, schema)
    hourly = frame.attrs["step"] == "1h"
    fig, axes = figure()
    if frame["low"].notna().any():
        axes.fill_between(
            frame["at"], frame["low"], frame["high"], color=NEUTRAL, alpha=0.35, label="same season in training", lw=0
        )
    axes.plot(frame["at"], frame["value"], color=ACCENT, label="predictions", marker="o" if len(frame) < 3 else None)
    axes.set(xlabel="time (UTC)", ylabel=_axis(schema))
    axes.legend(loc="upper left", ncols=2)
    axes.margins(x=0.01, y=0.15)
    _date_ticks(axes)
    of_week = "hour of the week" if hourly else "weekday"
    help_text = f"Means per {'hour' if hourly else 'day'}."
    if frame["low"].notna().any():
        help_text += f" The band holds 80% of the training values of the same season and {of_week}."
    return Chart(course_message(frame), fig, help_text, frame)


def course_frame(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the mean prediction of each hour or day, and where 80% of the training values of its kind lie.

    Columns: ``at``, ``value``, ``low``, ``high`` (NaN where training has too few rows of the season). ``attrs`` has the
    ``step``: 1h, or 1D where the rows span more than ten days.
    """
    timestamp, target_class = str(schema.timestamp), _wanted(history, schema)
    times = predictions[timestamp]
    hourly = times.max() - times.min() <= pd.Timedelta("10D")
    step = "1h" if hourly else "1D"
    now = _mean_by(times, _predicted_number(predictions, schema, target_class), step)
    season = history[same_season(history[timestamp], times)]
    past = _mean_by(season[timestamp], _number_of(season[schema.target], schema, target_class), step)
    frame = pd.DataFrame({"at": now.index, "value": now.to_numpy(), "low": np.nan, "high": np.nan})
    if len(past):
        grouped = past.groupby(_phase(past.index, hourly))
        enough = grouped.count() >= LEAST_ROWS
        for name, share in (("low", 0.1), ("high", 0.9)):
            frame[name] = grouped.quantile(share)[enough].reindex(_phase(now.index, hourly)).to_numpy()
    frame.attrs["step"] = step
    return frame


def same_season(past: pd.Series, times: pd.Series) -> pd.Series:
    """Return which of ``past`` lie within `SEASON_DAYS` of the middle of ``times``, whatever the year."""
    gap_years = (past - (times.min() + (times.max() - times.min()) / 2)) / YEAR
    return (gap_years - gap_years.round()).abs() <= pd.Timedelta(days=SEASON_DAYS) / YEAR


def course_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the course: how often it leaves the band, or where it lies when there is none."""
    name = "hour" if frame.attrs["step"] == "1h" else "day"
    valid_rows = frame[frame["low"].notna() & frame["value"].notna()]
    if len(valid_rows) < len(frame) / 2:
        low, high = number(float(frame["value"].min())), number(float(frame["value"].max()))
        return f"The mean prediction of {'an hour' if name == 'hour' else 'a day'} lies between {low} and {high}"
    above, below = (valid_rows["value"] > valid_rows["high"]).mean(), (valid_rows["value"] < valid_rows["low"]).mean()
    return (
        f"Predictions are above what the same season in training had in {percent(above)} of the {name}s, and below it "
        f"in {percent(below)}"
    )


def predictions_table(predictions: pd.DataFrame, schema: Schema, *, rows: int = 10) -> Table:
    """Return the rows with the highest predictions, or with the highest probability."""
    by = "probability" if "probability" in predictions else "prediction"
    ranked = schema.task != "multiclass"
    frame = predictions.sort_values(by, ascending=False, kind="stable") if ranked else predictions
    title = f"The {min(rows, len(frame))} highest" if ranked else "First rows"
    return table(frame.head(rows), title, keys=(*schema.key, "model_version"))


def _unusual_share(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> float | None:
    if schema.task != "regression":
        return None
    low, high = history[schema.target].astype("float64").quantile(list(USUAL))
    values = predictions["prediction"].astype("float64")
    return float(((values < low) | (values > high)).mean()) if len(values) else None


def _wanted(history: pd.DataFrame, schema: Schema) -> str:
    """Return the class that is counted: the positive one, or the most frequent of several; empty for a regression."""
    if schema.task == "regression":
        return ""
    if schema.positive is not None:
        return label(schema.positive)
    modes = _texts(history[schema.target]).mode()
    return str(modes.iloc[0]) if len(modes) else ""


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
        return label_text(f"probability of {schema.target} = {label(schema.positive)}", 60)  # type: ignore[arg-type]
    unit = schema.columns[schema.target].unit
    return label_text(f"{schema.target} ({unit})" if unit else schema.target, 60)


def _probabilities(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart:
    fig, axes = figure()
    edges = np.linspace(0, 1, 21)
    level = level_of(predictions, history, schema)
    positive, rate = level["class"], level["training"]
    frame = pd.DataFrame(
        {"probability": predictions["probability"], "positive": predictions["prediction"].astype(str) == positive}
    )
    for is_positive, colour in ((True, ACCENT), (False, NEUTRAL)):
        name = f"predicted {label_text(positive, 24)}" if is_positive else "predicted otherwise"
        axes.hist(frame.loc[frame["positive"] == is_positive, "probability"], bins=edges, color=colour, label=name)
    axes.axvline(rate, color=PALETTE[1], linestyle="--")
    axes.annotate(
        f" {percent(rate)} of training rows", (rate, axes.get_ylim()[1]), va="top", fontsize=9, color=PALETTE[1]
    )
    axes.set(xlabel=_axis(schema), ylabel="rows", xlim=(0, 1))
    axes.legend(loc="upper right")
    help_text = "Where the mean probability leaves the share seen in training, the rows differ from those learned from."
    return Chart(probability_message(frame, positive, rate), fig, help_text, frame)


def probability_message(frame: pd.DataFrame, positive: str, rate: float) -> str:
    """Return the sentence over the probabilities: how many rows are predicted positive, and the mean."""
    share, mean = percent(float(frame["positive"].mean())), percent(float(frame["probability"].mean()))
    return f"{share} of the rows are predicted {positive}; the mean probability is {mean}, training had {percent(rate)}"


def _classes(predictions: pd.DataFrame, history: pd.DataFrame, schema: Schema) -> Chart:
    before = _texts(history[schema.target]).value_counts(normalize=True)
    now = _texts(predictions["prediction"]).value_counts(normalize=True)
    names = list(before.index.union(now.index, sort=True))
    frame = pd.DataFrame({"training": before.reindex(names), "now": now.reindex(names)}).fillna(0.0)
    frame = frame.rename_axis("class").reset_index()
    places: Any = np.arange(len(frame))
    fig, axes = figure(height=1.4 + 0.45 * len(names))
    axes.barh(places + 0.2, frame["training"], 0.38, color=NEUTRAL, label="training target")
    axes.barh(places - 0.2, frame["now"], 0.38, color=ACCENT, label="predictions")
    name_rows(axes, frame["class"])
    axes.set(xlabel="share of rows")
    percent_axis(axes.xaxis)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return Chart(
        classes_message(frame),
        fig,
        "Each class's share of the predictions beside its share of the training rows.",
        frame,
    )


def classes_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the classes: the one whose share differs most from training."""
    most = frame.loc[(frame["now"] - frame["training"]).abs().idxmax()]
    name = label_text(most["class"])
    if most["now"] == most["training"]:
        return f"Each of the {len(frame)} classes is predicted as often as it was in training"
    return (
        f"{name} differs most from training: {percent(most['now'])} of the predictions, "
        f"{percent(most['training'])} of the training rows"
    )

"""Concept drift: the model errs in one direction, whether its inputs have changed or not.

The growth of a target hides in its own distribution behind the seasons; beside the predictions, which know the season
from the inputs, it shows.
"""

from datetime import datetime

import numpy as np
import pandas as pd
from scipy import special

from quire.config import Performance, Schema, label
from quire.data import split_periods
from quire.monitor.performance import days_of, labelled
from quire.page.numbers import number, percent

COLUMNS = ["start", "end", "labelled", "actual", "predicted", "bias", "low", "high", "share"]


def signed_errors(
    rows: pd.DataFrame, schema: Schema, performance: Performance, *, period: str, end: datetime | None
) -> pd.DataFrame:
    """Return the mean of what happened less what was predicted, by period.

    Columns: ``start``, ``end``, ``labelled``, ``actual`` and ``predicted`` (means; for a binary task shares of the
    positive class), ``bias`` = actual - predicted with an interval ``low`` to ``high`` (days count as one draw each),
    and ``share`` = bias / mean size of the predictions. Empty for a multiclass task, whose errors have no sign.
    """
    records = []
    for start, stop, part in split_periods(rows, schema, period, end=end):
        labelled_rows = labelled(part)
        if schema.task == "multiclass" or len(labelled_rows) < performance.min_labelled:
            continue
        actual, predicted = as_numbers(labelled_rows, schema)
        errors = actual - predicted
        bias, low, high = _mean_interval(errors, labelled_rows, schema, performance.confidence)
        level = float(np.abs(predicted).mean())
        share = bias / level if level > 0 else float("nan")
        records.append((start, stop, len(labelled_rows), actual.mean(), predicted.mean(), bias, low, high, share))
    return pd.DataFrame(records, columns=COLUMNS)


def as_numbers(known: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return what happened and what was predicted as numbers: for a binary task 1 and 0, and the probability."""
    if schema.task == "regression":
        return known["actual"].to_numpy(dtype=float), known["prediction"].to_numpy(dtype=float)
    positive = label(schema.positive if schema.positive is not None else True)
    happened = known["actual"].astype("str").str.lower() == positive.lower()
    return happened.to_numpy(dtype=float), known["probability"].to_numpy(dtype=float)


def judge_concept(recent: pd.DataFrame, windows: pd.DataFrame, performance: Performance) -> pd.DataFrame:
    """Return the periods with ``expected``, ``usual_low``, ``usual_high`` (of ``share``; NaN: unknown) and ``status``.

    Alert: the bias differs from that on the test window by more than ``bias`` of the level (large), its interval leaves
    the latter out (sure), and single periods of the test window do not lead one to expect it (usual). Warn: large and
    sure, two periods running. So a model that leans, and did so when it was judged, does not alert for it.
    """
    low, high = two_sided_bound(windows["share"].to_numpy(dtype=float), performance)
    share = recent["share"].to_numpy(dtype=float)
    expected = weighted_mean(windows["share"], windows["labelled"])
    level = recent["bias"].to_numpy(dtype=float) / np.where(share == 0, np.nan, share)
    leaning = np.where(np.isnan(level), 0.0, expected * level)
    sure = (recent["low"].to_numpy(dtype=float) > leaning) | (recent["high"].to_numpy(dtype=float) < leaning)
    noticed = (np.abs(share - expected) > performance.bias) & sure
    usual = (share >= low) & (share <= high)
    twice = noticed & np.concatenate([[False], noticed[:-1]]) if len(noticed) else noticed
    status = np.select([np.isnan(share), noticed & ~usual, twice], ["unknown", "alert", "warn"], "ok")
    return recent.assign(expected=expected, usual_low=low, usual_high=high, status=status)


def weighted_mean(values: pd.Series, weights: pd.Series) -> float:
    """Return the mean of the values that are known, by weight; 0 if none is."""
    mask = values.notna()
    return float(np.average(values[mask], weights=weights[mask])) if mask.any() else 0.0


def two_sided_bound(values: np.ndarray, performance: Performance) -> tuple[float, float]:
    """Return between which limits one more period like these lies with the given confidence; NaN with too few."""
    sample = values[~np.isnan(values)]
    if len(sample) < performance.min_windows:
        return float("nan"), float("nan")
    t = special.stdtrit(len(sample) - 1, 1 - (1 - performance.confidence) / 2)
    reach = float(t * sample.std(ddof=1) * np.sqrt(1 + 1 / len(sample)))
    return float(sample.mean()) - reach, float(sample.mean()) + reach


def _mean_interval(
    errors: np.ndarray, known: pd.DataFrame, schema: Schema, confidence: float
) -> tuple[float, float, float]:
    """Return the mean and its t interval, from the means of days where there are three or more of them."""
    draws, days = errors, days_of(known, schema)
    if days is not None and days.max() >= 2:
        draws = np.bincount(days, weights=errors) / np.bincount(days)
    mean = float(errors.mean())
    t = special.stdtrit(len(draws) - 1, 1 - (1 - confidence) / 2)
    reach = float(t * draws.std(ddof=1) / np.sqrt(len(draws)))
    return mean, mean - reach, mean + reach


def explain_bias(row: pd.Series, schema: Schema, *, inputs_changed: bool) -> str:
    """Return in words what the signed error of one period says: which is above the other, by how much, and why."""
    name = f"The actual {outcome_name(schema)}"
    because = "an input has drifted as well" if inputs_changed else "no input has drifted that would explain it"
    level = f"{number(float(row['actual']))} on average, predicted {number(float(row['predicted']))}"
    return f"{name} was {beside_prediction(row['share'])} ({level}); {because}."


def outcome_name(schema: Schema) -> str:
    """Return what is predicted, in words: the target, or the share of its positive class."""
    if schema.task != "regression":
        return f"share of {schema.target} = {label(schema.positive if schema.positive is not None else True)}"
    description = schema.columns[schema.target].description
    return f"{description} ({schema.target})" if description else schema.target


def beside_prediction(share: float) -> str:
    """Return a signed error, as a share of the predictions, in words."""
    if pd.isna(share):
        return "beside predictions of zero"
    if share == 0:
        return "equal to the prediction"
    return f"{percent(abs(share))} {'above' if share > 0 else 'below'} the prediction"

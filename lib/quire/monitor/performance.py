"""Performance: what the model's errors are now, beside those on its test window, by period and by segment."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from quire.config import Performance, Schema, label
from quire.data import split_periods
from quire.model.bootstrap import Interval as Interval
from quire.model.bootstrap import interval
from quire.model.metrics import HIGHER_IS_BETTER, METRICS, SEGMENT_METRIC, Outcomes, compare, measure

RESAMPLES = 200
MOST_RESAMPLED = 4_000
"""Rows that a bootstrap weighs; of more a random part is taken, and the interval narrowed to what all would give."""


def main_metric(performance: Performance, schema: Schema) -> str:
    """Return the metric that the verdict goes by: an error of single rows unless params.yaml names another."""
    return performance.metric or SEGMENT_METRIC[schema.task]


def shown_metrics(performance: Performance, schema: Schema) -> tuple[str, ...]:
    """Return all metrics that are measured, the main one first."""
    return tuple(dict.fromkeys((main_metric(performance, schema), *METRICS[schema.task])))


def loss_of(metric: str, value: Any) -> Any:
    """Return a figure as a loss, smaller is better: a metric of which more is better is taken from 1."""
    return 1 - value if HIGHER_IS_BETTER[metric] else value


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of which prediction and outcome are known."""
    return rows[rows["actual"].notna() & rows["prediction"].notna()]


def scored(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return of the columns those that metrics are made of: what is known, predicted, when, and of which segment."""
    columns = {"actual", "window", *schema.segments, *([schema.timestamp] if schema.timestamp else [])}
    return rows[[name for name in rows if name in columns or schema.is_predicted(name)]]


def outcomes_of(rows: pd.DataFrame, schema: Schema) -> Outcomes:
    """Return labelled rows in the form that metrics take."""
    if schema.task == "regression":
        truth: np.ndarray = rows["actual"].to_numpy(dtype=np.float64)
    else:
        truth = rows["actual"].astype("str").to_numpy(dtype=object)
        if str(rows["actual"].dtype) == "boolean":
            truth = np.char.lower(truth.astype("U"))
    return compare(truth, rows, schema)


def measured(
    rows: pd.DataFrame, schema: Schema, metrics: Sequence[str], rng: np.random.Generator, confidence: float
) -> dict[str, Interval]:
    """Return each metric with an interval from a bootstrap of whole days (of rows where there is no timestamp)."""
    outcomes = outcomes_of(rows, schema)
    values = measure(outcomes, tuple(metrics))
    sample, narrower = np.arange(len(rows)), 1.0
    if len(rows) > MOST_RESAMPLED:
        sample = rng.choice(len(rows), MOST_RESAMPLED, replace=False)
        narrower = np.sqrt(MOST_RESAMPLED / len(rows))
    blocks = _blocks(rows.iloc[sample], schema)
    weights = rng.multinomial(blocks.max() + 1, np.full(blocks.max() + 1, 1 / (blocks.max() + 1)), RESAMPLES)
    spread = measure(outcomes.take(sample), tuple(metrics), weights[:, blocks].astype(float))
    intervals = {}
    for name in metrics:
        value, bootstrap = values[name], interval(values[name], spread[name], level=confidence)
        low, high = value - (value - bootstrap.low) * narrower, value + (bootstrap.high - value) * narrower
        intervals[name] = Interval(value, low, high)
    return intervals


def _blocks(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the day of each row as a number from 0, or the row's own where there are fewer than three days."""
    days = days_of(rows, schema)
    return days if days is not None and days.max(initial=0) >= 2 else np.arange(len(rows))


def days_of(rows: pd.DataFrame, schema: Schema) -> np.ndarray | None:
    """Return the day (UTC) of each row as a number from 0, without gaps; None where there is no timestamp."""
    if not schema.timestamp or schema.timestamp not in rows:
        return None
    # As whole numbers: an array of times with a zone becomes an object for every row.
    seconds = pd.to_datetime(rows[schema.timestamp], utc=True).dt.as_unit("s").astype("int64")
    return pd.factorize(seconds.to_numpy() // 86_400)[0]


def period_performance(
    rows: pd.DataFrame,
    schema: Schema,
    performance: Performance,
    *,
    period: str,
    end: datetime | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return each metric of each period, in order of time.

    Columns: ``metric``, ``start``, ``end``, ``rows``, ``labelled``, ``value``, ``low``, ``high`` (NaN with fewer
    labelled rows than ``min_labelled``).
    """
    metrics = shown_metrics(performance, schema)
    records: list[dict[str, Any]] = []
    for start, stop, part in split_periods(rows, schema, period, end=end):
        labelled_rows = labelled(part)
        enough = len(labelled_rows) >= performance.min_labelled
        values = measured(labelled_rows, schema, metrics, rng, performance.confidence) if enough else {}
        for name in metrics:
            score = values.get(name, Interval(np.nan, np.nan, np.nan))
            about = {"metric": name, "start": start, "end": stop, "rows": len(part), "labelled": len(labelled_rows)}
            records.append(about | {"value": score.value, "low": score.low, "high": score.high})
    names = ["metric", "start", "end", "rows", "labelled", "value", "low", "high"]
    return pd.DataFrame(records, columns=names)


def judge_performance(
    recent: pd.DataFrame, windows: pd.DataFrame, expected: dict[str, Interval], performance: Performance
) -> pd.DataFrame:
    """Return the periods with what was to be expected and a status, one of ok, warn, alert, unknown.

    recent, windows: as `period_performance` returns them, of the recent periods and of the test window.
    expected: each metric on the whole test window.
    Alert: the loss is larger by more than ``loss`` (large), its interval is above the expected value (sure), and it is
    above what single periods of the test window lead one to expect (usual). Warn: large and sure, two periods running.
    Columns added: ``expected``, ``usual`` (in the metric's unit; NaN: not yet known), ``change`` (relative, of the
    loss), ``status``.
    """
    frames = []
    for metric, part in recent.groupby("metric", sort=False):
        name = str(metric)
        reference = expected[name].value
        base = loss_of(name, reference)
        losses = loss_of(name, windows.loc[windows["metric"] == name, "value"].to_numpy(dtype=float))
        bound = prediction_bound(losses, confidence=performance.confidence, least=performance.min_windows)
        value = loss_of(name, part["value"].to_numpy(dtype=float))
        sure_at = np.fmin(loss_of(name, part["low"].to_numpy(float)), loss_of(name, part["high"].to_numpy(float)))
        change = value / base - 1 if base > 0 else np.full(len(value), np.nan)
        noticed = (change > performance.loss) & (sure_at > base)
        alert = noticed & ~(value <= bound)
        twice = noticed & np.concatenate([[False], noticed[:-1]])
        status = np.select([np.isnan(value), alert, twice], ["unknown", "alert", "warn"], "ok")
        usual = loss_of(name, bound)
        frames.append(part.assign(expected=reference, usual=usual, change=change, status=status))
    return pd.concat(frames, ignore_index=True) if frames else recent


def prediction_bound(values: np.ndarray, *, confidence: float, least: int) -> float:
    """Return what one more period like these exceeds with probability 1 - ``confidence``; NaN with too few of them.

    The one-sided prediction bound of a normal distribution: mean + t * s * sqrt(1 + 1/n). Source: Hahn and Meeker
    (1991), Statistical Intervals, 4.7.
    """
    sample = values[~np.isnan(values)]
    if len(sample) < least:
        return float("nan")
    t = special.stdtrit(len(sample) - 1, confidence)
    return float(sample.mean() + t * sample.std(ddof=1) * np.sqrt(1 + 1 / len(sample)))


def segment_performance(
    reference: pd.DataFrame,
    recent: pd.DataFrame,
    schema: Schema,
    performance: Performance,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the main metric of each segment with enough labelled rows, the one that lost most first.

    Columns: ``column``, ``segment``, ``rows``, ``metric``, ``value``, ``low``, ``high``, ``expected`` (on the test
    window; NaN where it had too few rows) and ``change`` (relative, of the loss), ``status``.
    """
    metric = main_metric(performance, schema)
    records: list[dict[str, Any]] = []
    for column in schema.segments:
        if column not in recent:
            continue
        before = dict(_segments(reference, column, performance.min_segment_rows))
        for name, part in _segments(recent, column, performance.min_segment_rows):
            score = measured(part, schema, [metric], rng, performance.confidence)[metric]
            reference_rows = before.get(name)
            expected = (
                measure(outcomes_of(reference_rows, schema), (metric,))[metric]
                if reference_rows is not None
                else np.nan
            )
            change = loss_of(metric, score.value) / loss_of(metric, expected) - 1
            sure = min(loss_of(metric, score.low), loss_of(metric, score.high)) > loss_of(metric, expected)
            status = "warn" if sure and change > performance.loss else "ok"
            about = {"column": column, "segment": name, "rows": len(part), "metric": metric, "value": score.value}
            about |= {"low": score.low, "high": score.high, "expected": expected}
            records.append(about | {"change": change, "status": status})
    names = ["column", "segment", "rows", "metric", "value", "low", "high", "expected", "change", "status"]
    table = pd.DataFrame(records, columns=names)
    return table.sort_values("change", ascending=False, na_position="last", ignore_index=True)


def _segments(rows: pd.DataFrame, column: str, least: int) -> Iterable[tuple[str, pd.DataFrame]]:
    labelled_rows = labelled(rows)
    if column not in labelled_rows:
        return
    for value, part in labelled_rows.groupby(
        labelled_rows[column].astype(object).map(label, na_action="ignore").astype("str"), observed=True
    ):
        if len(part) >= least:
            yield str(value), part

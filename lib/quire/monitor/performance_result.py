"""All figures of performance of one run: realised, estimated, signed, by period and by segment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Performance, Schema, duration
from quire.data import split_periods
from quire.model import measure
from quire.monitor.concept import judge_concept, signed_errors
from quire.monitor.estimate import fit_estimator
from quire.monitor.monitoring_input import MonitoringInput, sample
from quire.monitor.performance import (
    Interval,
    judge_performance,
    labelled,
    main_metric,
    measured,
    outcomes_of,
    period_performance,
    scored,
    segment_performance,
    shown_metrics,
)

MOST_ESTIMATED = 20_000
"""Rows of a period from which its performance is estimated; of more a random part is taken."""


@dataclass(frozen=True)
class PerformanceResult:
    """How well the model predicts.

    metric: the one by which it is judged. expected: each metric on the champion's test window. periods: each metric of
    each recent period, with its status. concept: signed errors by period. estimated: ``start``, ``end``, ``rows``,
    ``estimated``, ``low``, ``high``, ``realised`` by period. past_error: by how much estimates were off, in the
    metric's unit. segments: the main metric by segment, of the current rows that are labelled. due: until when periods
    end whose outcomes should be known (``label_delay``); None without a timestamp.
    """

    metric: str
    expected: dict[str, Interval]
    periods: pd.DataFrame
    concept: pd.DataFrame
    estimated: pd.DataFrame
    past_error: float
    segments: pd.DataFrame
    due: datetime | None = None

    @property
    def main(self) -> pd.DataFrame:
        """The periods of the main metric."""
        return self.periods[self.periods["metric"] == self.metric].reset_index(drop=True)

    @property
    def latest(self) -> pd.Series | None:
        """The main metric in the last period whose outcomes are due; None if there is no period."""
        main = self.main
        due = main[pd.to_datetime(main["end"], utc=True) <= self.due] if self.due is not None else main
        rows = due if len(due) else main
        return None if rows.empty else rows.iloc[-1]

    @property
    def signed(self) -> pd.Series | None:
        """The signed error in the period of `latest`; None where its outcomes are not known yet."""
        if self.latest is None or self.concept.empty:
            return None
        last = self.concept.iloc[-1]
        if pd.isna(last["end"]):
            return last
        same = self.concept[pd.to_datetime(self.concept["end"], utc=True) == pd.Timestamp(self.latest["end"])]
        return same.iloc[-1] if len(same) else None

    @property
    def judged(self) -> pd.DataFrame:
        """Every metric in the period of `latest`, a row each."""
        if self.latest is None:
            return self.periods
        if pd.isna(self.latest["end"]):
            return self.periods.groupby("metric", sort=False).tail(1)
        return self.periods[pd.to_datetime(self.periods["end"], utc=True) == pd.Timestamp(self.latest["end"])]

    @property
    def is_current(self) -> bool:
        """Whether `latest` is the last period that there is."""
        return self.latest is not None and self.latest.name == self.main.index[-1]


def measure_performance(
    observed: MonitoringInput, schema: Schema, performance: Performance, *, seed: int = 0
) -> PerformanceResult:
    """Return the figures of performance. Where labels are not known yet, only the estimated ones are there."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums and fits this small lose more to their threads than they gain
        return _figures(observed, schema, performance, np.random.default_rng(seed))


def _figures(
    observed: MonitoringInput, schema: Schema, performance: Performance, rng: np.random.Generator
) -> PerformanceResult:
    metric, metrics = main_metric(performance, schema), shown_metrics(performance, schema)
    period, end = observed.period, observed.end
    # Only the columns that are needed: every cut into periods and segments copies rows.
    test, rows = scored(observed.champion.test, schema), scored(observed.rows, schema)
    current = rows[rows["window"] == "current"]
    rows = rows if schema.timestamp else current
    options: dict[str, Any] = {"period": period, "rng": rng}
    expected = measured(labelled(test), schema, metrics, rng, performance.confidence)
    windows = period_performance(test, schema, performance, end=None, **options)
    recent = period_performance(rows, schema, performance, end=end, **options)
    signed = signed_errors(rows, schema, performance, period=period, end=end)
    before = signed_errors(test, schema, performance, period=period, end=None)
    return PerformanceResult(
        metric,
        expected,
        judge_performance(recent, windows, expected, performance),
        judge_concept(signed, before, performance),
        *_estimated(observed, schema, performance, metric, rng),
        segment_performance(test, current, schema, performance, rng),
        due=end - duration(schema.label_delay) if end is not None else None,
    )


def _estimated(
    observed: MonitoringInput, schema: Schema, performance: Performance, metric: str, rng: np.random.Generator
) -> tuple[pd.DataFrame, float]:
    names = ["start", "end", "rows", "estimated", "low", "high", "realised"]
    estimator = fit_estimator(
        observed.champion.test, schema, performance, metric=metric, period=observed.period, rng=rng
    )
    if estimator is None:
        return pd.DataFrame(columns=names), float("nan")
    test_end = observed.champion.test[schema.timestamp].max() if schema.timestamp else None
    own = estimator.past.assign(rows=np.nan, low=np.nan, high=np.nan)[names] if test_end is not None else None
    records = []
    rows = observed.rows if test_end is not None else observed.current
    for start, stop, part in split_periods(rows, schema, observed.period, end=observed.end):
        if test_end is not None and start is not None and start <= test_end:
            continue
        labelled_rows = labelled(scored(part, schema))
        realised = np.nan
        if len(labelled_rows) >= performance.min_labelled:
            realised = measure(outcomes_of(labelled_rows, schema), (metric,))[metric]
        guess = estimator.estimate(sample(part, MOST_ESTIMATED, rng), performance.confidence)
        records.append((start, stop, len(part), *guess, realised))
    table = pd.DataFrame(records, columns=names)
    pairs = pd.concat([estimator.past, table])[["estimated", "realised"]].dropna()
    off = float(np.abs(pairs["estimated"] - pairs["realised"]).mean()) if len(pairs) else float("nan")
    return (table if own is None or own.empty else pd.concat([own, table], ignore_index=True)), off

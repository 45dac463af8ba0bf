"""All figures of performance of one run: realised, estimated, signed, by period and by segment."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Performance, Schema
from quire.data import split_periods
from quire.monitor.concept import judge_concept, signed_errors
from quire.monitor.estimate import fit_estimator
from quire.monitor.observe import Observed
from quire.monitor.performance import (
    Interval,
    judge_performance,
    labelled,
    main_metric,
    measured,
    period_performance,
    segment_performance,
    shown_metrics,
)


@dataclass(frozen=True)
class Figures:
    """How well the model predicts.

    metric: the one by which it is judged. expected: each metric on the champion's test window. periods: each metric of
    each recent period, with its status. concept: signed errors by period. estimated: ``start``, ``end``, ``rows``,
    ``estimated``, ``low``, ``high``, ``realised`` by period. past_error: by how much estimates were off, in the
    metric's unit. segments: the main metric by segment, over the recent periods that are labelled.
    """

    metric: str
    expected: dict[str, Interval]
    periods: pd.DataFrame
    concept: pd.DataFrame
    estimated: pd.DataFrame
    past_error: float
    segments: pd.DataFrame

    @property
    def main(self) -> pd.DataFrame:
        """The periods of the main metric."""
        return self.periods[self.periods["metric"] == self.metric].reset_index(drop=True)

    @property
    def latest(self) -> pd.Series | None:
        """The main metric in the last period; None if there is no period."""
        return None if self.main.empty else self.main.iloc[-1]


def measure_performance(observed: Observed, schema: Schema, performance: Performance, *, seed: int = 0) -> Figures:
    """Return the figures of performance. Where labels are not known yet, only the estimated ones are there."""
    rng = np.random.default_rng(seed)
    metric, metrics = main_metric(performance, schema), shown_metrics(performance, schema)
    test, period, end = observed.champion.test, observed.period, observed.end
    options: dict[str, Any] = {"period": period, "rng": rng}
    expected = measured(labelled(test), schema, metrics, rng, performance.confidence)
    windows = period_performance(test, schema, performance, end=None, **options)
    rows = observed.rows if schema.timestamp else observed.current
    recent = period_performance(rows, schema, performance, end=end, **options)
    signed = signed_errors(rows, schema, performance, period=period, end=end)
    before = signed_errors(test, schema, performance, period=period, end=None)
    return Figures(
        metric,
        expected,
        judge_performance(recent, windows, expected, performance),
        judge_concept(signed, before, performance),
        *_estimated(observed, schema, performance, metric, rng),
        segment_performance(test, observed.current, schema, performance, rng),
    )


def _estimated(
    observed: Observed, schema: Schema, performance: Performance, metric: str, rng: np.random.Generator
) -> tuple[pd.DataFrame, float]:
    names = ["start", "end", "rows", "estimated", "low", "high", "realised"]
    estimator = fit_estimator(
        observed.champion.test, schema, performance, metric=metric, period=observed.period, rng=rng
    )
    if estimator is None:
        return pd.DataFrame(columns=names), float("nan")
    seen = observed.champion.test[schema.timestamp].max() if schema.timestamp else None
    own = estimator.past.assign(rows=np.nan, low=np.nan, high=np.nan)[names] if seen is not None else None
    found = []
    for start, stop, part in split_periods(observed.rows, schema, observed.period, end=observed.end):
        if seen is not None and start is not None and start <= seen:
            continue
        part = part if seen is not None else part[part["window"] == "current"]
        known = labelled(part)
        realised = np.nan
        if len(known) >= performance.min_labelled:
            realised = measured(known, schema, [metric], rng, performance.confidence)[metric].value
        found.append((start, stop, len(part), *estimator.estimate(part, performance.confidence), realised))
    table = pd.DataFrame(found, columns=names)
    both = pd.concat([estimator.past, table])[["estimated", "realised"]].dropna()
    off = float(np.abs(both["estimated"] - both["realised"]).mean()) if len(both) else float("nan")
    return (table if own is None or own.empty else pd.concat([own, table], ignore_index=True)), off

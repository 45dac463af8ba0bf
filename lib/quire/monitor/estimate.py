"""Estimated performance: what the metrics would be, before what really happened is known.

Classification: confidence-based estimate. If the probabilities are right, they say how often the model errs: each row
counts as positive with its probability, and as negative with the rest. They are calibrated on the test window first.
Regression: a second model learns the size of the error from the inputs and the prediction, on the test window.
Source: NannyML's documentation of CBPE and DLE, of which this is the idea.

Both see a change of the inputs, and are blind to a change of what follows from them: that is concept drift.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from quire.config import Performance, Schema
from quire.data import split_periods
from quire.model.features import FAR_BELOW, model_input
from quire.model.metrics import Outcomes, measure
from quire.monitor.monitoring_input import sample
from quire.monitor.performance import labelled, outcomes_of

MOST_ROWS = 10_000
FOLDS = 5


@dataclass(frozen=True)
class Estimator:
    """A fitted estimator of one metric, and how far it was off on parts of the test window that it had not seen.

    past: ``start``, ``end``, ``estimated`` and ``realised`` of each such part. deviation: root of the mean square of
    their difference, in the metric's unit.
    """

    metric: str
    schema: Schema
    model: "ErrorModel | Calibrated" = field(repr=False)
    past: pd.DataFrame
    deviation: float

    def estimate(self, rows: pd.DataFrame, confidence: float) -> tuple[float, float, float]:
        """Return the estimated metric of ``rows`` (labels not needed) and where it lies with that confidence."""
        predicted_rows = rows[rows["prediction"].notna()]
        if not len(predicted_rows):
            return (float("nan"),) * 3
        value = self.model.estimate(predicted_rows)
        t = special.stdtrit(max(len(self.past) - 1, 1), 1 - (1 - confidence) / 2)
        reach = float(t) * self.deviation
        return value, value - reach, value + reach


def fit_estimator(
    test: pd.DataFrame, schema: Schema, performance: Performance, *, metric: str, period: str, rng: np.random.Generator
) -> Estimator | None:
    """Return the estimator of ``metric`` learnt from the labelled rows of the test window.

    For a regression the metric is the mean absolute error. How far it is off is measured on each period of the test
    window (on fifths of it where there is no timestamp), estimated by a fit that has not seen it. None for another
    metric of a regression, and where the test window has too few labelled rows.
    """
    labelled_rows = labelled(test)
    if (schema.task == "regression" and metric != "mae") or len(labelled_rows) < FOLDS * performance.min_labelled:
        return None
    labelled_rows = sample(labelled_rows, MOST_ROWS, rng).reset_index(drop=True)
    make = ErrorModel if schema.task == "regression" else Calibrated
    past = []
    parts = [
        fold
        for fold in _folds(labelled_rows, schema, period)
        if performance.min_labelled <= len(fold[2]) < len(labelled_rows)
    ]
    # A fit for each fifth of the periods: one for each of them takes longer and tells little more.
    groups = np.array_split(np.arange(len(parts)), min(FOLDS, len(parts))) if parts else []
    for unseen in ([parts[number] for number in group] for group in groups):
        rest = labelled_rows.drop(np.concatenate([part.index for _, _, part in unseen]))
        model = make(rest, schema, metric)
        for start, end, part in unseen:
            realised = measure(outcomes_of(part, schema), (metric,))[metric]
            past.append((start, end, model.estimate(part), realised))
    table = pd.DataFrame(past, columns=["start", "end", "estimated", "realised"])
    # About zero, not about their mean: that the estimate leans is part of its error.
    deviation = float(np.sqrt(np.nanmean(np.square(table["estimated"] - table["realised"])))) if past else float("nan")
    return Estimator(metric, schema, make(labelled_rows, schema, metric), table, deviation)


def _folds(
    known: pd.DataFrame, schema: Schema, period: str
) -> list[tuple[datetime | None, datetime | None, pd.DataFrame]]:
    parts = split_periods(known, schema, period)
    if len(parts) >= 3:
        return parts
    return [(None, None, known.iloc[block]) for block in np.array_split(np.arange(len(known)), FOLDS)]


class ErrorModel:
    """Predicts the absolute error of a regression from the inputs and the prediction."""

    def __init__(self, known: pd.DataFrame, schema: Schema, metric: str) -> None:
        """Learn from labelled rows; ``metric`` is the mean absolute error."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        self.schema = schema
        inputs = self._inputs(known)
        self.codes = {name: pd.Index(inputs[name].dropna().unique()) for name in inputs if inputs[name].dtype == object}
        errors = np.abs(known["actual"].to_numpy(dtype=float) - known["prediction"].to_numpy(dtype=float))
        self.model = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=8, learning_rate=0.1, random_state=0)
        self.model.fit(self._coded(inputs), errors)

    def estimate(self, rows: pd.DataFrame) -> float:
        """Return the mean absolute error that ``rows`` are expected to have."""
        return float(self.predict(rows).mean())

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the estimated absolute error of each row, shape (rows,), in the target's unit."""
        return np.maximum(self.model.predict(self._coded(self._inputs(rows))), 0)

    def _inputs(self, rows: pd.DataFrame) -> pd.DataFrame:
        return model_input(rows, self.schema).assign(prediction=rows["prediction"].to_numpy(dtype=float))

    def _coded(self, inputs: pd.DataFrame) -> np.ndarray:
        columns = [
            self.codes[name].get_indexer(inputs[name]).astype(float) if name in self.codes else inputs[name].to_numpy()
            for name in inputs
        ]
        # Gradient boosting fails on a column without any value (scikit-learn 1.9), as one of a period may be.
        return np.nan_to_num(np.column_stack(columns).astype(float), nan=FAR_BELOW)


class Calibrated:
    """Estimates a metric of a classifier from its probabilities, calibrated where there are two classes."""

    def __init__(self, known: pd.DataFrame, schema: Schema, metric: str) -> None:
        """Learn the calibration from labelled rows."""
        self.schema, self.name = schema, metric
        self.shape: Any = None
        if schema.task == "binary":
            from sklearn.isotonic import IsotonicRegression

            outcomes = outcomes_of(known, schema)
            self.shape = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
                outcomes.score, outcomes.truth
            )

    def estimate(self, rows: pd.DataFrame) -> float:
        """Return the metric that ``rows`` are expected to have."""
        blank = rows.assign(actual=rows["prediction"])
        outcomes = outcomes_of(blank, self.schema)
        assert outcomes.probability is not None
        shares = outcomes.probability
        if self.shape is not None:
            positive = self.shape.predict(outcomes.score)
            shares = np.column_stack([1 - positive, positive])
        return expected_metric(outcomes, shares, self.name)


def expected_metric(found: Outcomes, shares: np.ndarray, metric: str) -> float:
    """Return the metric's value if each row is of each class with probability ``shares``, shape (rows, classes).

    Every row stands once per class, weighted by that class's probability.
    """
    rows, classes = shares.shape
    probability = found.probability
    assert probability is not None
    repeated = Outcomes(
        found.task,
        np.tile(np.arange(classes), rows),
        np.repeat(found.prediction, classes),
        np.repeat(probability, classes, axis=0),
        found.classes,
    )
    return float(measure(repeated, (metric,), shares.reshape(1, -1))[metric][0])

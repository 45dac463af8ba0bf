"""Metrics under the names of scikit-learn, for many weightings of the rows at once.

A bootstrap weighs the same rows some hundred times; sklearn.metrics takes one weighting per call and sorts each time.
Here a weighting is a row of a matrix, so that an interval costs little; the tests hold every value to scikit-learn's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quire.config import HIGHER_IS_BETTER as HIGHER_IS_BETTER
from quire.config import METRICS, Schema
from quire.errors import ConfigError, near
from quire.model.features import positive_label, target_values
from quire.model.predictions import predict

SEGMENT_METRIC = {"regression": "mae", "binary": "log_loss", "multiclass": "log_loss"}
"""An error of single rows: R2 or ROC AUC of one segment cannot be compared with that of another."""


@dataclass(frozen=True)
class Outcomes:
    """What happened and what was predicted, row by row.

    task: as in the schema. truth, prediction: shape (rows,); for a classification positions in ``classes``, where the
    positive class of a binary task is 1. probability: shape (rows, classes), None for a regression.
    """

    task: str
    truth: np.ndarray
    prediction: np.ndarray
    probability: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> "Outcomes":
        """Return those rows, chosen by a mask or by positions."""
        probability = None if self.probability is None else self.probability[rows]
        return Outcomes(self.task, self.truth[rows], self.prediction[rows], probability, self.classes)

    @property
    def score(self) -> np.ndarray:
        """The probability of the positive class of a binary task, shape (rows,)."""
        assert self.probability is not None
        return self.probability[:, 1]


def check_metric(name: str, task: str, *, where: str) -> str:
    """Return ``name``, or the task's first metric for an empty one; raises ConfigError if the task has no such."""
    metrics = METRICS[task]
    if name and name not in metrics:
        raise ConfigError(f"{where} is {name!r}; known for a {task} task: {', '.join(metrics)}.{near(name, metrics)}")
    return name or metrics[0]


def outcomes(pipeline: Any, frame: Any, schema: Schema) -> Outcomes:
    """Return what a fitted pipeline predicts for labelled rows beside what happened."""
    predicted = predict(pipeline, frame, schema)
    return compare(target_values(frame, schema), predicted, schema)


def compare(truth: np.ndarray, predicted: Any, schema: Schema) -> Outcomes:
    """Return the outcomes of predictions in the form of `predict`, for ``truth`` as `target_values` gives it."""
    if schema.task == "regression":
        return Outcomes("regression", truth, predicted["prediction"].to_numpy(np.float64))
    if schema.task == "binary":
        positive = positive_label(schema)
        other = next((name for name in truth if name != positive), f"not {positive}")
        share = predicted["probability"].to_numpy(np.float64)
        prediction = (predicted["prediction"] == positive).to_numpy(np.int64)
        hits = (truth == positive).astype(np.int64)
        return Outcomes("binary", hits, prediction, np.column_stack([1 - share, share]), (str(other), positive))
    shares = [name for name in predicted if name.startswith("probability_") and schema.is_predicted(name)]
    names = [name.removeprefix("probability_") for name in shares]
    classes = tuple(sorted({*names, *truth}))
    place = {name: at for at, name in enumerate(classes)}
    probability = np.zeros((len(truth), len(classes)))
    for name in names:
        probability[:, place[name]] = predicted[f"probability_{name}"]
    codes = [
        np.array([place[str(item)] for item in values], dtype=np.int64) for values in (truth, predicted["prediction"])
    ]
    return Outcomes("multiclass", codes[0], codes[1], probability, classes)


def measure(found: Outcomes, names: tuple[str, ...] = (), weights: np.ndarray | None = None) -> dict[str, Any]:
    """Return metrics by name: numbers, or with ``weights`` of shape (weightings, rows) arrays of shape (weightings,).

    names: those of the task by default. A metric that the rows do not have, such as ROC AUC of one class, is NaN.
    """
    names = names or METRICS[found.task]
    w = np.ones((1, len(found.truth))) if weights is None else weights
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {name: _FORMULAS[name](found, w) for name in names}
    return {name: float(value[0]) for name, value in values.items()} if weights is None else values


def undefined_metrics(found: Outcomes) -> dict[str, str]:
    """Return the metrics of the task that the rows do not define, each with why, in words."""
    values = measure(found)
    return {name: _why_undefined(name, found) for name, value in values.items() if not np.isfinite(value)}


def undefined_for(truth: np.ndarray, known: np.ndarray, schema: Schema) -> dict[str, str]:
    """Return the metrics that no prediction could have on rows whose target is ``truth``, each with why, in words.

    known: the values of the target that a model learns from, as its classes are those.
    """
    if schema.task == "regression":
        return undefined_metrics(Outcomes("regression", truth, np.full(len(truth), known.mean())))
    classes = tuple(str(name) for name in np.union1d(truth, known))
    if schema.task == "binary":
        positive = positive_label(schema)
        classes = (next((name for name in classes if name != positive), f"not {positive}"), positive)
    places = {name: at for at, name in enumerate(classes)}
    codes = np.array([places[str(value)] for value in truth], dtype=np.int64)
    shares = np.full((len(truth), len(classes)), 1 / len(classes))
    return undefined_metrics(Outcomes(schema.task, codes, np.zeros_like(codes), shares, classes))


def _why_undefined(name: str, found: Outcomes) -> str:
    rows = f"{len(found.truth):,} rows"
    if found.task == "regression":
        if len(np.unique(found.truth)) < 2:
            return f"the target is {found.truth[0]:g} in all {rows}"
        if np.isfinite(found.prediction).all():
            return f"the target is {found.truth[0]:g} in all {rows}, as far as its predictions can tell values apart"
        return "a prediction is no finite number"
    counts = np.bincount(found.truth, minlength=len(found.classes))
    absent = [label for label, count in zip(found.classes, counts, strict=True) if not count]
    if name in ("roc_auc", "roc_auc_ovr", "average_precision") and (absent or counts.max() == len(found.truth)):
        if len(absent) == len(found.classes) - 1:
            return f"all {rows} are {found.classes[int(counts.argmax())]!r}"
        return f"none of the {rows} is {' or '.join(repr(label) for label in absent)}"
    return "a probability is no finite number"


def row_errors(found: Outcomes, name: str) -> np.ndarray | None:
    """Return the error of each row whose weighted mean is the metric ``name``; None if it is no mean of row errors."""
    if name == "mae":
        return np.abs(found.truth - found.prediction)
    if name == "brier":
        return (found.truth - found.score) ** 2
    if name == "accuracy":
        return (found.truth == found.prediction).astype(np.float64)
    if name == "log_loss":
        assert found.probability is not None
        share = found.probability[np.arange(len(found.truth)), found.truth]
        return -np.log(np.clip(share, np.finfo(np.float64).eps, 1.0))
    return None


def _mean(name: str) -> Callable[[Outcomes, np.ndarray], np.ndarray]:
    def weighted(found: Outcomes, w: np.ndarray) -> np.ndarray:
        return w @ row_errors(found, name) / w.sum(axis=1)

    return weighted


def _rmse(found: Outcomes, w: np.ndarray) -> np.ndarray:
    return np.sqrt(w @ (found.truth - found.prediction) ** 2 / w.sum(axis=1))


def _r2(found: Outcomes, w: np.ndarray) -> np.ndarray:
    # Deviations from the plain mean first: sums of squares of large numbers lose their last digits.
    deviation = found.truth - found.truth.mean()
    total = w @ deviation**2 - (w @ deviation) ** 2 / w.sum(axis=1)
    residual = w @ (found.truth - found.prediction) ** 2
    # Where the target differs by less than the last digit of the errors, it is constant beside them.
    return np.where(total > np.finfo(np.float64).eps * residual, 1 - residual / total, np.nan)


def _by_score(hits: np.ndarray, score: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of hits and of misses at each distinct score, from the highest down, (weightings, scores)."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    sorted_weights, sorted_hits = w[:, order], hits[order]
    positive = np.add.reduceat(sorted_weights * sorted_hits, starts, axis=1)
    return positive, np.add.reduceat(sorted_weights * (1 - sorted_hits), starts, axis=1)


def _area(hits: np.ndarray, score: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve: the chance that a hit scores above a miss, ties counting half."""
    positive, negative = _by_score(hits, score, w)
    hits_above = np.cumsum(positive, axis=1) - positive / 2
    return (hits_above * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def _roc_auc(found: Outcomes, w: np.ndarray) -> np.ndarray:
    return _area(found.truth, found.score, w)


def _roc_auc_ovr(found: Outcomes, w: np.ndarray) -> np.ndarray:
    assert found.probability is not None
    classes = range(len(found.classes))
    return np.mean([_area((found.truth == at).astype(int), found.probability[:, at], w) for at in classes], axis=0)


def _average_precision(found: Outcomes, w: np.ndarray) -> np.ndarray:
    positive, negative = _by_score(found.truth, found.score, w)
    hits, flagged = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.where(flagged > 0, hits / flagged, 0.0)
    return (positive * precision).sum(axis=1) / positive.sum(axis=1)


def _counts(found: Outcomes, at: int, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weight of true positives, of all that were predicted and of all that were class ``at``."""
    truth, prediction = found.truth == at, found.prediction == at
    return w @ (truth & prediction), w @ prediction, w @ truth


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / whole, 0.0)


def _f1(found: Outcomes, w: np.ndarray, at: int = 1) -> np.ndarray:
    hits, predicted, actual = _counts(found, at, w)
    return _share(2 * hits, predicted + actual)


def _f1_macro(found: Outcomes, w: np.ndarray) -> np.ndarray:
    # As scikit-learn has it: over the classes that occur, in the truth or in the predictions.
    occurring = np.union1d(found.truth, found.prediction)
    return np.mean([_f1(found, w, int(at)) for at in occurring], axis=0)


_FORMULAS: dict[str, Callable[[Outcomes, np.ndarray], np.ndarray]] = {
    "r2": _r2,
    "mae": _mean("mae"),
    "rmse": _rmse,
    "roc_auc": _roc_auc,
    "roc_auc_ovr": _roc_auc_ovr,
    "average_precision": _average_precision,
    "log_loss": _mean("log_loss"),
    "brier": _mean("brier"),
    "accuracy": _mean("accuracy"),
    "f1": _f1,
    "f1_macro": _f1_macro,
    "precision": lambda found, w: _share(*_counts(found, 1, w)[:2]),
    "recall": lambda found, w: _share(_counts(found, 1, w)[0], _counts(found, 1, w)[2]),
}

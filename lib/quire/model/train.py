"""Fit a candidate: search hyperparameters with cross-validation, then learn from all rows."""

import hashlib
import json
import time
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from quire.config import Decision, Schema, Search
from quire.errors import DataError, near
from quire.model.estimators import BEST, NAMES, check_name, check_space, target_kind
from quire.model.features import model_input, positive_label, target_values
from quire.model.folds import Fold, fold_remarks, make_folds, make_partition
from quire.model.metrics import METRICS, Outcomes, check_metric, compare
from quire.model.predictions import decide
from quire.model.search import SearchProblem, few_threads, search_best
from quire.model.threshold import choose_threshold


@dataclass(frozen=True)
class Candidate:
    """A fitted pipeline, and how it came about.

    params: all parameters of the final estimator. scoring: the metric that the search went by. metrics: means over the
    folds of cross-validation that define them; ``<name>_std`` is the standard deviation over those. trials: as
    `search_best` says. features: the columns that the pipeline takes. rows, window: what it learned from; start is
    inclusive, end the time of the last row, no window without a timestamp. out_of_fold: predictions of the training
    rows, with their index, each by a model that did not see the row. threshold: of a binary task. fingerprint: SHA-256
    of what determines the model: rows, features, parameters and version of scikit-learn. remarks: what the folds lack,
    in words.
    """

    pipeline: Pipeline
    estimator: str
    params: dict[str, Any]
    scoring: str
    metrics: dict[str, float]
    trials: pd.DataFrame
    features: tuple[str, ...]
    rows: int
    window: dict[str, str] | None
    out_of_fold: pd.DataFrame
    outcomes: Outcomes
    threshold: float | None
    seed: int
    fingerprint: str
    seconds: float
    remarks: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return what the artifact ``candidate`` says of it."""
        left_out = ("pipeline", "trials", "out_of_fold", "outcomes", "seconds")
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}


def fit_candidate(
    train: pd.DataFrame,
    schema: Schema,
    estimator: str = "hist_gradient_boosting",
    search: Search | None = None,
    seed: int = 0,
    *,
    decision: Decision | None = None,
    cluster: str = "",
) -> Candidate:
    """Return the best pipeline that a search finds on ``train``, fitted on all of its rows.

    estimator: a name of `NAMES`, or ``best`` for a search over all. cluster: address of a Dask scheduler whose workers
    do the fits of the search; empty: this process. The features are those of the schema: neither the
    target nor a key or an ignored column can be one. The same rows, arguments, libraries and machine give the same
    candidate to the last digit. Raises ConfigError for wrong arguments, DataError for rows that cannot be learned from,
    ModelError where no fold defines the metric of the search.
    """
    started = time.perf_counter()
    search, decision = search or Search(), decision or Decision()
    check_name(estimator)
    scoring = check_metric(search.scoring or "", schema.task, where="params.yaml: train.search.scoring")
    rows = _in_order(train, schema)
    X, y = model_input(rows, schema), target_values(rows, schema)
    folds = check_rows(rows, schema, search, seed)
    kind, names = target_kind(schema, y), NAMES if estimator == BEST else (estimator,)
    check_space(names, kind, search.space)
    best, trials = search_best(names, SearchProblem(schema, X, y, kind, folds, scoring, seed, cluster), search)
    partition = make_partition(rows, schema, folds=search.folds, seed=seed)
    with few_threads(len(X)):
        pipeline = clone(best).fit(X, y)
        raw = _out_of_fold(best, X, y, partition, schema)
    threshold = threshold_of(raw, y, schema, decision)
    predicted = decided(raw, y, schema, threshold or 0.5, X.index)
    best_trial = trials[trials["chosen"]].iloc[0]
    name, params = str(best_trial["estimator"]), _plain(pipeline[-1].get_params())
    window = _window(rows, schema)
    fingerprint = _fingerprint(X, y, name, params, threshold)
    sign(pipeline, fingerprint=fingerprint, threshold=threshold, trained_until=window and window["end"])
    return Candidate(
        pipeline=pipeline,
        estimator=name,
        params=params,
        scoring=scoring,
        metrics=_finite(best_trial, schema),
        trials=trials,
        features=tuple(X.columns),
        rows=len(X),
        window=window,
        out_of_fold=predicted.reindex(train.index),
        outcomes=compare(y, predicted, schema),
        threshold=threshold,
        seed=seed,
        fingerprint=fingerprint,
        seconds=time.perf_counter() - started,
        remarks=tuple(fold_remarks(folds, rows, schema, folds=search.folds, scoring=scoring)),
    )


def check_rows(train: pd.DataFrame, schema: Schema, search: Search, seed: int = 0) -> list[Fold]:
    """Return the folds that a search would judge on.

    Raises ConfigError, DataError or ModelError where a model cannot learn from the rows or be judged on them.
    """
    scoring = check_metric(search.scoring or "", schema.task, where="params.yaml: train.search.scoring")
    check_target(target_values(train, schema), schema)
    return make_folds(_in_order(train, schema), schema, folds=search.folds, seed=seed, scoring=scoring)


def _finite(trial: pd.Series, schema: Schema) -> dict[str, float]:
    """Return the metrics of a trial and their deviations, those left out that no fold defines."""
    defined = [name for name in METRICS[schema.task] if np.isfinite(trial[name])]
    return {key: float(trial[key]) for name in defined for key in (name, f"{name}_std")}


def check_target(y: np.ndarray, schema: Schema) -> None:
    """Raise DataError for a target that nothing can be learned from: missing values, one class, or one value."""
    missing = int(pd.isna(y).sum())
    if missing:
        raise DataError(
            f"{schema.target} is missing in {missing} of {len(y)} rows of train. "
            "Say on_missing: drop for it in schema.yaml."
        )
    values = np.unique(y)
    if len(values) < 2:
        raise DataError(
            f"{schema.target} is {values[0]!r} in all {len(y)} rows of train; a model needs at least two values to "
            "tell apart. Check the source, or lengthen the train window."
        )
    if schema.task == "binary" and (len(values) > 2 or positive_label(schema) not in values):
        raise DataError(
            f"{schema.target} is one of {', '.join(values)} in train; schema.yaml says task: binary with positive: "
            f"{positive_label(schema)!r}.{near(positive_label(schema), values)}"
        )


def sign(pipeline: Pipeline, **facts: Any) -> None:
    """Keep ``facts`` with the pipeline as learnt attributes, such as ``threshold_``: they are where the model is."""
    for name, value in facts.items():
        if value is not None:
            setattr(pipeline, f"{name}_", value)


def _in_order(train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    return train.sort_values(schema.timestamp, kind="stable") if schema.timestamp else train


def _out_of_fold(best: Pipeline, X: pd.DataFrame, y: np.ndarray, partition: list[Fold], schema: Schema) -> np.ndarray:
    """Return what models that did not learn from a row predict for it: numbers, or a probability for each class of y.

    A class that a model has never learned has probability 0; a model of one class or value alone predicts that.
    """
    classes = np.unique(y)
    raw = np.zeros(len(y) if schema.task == "regression" else (len(y), len(classes)))
    for learn, judge in partition:
        fold_classes = np.unique(y[learn])
        columns = np.searchsorted(classes, fold_classes)
        if schema.task == "regression":
            raw[judge] = (
                fold_classes[0]
                if len(fold_classes) == 1
                else clone(best).fit(X.iloc[learn], y[learn]).predict(X.iloc[judge])
            )
        elif len(fold_classes) == 1:
            raw[judge, columns[0]] = 1.0
        else:
            model = clone(best).fit(X.iloc[learn], y[learn])
            raw[np.ix_(judge, columns)] = model.predict_proba(X.iloc[judge])
    return raw


def threshold_of(raw: np.ndarray, y: np.ndarray, schema: Schema, decision: Decision) -> float | None:
    """Return the threshold of a binary task from out-of-fold probabilities, shape (rows, 2); None for other tasks."""
    if schema.task != "binary":
        return None
    return choose_threshold(compare(y, decided(raw, y, schema, 0.5, pd.RangeIndex(len(y))), schema), decision)


def decided(raw: np.ndarray, y: np.ndarray, schema: Schema, threshold: float, index: pd.Index) -> pd.DataFrame:
    """Return out-of-fold predictions in the form of `quire.model.predict`; raw: numbers, or probabilities by class."""
    if schema.task == "regression":
        return pd.DataFrame({"prediction": raw}, index=index)
    return decide(raw, [str(name) for name in np.unique(y)], schema, threshold, index)


def _window(rows: pd.DataFrame, schema: Schema) -> dict[str, str] | None:
    if schema.timestamp is None:
        return None
    times = rows[schema.timestamp]
    return {"start": times.min().isoformat(), "end": times.max().isoformat()}


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in params.items() if isinstance(value, str | int | float | bool | None)}
    # JSON has no infinity.
    return {name: str(v) if isinstance(v, float) and not np.isfinite(v) else v for name, v in plain.items()}


def _fingerprint(X: pd.DataFrame, y: np.ndarray, name: str, params: dict[str, Any], threshold: float | None) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([name, params, threshold, list(X.columns), sklearn.__version__], sort_keys=True).encode())
    digest.update(pd.util.hash_pandas_object(X, index=False).to_numpy().tobytes())
    digest.update(pd.util.hash_array(y).tobytes())
    return digest.hexdigest()

"""A model for each segment: parts that are trained apart, and the one model that they make together."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if

from quire.config import Decision, Schema, segment_columns
from quire.errors import ConfigError, DataError, near
from quire.io import model_files
from quire.model.features import target_values
from quire.model.metrics import compare, measure
from quire.model.segments import exact_labels
from quire.model.train import Candidate, decided, sign, threshold_of


class BySegment(BaseEstimator):
    """Fitted pipelines by the value of one of their features; a row of another value goes to ``other``'s."""

    def __init__(self, column: str, models: dict[str, Pipeline], other: str) -> None:
        """column: of the features; models: by value; other: the value whose model takes the values without one."""
        self.column, self.models, self.other = column, models, other
        self.feature_names_in_ = next(iter(models.values())).feature_names_in_
        if hasattr(models[other], "classes_"):
            self.classes_ = np.unique(np.concatenate([model.classes_ for model in models.values()]))

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "BySegment":
        """Fit each pipeline anew on the rows of its segment."""
        rows = dict(self._rows(X))
        self.models = {value: clone(model).fit(X[rows[value]], y[rows[value]]) for value, model in self.models.items()}
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return a prediction for each row."""
        if hasattr(self, "classes_"):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        predictions = np.empty(len(X))
        for value, rows in self._rows(X):
            predictions[rows] = self.models[value].predict(X[rows])
        return predictions

    @available_if(lambda self: hasattr(self, "classes_"))
    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the probability of each class, shape (rows, classes); 0 for one that a segment never had."""
        probabilities = np.zeros((len(X), len(self.classes_)))
        for value, rows in self._rows(X):
            model = self.models[value]
            probabilities[np.ix_(rows, np.searchsorted(self.classes_, model.classes_))] = model.predict_proba(X[rows])
        return probabilities

    def _rows(self, X: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
        labels = exact_labels(X[self.column]).to_numpy(object)
        places = np.array([label if label in self.models else self.other for label in labels], dtype=object)
        return [(value, places == value) for value in self.models if (places == value).any()]


def segment_rows(frame: pd.DataFrame, schema: Schema, column: str, value: str) -> pd.DataFrame:
    """Return the rows whose feature ``column`` is ``value``, as text; raises ConfigError or DataError for none.

    Numbers are written as integers where they are whole, truth values as ``true`` and ``false``.
    """
    columns = segment_columns(schema)
    if column not in columns:
        raise ConfigError(
            f"params.yaml: column is {column!r}; a model for each segment needs a feature: {', '.join(columns)}."
            + near(column, columns)
        )
    labels = exact_labels(frame[column])
    rows = frame[(labels == value).to_numpy(bool, na_value=False)]
    if rows.empty:
        values = sorted(labels.dropna().unique())[:20]
        raise DataError(
            f"workflow.yaml: for_each has {column} {value!r}, of which train has no row; it has: {', '.join(values)}."
            + near(value, values)
        )
    return rows


def save_part(folder: Path, value: str, candidate: Candidate) -> None:
    """Write the candidate of one segment into ``folder``, for `join_parts`."""
    folder.mkdir()
    model_files.write_pipeline(folder, candidate.pipeline)
    out_of_fold = candidate.out_of_fold.reset_index(names="row")
    out_of_fold.to_parquet(folder / "out_of_fold.parquet", index=False)
    candidate.trials.to_parquet(folder / "trials.parquet", index=False)
    record = {**candidate.record(), "segment": value, "seconds": candidate.seconds}
    (folder / "part.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")


@dataclass(frozen=True)
class Part:
    """What `save_part` wrote."""

    segment: str
    record: Mapping[str, Any]
    pipeline: Pipeline
    out_of_fold: pd.DataFrame
    trials: pd.DataFrame


def load_part(folder: Path) -> Part:
    """Return the part in ``folder``."""
    record = json.loads((folder / "part.json").read_text("utf-8"))
    return Part(
        segment=record["segment"],
        record=record,
        pipeline=model_files.load_model(folder),
        out_of_fold=pd.read_parquet(folder / "out_of_fold.parquet").set_index("row"),
        trials=pd.read_parquet(folder / "trials.parquet"),
    )


def join_parts(
    folders: Mapping[str, Path], train: pd.DataFrame, schema: Schema, column: str, *, decision: Decision | None = None
) -> Candidate:
    """Return one candidate of the parts in ``folders``: each row is predicted by the model of its segment.

    train: the rows that the parts learned from together. A segment without a model is predicted by the one that
    learned from most rows. metrics are those of the out-of-fold predictions of all parts together, and ``<name>_std``
    their standard deviation over the segments. Raises DataError where train has rows of a segment without a part.
    """
    parts = [load_part(folder) for folder in folders.values()]
    largest = max(parts, key=lambda part: part.record["rows"])
    pipeline = Pipeline(
        [("model", BySegment(column, {entry.segment: entry.pipeline for entry in parts}, largest.segment))]
    )
    raw = pd.concat([part.out_of_fold for part in parts])
    classes = [name for name in raw if name.startswith("probability_")]
    raw[classes] = raw[classes].fillna(0.0)  # of a class that a segment never had
    rest = exact_labels(train.loc[train.index.difference(raw.index), column])
    if len(rest):
        raise DataError(
            f"{len(rest):,} rows of train are in no part, such as {column} {rest.iloc[0]!r}. Add the value to for_each "
            "in workflow.yaml."
        )
    rows = train.loc[raw.index]
    y = target_values(rows, schema)
    threshold = None
    if schema.task == "binary":
        shares = _probabilities(raw, y, schema)
        threshold = threshold_of(shares, y, schema, decision or Decision())
        raw = decided(shares, y, schema, threshold or 0.5, raw.index)
    outcomes = compare(y, raw, schema)
    first = largest.record
    trials = pd.concat([part.trials.assign(segment=part.segment) for part in parts], ignore_index=True)
    trials = trials.assign(trial=range(1, len(trials) + 1), rank=range(1, len(trials) + 1))
    fingerprint = hashlib.sha256(json.dumps([part.record["fingerprint"] for part in parts] + [threshold]).encode())
    windows = [part.record["window"] for part in parts if part.record["window"]]
    window = None
    if windows:
        window = {"start": min(entry["start"] for entry in windows), "end": max(entry["end"] for entry in windows)}
    sign(pipeline, fingerprint=fingerprint.hexdigest(), threshold=threshold, trained_until=window and window["end"])
    return Candidate(
        pipeline=pipeline,
        estimator=f"one for each {column}",
        params={f"{part.segment}.estimator": part.record["estimator"] for part in parts},
        scoring=first["scoring"],
        metrics=_metrics(measure(outcomes), parts),
        trials=trials,
        features=tuple(first["features"]),
        rows=len(raw),
        window=window,
        out_of_fold=raw.reindex(train.index),
        outcomes=outcomes,
        threshold=threshold,
        seed=first["seed"],
        fingerprint=fingerprint.hexdigest(),
        seconds=sum(part.record["seconds"] for part in parts),
        remarks=tuple(f"{entry.segment}: {text}" for entry in parts for text in entry.record.get("remarks", ())),
    )


def _probabilities(raw: pd.DataFrame, y: np.ndarray, schema: Schema) -> np.ndarray:
    """Return the out-of-fold probabilities of a binary task, shape (rows, 2), in the order of the classes."""
    positive = raw["probability"].to_numpy()
    at = list(np.unique(y)).index(str(schema.positive))
    return np.column_stack([1 - positive, positive][:: 1 if at else -1])


def _metrics(together: dict[str, float], parts: list[Part]) -> dict[str, float]:
    """Return the metrics of all rows, and their deviation over the segments that have them."""
    metrics = {name: value for name, value in together.items() if np.isfinite(value)}
    alone = {
        name: [part.record["metrics"][name] for part in parts if name in part.record["metrics"]] for name in metrics
    }
    return metrics | {f"{name}_std": float(np.std(values)) if values else 0.0 for name, values in alone.items()}

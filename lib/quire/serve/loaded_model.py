"""A model version as the service holds it: checked, warm, and with everything that a request needs of it."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.errors import ModelError
from quire.model.features import model_input, positive_label
from quire.model.predictions import class_probabilities, decision_threshold
from quire.serve.example import check_example
from quire.serve.fastpath import compile_pipeline, differs
from quire.serve.request_schema import RequestSchema, Row

if TYPE_CHECKING:
    from quire.io.tracking import Registry, Version

UNKNOWN = "\N{REPLACEMENT CHARACTER}unknown"
"""A category that no model has seen."""


class Prediction(NamedTuple):
    """A prediction: a number or a class; ``probability`` of the positive class, or of the predicted one of several."""

    prediction: float | str
    probability: float | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass
class LoadedModel:
    """A loaded model version.

    reference: what `model.describe_reference` kept with the model, empty where the model has none. slow_because: why
    the fast path is not taken, empty where it is.
    """

    version: "Version"
    schema: Schema
    pipeline: Any
    contract: RequestSchema
    reference: Mapping[str, Any]
    cache_rows: int
    loaded_at: datetime
    slow_because: str = ""
    fast: Callable[[Sequence[Row]], np.ndarray] | None = None
    _cache: OrderedDict[Row, Prediction] = field(default_factory=OrderedDict, repr=False)

    @property
    def number(self) -> str:
        """The version's number in the registry."""
        return self.version.version

    @cached_property
    def classes(self) -> list[str]:
        """The classes in the order of the probabilities; empty for a regression."""
        return [str(name) for name in getattr(self.pipeline, "classes_", [])]

    @cached_property
    def seen(self) -> dict[int, tuple[str, frozenset[str]]]:
        """Name and categories seen in training, by place in a row, where the model knows them."""
        categories = self.reference.get("seen", {})
        features = enumerate(self.schema.features)
        return {place: (name, frozenset(categories[name])) for place, name in features if name in categories}

    @property
    def threshold(self) -> float:
        """The probability from which on a binary model predicts the positive class."""
        return decision_threshold(self.pipeline)

    def metric(self, name: str) -> float | None:
        """Return a metric of the version: that of the test rows where it is known, else that of cross-validation."""
        return self.version.metrics.get(f"test_{name}", self.version.metrics.get(name))

    def score(self, rows: Sequence[Row]) -> list[Prediction]:
        """Return the outcome of each row; raises whatever the model does, and ModelError if a result is not finite."""
        raw = self.fast(rows) if self.fast else self.slow(rows)
        if not np.isfinite(raw).all():
            raise ModelError(f"Version {self.number} predicts something that is no finite number.")
        outcomes = self._outcomes(raw)
        if self.cache_rows:
            for row, outcome in zip(rows, outcomes, strict=True):
                self._cache[row] = outcome
            while len(self._cache) > self.cache_rows:
                self._cache.popitem(last=False)
        return outcomes

    def cached(self, rows: Sequence[Row]) -> list[Prediction] | None:
        """Return the outcomes if all rows were predicted lately, else None."""
        try:
            outcomes = [self._cache[row] for row in rows]
            for row in rows:
                self._cache.move_to_end(row)
        except KeyError:
            return None
        return outcomes

    def slow(self, rows: Sequence[Row]) -> np.ndarray:
        """Return what the pipeline itself predicts of the rows as a table, in the form of the fast path."""
        frame = pd.DataFrame(dict(zip(self.schema.features, zip(*rows, strict=True), strict=True)))
        X = model_input(_typed(frame, self.schema), self.schema)
        return self.pipeline.predict(X) if not self.classes else class_probabilities(self.pipeline, X)

    def warnings(self, row: Row) -> list[str]:
        """Return what makes the prediction of a row less sure: categories that training did not have."""
        return [
            f"{name} is {row[place]!r}, which did not occur in training."
            for place, (name, categories) in self.seen.items()
            if row[place] is not None and row[place] not in categories
        ]

    def _outcomes(self, raw: np.ndarray) -> list[Prediction]:
        if not self.classes:
            return [Prediction(value) for value in raw.tolist()]
        if self.schema.task == "binary":
            positive, threshold = positive_label(self.schema), self.threshold
            at = self.classes.index(positive)
            other = self.classes[1 - at]
            return [Prediction(positive if share >= threshold else other, share) for share in raw[:, at].tolist()]
        best = raw.argmax(axis=1).tolist()
        return [
            Prediction(self.classes[at], shares[at], dict(zip(self.classes, shares, strict=True)))
            for at, shares in zip(best, raw.tolist(), strict=True)
        ]


def load(
    registry: "Registry",
    version: "Version",
    schema: Schema,
    *,
    max_rows: int,
    cache_rows: int,
    now: datetime | None = None,
) -> LoadedModel:
    """Return a version that is ready to serve: loaded from the registry, checked on its own input example, warm.

    Raises ModelError if it does not load, does not fit the schema, or fails on its input example.
    """
    folder = registry.folder(version)
    pipeline = registry.load(version)
    model = LoadedModel(
        version=version,
        schema=schema,
        pipeline=pipeline,
        contract=RequestSchema(schema, max_rows=max_rows),
        reference=_read_reference(registry.files(version), schema),
        cache_rows=cache_rows,
        loaded_at=now or datetime.now(UTC),
    )
    check_example(pipeline, folder, schema, name=f"Version {model.number} of {version.name}")
    _prove(model)
    return model


def _read_reference(files: Path, schema: Schema) -> dict[str, Any]:
    path = files / "reference.json"
    reference = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return reference if set(reference.get("values", {})) == set(schema.features) else {}


def _prove(served: LoadedModel) -> None:
    """Take the fast path if it gives what the pipeline gives, on usual rows and on such as may break it."""
    rows = proof_rows(served.schema, served.reference)
    try:
        fast = compile_pipeline(served.pipeline, served.schema)
        equal = not differs(fast(rows), served.slow(rows)) and not differs(fast(rows[:1]), served.slow(rows[:1]))
    except Exception as error:
        served.slow_because = f"the fast path does not know this pipeline: {error}"
        served.slow(rows[:1])
        return
    served.fast = fast if equal else None
    served.slow_because = "" if equal else "the fast path does not give what the pipeline gives"


def proof_rows(schema: Schema, reference: Mapping[str, Any]) -> list[Row]:
    """Return rows to compare two ways of predicting on: usual ones, each feature missing, at its ends, or unknown."""
    usual = [_usual(name, schema, reference.get("values", {}).get(name)) for name in schema.features]
    rows = [tuple(usual), tuple(None for _ in usual)]
    for place, name in enumerate(schema.features):
        for value in _edges(name, schema):
            rows.append((*usual[:place], value, *usual[place + 1 :]))
    return rows


def _usual(name: str, schema: Schema, value: Any) -> Any:
    column = schema.columns[name]
    if column.type == "datetime":
        return datetime.fromisoformat(value) if value else datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    if column.type in ("number", "integer"):
        return float(value if value is not None else (column.minimum or 0))
    return value or next(iter(column.labels), "true" if column.type == "boolean" else UNKNOWN)


def _edges(name: str, schema: Schema) -> list[Any]:
    column = schema.columns[name]
    if column.type == "datetime":
        return [None, *(datetime(2026, month, 28, 23, 59, tzinfo=UTC) for month in (1, 6, 12))]
    if column.type in ("number", "integer"):
        low = column.minimum if column.minimum is not None else -1e6
        high = column.maximum if column.maximum is not None else 1e6
        return [None, float(low), float(high), (low + high) / 2]
    return [None, UNKNOWN, *(("true", "false") if column.type == "boolean" else column.labels)]


def _typed(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Give missing values of all-missing columns the form that `model_input` reads."""
    for name in schema.features:
        kind = schema.columns[name].type
        if kind in ("number", "integer"):
            frame[name] = frame[name].astype("float64")
        elif kind == "datetime":
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame

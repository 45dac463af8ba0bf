"""A fitted pipeline evaluated on plain arrays: the same numbers as `predict`, without a table per request.

It knows the transformers and estimators of `quire.model.estimators`; what it does not know runs scikit-learn's own
code on arrays. Whether the numbers are the same is not believed but tried, by `differs`, when a model is loaded.
"""

import copy
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from quire.config import Column, Schema
from quire.model.features import input_names
from quire.serve import trees

Columns = list[list[Any]]
Block = Callable[[Columns], np.ndarray]

PARTS: dict[str, Callable[[datetime], float]] = {
    "hour": lambda at: at.hour + at.minute / 60,
    "weekday": lambda at: at.weekday(),
    "month": lambda at: at.month,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "is_weekend": lambda at: at.weekday() >= 5,
    "hour_of_week": lambda at: at.weekday() * 24 + at.hour,
    "elapsed_days": lambda at: at.toordinal() - 719_163,
}
"""`quire.model.features.PARTS` for one datetime; 719163 is the ordinal of 1970-01-01."""


def compile_pipeline(pipeline: Any, schema: Schema) -> Callable[[Sequence[tuple[Any, ...]]], np.ndarray]:
    """Return a function from rows (see `quire.serve.request_schema`) to what the pipeline predicts.

    It returns shape (rows,) for a regression, else the probability of each class, shape (rows, classes), in the order
    of ``pipeline.classes_``. Raises ValueError for a pipeline that is not a ColumnTransformer and an estimator.
    """
    if len(pipeline.steps) != 2 or not hasattr(pipeline[0], "transformers_"):
        raise ValueError("it is not a ColumnTransformer followed by an estimator")
    numbers, texts = input_names(schema)
    names = list(pipeline.feature_names_in_)
    if sorted(names) != sorted(numbers + texts):
        raise ValueError("its features are not those of the schema")
    expand = _expander(schema)
    order = _expanded_names(schema)
    blocks: list[Block] = []
    for _, transformer, columns in pipeline[0].transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        places = [order.index(name if isinstance(name, str) else names[name]) for name in columns]
        blocks.append(_block(transformer, places, is_text=columns[0] in texts))
    estimate = _estimate(pipeline[-1], classify=schema.task != "regression")

    def score(rows: Sequence[tuple[Any, ...]]) -> np.ndarray:
        columns = expand(rows)
        return estimate(np.hstack([block(columns) for block in blocks]) if len(blocks) > 1 else blocks[0](columns))

    return score


def differs(fast: np.ndarray, slow: np.ndarray) -> bool:
    """Whether two results are more apart than summing in another order makes them: a relative 1e-9."""
    return fast.shape != slow.shape or not np.allclose(fast, slow, rtol=1e-9, atol=1e-12, equal_nan=True)


def _expanded_names(schema: Schema) -> list[str]:
    return [name for feature in schema.features for name in _names(feature, schema.columns[feature])]


def _names(feature: str, column: Column) -> list[str]:
    return [f"{feature}_{part}" for part in _parts(column)] if column.type == "datetime" else [feature]


def _parts(column: Column) -> tuple[str, ...]:
    return column.calendar or ("elapsed_days",)


def _expander(schema: Schema) -> Callable[[Sequence[tuple[Any, ...]]], Columns]:
    """Return the function from rows to columns as `model_input` has them; NaN where a number is missing."""
    zone = ZoneInfo(schema.timezone)
    columns = [schema.columns[name] for name in schema.features]

    def expand(rows: Sequence[tuple[Any, ...]]) -> Columns:
        output: Columns = []
        for values, column in zip(zip(*rows, strict=True), columns, strict=True):
            if column.type == "datetime":
                local = [None if at is None else at.astimezone(zone) for at in values]
                output += [[math.nan if at is None else PARTS[part](at) for at in local] for part in _parts(column)]
            elif column.type in ("number", "integer"):
                output.append([math.nan if value is None else value for value in values])
            else:
                output.append(list(values))
        return output

    return expand


def _block(transformer: Any, places: list[int], *, is_text: bool) -> Block:
    """Return the function from columns to the part of the array that one transformer makes."""
    kind = "passthrough" if isinstance(transformer, str) else type(transformer).__name__
    if kind == "passthrough" or (kind == "FunctionTransformer" and transformer.func is None):
        return lambda columns: np.array([columns[place] for place in places], dtype=np.float64).T
    if kind == "OrdinalEncoder":
        return _ordinal(transformer, places)
    if kind == "OneHotEncoder" and transformer.drop is None and not transformer.min_frequency:
        return _one_hot(transformer, places)
    return _arrays(transformer, places, is_text)


def _ordinal(encoder: Any, places: list[int]) -> Block:
    unknown = float(encoder.unknown_value) if encoder.handle_unknown == "use_encoded_value" else math.nan
    missing = float(encoder.encoded_missing_value)
    codes = [
        {value: float(code) for code, value in enumerate(categories) if not _is_missing(value)}
        | ({None: missing} if any(map(_is_missing, categories)) else {})
        for categories in encoder.categories_
    ]
    pairs = list(zip(places, codes, strict=True))
    return lambda columns: (
        np.array(
            [[column_codes.get(value, unknown) for value in columns[place]] for place, column_codes in pairs],
            dtype=np.float64,
        ).T
    )


def _one_hot(encoder: Any, places: list[int]) -> Block:
    starts, width = [], 0
    for categories in encoder.categories_:
        starts.append({None if _is_missing(value) else value: width + code for code, value in enumerate(categories)})
        width += len(categories)
    pairs = list(zip(places, starts, strict=True))

    def encode(columns: Columns) -> np.ndarray:
        matrix = np.zeros((len(columns[0]), width))
        for place, positions in pairs:
            for row, value in enumerate(columns[place]):
                at = positions.get(None if _is_missing(value) else value)
                if at is not None:
                    matrix[row, at] = 1.0
        return matrix

    return encode


def _arrays(transformer: Any, places: list[int], is_text: bool) -> Block:
    """Return scikit-learn's own transform on arrays, for what is not written out here."""
    nameless = _without_names(transformer)

    def transform(columns: Columns) -> np.ndarray:
        if is_text:
            values = [[math.nan if value is None else value for value in columns[place]] for place in places]
            matrix = nameless.transform(np.array(values, dtype=object).T)
        else:
            matrix = nameless.transform(np.array([columns[place] for place in places], dtype=np.float64).T)
        return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix, dtype=np.float64)

    return transform


def _estimate(model: Any, *, classify: bool) -> Callable[[np.ndarray], np.ndarray]:
    kind = type(model).__name__
    if kind.startswith("HistGradientBoosting") and model._preprocessor is None:
        return trees.boosting(model, classify=classify)
    if kind in ("RandomForestRegressor", "RandomForestClassifier"):
        return trees.forest(model, classify=classify)
    if kind in ("Ridge", "PoissonRegressor"):
        coefficients, intercept = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
        if kind == "Ridge":
            return lambda X: X @ coefficients + intercept
        return lambda X: np.exp(X @ coefficients + intercept)
    nameless = _without_names(model)
    return nameless.predict_proba if classify else nameless.predict


def _without_names(fitted: Any) -> Any:
    """Return a copy that takes arrays without warning that they have no column names."""
    estimator = copy.deepcopy(fitted)
    for part in [estimator, *(step for _, step in getattr(estimator, "steps", []))]:
        part.__dict__.pop("feature_names_in_", None)
    return estimator


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)

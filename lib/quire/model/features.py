"""What a model is given: one table made the same way for training, batch scoring and the service."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from quire.config import Column, Schema, label
from quire.errors import ModelError, near

FAR_BELOW = -1e15
"""Stands for a missing number before trees, which cut it off from all others."""

PARTS = {
    "hour": lambda at: at.dt.hour + at.dt.minute / 60,
    "weekday": lambda at: at.dt.day_of_week,
    "month": lambda at: at.dt.month,
    "day_of_year": lambda at: at.dt.day_of_year,
    "is_weekend": lambda at: at.dt.day_of_week >= 5,
    "hour_of_week": lambda at: at.dt.day_of_week * 24 + at.dt.hour,
    "elapsed_days": lambda at: (at.dt.tz_localize(None) - pd.Timestamp("1970-01-01")) // pd.Timedelta("1D"),
}
"""Calendar parts of a datetime in local time; weekday 0 is Monday. The column's name and the part's name the result."""


def model_input(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the features of ``frame`` as every estimator takes them, in the order of the schema.

    Numbers are float64 with NaN where missing; categories, booleans and texts are objects that hold text or NaN. A
    datetime becomes a number for each of its ``calendar`` parts, in the schema's time zone, or days since 1970 if it
    has none. Neither the target nor a column of role key or ignore can be in it. Raises ModelError if ``frame`` lacks
    a feature.
    """
    missing = [name for name in schema.features if name not in frame.columns]
    if missing:
        raise ModelError(
            f"The rows lack the feature{'s' if len(missing) > 1 else ''} {', '.join(missing)}; they have: "
            f"{', '.join(map(str, frame.columns))}.{near(missing[0], frame.columns)} See schema.yaml."
        )
    columns: dict[str, pd.Series] = {}
    for name in schema.features:
        columns |= _expanded(name, frame[name], schema.columns[name], schema.timezone)
    return pd.DataFrame(columns, index=frame.index)


def input_names(schema: Schema) -> tuple[list[str], list[str]]:
    """Return the names of the numeric and of the other columns of `model_input`."""
    numbers, texts = [], []
    for name in schema.features:
        column = schema.columns[name]
        if column.type == "datetime":
            numbers += [f"{name}_{part}" for part in _parts(column)]
        elif column.type in ("number", "integer"):
            numbers.append(name)
        else:
            texts.append(name)
    return numbers, texts


def known_categories(X: pd.DataFrame, schema: Schema) -> dict[str, list[str]]:
    """Return the categories of each column of ``X`` that is not numeric, in an order that means something.

    Those of the schema in its order; else those found, as numbers where all are, else by the alphabet.
    """
    return {name: _ordered(X[name], schema.columns[name]) for name in input_names(schema)[1]}


def columns_with_gaps(X: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of `model_input` in which values are missing."""
    return tuple(name for name in X if X[name].isna().any())


def target_values(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the target, shape (rows,): float64 for a regression, else the classes as text."""
    target = frame[schema.target]
    if schema.task == "regression":
        return target.to_numpy(dtype=np.float64, na_value=np.nan)
    return _texts(target).to_numpy(dtype=object)


def positive_label(schema: Schema) -> str:
    """Return the class whose probability is predicted, as the snapshot holds it; only for a binary task."""
    assert schema.positive is not None
    return label(schema.positive)


def _parts(column: Column) -> Iterable[str]:
    return column.calendar or ("elapsed_days",)


def _expanded(name: str, values: pd.Series, column: Column, timezone: str) -> dict[str, pd.Series]:
    if column.type in ("number", "integer"):
        return {name: values.astype("float64")}
    if column.type != "datetime":
        return {name: _texts(values)}
    at = pd.to_datetime(values, utc=True).dt.tz_convert(timezone)
    return {f"{name}_{part}": PARTS[part](at).astype("float64").where(at.notna()) for part in _parts(column)}


def _texts(values: pd.Series) -> pd.Series:
    """Return objects that are text, or NaN where missing; labels that are not text become text as in the snapshot."""
    missing = values.isna()
    if not isinstance(values.dtype, pd.StringDtype):
        values = values.astype(object).map(label, na_action="ignore")
    return values.astype(object).where(~missing, np.nan)


def _ordered(values: pd.Series, column: Column) -> list[str]:
    categories = set(values.dropna())
    labels = [name for name in column.labels if column.type == "category"]
    others = sorted(categories - set(labels), key=_rank)
    return labels + others or ["none"]


def _rank(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text

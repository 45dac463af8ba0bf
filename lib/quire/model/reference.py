"""What is normal for each feature, kept with the model: the service explains predictions and fills its form by it."""

from typing import Any

import numpy as np
import pandas as pd

from quire.config import Column, Schema, label

MOST_SEEN = 1_000
"""A column with more categories than this is not listed: no warning of an unseen one can be given for it."""


def describe_reference(train: pd.DataFrame, schema: Schema) -> dict[str, Any]:
    """Return ``values``, ``seen`` and ``window`` of the features in the training rows, as JSON has them.

    values: the median of a number (a whole number for integers) and of a time, the mode of anything else; None where
    no row has a value. No row itself is kept: whoever may ask the service may see this. seen: the categories that
    occur, by column. window: rows, and time of the first and the last one.
    """
    columns = {name: schema.columns[name] for name in schema.features}
    times = train[schema.timestamp] if schema.timestamp else None
    span = {} if times is None else {"start": times.min().isoformat(), "end": times.max().isoformat()}
    return {
        "values": {name: _typical(train[name], column) for name, column in columns.items()},
        "seen": {name: categories for name, column in columns.items() if (categories := _seen(train[name], column))},
        "window": {"rows": len(train), **span},
    }


def _typical(values: pd.Series, column: Column) -> Any:
    present = values.dropna()
    if present.empty:
        return None
    if column.type in ("number", "integer", "datetime"):
        return _plain(present.quantile(0.5, interpolation="nearest"), column)
    return _plain(present.mode().iloc[0], column)


def _plain(value: Any, column: Column) -> Any:
    if pd.isna(value):
        return None
    if column.type == "datetime":
        return value.isoformat()
    if column.type in ("number", "integer"):
        return int(value) if column.type == "integer" else float(np.asarray(value, dtype=float))
    return label(value.item() if hasattr(value, "item") else value)


def _seen(values: pd.Series, column: Column) -> list[str]:
    if column.type not in ("category", "boolean"):
        return []
    categories = sorted({_plain(value, column) for value in values.dropna().unique()})
    return categories if len(categories) <= MOST_SEEN else []

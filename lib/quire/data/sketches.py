"""The only door to whylogs: a column of values goes in, a column profile that merges comes out.

whylogs 1.6.4 is its last release. What must be mended for NumPy 2 and pandas 3, and what is fed in another way than
``whylogs.log`` does it, is here:

- ``np.unicode_`` is gone from NumPy 2; whylogs looks it up.
- importing whylogs imports scikit-learn for parts that are not used here; without it the import takes a third.
- ``whylogs.log`` looks at every value by itself, crashes on categories with missing values and on sparse columns, and
  keeps no distribution of dates. Here whole arrays go to the same sketches, and dates go as seconds since 1970.
- infinite values are counted, but kept out of the distribution: one of them makes every mean useless.
- zeros are counted exactly: a quantile sketch cannot tell their share where it is small.
- reading a profile makes a class for each of its parts, 24,000 for two years of weeks; one for each kind will do.
- of free text and of keys no values are kept, only lengths and how many differ, since they can be personal data.
"""

import os
import sys
from collections.abc import Callable
from copy import copy
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "datetime", "category", "boolean", "text"]

FEW = 10_000
"""Up to this many different values are counted first and fed with weights: quicker, and the same sketch."""

WHOLE = 32_768
"""Of a frame of up to this many rows distributions are kept whole, so that the same rows give the same quantiles.

Of a larger one whylogs' sketch keeps about 2,000 values of each column and period, chosen by random bits that cannot be
seeded: its quantiles are off by up to 0.35 points of rank, and not the same twice.
"""

LONGEST = 128
"""Characters kept of a category's name, as whylogs does by default."""

_UNUSED = ("sklearn", "sklearn.cluster", "sklearn.decomposition", "sklearn.metrics.pairwise")


@cache
def whylogs() -> SimpleNamespace:
    """Return the parts of whylogs that are used, imported once, without telemetry and without scikit-learn."""
    os.environ["WHYLOGS_NO_ANALYTICS"] = "1"
    if not hasattr(np, "unicode_"):
        np.unicode_ = np.str_  # type: ignore[attr-defined]
    blocked = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        from whylogs.core import metrics
        from whylogs.core.metrics.condition_count_metric import Condition, ConditionCountMetric
        from whylogs.core.metrics.metric_components import IntegralComponent, MetricComponent
        from whylogs.core.metrics.metrics import MetricConfig
        from whylogs.core.preprocessing import PreprocessedColumn
        from whylogs.core.view.column_profile_view import ColumnProfileView
        from whylogs.core.view.dataset_profile_view import DatasetProfileView
    finally:
        for name in blocked:
            sys.modules.pop(name, None)
    MetricComponent.from_protobuf = staticmethod(_with_one_class_each(MetricComponent.from_protobuf))
    return SimpleNamespace(
        metrics=metrics,
        Condition=Condition,
        ConditionCountMetric=ConditionCountMetric,
        IntegralComponent=IntegralComponent,
        MetricConfig=MetricConfig,
        PreprocessedColumn=PreprocessedColumn,
        ColumnProfileView=ColumnProfileView,
        DatasetProfileView=DatasetProfileView,
    )


def _with_one_class_each(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``MetricComponent.from_protobuf`` that makes a class for the first part of its kind only."""
    first: dict[tuple[str, int], Any] = {}

    @wraps(read)
    def read_as_the_first(message: Any, registries: Any = None) -> Any:
        kind = message.WhichOneof("value"), message.type_id
        if registries is not None:
            return read(message, registries)
        if kind not in first:
            first[kind] = read(message)
        part = copy(first[kind])
        part.set(part._deserializer(msg=message))
        return part

    return read_as_the_first


def kind_of(series: pd.Series) -> Kind:
    """Return how a column is profiled where no schema says it: by its dtype, for objects by the first value."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return "datetime"
    first = next(iter(series.dropna().head(1)), None)
    if isinstance(first, bool | np.bool_):
        return "boolean"
    if hasattr(first, "isoformat"):
        return "datetime"
    return "number" if isinstance(first, int | float | np.number) or hasattr(first, "as_tuple") else "category"


def sketch(series: pd.Series, kind: Kind, *, of: int = 0) -> Any:
    """Return a whylogs ``ColumnProfileView`` of ``series``; ``of`` is how many rows its whole frame has, if more.

    number, datetime, and text by its length: counts, quantiles (KLL), mean and variance, distinct values (HLL), zeros.
    category, boolean: counts, distinct values, and how often each value occurs (exactly for up to 768 values).
    """
    if isinstance(series.dtype, pd.SparseDtype):
        series = pd.Series(np.asarray(series))
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.dtype.categories.dtype if series.notna().all() else "object")
    if kind in ("category", "boolean"):
        return _view_of_labels(labels(series), len(series))
    if kind == "text":
        texts = labels(series)
        return _view_of_numbers(texts.str.len().to_numpy(dtype="int64"), len(series), distinct=texts, of=of)
    return _view_of_numbers(numbers(series), len(series), of=of)


def numbers(series: pd.Series) -> np.ndarray:
    """Return the values that are there as int64 or float64: dates as seconds since 1970 UTC, durations as seconds.

    What is no number counts as missing. Unsigned 64-bit integers become float64, since int64 does not hold them all.
    """
    values = series[series.notna()]
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if values.dtype == object and len(values) and hasattr(values.iloc[0], "isoformat"):
        values = pd.to_datetime(values, errors="coerce", utc=True).dropna()
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        zone = getattr(values.dtype, "tz", None)
        naive = values.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else values
        return naive.to_numpy().astype("datetime64[us]").astype("int64") / 1e6
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return values.dt.total_seconds().to_numpy()
    if values.dtype == object or pd.api.types.is_string_dtype(values.dtype):
        values = pd.to_numeric(values.astype("object"), errors="coerce").dropna()
    whole = pd.api.types.is_integer_dtype(values.dtype) and str(values.dtype).lower() != "uint64"
    return values.to_numpy(dtype="int64" if whole else "float64")


def labels(series: pd.Series) -> pd.Series:
    """Return the values that are there as text; true and false in lower case, bytes as hexadecimal digits."""
    values = series[series.notna()]
    if pd.api.types.is_bool_dtype(values.dtype):
        return pd.Series(np.where(values.to_numpy(dtype=bool), "true", "false"), dtype="str")
    if isinstance(values.dtype, pd.StringDtype):
        return values
    return values.map(_label).astype("str")


def _label(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _view_of_numbers(values: np.ndarray, rows: int, *, distinct: pd.Series | None = None, of: int = 0) -> Any:
    """Return the view of ``values`` out of ``rows``; where they are lengths of texts, ``distinct`` are the texts."""
    why = whylogs()
    column = why.PreprocessedColumn()
    column.len = rows
    column.null_count = rows - len(values)
    finite = values if values.dtype.kind == "i" else values[np.isfinite(values)]
    column.inf_count = len(values) - len(finite)
    whole = values.dtype.kind == "i"
    column.numpy.ints, column.numpy.floats = (finite, None) if whole else (None, finite)
    view = _metrics(column, "counts", "types", *(["ints"] if whole else []))
    size = {"kll_k_large": WHOLE} if max(rows, of) <= WHOLE else {}
    view["distribution"] = why.metrics.DistributionMetric.zero(why.MetricConfig(**size))
    view["distribution"].columnar_update(column)
    cardinality = why.metrics.CardinalityMetric.zero()
    if distinct is None:
        cardinality.columnar_update(column)
    else:
        cardinality.hll.value.update_str_list(distinct.unique().tolist())
    zeros = int(np.count_nonzero(finite == 0))
    view["cardinality"] = cardinality
    view["condition_count"] = why.ConditionCountMetric(
        conditions={"zero": why.Condition(_is_zero)},
        total=why.IntegralComponent(len(finite)),
        matches={"zero": why.IntegralComponent(zeros)},
    )
    return why.ColumnProfileView(view, success_count=len(values))


def _view_of_labels(texts: pd.Series, rows: int) -> Any:
    why = whylogs()
    column = why.PreprocessedColumn()
    column.len = rows
    column.null_count = rows - len(texts)
    column.pandas.strings = texts
    view = _metrics(column, "counts", "types")
    counts = texts.str.slice(0, LONGEST).value_counts(sort=False)
    cardinality, items = why.metrics.CardinalityMetric.zero(), why.metrics.FrequentItemsMetric.zero()
    cardinality.hll.value.update_str_list(texts.unique().tolist())
    if len(counts) <= FEW:
        for value, count in counts.items():
            items.frequent_strings.value.update(value, int(count))
    else:
        items.frequent_strings.value.update_str_list(texts.str.slice(0, LONGEST).tolist())
    view["cardinality"], view["frequent_items"] = cardinality, items
    return why.ColumnProfileView(view, success_count=len(texts))


def _metrics(column: Any, *names: str) -> dict[str, Any]:
    standard_metrics = {}
    for name in names:
        standard_metrics[name] = whylogs().metrics.StandardMetric[name].zero()
        standard_metrics[name].columnar_update(column)
    return standard_metrics


def _is_zero(value: Any) -> bool:
    return value == 0

"""Frames, series and indexes as Parquet that gives back what it was given: index, types and names of columns.

What Parquet itself does not keep stands in the file's metadata under ``quire``: labels that are no texts or not unique,
categories that are no texts, and the type of a column where Arrow would choose another one.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.errors import ArtifactError
from quire.io import results

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA = b"quire"
CHECKED_ROWS = 1_000
"""Rows that are read back to see that the file holds what it was given."""

_AS_OBJECTS = ("boolean", "bytes", "date", "datetime", "datetime64", "decimal", "floating", "string", "time")
"""Kinds of values of an object column that Arrow keeps; the column gets its type back."""

Metadata = dict[str, Any]


def is_tabular(value: Any) -> bool:
    """Whether ``value`` is a frame, a series, an index or an array of pandas."""
    if not type(value).__module__.startswith(("pandas", "geopandas")) and not hasattr(value, "to_parquet"):
        return False
    import pandas as pd

    return isinstance(value, pd.DataFrame | pd.Series | pd.Index | pd.api.extensions.ExtensionArray)


def write(path: Path, value: Any, *, name: str) -> None:
    """Write a frame, series or index; name: the artifact's.

    Raises ArtifactError with the column that cannot be kept.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame, metadata = _as_frame(value, name)
    try:
        table = pa.Table.from_pandas(_plain_frame(frame, metadata, name))
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, METADATA: _dumps(metadata)}), path)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ArtifactError(f"artifact {name!r} cannot be kept as Parquet: {_reason(error)}") from error
    _check(path, value, name)


def restore(frame: "pd.DataFrame", metadata: Metadata) -> "pd.DataFrame":
    """Return what was read of a file, or a part of its rows or columns, with the types and labels it was given."""
    if not metadata:
        return frame
    for column in frame.columns:
        spec = metadata.get("columns", {}).get(str(column))
        if spec:
            frame[column] = _restore_column(frame[column], spec)
    if "labels" in metadata:
        labels, names = results.loads(metadata["labels"]), metadata["label_names"]
        column_labels = [labels[int(column)] for column in frame.columns]
        frame.columns = _labels([tuple(x) if isinstance(x, list) else x for x in column_labels], results.loads(names))
    if "index_names" in metadata:
        frame.index.names = [tuple(x) if isinstance(x, list) else x for x in results.loads(metadata["index_names"])]
    if "freq" in metadata and len(frame) == metadata["rows"]:
        frame.index.freq = metadata["freq"]
    return frame


def as_given(frame: "pd.DataFrame", metadata: Metadata) -> Any:
    """Return the series, index or array that was saved, where it was not a frame."""
    import pandas as pd

    kind = metadata.get("kind", "frame")
    if kind == "frame":
        return frame
    label = results.loads(metadata["name"])
    label = tuple(label) if isinstance(label, list) else label
    series = frame.iloc[:, 0].rename(label)
    series.attrs = dict(frame.attrs)
    return {"series": lambda: series, "index": lambda: pd.Index(series, name=label), "array": lambda: series.array}[
        kind
    ]()


def read_metadata(schema: "pa.Schema") -> Metadata:
    """Return what stands under ``quire`` in the schema of a file; nothing in those that others, or older runs, made."""
    return json.loads((schema.metadata or {}).get(METADATA, b"{}"))


def index_columns(schema: "pa.Schema") -> tuple[str, ...]:
    """Return the names of the file's columns that hold the index."""
    names = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    return tuple(name for name in names if isinstance(name, str))


def _dumps(metadata: Metadata) -> bytes:
    return json.dumps(metadata).encode()


def _as_frame(value: Any, name: str) -> tuple["pd.DataFrame", Metadata]:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return value.copy(deep=False), {}
    if isinstance(value, pd.MultiIndex):
        raise ArtifactError(f"artifact {name!r} is a MultiIndex; save .to_frame(index=False) of it.")
    label = results.dumps(getattr(value, "name", None), name=name)
    if isinstance(value, pd.Series):
        frame, kind = value.rename("value").to_frame(), "series"
    else:
        frame, kind = pd.DataFrame({"value": value}), "index" if isinstance(value, pd.Index) else "array"
        frame.index = pd.RangeIndex(len(frame))
    return frame, {"kind": kind, "name": label}


def _plain_frame(frame: "pd.DataFrame", metadata: Metadata, name: str) -> "pd.DataFrame":
    """Return the frame in what Parquet keeps; ``metadata`` then says how to get it back."""
    if not (
        (frame.columns.is_unique and not frame.columns.inferred_type.startswith("mixed")) or frame.columns.nlevels > 1
    ):
        metadata["labels"] = results.dumps(list(frame.columns), name=name)
        metadata["label_names"] = results.dumps(list(frame.columns.names), name=name)
        frame.columns = [str(number) for number in range(frame.shape[1])]
    elif not frame.columns.is_unique:
        raise ArtifactError(f"artifact {name!r} has two columns of one name in several levels; rename one of them.")
    if not all(label is None or isinstance(label, str) for label in frame.index.names):
        metadata["index_names"] = results.dumps(list(frame.index.names), name=name)
        frame.index = frame.index.set_names([None] * frame.index.nlevels)
    if getattr(frame.index, "freqstr", None) and frame.index.dtype.kind in "Mm":
        metadata |= {"freq": frame.index.freqstr, "rows": len(frame)}
    specs: dict[str, Any] = {}
    for position, column in enumerate(frame.columns):
        plain, spec = _plain_column(frame.iloc[:, position], f"artifact {name!r}, column {column!r}")
        if spec:
            frame = frame.assign(**{column: plain}) if isinstance(column, str) else _replaced(frame, position, plain)
            specs[str(column)] = spec
    if specs:
        metadata["columns"] = specs
    return frame


def _replaced(frame: "pd.DataFrame", position: int, column: "pd.Series") -> "pd.DataFrame":
    frame.isetitem(position, column)
    return frame


def _plain_column(column: "pd.Series", where: str) -> tuple["pd.Series", dict[str, Any]]:
    """Return a column as Arrow keeps it, and how to get it back; nothing where Arrow does that by itself."""
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        is_text = pd.api.types.is_string_dtype(dtype.categories.dtype) and dtype.categories.inferred_type == "string"
        if is_text and len(column) and dtype.categories.dtype != object:
            return column, {}
        return column.cat.codes, {"categories": _pack(dtype.categories), "ordered": bool(dtype.ordered)}
    if isinstance(dtype, pd.SparseDtype):
        return column.sparse.to_dense(), {"dtype": str(dtype)}
    if str(dtype).startswith("datetime64[s"):
        return column, {"dtype": str(dtype)}
    if dtype.kind == "c":
        raise ArtifactError(f"{where} holds complex numbers; save their real and imaginary parts.")
    return _plain_objects(column, where) if dtype.kind == "O" and str(dtype) == "object" else (column, {})


def _plain_objects(column: "pd.Series", where: str) -> tuple["pd.Series", dict[str, Any]]:
    import pandas as pd

    missing = column.isna()
    spec = {"dtype": "object", "missing": "nan" if any(isinstance(x, float) for x in column[missing]) else "None"}
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "integer":
        return column.astype("Int64"), spec
    if kind in _AS_OBJECTS or kind == "empty":
        return column, spec
    types = {type(value) for value in column[~missing]}
    if types == {list} or types == {tuple}:
        return column, spec | {"each": next(iter(types)).__name__}
    names = sorted(value_type.__name__ for value_type in types)
    raise ArtifactError(
        f"{where} holds values of type {', '.join(names)}, which Parquet does not keep as they are; make them one "
        "type, such as texts by .astype(str), or save them as a result: lists and dictionaries."
    )


def _restore_column(column: "pd.Series", how: dict[str, Any]) -> "pd.Series":
    import pandas as pd

    if "categories" in how:
        dtype = pd.CategoricalDtype(_unpack(how["categories"]), how["ordered"])
        return pd.Series(pd.Categorical.from_codes(column, dtype=dtype), index=column.index)
    if how["dtype"] != "object":
        return column.astype(how["dtype"])
    missing = column.isna()
    if "each" in how:
        container = {"list": list, "tuple": tuple}[how["each"]]
        values = [None if absent else container(value.tolist()) for value, absent in zip(column, missing, strict=True)]
        return pd.Series(values, index=column.index, dtype=object)
    restored = column.astype(object)
    restored[missing] = None if how["missing"] == "None" else float("nan")
    return restored


def _pack(categories: "pd.Index") -> str:
    """Return an index as text, of whatever type it is: an Arrow stream in base64."""
    import pyarrow as pa

    table = pa.Table.from_pandas(categories.to_frame(index=False, name="value"))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(out.getvalue().to_pybytes()).decode("ascii")


def _unpack(text: str) -> "pd.Index":
    import pandas as pd
    import pyarrow as pa

    return pd.Index(pa.ipc.open_stream(base64.b64decode(text)).read_all().to_pandas()["value"]).rename(None)


def _labels(labels: list[Any], names: list[Any]) -> "pd.Index":
    import pandas as pd

    return pd.Index(labels, tupleize_cols=False, name=names[0])


def _check(path: Path, value: Any, name: str) -> None:
    """Read the first rows back, and refuse what did not come back as it was."""
    import pandas as pd

    from quire.io.frames import ParquetFrame

    actual = ParquetFrame(path).head(CHECKED_ROWS)
    expected = value[:CHECKED_ROWS] if not isinstance(value, pd.DataFrame) else value.iloc[:CHECKED_ROWS]
    if isinstance(value, pd.DataFrame):
        differences = list(_differences(actual, expected))
    else:
        differences = list(_differences(_table(actual), _table(expected)))
    if differences:
        raise ArtifactError(f"artifact {name!r}: {differences[0]} Parquet does not give back as it is.")


def _table(value: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"value": value}) if not isinstance(value, pd.Series) else value.rename("value").to_frame()


def _differences(back: "pd.DataFrame", frame: "pd.DataFrame") -> Iterator[str]:
    """Yield what of ``frame`` is not in ``back``: its columns, its index, or the values of a column."""
    import pandas as pd

    if not back.columns.equals(frame.columns) or list(back.columns.names) != list(frame.columns.names):
        yield "the names of its columns (write texts or numbers)"
        return
    try:
        pd.testing.assert_index_equal(back.index, frame.index, exact="equiv")
    except AssertionError:
        yield "its index (write .reset_index())"
    for position, column in enumerate(frame.columns):
        try:
            pd.testing.assert_series_equal(
                back.iloc[:, position], frame.iloc[:, position], check_index=False, check_names=False, check_freq=False
            )
        except (AssertionError, TypeError, ValueError):
            yield f"its column {column!r} of type {frame.dtypes.iloc[position]} (convert it by .astype(...))"


def _reason(error: Exception) -> str:
    """Return Arrow's own words; it names the column in the second argument."""
    return "; ".join(str(part) for part in error.args) or type(error).__name__

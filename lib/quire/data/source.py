"""The source of a use case, read as it is: CSV as text, so that the schema decides on types and nothing is coerced."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from quire.config import (
    Config,
    CsvSource,
    DemoSource,
    HttpSource,
    ParquetSource,
    S3Source,
    Schema,
    Settings,
    SqlSource,
)
from quire.data import demo
from quire.data.wrangle import check_columns, source_columns
from quire.errors import DataError
from quire.io.fingerprint import source_files
from quire.io.frames import CHUNK_ROWS


@dataclass(frozen=True)
class Raw:
    """Rows as the source gives them, with only the columns that the schema needs.

    where: the source in words, without secrets. unused: columns that the source has and the schema does not name.
    decimal: the decimal mark of numbers that are text.
    """

    frame: pd.DataFrame
    where: str
    unused: tuple[str, ...] = ()
    decimal: str = "."


def read_source(settings: Settings, as_of: datetime | None = None) -> Raw:
    """Return the rows of the use case's source; ``as_of`` is what ``:as_of`` in a SQL query stands for.

    Raises DataError if the source is missing, empty or lacks a column, ConfigError if config.yaml cannot be used.
    """
    raw = read_place(settings.config, settings.root, settings.schema, as_of=as_of)
    if raw.frame.empty:
        raise DataError(f"{raw.where} has no rows. Check source in {settings.folder}/config.yaml.")
    return raw


def read_place(config: Config, root: Path, schema: Schema | None, *, as_of: datetime | None = None) -> Raw:
    """Return the rows of ``config.source``; all columns if there is no schema."""
    place = config.source
    if isinstance(place, DemoSource):
        return _picked(demo.simulate(place), schema, f"The simulator (seed {place.seed}, {place.hours:,} hours)")
    if isinstance(place, CsvSource):
        files = source_files(place, root)
        return _joined(
            [_read_csv(path, place.separator, schema, encoding=place.encoding, decimal=place.decimal) for path in files]
        )
    if isinstance(place, ParquetSource):
        return _joined([_read_parquet(path, schema) for path in source_files(place, root)])
    if isinstance(place, SqlSource):
        return _read_sql(place, schema, as_of or config.as_of, root)
    if isinstance(place, HttpSource):
        return _read_http(place, schema)
    return _read_s3(place, schema)


def _read_csv(
    file: Any, separator: str, schema: Schema | None, *, where: str = "", encoding: str = "utf-8", decimal: str = "."
) -> Raw:
    where = where or str(file)
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "dtype": "str", "keep_default_na": False}
    # pandas goes by the name of a file, which an open one does not have.
    options["compression"] = "gzip" if where.endswith(".gz") else "infer"
    with _as_csv(where, encoding):
        header = list(pd.read_csv(file, nrows=0, **options).columns)
        columns = _wanted(header, schema, where)
        if hasattr(file, "seek"):
            file.seek(0)
        frame = pd.read_csv(file, usecols=columns, na_values=[""], **options)
    return Raw(frame[columns], where, _unused(header, schema), decimal)


def csv_chunks(
    file: Path, separator: str, schema: Schema, *, where: str, encoding: str = "utf-8"
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file as text, some at a time, with all of its columns; the first may have no rows.

    Raises DataError as `read_source` does.
    """
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "dtype": "str", "keep_default_na": False}
    with _as_csv(where, encoding):
        header = pd.read_csv(file, nrows=0, **options)
        check_columns(list(header.columns), schema, where=where)
        yield header
        with pd.read_csv(file, na_values=[""], chunksize=CHUNK_ROWS, **options) as chunks:
            yield from chunks


@contextmanager
def _as_csv(where: str, encoding: str) -> Iterator[None]:
    """Say in the block's errors what is wrong with the file."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise DataError(f"{where} is empty: expected a line with the names of the columns, then rows.") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{where} is not the CSV that config.yaml says: {error}. Check source.separator.") from None
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{where} is not {encoding} text: {error}. Set source.encoding, such as latin-1.") from None


def _read_parquet(file: Any, schema: Schema | None, *, where: str = "") -> Raw:
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = where or str(file)
    try:
        with pq.ParquetFile(file) as parquet:
            header = [name for name in parquet.schema_arrow.names if not name.startswith("__index_level_")]
            columns = _wanted(header, schema, where)
            frame = parquet.read(columns=columns).to_pandas(ignore_metadata=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{where} is not a whole Parquet file: {str(error).splitlines()[0]}") from None
    return Raw(frame[columns], where, _unused(header, schema))


def _read_sql(place: SqlSource, schema: Schema | None, as_of: datetime | str | None, root: Path) -> Raw:
    from quire.io import query

    with query.opened(place, as_of, root) as result:
        header = list(result.keys())
        frame = pd.DataFrame.from_records(result.fetchall(), columns=header)
    where = "The query of config.yaml (source.query)"
    return Raw(frame[_wanted(header, schema, where)], where, _unused(header, schema))


def _read_http(place: HttpSource, schema: Schema | None) -> Raw:
    from quire.io import download

    url = place.url.get_secret_value()
    with download.fetched(url, sha256=place.sha256) as path:
        if place.format == "csv":
            return _read_csv(path, place.separator, schema, where=download.shown(url))
        return _read_parquet(path, schema, where=download.shown(url))


def _read_s3(place: S3Source, schema: Schema | None) -> Raw:
    from quire.io import objects

    files, parts = objects.filesystem(place), []
    for item in objects.listed(place):
        with files.open_input_file(item.path) as file:
            where = f"s3://{item.path}"
            if place.format == "csv":
                parts.append(_read_csv(file, place.separator, schema, where=where))
            else:
                parts.append(_read_parquet(file, schema, where=where))
    return _joined(parts)


def _wanted(header: Sequence[str], schema: Schema | None, where: str) -> list[str]:
    if schema is None:
        return list(header)
    check_columns(header, schema, where=where)
    return list(source_columns(schema))


def _unused(header: Sequence[str], schema: Schema | None) -> tuple[str, ...]:
    if schema is None:
        return ()
    named = {*source_columns(schema), *(column.source or name for name, column in schema.columns.items())}
    return tuple(str(name) for name in header if name not in named)


def _picked(frame: pd.DataFrame, schema: Schema | None, where: str) -> Raw:
    header = list(frame.columns)
    return Raw(frame[_wanted(header, schema, where)], where, _unused(header, schema))


def _joined(parts: Sequence[Raw]) -> Raw:
    first = parts[0]
    if len(parts) == 1:
        return first
    where = f"{first.where} and {len(parts) - 1} more files"
    return Raw(pd.concat([part.frame for part in parts], ignore_index=True), where, first.unused, first.decimal)


def describe(settings: Settings) -> dict[str, Any]:
    """Return the source of config.yaml without secrets, for the manifest."""
    return json.loads(settings.config.source.model_dump_json(exclude_none=True, exclude_defaults=False))

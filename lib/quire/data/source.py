"""The source of a use case, read as it is: CSV as text, so that the schema decides on types and nothing is coerced."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

from quire.config import (
    Config,
    CsvSource,
    Delimited,
    DemoSource,
    HttpSource,
    JsonSource,
    ParquetSource,
    S3Source,
    Schema,
    Settings,
    SqlSource,
)
from quire.data import delimited, demo, documents
from quire.data.wrangle import check_columns, source_columns
from quire.errors import DataError
from quire.io.fingerprint import source_files


@dataclass(frozen=True)
class SourceFrame:
    """Rows as the source gives them, with only the columns that the schema needs.

    where: the source in words, without secrets. unused: columns that the source has and the schema does not name.
    decimal: the decimal mark of numbers that are text.
    """

    frame: pd.DataFrame
    where: str
    unused: tuple[str, ...] = ()
    decimal: str = "."


def read_source(settings: Settings, as_of: datetime | None = None) -> SourceFrame:
    """Return the rows of the use case's source; ``as_of`` is what ``:as_of`` in a SQL query stands for.

    Raises DataError if the source is missing, empty or lacks a column, ConfigError if config.yaml cannot be used.
    """
    raw = read_place(settings.config, settings.root, settings.schema, as_of=as_of)
    if raw.frame.empty:
        raise DataError(f"{raw.where} has no rows. Check source in {settings.folder}/config.yaml.")
    return raw


def read_place(config: Config, root: Path, schema: Schema | None, *, as_of: datetime | None = None) -> SourceFrame:
    """Return the rows of ``config.source``; all columns if there is no schema."""
    place = config.source
    if isinstance(place, DemoSource):
        return _picked(demo.simulate(place), schema, f"The simulator (seed {place.seed}, {place.hours:,} hours)")
    if isinstance(place, CsvSource):
        return _joined([_read_csv(path, place, schema, str(path)) for path in source_files(place, root)])
    if isinstance(place, JsonSource):
        return _joined([_read_json(path, schema, str(path)) for path in source_files(place, root)])
    if isinstance(place, ParquetSource):
        return _joined([_read_parquet(path, schema, str(path), partition(path)) for path in source_files(place, root)])
    if isinstance(place, SqlSource):
        return _read_sql(place, schema, as_of or config.as_of, root)
    if isinstance(place, HttpSource):
        return _read_http(place, schema)
    return _read_s3(place, schema)


def partition(path: Path | str) -> dict[str, str]:
    """Return what the names of the folders say of a file's rows, as in ``.../year=2024/month=05/part.parquet``."""
    folders = str(path).replace("\\", "/").split("/")[:-1]
    pairs = [folder.partition("=") for folder in folders if re.fullmatch(r"[A-Za-z_]\w*=[^=]+", folder)]
    missing = "__HIVE_DEFAULT_PARTITION__"
    return {name: "" if value == missing else unquote(value) for name, _, value in pairs}


def _read_csv(file: Any, layout: Delimited, schema: Schema | None, where: str) -> SourceFrame:
    header = delimited.read_names(file, layout, where=where)
    frame, _ = delimited.read_delimited(file, layout, _wanted(header, schema, where), where=where)
    return SourceFrame(frame, where, _unused(header, schema), layout.decimal)


def csv_chunks(file: Path, layout: Delimited, schema: Schema, *, where: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file as text, some at a time, with all of its columns; the first has no rows.

    Raises DataError as `read_source` does.
    """
    for number, chunk in enumerate(delimited.chunks(file, layout, where=where)):
        if number == 0:
            check_columns(list(chunk.columns), schema, where=where)
        yield chunk


def _read_json(file: Any, schema: Schema | None, where: str) -> SourceFrame:
    frame = documents.read_json(file, where)
    return _picked(frame.set_axis(_different(frame.columns), axis=1), schema, where)


def _read_parquet(file: Any, schema: Schema | None, where: str, parts: Mapping[str, str] | None = None) -> SourceFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = parts or {}
    try:
        with pq.ParquetFile(file) as parquet:
            header = parquet.schema_arrow.names
            labels = _different(header)
            names = [name for name in labels if not name.startswith("__index_level_")]
            partitions = {name: value for name, value in parts.items() if name not in names}
            columns = _wanted([*names, *partitions], schema, where)
            needed = [name for name in columns if name in names]
            table = parquet.read(columns=needed if labels == header else None)
            table = table.rename_columns(needed if labels == header else labels).select(needed)
            frame = table.to_pandas(ignore_metadata=True, date_as_object=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{where} is not a whole Parquet file: {str(error).splitlines()[0]}") from None
    frame = frame.assign(
        **{name: pd.Series(partitions[name] or None, frame.index, "str") for name in columns if name in partitions}
    )
    return SourceFrame(frame[columns], where, _unused([*names, *partitions], schema))


def _read_sql(place: SqlSource, schema: Schema | None, as_of: datetime | str | None, root: Path) -> SourceFrame:
    from quire.io import query

    with query.opened(place, as_of, root) as result:
        header = _different(result.keys())
        frame = pd.DataFrame.from_records(result.fetchall(), columns=header)
    source_name = "The query of config.yaml (source.query)"
    return SourceFrame(frame[_wanted(header, schema, source_name)], source_name, _unused(header, schema))


def _read_http(place: HttpSource, schema: Schema | None) -> SourceFrame:
    from quire.io import download

    url = place.url.get_secret_value()
    with download.fetched(url, sha256=place.sha256) as path:
        return _read_format(path, place, schema, download.shown(url))


def _read_s3(place: S3Source, schema: Schema | None) -> SourceFrame:
    from quire.io import objects

    files, parts = objects.filesystem(place), []
    for item in objects.listed(place):
        with files.open_input_file(item.path) as file:
            parts.append(_read_format(file, place, schema, f"s3://{item.path}"))
    return _joined(parts)


def _read_format(file: Any, place: HttpSource | S3Source, schema: Schema | None, where: str) -> SourceFrame:
    if place.format == "csv":
        return _read_csv(file, place, schema, where)
    if place.format == "json":
        return _read_json(file, schema, where)
    return _read_parquet(file, schema, where, partition(where))


def _different(names: Iterable[str]) -> list[str]:
    """Return the names as pandas calls those of a CSV file: repeated ones and empty ones with a number."""
    columns = [str(name) if str(name).strip() else f"Unnamed: {place}" for place, name in enumerate(names)]
    labels: dict[str, None] = {}
    for name in columns:
        label, number = name, 0
        while label in labels or (number and label in columns):
            number += 1
            label = f"{name}.{number}"
        labels[label] = None
    return list(labels)


def _wanted(header: Sequence[str], schema: Schema | None, where: str) -> list[str]:
    if schema is None:
        return list(header)
    check_columns(header, schema, where=where)
    return list(source_columns(schema))


def _unused(header: Sequence[str], schema: Schema | None) -> tuple[str, ...]:
    if schema is None:
        return ()
    known_columns = {*source_columns(schema), *(column.source or name for name, column in schema.columns.items())}
    return tuple(str(name) for name in header if name not in known_columns)


def _picked(frame: pd.DataFrame, schema: Schema | None, where: str) -> SourceFrame:
    header = list(frame.columns)
    return SourceFrame(frame[_wanted(header, schema, where)], where, _unused(header, schema))


def _joined(parts: Sequence[SourceFrame]) -> SourceFrame:
    first = parts[0]
    if len(parts) == 1:
        return first
    source_name = f"{first.where} and {len(parts) - 1} more files"
    return SourceFrame(
        pd.concat([part.frame for part in parts], ignore_index=True), source_name, first.unused, first.decimal
    )


def describe(settings: Settings) -> dict[str, Any]:
    """Return the source of config.yaml without secrets, for the manifest."""
    return json.loads(settings.config.source.model_dump_json(exclude_none=True, exclude_defaults=False))

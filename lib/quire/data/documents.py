"""Tables that JSON holds: a list of objects, an object of columns, or an object on each line."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from quire.data import formats
from quire.errors import DataError

_EXPECTED = 'Expected a list of objects ([{"name": value, ...}, ...]), an object of columns, or an object on each line.'


def is_document(path: Path) -> bool:
    """Return whether the file is JSON, or its first line is."""
    with formats.opened(path) as content:
        raw = content.read()
    text = _decoded(raw).strip()
    first = text.partition("\n")[0].strip()
    return _is_json(first) if first not in ("[", "{") and _is_json(first) else _is_json(text)


def read_json(file: "Path | IO[bytes]", where: str) -> pd.DataFrame:
    """Return the rows of a JSON file; the fields of nested objects become columns such as ``address.city``.

    Numbers, booleans and texts keep their types where a column has one type; else they are text as JSON writes it.
    Raises DataError for what is no JSON, or no table.
    """
    with formats.opened(file, where=where) as content:
        text = _decoded(content.read()).strip()
    if not text:
        raise DataError(f"{where} is empty. {_EXPECTED}")
    records = [_flat(record) for record in _records(_parsed(text, where), where)]
    names = list(dict.fromkeys(name for record in records for name in record))
    return pd.DataFrame({name: _column([record.get(name) for record in records]) for name in names})


def _decoded(raw: bytes) -> str:
    if formats.is_utf16(raw[:512]):
        return formats.text_of(raw)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parsed(text: str, where: str) -> Any:
    """Return what the text holds, as a list of lines' values where it has a value on each line."""
    try:
        return json.loads(text)
    except ValueError as error:
        whole = error
    # Only this ends a line: JSON's texts may hold others, such as U+2028, as they are.
    lines = [line for line in text.split("\n") if line.strip()]
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            problem = whole if number == 1 else f"line {number}: {error}"
            raise DataError(f"{where} is not JSON that can be read: {problem}. {_EXPECTED}") from None
    return values


def _records(value: Any, where: str) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            return value
        if not value:
            return []
    if isinstance(value, dict):
        inner = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        if len(inner) == 1:  # such as {"data": [...], "page": 1}
            return _records(inner[0], where)
        columns = [item for item in value.values() if isinstance(item, list | dict)]
        if columns and len(columns) == len(value):
            return _from_columns(value, where)
        return [value]
    raise DataError(f"{where} is JSON, but no table: {type(value).__name__} at its top. {_EXPECTED}")


def _from_columns(value: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the records of ``{"x": [1, 2]}`` or ``{"x": {"0": 1, "1": 2}}``."""
    columns = {name: list(item.values()) if isinstance(item, dict) else item for name, item in value.items()}
    lengths = {name: len(item) for name, item in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{where} is an object of columns that are not equally long: {lengths}. {_EXPECTED}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and value:
            fields |= _flat(value, f"{before}{name}.")
        else:
            fields[before + name] = value
    return fields


def _column(values: Iterable[Any]) -> pd.Series:
    """Return the values with the type that they have in common, else as text, lists as they are."""
    values = list(values)
    kinds = {type(value) for value in values if value is not None}
    if kinds & {list, dict}:
        return pd.Series(values, dtype="object")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([None if value is None else float(value) for value in values], dtype="float64")
    return pd.Series([_text(value) for value in values], dtype="str")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value)

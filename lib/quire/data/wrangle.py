"""Wrangling: rows as the source gives them become rows as the schema wants them, and every change is counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from quire.config import Column, Schema, label
from quire.data import typed
from quire.errors import DataError, near

EXAMPLES = 5


@dataclass(frozen=True)
class Change:
    """One thing that was done to rows of a column: what, to how many, why, and some of the raw values.

    at: the rows, by their label in the source's frame.
    """

    column: str
    rule: str
    action: str
    rows: int
    why: str
    examples: tuple[str, ...] = ()
    at: np.ndarray = field(default_factory=lambda: np.empty(0, "int64"), repr=False, compare=False)

    @property
    def what(self) -> str:
        """The rule and what was done, in words."""
        return f"{RULES.get(self.rule, self.rule)}: {self.action}"

    def to_json(self) -> dict[str, Any]:
        """Return the change as the manifest holds it."""
        return {
            "column": self.column,
            "what": self.what,
            "rows": self.rows,
            "why": self.why,
            "rule": self.rule,
            "action": self.action,
            "examples": list(self.examples),
        }


RULES = {
    "blank": "blank text",
    "marker": "missing marker",
    "respelled": "spelling",
    "unparsable": "unparsable",
    "missing": "missing",
    "out_of_range": "out of range",
    "unknown": "unknown category",
    "ambiguous": "repeated hour",
    "nonexistent": "hour left out by the clock",
    "no_timestamp": "no timestamp",
    "duplicate": "duplicate key",
    "no_label": "no label",
    "blank_row": "blank row",
    "label_delay": "label not known yet",
}
"""What a change's rule is called in words."""


@dataclass(frozen=True)
class Wrangled:
    """Typed rows, labelled and ordered as in the source, and what was changed.

    read: how many rows were there before any was dropped. missing: how many values the source lacks, by column.
    times: the timestamp of every row before as_of, also of those dropped; None without a timestamp.
    """

    frame: pd.DataFrame
    changes: tuple[Change, ...]
    read: int
    missing: Mapping[str, int]
    times: pd.Series | None = None


def needed(schema: Schema) -> tuple[str, ...]:
    """Return the columns of the schema that the snapshot holds: all but ignored ones that no segment needs."""
    return tuple(name for name, column in schema.columns.items() if column.role != "ignore" or name in schema.segments)


def source_columns(schema: Schema) -> tuple[str, ...]:
    """Return the names of the columns to read from the source, without repeats."""
    names: list[str] = []
    for name in needed(schema):
        column = schema.columns[name]
        names += [column.source or name, *([column.add_hours] if column.add_hours else [])]
    return tuple(dict.fromkeys(names))


def check_columns(available: Iterable[str], schema: Schema, *, where: str) -> None:
    """Raise DataError if the source lacks columns, naming each with the nearest one that is there."""
    available = list(available)
    lacking = [name for name in source_columns(schema) if name not in available]
    if lacking:
        details = " ".join(f"{name!r} is not there.{near(name, available)}" for name in lacking)
        raise DataError(
            f"{where} lacks {len(lacking)} of the columns that schema.yaml names: {details} "
            f"It has: {', '.join(map(str, available))}. Mend schema.yaml (`source: NAME` reads a column under another "
            "name) or the source."
        )


def wrangle(raw: pd.DataFrame, schema: Schema, *, as_of: pd.Timestamp | None = None, decimal: str = ".") -> Wrangled:
    """Return the rows of ``raw`` before ``as_of``, typed and cleaned as the schema says; a pure function of its rows.

    Duplicates are left: see `drop_duplicates`, which needs all rows at once.
    """
    raw, changes = without_blank_rows(raw)
    columns: dict[str, pd.Series] = {}
    keep = np.ones(len(raw), bool)
    if schema.timestamp:
        reading = read_timestamp(raw, schema, decimal)
        times = reading.values
        column = schema.columns[schema.timestamp]
        is_missing = times.isna().to_numpy()
        changes += _note(schema.timestamp, column, reading, raw[column.source or schema.timestamp], quiet=is_missing)
        changes += _lost(schema.timestamp, column, reading, raw[column.source or schema.timestamp], is_missing)
        keep = ~is_missing
        if as_of is not None:
            keep &= (times < as_of).to_numpy(bool, na_value=False)
        raw, columns[schema.timestamp] = raw[keep], times[keep]
    missing: dict[str, int] = {}
    drop = np.zeros(len(raw), bool)
    for name in needed(schema):
        if name == schema.timestamp:
            missing[name] = 0
            continue
        result = wrangle_column(raw, name, schema, decimal=decimal)
        columns[name], missing[name] = result.values, result.missing
        changes += result.changes
        drop |= result.drop
    frame = pd.DataFrame({name: columns[name] for name in needed(schema)})[~drop]
    return Wrangled(frame, tuple(changes), len(raw), missing, columns.get(schema.timestamp or ""))


def without_blank_rows(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[Change]]:
    """Return the rows that have a value, and the change that leaves the others out, such as at a file's end."""
    empty = raw.isna().all(axis=1).to_numpy(bool)
    if not empty.any():
        return raw, []
    at = raw.index[empty].to_numpy()
    reason = "the row has no value in any column"
    return raw[~empty], [Change("every column", "blank_row", "row dropped", len(at), reason, at=at)]


@dataclass(frozen=True)
class ColumnResult:
    """One column wrangled: its values, what changed, which rows go, and how many values were missing in the source."""

    values: pd.Series
    changes: tuple[Change, ...]
    drop: np.ndarray
    missing: int


def wrangle_column(raw: pd.DataFrame, name: str, schema: Schema, *, decimal: str = ".") -> ColumnResult:
    """Return one column typed, with the schema's answers to what is unparsable, unknown, out of range or missing."""
    column = schema.columns[name]
    source = raw[column.source or name]
    strange = typed.unusable(source)
    if strange:
        raise DataError(f"{column.source or name} holds {strange}. In schema.yaml such a column is `role: ignore`.")
    reading = _read(raw, name, column, schema, decimal)
    changes = _note(name, column, reading, source)
    values, drop = reading.values, np.zeros(len(raw), bool)
    unparsable = reading.found.get("unparsable", drop)
    missing = int(values.isna().sum()) - int(unparsable.sum())
    if column.on_unparsable == "drop":
        drop = drop | unparsable
    for rule, rows in (("unknown", reading.found.get("unknown", drop)), ("out_of_range", out_of_range(values, column))):
        if rows.any():
            values, is_dropped, change = _answer(name, column, rule, values, rows, source)
            drop = drop | is_dropped
            changes.append(change)
    values, is_dropped, more = _answer_missing(name, column, values, ~drop)
    return ColumnResult(values, (*changes, *more), drop | is_dropped, missing)


def out_of_range(values: pd.Series, column: Column) -> np.ndarray:
    """Return which values are below ``column.minimum`` or above ``column.maximum``."""
    rows = np.zeros(len(values), bool)
    if column.minimum is not None:
        rows |= (values < column.minimum).to_numpy(bool, na_value=False)
    if column.maximum is not None:
        rows |= (values > column.maximum).to_numpy(bool, na_value=False)
    return rows


def drop_duplicates(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, tuple[Change, ...]]:
    """Return the rows with one per key, as ``on_duplicate`` says; the last is the last in time, then in the source."""
    key = list(schema.key)
    if not key:
        return frame, ()
    keep: Literal["first", "last"] = "first" if schema.on_duplicate == "first" else "last"
    repeated = frame.duplicated(key, keep=keep).to_numpy()
    rows = int(repeated.sum())
    if not rows:
        return frame, ()
    stays = schema.on_duplicate in ("keep", "fail")
    action = "kept" if stays else f"the {keep} kept, the others dropped"
    change = Change(
        ", ".join(key),
        "duplicate",
        action,
        rows,
        f"schema.yaml: on_duplicate is {schema.on_duplicate}, and these columns are a row's key",
        _examples(frame.loc[repeated, key].head(1000).astype("str").agg(" ".join, axis=1)),
        frame.index[repeated].to_numpy(),
    )
    return (frame if stays else frame[~repeated]), (change,)


def merge_changes(parts: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes of several chunks added up, in the order of their first appearance."""
    total: dict[tuple[str, str, str], Change] = {}
    for change in parts:
        place = (change.column, change.rule, change.action)
        subtotal = total.get(place)
        examples = tuple(dict.fromkeys((*(subtotal.examples if subtotal else ()), *change.examples)))[:EXAMPLES]
        at = np.concatenate([subtotal.at, change.at]) if subtotal else change.at
        total[place] = replace(change, rows=change.rows + (subtotal.rows if subtotal else 0), examples=examples, at=at)
    return tuple(total.values())


def _read(raw: pd.DataFrame, name: str, column: Column, schema: Schema, decimal: str) -> typed.TypedColumn:
    source = raw[column.source or name].rename(name)
    if column.type != "datetime":
        return typed.read(source, column, decimal=decimal)
    notation = typed.Notation.of(column, decimal)
    source, masks = typed.without_missing(source, notation.missing)
    if not column.add_hours:
        first = _first(raw, source, schema)
        reading = typed.read_datetime(source, column.format, timezone=schema.timezone, first=first)
        return typed.TypedColumn(reading.values, {**masks, **reading.found})
    days = typed.read_datetime(source, column.format, timezone="UTC")
    hours = typed.read_hours(raw[column.add_hours], typed.Notation(decimal))
    wall = (days.values + pd.to_timedelta(hours.values, unit="h")).dt.tz_localize(None)
    times, irregular = typed.to_utc(wall, schema.timezone, first=_first(raw, wall, schema))
    unparsable = days.found["unparsable"] if "unparsable" in days.found else np.zeros(len(raw), bool)
    return typed.TypedColumn(
        times.rename(name),
        {**masks, **days.found, **irregular, "unparsable": unparsable | hours.found.get("unparsable", False)},
    )


def read_timestamp(raw: pd.DataFrame, schema: Schema, decimal: str = ".") -> typed.TypedColumn:
    """Return the timestamps of the rows, in UTC, and where they are irregular."""
    return _read(raw, str(schema.timestamp), schema.columns[str(schema.timestamp)], schema, decimal)


def _first(raw: pd.DataFrame, wall: pd.Series, schema: Schema) -> np.ndarray | None:
    """Return which rows are the first of their wall-clock time, among those that agree in the other key columns."""
    others = [schema.columns[name].source or name for name in schema.key if name != schema.timestamp]
    if schema.timezone == "UTC":
        return None
    return (~pd.concat([wall.rename("wall"), raw[others]], axis=1).duplicated()).to_numpy()


def _note(
    name: str, column: Column, reading: typed.TypedColumn, source: pd.Series, quiet: np.ndarray | None = None
) -> list[Change]:
    """Return the changes that reading made, but for rows in ``quiet``, which are told of elsewhere."""
    actions = {
        "blank": ("set missing", "only spaces: no value"),
        "marker": ("set missing", "a text that stands for no value"),
        "respelled": ("read as the known label", "spaces around it, or 1.0 for 1"),
        "unparsable": (
            {"missing": "set missing", "drop": "row dropped", "fail": "set missing, and fails validation"}[
                column.on_unparsable
            ],
            f"no {column.type}; schema.yaml: on_unparsable is {column.on_unparsable}",
        ),
        "ambiguous": ("first as summer time, then as winter time", "the clock shows this hour twice"),
        "nonexistent": ("moved forward by the gap", "the clock never shows this time"),
    }
    changes = []
    for rule, (action, reason) in actions.items():
        rows = reading.found.get(rule)
        if rows is None:
            continue
        rows = rows if quiet is None else rows & ~quiet
        if rows.any():
            changes.append(_change(name, rule, action, rows, reason, source))
    return changes


def _lost(name: str, column: Column, reading: typed.TypedColumn, source: pd.Series, lost: np.ndarray) -> list[Change]:
    """Return the change for rows whose timestamp is missing or unparsable: they belong to no window."""
    if not lost.any():
        return []
    action = "row dropped" + (", and fails validation" if column.on_unparsable == "fail" else "")
    return [_change(name, "no_timestamp", action, lost, "a row needs a time to be in a window", source)]


def _answer(
    name: str, column: Column, rule: str, values: pd.Series, rows: np.ndarray, source: pd.Series
) -> tuple[pd.Series, np.ndarray, Change]:
    """Return values, rows to drop and the change, for values that are known to be wrong."""
    policy = column.on_unknown if rule == "unknown" else column.on_out_of_range
    setting = "on_unknown" if rule == "unknown" else "on_out_of_range"
    allowed = ", ".join(column.labels) if rule == "unknown" else f"{_bound(column.minimum)} to {_bound(column.maximum)}"
    reason = f"allowed: {allowed}; schema.yaml: {setting} is {policy}"
    action = {"keep": "kept", "clip": "clipped", "missing": "set missing", "drop": "row dropped"}[policy]
    change = _change(name, rule, action, rows, reason, source)
    is_dropped = rows if policy == "drop" else np.zeros(len(rows), bool)
    if policy == "clip":
        low, high = column.minimum, column.maximum
        if column.type == "integer":
            low = None if low is None else int(np.ceil(low))
            high = None if high is None else int(np.floor(high))
        values = values.clip(low, high)
    elif policy == "missing":
        values = values.mask(rows)
    return values, is_dropped, change


def _answer_missing(
    name: str, column: Column, values: pd.Series, kept: np.ndarray
) -> tuple[pd.Series, np.ndarray, list[Change]]:
    is_dropped = np.zeros(len(values), bool)
    rows = values.isna().to_numpy() & kept
    if column.on_missing == "keep" or not rows.any():
        return values, is_dropped, []
    reason = f"schema.yaml: on_missing is {column.on_missing}"
    if column.on_missing == "drop":
        return values, rows, [replace(_change(name, "missing", "row dropped", rows, reason, values), examples=())]
    fill = fill_value(column, name)
    change = _change(name, "missing", f"filled with {column.fill}", rows, reason, values)
    return values.fillna(fill), is_dropped, [replace(change, examples=())]


def fill_value(column: Column, name: str) -> Any:
    """Return ``column.fill`` as the column's type has it; raises DataError if it is not one of that type."""
    reading = typed.read(pd.Series([column.fill]), column)
    if reading.values.isna().any() or reading.found.get("unknown", np.zeros(1, bool)).any():
        raise DataError(
            f"schema.yaml: columns.{name}.fill is {column.fill!r}, which is no value of type {column.type}."
        )
    return reading.values.iloc[0]


def _change(column: str, rule: str, action: str, rows: np.ndarray, why: str, source: pd.Series) -> Change:
    at = source.index[rows].to_numpy()
    return Change(column, rule, action, len(at), why, _examples(source[rows]), at)


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _examples(values: pd.Series) -> tuple[str, ...]:
    """Return a few different values as text, for a person to see what it was."""
    return tuple(label(str(value))[:60] for value in values.drop_duplicates().head(EXAMPLES))

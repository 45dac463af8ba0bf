"""Rows of a snapshot as another schema has them: that of a model which was trained before schema.yaml changed."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd

from quire.config import Column, Schema, Settings
from quire.data import source_files, wrangle
from quire.data.snapshot import in_order, utc
from quire.data.source import read_source
from quire.errors import DataError

ORDER = "place among equal rows"
"""A column that tells apart rows which are equal in all others."""


@dataclass(frozen=True)
class SchemaAdapter:
    """Gives the rows of a snapshot the features of another schema.

    A feature that both schemas read alike, under whatever name, is taken from the rows; for those that are left the
    source is read again, once. as_of: as for `ingest`.
    """

    settings: Settings
    other: Schema
    as_of: datetime | None = None

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``frame``, a part of the snapshot, with the features of the other schema and no others.

        Raises DataError naming the features that cannot be read again: their columns, or the rows, are gone from the
        source, or it has more rows than fit into memory.
        """
        columns = {name: frame[column] for name, column in self._shared.items()}
        if self.lacking:
            matched = self._matched(frame)
            columns |= {name: matched[renamed] for name, renamed in self._renamed.items()}
        return pd.DataFrame({name: columns[name] for name in self.other.features}, index=frame.index)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The features of the other schema that only the source can hold."""
        return tuple(name for name in self.other.features if name not in self._shared)

    @cached_property
    def _shared(self) -> dict[str, str]:
        """The features of the other schema that the snapshot holds, each with its name there."""
        schema = self.settings.schema
        names = {_reading(name, schema): name for name in wrangle.needed(schema)}
        readings = {name: _reading(name, self.other) for name in self.other.features}
        return {name: names[reading] for name, reading in readings.items() if reading in names}

    @property
    def _renamed(self) -> dict[str, str]:
        """The lacking features, each with a name that no column of the snapshot has."""
        return {name: f"{name} (as another schema reads it)" for name in self.lacking}

    def _matched(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the lacking features of the rows of ``frame``, found by the key, or without one by all values."""
        schema = self.settings.schema
        on = list(schema.key) or [name for name in wrangle.needed(schema) if name in frame]
        source_rows = _numbered(self._again, on)[[*on, ORDER, *self._renamed.values()]]
        rows = _numbered(frame[on], on).merge(source_rows, on=[*on, ORDER], how="left", indicator=True)
        n_missing = int((rows["_merge"] != "both").sum())
        if n_missing:
            raise DataError(
                f"{self._names} cannot be read again: {n_missing:,} of {len(frame):,} rows left the source."
            )
        return rows.set_axis(frame.index)

    @cached_property
    def _again(self) -> pd.DataFrame:
        """The rows of the source, with the columns of the snapshot and those that are lacking."""
        schema = self.settings.schema
        self._check_times()
        extra = {self._renamed[name]: _as_feature(name, self.other.columns[name]) for name in self.lacking}
        fields = {name: getattr(schema, name) for name in Schema.model_fields}
        full_schema = Schema.model_validate({**fields, "columns": {**schema.columns, **extra}})
        settings = replace(self.settings, schema=full_schema)
        try:
            with source_files.many_rows(settings) as files:
                if files is not None:
                    raise DataError("it has more rows than fit into memory (memory_rows in config.yaml).")
            raw = read_source(settings, self.as_of)
        except DataError as error:
            raise DataError(f"{self._names} cannot be read from the source again: {error}") from error
        before = utc(self.as_of) if schema.timestamp else None
        rows = wrangle.wrangle(raw.frame, full_schema, as_of=before, decimal=raw.decimal).frame
        return wrangle.drop_duplicates(in_order(rows, schema), schema)[0]

    def _check_times(self) -> None:
        """Raise DataError where a time of the other schema would be read in the wrong zone."""
        zones = self.other.timezone, self.settings.schema.timezone
        times = [name for name in self.lacking if self.other.columns[name].type == "datetime"]
        if times and zones[0] != zones[1]:
            raise DataError(f"{', '.join(times)} cannot be read again: its time zone was {zones[0]}, now {zones[1]}.")

    @property
    def _names(self) -> str:
        return ", ".join(self.lacking)


def _numbered(frame: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    return frame.assign(**{ORDER: frame.groupby(on, dropna=False).cumcount().to_numpy()})


def _as_feature(name: str, column: Column) -> Column:
    """Return a column of another schema as a feature for which no row is dropped: they are those of the snapshot."""
    update: dict[str, Any] = {"source": column.source or name, "role": "feature", "key": False, "expectations": ()}
    for setting, instead in _WITHOUT_DROPS.items():
        if getattr(column, setting) == "drop":
            update[setting] = instead
    return column.model_copy(update=update)


_WITHOUT_DROPS = {
    "on_unparsable": "missing",
    "on_missing": "keep",
    "on_out_of_range": "missing",
    "on_unknown": "keep",
}


def _reading(name: str, schema: Schema) -> tuple[Any, ...]:
    """Return what a column's values in a snapshot depend on: two columns that agree in it hold the same values."""
    column = schema.columns[name]
    answers: list[Any] = [column.on_unparsable == "drop", column.on_missing, column.fill]
    if column.type in ("number", "integer") and column.on_out_of_range != "keep":
        answers += [column.on_out_of_range, column.minimum, column.maximum]
    if column.type == "boolean" or column.on_unknown != "keep":
        answers += [column.on_unknown, column.labels]
    if column.type == "datetime":
        answers += [column.format, column.add_hours, schema.timezone]
    return (column.source or name, column.type, *answers)

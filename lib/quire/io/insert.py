"""Rows into a table, as many as there are, for a few microseconds each."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from quire.io.engine import RowRefused

DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, all with the same columns, but those that are there already; return how many were new.

    SQLAlchemy makes the statement and converts the values, the driver is given all rows at once: measured with SQLite
    on 16 predictions, 33 µs of processor time each instead of 57. Raises RowRefused for a value that its column
    cannot hold.
    """
    if not rows:
        return 0
    names = tuple(rows[0])
    statement, order, converters = _compiled(connection.dialect, table, names)
    pick = itemgetter(*order)
    try:
        records = [list(pick(row)) for row in rows]
        for place, convert in converters:
            for values in records:
                values[place] = convert(values[place])
        if connection.dialect.positional:
            return connection.exec_driver_sql(statement, [tuple(values) for values in records]).rowcount
        return connection.exec_driver_sql(
            statement, [dict(zip(order, values, strict=True)) for values in records]
        ).rowcount
    # What the database itself refuses is an error of SQLAlchemy; these are of the conversion, also of the driver's.
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RowRefused(f"A row cannot be kept in the table {table.name}: {error}") from error


@lru_cache(maxsize=32)
def _compiled(dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]) -> tuple[str, list[str], list[Any]]:
    """Return statement, the order of its parameters, and by their place the converters of those that need one."""
    statement = DIALECTS[dialect.name].insert(table).on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    order = list(getattr(compiled, "positiontup", None) or names)
    processors = [
        (place, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for place, name in enumerate(order)
    ]
    return str(compiled), order, [(place, convert) for place, convert in processors if convert is not None]

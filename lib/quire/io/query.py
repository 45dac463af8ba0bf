"""Rows of a SQL query, for a source in a database; SQLAlchemy is imported when one is opened."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.config import SqlSource, moment
from quire.errors import ConfigError, DataError
from quire.redaction import ESCAPE, learn

if TYPE_CHECKING:
    from sqlalchemy import CursorResult


_EXPECTED = (
    "Expected a SQLAlchemy URL, such as 'postgresql+psycopg://user:${PASSWORD}@host/database' or "
    "'sqlite:///data/rentals.db'."
)


@contextmanager
def opened(place: SqlSource, as_of: str | datetime | None, root: Path) -> Iterator["CursorResult[Any]"]:
    """Yield the result of the query, streamed; ``:as_of`` in it is the logical time of the run, in UTC, without zone.

    A relative path of an SQLite file is one below ``root``.

    Raises ConfigError if the URL is none or ``:as_of`` has no value, DataError if the database refuses the query.
    """
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    values = {}
    if re.search(r"(?<!:):as_of\b", place.query):
        if as_of is None:
            raise ConfigError(
                "config.yaml: source.query uses :as_of, but there is none. Set as_of there, or pass --as-of."
            )
        at = moment(as_of) if isinstance(as_of, str) else as_of
        values = {"as_of": at.replace(tzinfo=None)}
    learn(place.url.get_secret_value())
    try:
        url = _located(sqlalchemy.make_url(place.url.get_secret_value()), root)
        engine = sqlalchemy.create_engine(url)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(f"config.yaml: source.url cannot be used: {error}. {_EXPECTED}") from None
    except (ArgumentError, SQLAlchemyError, ValueError):
        # Their texts quote the address, or the piece of a password that was taken for something else.
        raise ConfigError(f"config.yaml: source.url cannot be used. {_EXPECTED} {ESCAPE}") from None
    try:
        with engine.connect() as connection:
            query = sqlalchemy.text(place.query)
            yield connection.execution_options(stream_results=True, max_row_buffer=10_000).execute(query, values)
    except SQLAlchemyError as error:
        first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        masked_url = engine.url.render_as_string(hide_password=True)
        raise DataError(f"{masked_url} refused the query of config.yaml (source.query): {first}") from None
    finally:
        engine.dispose()


def tables(url: str) -> list[str]:
    """Return the names of a database's tables and views."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        inspector = sqlalchemy.inspect(engine)
        return [*inspector.get_table_names(), *inspector.get_view_names()]
    finally:
        engine.dispose()


def _located(url: Any, root: Path) -> Any:
    """Return the URL, that of an SQLite file absolute; raises DataError if it is not there.

    Connecting would make an empty one.
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return url
    path = root / name
    if not path.is_file():
        raise DataError(f"The SQLite file {path} of config.yaml (source.url) is not there.")
    return url.set(database=str(path))

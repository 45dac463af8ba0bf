"""Engines of SQLite and PostgreSQL, and how their tables are brought to this version."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, SQLAlchemyError, StatementError

from quire.errors import ServiceError
from quire.redaction import ESCAPE, learn

HEAD = "0001"
"""The newest migration; a test holds it equal to what the folder migrations/ says."""

_LOCK = 5_141_730

ROW_STATES = ("22", "23", "54")
"""Classes of SQLSTATE that speak of the values: data exception, integrity constraint, program limit exceeded."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class RowRefused(ServiceError):
    """The database is well, but does not take these values: a constraint, their type or their size is against it."""


class Damaged(ServiceError):
    """The file of the database is not whole, or not the one that was opened."""


def connect(url: str, timeout_s: float) -> sa.Engine:
    """Return an engine for ``url`` that waits ``timeout_s`` for a lock; raises ServiceError for another kind."""
    learn(url)
    try:
        address = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise ServiceError(
            f"The database's URL is not one; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME. {ESCAPE}"
        ) from None
    if address.get_backend_name() == "sqlite":
        return _sqlite(address, timeout_s)
    if address.get_backend_name() == "postgresql":
        return _postgresql(address, timeout_s)
    raise ServiceError(f"The database is of kind {address.get_backend_name()!r}; known: sqlite, postgresql.")


def migrate(engine: sa.Engine) -> None:
    """Apply the migrations that the database lacks, in one transaction, while nobody else does; quick if none."""
    if _version(engine) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    # Alembic reads a per cent sign as the start of a reference.
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    revisions = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    with _alone(engine) as connection:
        revision = _version(engine)
        if revision is not None and revision not in revisions:
            raise ServiceError(
                f"{masked(engine)} has tables of version {revision}; this Quire knows up to {HEAD}. "
                "A newer Quire made them: bring your clone up to date."
            )
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def masked(engine: sa.Engine) -> str:
    """Return the engine's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def translate_errors(engine: sa.Engine) -> Iterator[None]:
    """Turn errors of the driver into a ServiceError that names the database and not the password.

    It is a `RowRefused` where the values are at fault, `Damaged` where the file is.
    """
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise _kind(error)(
            f"The database {masked(engine)} did not do what it was asked: {cause} "
            "Is it up, and may this user write to it? `quire doctor` tries it."
        ) from None


def file_of(engine: sa.Engine) -> str | None:
    """Return the path of a SQLite database's file; None for a database in memory or of another kind."""
    name = engine.url.database if engine.dialect.name == "sqlite" else None
    return name if name and name != ":memory:" else None


def check_file(connection: sa.Connection, *, with_log: bool = True) -> None:
    """Raise Damaged unless the file of a SQLite database is the one that was opened, and has not become shorter.

    SQLite itself goes on writing to a file that was removed or replaced, where nobody will find what it wrote. The file
    is not opened for this: closing it again would end SQLite's own locks on it. with_log: whether the write-ahead log
    is looked at too, without which nothing that was written is there.
    """
    path = file_of(connection.engine)
    if path is None:
        return
    info = connection.info
    files, size = _identities(path) if with_log else _identities(path, info["files"][1])
    if files == info["files"] and size >= info["size"]:
        info["size"] = size
        return
    problem = "was cut off" if files == info["files"] else "was removed or replaced by another file"
    _set_aside(path, info["files"])
    connection.invalidate()
    raise Damaged(f"The database {masked(connection.engine)} {problem}.")


def _set_aside(path: str, opened: tuple[Any, ...]) -> None:
    """Take the write-ahead log of a file that was removed or replaced out of the way of the next one.

    SQLite would take it for the next file's own, and write the pages of the old database into it.
    """
    (file, log), _ = _identities(path)
    if file != opened[0] and log is not None and log == opened[1]:
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{end}", f"{path}{end}.removed")


def _identities(path: str, log: Any = ...) -> tuple[tuple[Any, Any], int]:
    """Return device and inode of the file and of its write-ahead log, None for one that is not there; and its size.

    log: what is known of the write-ahead log, if it is not to be looked at.
    """
    log = _identity(f"{path}-wal") if log is ... else log
    try:
        status = os.stat(path)
    except OSError:
        return (None, log), 0
    return ((status.st_dev, status.st_ino), log), status.st_size


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _kind(error: SQLAlchemyError) -> type[ServiceError]:
    """Return the class of ServiceError for an error of SQLAlchemy, by what the driver said."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return RowRefused if state[:2] in ROW_STATES else ServiceError
    if (getattr(original, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGED:
        return Damaged
    # psycopg's InterfaceError speaks of a connection that is closed, SQLite's of a value that it cannot hold.
    of_value = isinstance(error, InterfaceError) and isinstance(original, sqlite3.Error)
    of_row = of_value or isinstance(error, IntegrityError | DataError) or type(error) is StatementError
    return RowRefused if of_row else ServiceError


def _sqlite(address: sa.URL, timeout_s: float) -> sa.Engine:
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(address, connect_args={"timeout": timeout_s}, json_serializer=_to_json)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        # WAL: readers and the one writer do not wait for each other. FULL: a commit outlives a loss of power.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if address.database and address.database != ":memory:":
            # Reading opens the write-ahead log, so that it can be told from another one later.
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            record.info["files"], record.info["size"] = _identities(address.database)

    return engine


def _postgresql(address: sa.URL, timeout_s: float) -> sa.Engine:
    limits = {
        "connect_timeout": max(2, int(timeout_s)),
        "options": f"-c timezone=UTC -c lock_timeout={int(timeout_s * 1000)}",
        "tcp_user_timeout": int(timeout_s * 1000),
        "keepalives_idle": 30,
    }
    return sa.create_engine(
        address.set(drivername="postgresql+psycopg"), connect_args=limits, pool_pre_ping=True, json_serializer=_to_json
    )


def _to_json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _version(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction while holding the lock for changing tables."""
    if engine.dialect.name == "sqlite":
        from filelock import FileLock

        with FileLock(f"{engine.url.database}.lock"), engine.begin() as connection:
            yield connection
        return
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection

"""Engines of SQLite and PostgreSQL, and how their tables are brought to this version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from quire.errors import ServiceError
from quire.redaction import ESCAPE, learn

HEAD = "0001"
"""The newest migration; a test holds it equal to what the folder migrations/ says."""

_LOCK = 5_141_730


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
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    with _alone(engine) as connection:
        found = _version(engine)
        if found is not None and found not in known:
            raise ServiceError(
                f"{masked(engine)} has tables of version {found}; this Quire knows up to {HEAD}. "
                "A newer Quire made them: bring your clone up to date."
            )
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def masked(engine: sa.Engine) -> str:
    """Return the engine's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def speaking(engine: sa.Engine) -> Iterator[None]:
    """Turn errors of the driver into a ServiceError that names the database and not the password."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ServiceError(
            f"The database {masked(engine)} did not do what it was asked: {cause} "
            "Is it up, and may this user write to it? `quire doctor` tries it."
        ) from None


def _sqlite(address: sa.URL, timeout_s: float) -> sa.Engine:
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(address, connect_args={"timeout": timeout_s}, json_serializer=_to_json)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # WAL: readers and the one writer do not wait for each other. FULL: a commit outlives a loss of power.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

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

"""The four tables of the database: predictions, feedback, monitoring history, alerts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Utc(TypeDecorator[datetime]):
    """A point in time in UTC, aware in Python; SQLite, which knows no zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Any) -> Callable[[datetime | None], Any]:
        """Return what gives a time to the driver: in UTC, to SQLite as text. Written out, because it is run most."""
        return _utc_text if dialect.name == "sqlite" else _utc

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what the database holds, aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _utc(value: datetime | None) -> datetime | None:
    """Return ``value`` in UTC; a time without a zone is refused, because it could mean anything."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; give an aware time, such as datetime.now(UTC).")
    return value.astimezone(UTC)


def _utc_text(value: datetime | None) -> str | None:
    """Return ``value`` in UTC as SQLAlchemy reads it from SQLite: 2026-03-01 12:00:00.000000."""
    at = _utc(value)
    return None if at is None else at.replace(tzinfo=None).isoformat(" ", "microseconds")


METADATA = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s"})

PREDICTION = Table(
    "prediction",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("row_key", Text, nullable=False),
    Column("as_of", Utc, nullable=False),
    Column("source", String(16), nullable=False),
    Column("predicted_at", Utc, nullable=False),
    Column("at", Utc),
    Column("value", Float),
    Column("label", Text),
    Column("probability", Float),
    Column("probabilities", JSON(none_as_null=True)),
    Column("features", JSON(none_as_null=True)),
    Column("run_id", Text),
    Column("request_id", Text),
    Column("latency_ms", Float),
    UniqueConstraint("model_name", "model_version", "row_key", "as_of", "source"),
    Index(None, "model_name", "predicted_at"),
    Index(None, "row_key"),
)
"""A prediction: ``value`` for a regression, ``label`` for a class. ``source`` is batch, service or shadow; ``at`` is
the row's own timestamp; ``probability`` is that of the positive class, or of the predicted one of several."""

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("prediction_id", String(36), primary_key=True),
    Column("value", Float),
    Column("label", Text),
    Column("received_at", Utc, nullable=False),
    Column("first_received_at", Utc, nullable=False),
    Column("revisions", Integer, nullable=False, default=0),
    Column("source", String(16), nullable=False),
    Index(None, "received_at"),
)
"""What really happened, one row per prediction: the last word counts, ``revisions`` says how often it changed."""

METRIC = Table(
    "metric",
    METADATA,
    Column("model_name", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("as_of", Utc, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("column", Text, primary_key=True, default=""),
    Column("segment", Text, primary_key=True, default=""),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("threshold", Float),
    Column("status", String(16)),
    Column("start", Utc),
    Column("rows", Integer),
    Column("run_id", Text),
    Column("saved_at", Utc, nullable=False),
)
"""Monitoring history: a figure of a window that ends at ``as_of``, of a column or segment ("" for the whole)."""

ALERT = Table(
    "alert",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False, default=""),
    Column("link", Text, nullable=False, default=""),
    Column("at", Utc, nullable=False),
    Column("run_id", Text),
    Column("acknowledged_at", Utc),
    Column("acknowledged_by", Text),
    Index(None, "model_name", "at"),
)
"""Alerts, open until somebody acknowledges them; ``cause`` is what the cool-down goes by."""

TABLES = {table.name: table for table in (PREDICTION, FEEDBACK, METRIC, ALERT)}

"""The database: predictions, feedback, monitoring history and alerts, in SQLite or PostgreSQL.

``database.open(url)`` gives a `Database`. A new or an older database is brought to this version's tables first, under
a lock; an up-to-date one is opened without loading Alembic. Whatever goes wrong on the way to the database is a
ServiceError, which names the database without its password.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from quire.config import label
from quire.io.engine import Damaged, check_file, connect, file_of, masked, migrate, translate_errors
from quire.io.insert import DIALECTS, insert_new
from quire.io.row_keys import REPEATED, RowKeys, is_repeat
from quire.io.tables import ALERT, FEEDBACK, METRIC, PREDICTION, TABLES

if TYPE_CHECKING:
    import pandas as pd

    from quire.io.notify import Alert

CHUNK = 5_000
_NAMESPACE = uuid.UUID("6f1d1a3e-3d49-5d2b-9c8e-1d8a6f7a4b10")


@dataclass(frozen=True)
class Forgotten:
    """How many rows were deleted."""

    predictions: int
    feedback: int


@dataclass(frozen=True)
class Database:
    """An open database. Its methods may be called from any thread."""

    engine: sa.Engine

    @property
    def name(self) -> str:
        """The URL without its password."""
        return masked(self.engine)

    def close(self) -> None:
        """Close all connections; the database opens again when it is next used."""
        self.engine.dispose()

    def ping(self) -> None:
        """Return if the database takes predictions now: one is written, to the disk, and rolled back.

        Raises ServiceError if it does not.
        """
        with self._connect() as connection:
            check_file(connection)
            is_sqlite = self.engine.dialect.name == "sqlite"
            if is_sqlite:
                # Without room in its memory SQLite writes pages to the disk before they are committed.
                pages = connection.exec_driver_sql("PRAGMA cache_size").scalar()
                connection.exec_driver_sql("PRAGMA cache_size=1")
            try:
                insert_new(connection, PREDICTION, [_trial(datetime.now(UTC))])
            finally:
                connection.rollback()
                if is_sqlite:
                    connection.exec_driver_sql(f"PRAGMA cache_size={pages}")

    def check_pages(self) -> None:
        """Return if every page of a SQLite file is as it should be, which takes a while; raises Damaged if not."""
        if file_of(self.engine) is None:
            return
        with self._connect() as connection:
            result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if result != "ok":
            raise Damaged(f"The database {self.name} is damaged: {result}")

    def insert_predictions(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows of the table prediction in one transaction; returns how many of them were new."""
        with self._begin() as connection:
            return insert_new(connection, PREDICTION, rows)

    def save_predictions(
        self,
        frame: "pd.DataFrame",
        *,
        model_name: str,
        model_version: str,
        as_of: datetime,
        key: Sequence[str] = (),
        timestamp: str | None = None,
        run_id: str | None = None,
        source: str = "batch",
        now: datetime | None = None,
        keys: RowKeys | None = None,
    ) -> int:
        """Insert the predictions of a batch; returns how many were new, so that a retry returns 0.

        frame: a row per prediction with the columns ``prediction`` and, for classes, ``probability`` or
        ``probability_<class>``; and the columns that ``key`` and ``timestamp`` name. A prediction is the same as
        another if model name, version, key, as_of and source are. keys: of a batch that comes in parts, the same
        object for all of them.
        """
        identity = {"model_name": model_name, "model_version": str(model_version), "as_of": as_of, "source": source}
        constant = identity | {"run_id": run_id, "predicted_at": now or datetime.now(UTC)}
        new, all_keys = 0, (keys or RowKeys(key, numbered=timestamp in key)).of(frame)
        for start in range(0, len(frame), CHUNK):
            part, names = frame.iloc[start : start + CHUNK], all_keys[start : start + CHUNK]
            rows = [
                constant | {"row_key": name, "id": _prediction_id(identity, name)} | values
                for name, values in zip(names, _outcomes(part, key, timestamp), strict=True)
            ]
            new += self.insert_predictions(rows)
        return new

    def predictions(
        self,
        model_name: str,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        by: str = "predicted_at",
        source: str | Sequence[str] = ("batch", "service"),
        version: str | None = None,
        feedback: bool = True,
        features: bool = False,
        limit: int | None = None,
    ) -> "pd.DataFrame":
        """Return predictions, newest last, with what really happened where that is known.

        since, until: the time ``by`` (predicted_at, at or as_of) is >= since and < until. limit: only the newest.
        Columns: id, model_version, row_key, as_of, source, predicted_at, at, prediction (number or class),
        probability, run_id, latency_ms; with feedback: actual, feedback_at; with features: features (a dictionary per
        row, or None where they were not kept).
        """
        import pandas as pd

        table, time = PREDICTION.c, PREDICTION.c[by]
        sources = [source] if isinstance(source, str) else list(source)
        conditions = [table.model_name == model_name, table.source.in_(sources), *_within(time, since, until)]
        conditions += [table.model_version == str(version)] if version is not None else []
        columns: list[Any] = [column for column in PREDICTION.c if column.name != "features" or features]
        columns += [FEEDBACK.c.value.label("actual_value"), FEEDBACK.c.label.label("actual_label")] if feedback else []
        columns += [FEEDBACK.c.received_at.label("feedback_at")] if feedback else []
        selectable = PREDICTION.outerjoin(FEEDBACK, FEEDBACK.c.prediction_id == table.id) if feedback else PREDICTION
        query = (
            sa.select(*columns).select_from(selectable).where(*conditions).order_by(time.desc(), table.id).limit(limit)
        )
        with self._connect() as connection:
            result = connection.execute(query)
            frame = pd.DataFrame(result.fetchall(), columns=list(result.keys())).iloc[::-1].reset_index(drop=True)
        for name in ("as_of", "predicted_at", "at", *(["feedback_at"] if feedback else [])):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        frame["probability"] = frame["probability"].astype("float64")
        frame = _merged(frame, "prediction", "value", "label")
        frame = _merged(frame, "actual", "actual_value", "actual_label") if feedback else frame
        return frame.drop(columns=["model_name"])

    def save_feedback(
        self, rows: Iterable[Mapping[str, Any]], *, source: str, now: datetime | None = None
    ) -> list[str]:
        """Keep what really happened; returns for each row what became of it.

        rows: ``prediction_id`` and ``actual``, a number or a class. ``recorded`` is new, ``repeated`` was known,
        ``changed`` replaces what was said earlier, ``unknown`` names no prediction and is not kept.
        """
        at = now or datetime.now(UTC)
        with self._begin() as connection:
            return [_save_one(connection, str(row["prediction_id"]), row["actual"], source, at) for row in rows]

    def prediction(self, prediction_id: str) -> dict[str, Any] | None:
        """Return one prediction as a row of its table, or None."""
        with self._connect() as connection:
            row = connection.execute(sa.select(PREDICTION).where(PREDICTION.c.id == prediction_id)).mappings().first()
        return dict(row) if row else None

    def prediction_ids(self, model_name: str, keys: Iterable[str]) -> dict[str, str]:
        """Return the id of the newest prediction (batch or service) of each row key that has one."""
        table, row_keys = PREDICTION.c, list(keys)
        ids: dict[str, str] = {}
        with self._connect() as connection:
            for start in range(0, len(row_keys), 500):
                of_model = sa.and_(table.model_name == model_name, table.source != "shadow")
                query = sa.select(table.row_key, table.id).where(
                    of_model, table.row_key.in_(row_keys[start : start + 500])
                )
                newest_last = query.order_by(table.predicted_at, table.id)
                ids.update((row.row_key, row.id) for row in connection.execute(newest_last))
        return ids

    def save_metrics(self, rows: Iterable[Mapping[str, Any]], *, now: datetime | None = None) -> int:
        """Keep figures of the monitoring history, over those of the same window; returns how many.

        rows: model_name, model_version, as_of, name, value; optionally column, segment, low, high, threshold, status,
        start, rows, run_id.
        """
        at = now or datetime.now(UTC)
        blank = {column.name: None for column in METRIC.columns} | {"column": "", "segment": "", "saved_at": at}
        complete = [blank | dict(row) for row in rows]
        if complete:
            with self._begin() as connection:
                statement = DIALECTS[connection.dialect.name].insert(METRIC)
                keys = [column.name for column in METRIC.primary_key]
                updates = {name: statement.excluded[name] for name in blank if name not in keys}
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=updates), complete)
        return len(complete)

    def metrics(
        self, model_name: str, since: datetime | None = None, until: datetime | None = None, name: str | None = None
    ) -> "pd.DataFrame":
        """Return the monitoring history by as_of, with the columns of the table metric."""
        conditions = [METRIC.c.model_name == model_name, *_within(METRIC.c.as_of, since, until)]
        conditions += [METRIC.c.name == name] if name else []
        return self._frame(
            sa.select(METRIC).where(*conditions).order_by(METRIC.c.as_of, METRIC.c.name, METRIC.c.column)
        )

    def save_alert(self, alert: "Alert", *, model_name: str, run_id: str | None = None) -> int:
        """Keep an alert; returns its id."""
        values = {name: getattr(alert, name) for name in ("kind", "cause", "severity", "title", "body", "link", "at")}
        with self._begin() as connection:
            statement = sa.insert(ALERT).values(**values, model_name=model_name, run_id=run_id)
            return connection.execute(statement.returning(ALERT.c.id)).scalar_one()

    def has_alert(self, model_name: str, cause: str, since: datetime) -> bool:
        """Whether an alert with this cause was kept at or after ``since``."""
        conditions = [ALERT.c.model_name == model_name, ALERT.c.cause == cause, ALERT.c.at >= since]
        with self._connect() as connection:
            return connection.execute(sa.select(ALERT.c.id).where(*conditions).limit(1)).first() is not None

    def has_alert_of(self, run_id: str, model_name: str, cause: str) -> bool:
        """Whether the run has kept an alert with this cause."""
        conditions = [ALERT.c.run_id == run_id, ALERT.c.model_name == model_name, ALERT.c.cause == cause]
        with self._connect() as connection:
            return connection.execute(sa.select(ALERT.c.id).where(*conditions).limit(1)).first() is not None

    def alerts(
        self,
        model_name: str | None = None,
        *,
        only_open: bool = False,
        cause: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> "pd.DataFrame":
        """Return alerts, newest first, with the columns of the table alert."""
        conditions = _within(ALERT.c.at, since, None)
        conditions += [ALERT.c.model_name == model_name] if model_name else []
        conditions += [ALERT.c.acknowledged_at.is_(None)] if only_open else []
        conditions += [ALERT.c.cause == cause] if cause else []
        return self._frame(
            sa.select(ALERT).where(*conditions).order_by(ALERT.c.at.desc(), ALERT.c.id.desc()).limit(limit)
        )

    def acknowledge(self, alert_id: int, *, by: str, now: datetime | None = None) -> bool:
        """Close an open alert; returns False if there is no open one with this id."""
        values = {"acknowledged_at": now or datetime.now(UTC), "acknowledged_by": by}
        is_open = sa.and_(ALERT.c.id == alert_id, ALERT.c.acknowledged_at.is_(None))
        with self._begin() as connection:
            return connection.execute(sa.update(ALERT).where(is_open).values(**values)).rowcount > 0

    def forget(self, key: str, *, model_name: str | None = None) -> Forgotten:
        """Delete all predictions of the row ``key``, in all sources, and their feedback."""
        repeated = sa.select(PREDICTION.c.row_key).where(
            PREDICTION.c.row_key.startswith(key + REPEATED, autoescape=True)
        )
        with self._connect() as connection:
            names = [name for name in connection.execute(repeated).scalars() if is_repeat(name, key)]
        conditions = [PREDICTION.c.row_key.in_([key, *dict.fromkeys(names)])]
        return self._delete([*conditions, PREDICTION.c.model_name == model_name] if model_name else conditions)

    def prune(self, before: datetime, *, model_name: str | None = None) -> Forgotten:
        """Delete predictions made before a time, and their feedback; monitoring history and alerts stay."""
        conditions = [PREDICTION.c.predicted_at < before]
        return self._delete([*conditions, PREDICTION.c.model_name == model_name] if model_name else conditions)

    def fingerprint(self, table: str) -> str:
        """Return a text that changes when rows of the table ``table`` are added, changed or deleted."""
        times = {"prediction": "predicted_at", "feedback": "received_at", "metric": "saved_at", "alert": "at"}
        time = TABLES[table].c[times[table]]
        with self._connect() as connection:
            count, newest = connection.execute(sa.select(sa.func.count(), sa.func.max(time))).one()
        return f"{table}:{count}:{newest.isoformat() if newest else ''}"

    def _delete(self, where: list[Any]) -> Forgotten:
        ids = sa.select(PREDICTION.c.id).where(*where)
        with self._begin() as connection:
            feedback = connection.execute(sa.delete(FEEDBACK).where(FEEDBACK.c.prediction_id.in_(ids))).rowcount
            predictions = connection.execute(sa.delete(PREDICTION).where(*where)).rowcount
        return Forgotten(predictions=predictions, feedback=feedback)

    def _frame(self, query: Any) -> "pd.DataFrame":
        import pandas as pd

        with self._connect() as connection:
            result = connection.execute(query)
            frame = pd.DataFrame(result.fetchall(), columns=list(result.keys()))
        for column in query.selected_columns:
            if isinstance(column.type, type(ALERT.c.at.type)):
                frame[column.name] = pd.to_datetime(frame[column.name], utc=True)
        return frame

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with translate_errors(self.engine), self.engine.connect() as connection:
            check_file(connection, with_log=False)
            with connection.begin():
                yield connection
            # A file that was removed meanwhile has taken what was written with it.
            check_file(connection)

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        with translate_errors(self.engine), self.engine.connect() as connection:
            yield connection


def open(url: str, *, timeout_s: float = 30.0) -> Database:
    """Return the database at ``url`` with this version's tables, made or brought forward first where need be.

    url: ``sqlite:///path`` or ``postgresql://user:password@host/name``. timeout_s: how long a writer waits for
    another, and for a connection. Raises ServiceError if the database does not answer or is of a newer Quire.
    """
    engine = connect(url, timeout_s)
    with translate_errors(engine):
        migrate(engine)
    return Database(engine)


def _prediction_id(given: Mapping[str, Any], key: str) -> str:
    text = json.dumps([given["model_name"], given["model_version"], given["as_of"].isoformat(), given["source"], key])
    return uuid.uuid5(_NAMESPACE, text).hex


def _trial(at: datetime) -> dict[str, Any]:
    """Return a row that is as long as a prediction of many features, and of no model."""
    name = uuid.uuid4().hex
    return {
        "id": name, "model_name": "", "model_version": "", "row_key": name, "as_of": at, "source": "trial",
        "predicted_at": at, "features": {"trial": name * 512}, "value": 0.0,
    }  # fmt: skip


def _outcomes(frame: "pd.DataFrame", key: Sequence[str], timestamp: str | None) -> Iterator[dict[str, Any]]:
    """Yield value or label, probability, probabilities and at of each row."""
    import pandas as pd

    classes = [name for name in frame.columns if str(name).startswith("probability_") and name not in (*key, timestamp)]
    is_number = pd.api.types.is_numeric_dtype(frame["prediction"])
    for row in frame.to_dict("records"):
        outcome = row["prediction"]
        shares = {str(name).removeprefix("probability_"): float(row[name]) for name in classes}
        probability = row.get("probability", shares.get(str(outcome)))
        yield {
            "value": float(outcome) if is_number else None,
            "label": None if is_number else str(outcome),
            "probability": None if probability is None else float(probability),
            "probabilities": shares or None,
            "at": row[timestamp].to_pydatetime() if timestamp else None,
        }


def _merged(frame: "pd.DataFrame", name: str, number: str, text: str) -> "pd.DataFrame":
    """Return ``frame`` with one column ``name``: that of texts where it holds any, else that of numbers."""
    values = frame[text] if frame[text].notna().any() else frame[number].astype("float64")
    return frame.assign(**{name: values}).drop(columns=[number, text])


def _within(time: Any, since: datetime | None, until: datetime | None) -> list[Any]:
    return ([time >= since] if since else []) + ([time < until] if until else [])


def _save_one(connection: sa.Connection, prediction_id: str, actual: Any, source: str, at: datetime) -> str:
    is_number = isinstance(actual, int | float) and not isinstance(actual, bool)
    outcome = {"value": float(actual), "label": None} if is_number else {"value": None, "label": label(actual)}
    if connection.execute(sa.select(PREDICTION.c.id).where(PREDICTION.c.id == prediction_id)).first() is None:
        return "unknown"
    new = outcome | {"prediction_id": prediction_id, "first_received_at": at, "received_at": at, "source": source}
    if insert_new(connection, FEEDBACK, [new | {"revisions": 0}]):
        return "recorded"
    table = FEEDBACK.c
    same = [table.value.is_not_distinct_from(outcome["value"]), table.label.is_not_distinct_from(outcome["label"])]
    condition = sa.and_(table.prediction_id == prediction_id, sa.not_(sa.and_(*same)))
    values = outcome | {"received_at": at, "source": source, "revisions": table.revisions + 1}
    row_count = connection.execute(sa.update(FEEDBACK).where(condition).values(**values)).rowcount
    return "changed" if row_count else "repeated"

"""What the database knows beside the run: feedback on predictions, the service's log, and open alerts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from quire.config import Schema, label
from quire.io import database
from quire.io.artifacts import Run
from quire.io.row_keys import row_keys
from quire.monitor.performance import Interval, measured

WEEKS = 12
MOST_ROWS = 100_000
CONFIDENCE = 0.99

ERRORS = "service_errors"
"""The name of the figures by which the service keeps how many requests it refused or failed, the status as segment."""

FEEDBACK = ["source", "version", "predictions", "known", "coverage", "delay_hours", "metric", "value", "low", "high"]
SERVICE = ["day", "requests", "p50_ms", "p95_ms", "refused", "failed"]
ALERTS = ["id", "at", "severity", "kind", "title", "acknowledged_by"]


@dataclass(frozen=True)
class FeedbackStats:
    """What the last weeks left in the database.

    feedback: by source and model version, how many predictions, of how many the outcome is known (``coverage``), how
    long feedback took (``delay_hours``, median), and the metric with its interval. service: requests, latency and
    refused or failed requests by day. alerts: the newest ones.
    """

    feedback: pd.DataFrame
    service: pd.DataFrame
    alerts: pd.DataFrame


def no_feedback() -> FeedbackStats:
    """Return what is known where there is no database."""
    return FeedbackStats(pd.DataFrame(columns=FEEDBACK), pd.DataFrame(columns=SERVICE), pd.DataFrame(columns=ALERTS))


def read_feedback_stats(run: Run, schema: Schema, metric: str, *, before: datetime | None = None) -> FeedbackStats:
    """Return what the database holds of the last 12 weeks; empty frames where there is no database. Only reads."""
    url = run.settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return no_feedback()
    store, name = database.open(url), run.settings.model_name
    try:
        newest = store.predictions(name, limit=1)
        until = before or (newest["predicted_at"].iloc[-1] + timedelta(seconds=1) if len(newest) else None)
        since = until - timedelta(weeks=WEEKS) if until is not None else None
        rows = store.predictions(name, since, until, limit=MOST_ROWS) if until is not None else newest
        alerts = store.alerts(name, limit=20)
        errors = store.metrics(name, since, until, name=ERRORS)
    finally:
        store.close()
    rows = with_labels(rows, run.load("labels"), schema)
    return FeedbackStats(feedback_by_source(rows, schema, metric), service_by_day(rows, errors), alerts[ALERTS])


def with_labels(rows: pd.DataFrame, labels: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return predictions of the database with ``actual`` also where no feedback came, but the source has the label.

    labels: the schema's key and target, as ingest saves them; without a key they cannot be told apart.
    """
    if rows.empty or not schema.key or labels.empty:
        return rows
    newest = labels.tail(MOST_ROWS)
    targets = (
        newest[schema.target].astype("float64") if schema.task == "regression" else newest[schema.target].map(label)
    )
    actuals = pd.Series(targets.to_numpy(), index=row_keys(newest, schema.key, numbered=schema.keeps_repeats))
    actuals = actuals[newest[schema.target].notna().to_numpy()]
    late = rows["row_key"].map(actuals[~actuals.index.duplicated(keep="last")])
    return rows.assign(actual=rows["actual"].where(rows["actual"].notna(), late))


def fill_actual(rows: pd.DataFrame, run: Run, schema: Schema) -> pd.DataFrame:
    """Return the current rows with ``actual`` where the source does not know it yet, but feedback said it.

    Feedback on any prediction of the same key counts, the newest first; without a key, that on this run's predictions.
    """
    open_ = rows["actual"].isna()
    url = run.settings.database_url
    if not open_.any() or (url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file()):
        return rows
    store = database.open(url)
    try:
        feedback = store.predictions(run.settings.model_name, limit=MOST_ROWS)
    finally:
        store.close()
    feedback = feedback[feedback["actual"].notna() & (bool(schema.key) | (feedback["run_id"] == run.run_id))]
    if feedback.empty:
        return rows
    by_key = feedback.drop_duplicates("row_key", keep="last").set_index("row_key")["actual"]
    keys = pd.Series(row_keys(rows, schema.key, numbered=schema.keeps_repeats), index=rows.index)
    updates = keys[open_].map(by_key).dropna()
    actual = rows["actual"].copy()
    if actual.dtype == "boolean":
        updates = updates.astype("str").str.lower() == "true"
    else:
        actual = actual.astype("float64" if schema.task == "regression" else "object")
    actual.loc[updates.index] = updates
    return rows.assign(actual=actual)


def feedback_by_source(rows: pd.DataFrame, schema: Schema, metric: str) -> pd.DataFrame:
    """Return how much feedback there is to predictions, how late it came, and the metric on it."""
    records = []
    for (source, version), part in rows.groupby(["source", "model_version"], sort=True):
        labelled_rows = part[part["actual"].notna()]
        delay = (labelled_rows["feedback_at"] - labelled_rows["predicted_at"]).dt.total_seconds() / 3600
        # Of several classes the database keeps only the predicted one's probability: not enough for a log loss.
        enough = len(labelled_rows) >= 2 and schema.task != "multiclass"
        rng = np.random.default_rng(0)
        score = (
            measured(labelled_rows, schema, [metric], rng, CONFIDENCE)[metric]
            if enough
            else Interval(*[float("nan")] * 3)
        )
        share = len(labelled_rows) / len(part)
        about = (source, str(version), len(part), len(labelled_rows), share, delay.median(), metric)
        records.append((*about, score.value, score.low, score.high))
    return pd.DataFrame(records, columns=FEEDBACK)


def service_by_day(rows: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Return predictions answered by the service, its latency in milliseconds, and its errors, by day.

    errors: figures of the name `ERRORS`, by status in ``segment``. ``refused`` are requests answered with 4xx: the
    client's fault; ``failed`` those with 5xx: ours.
    """
    own = rows[rows["source"] == "service"]
    # Of batches alone no latency is known, and the column holds objects.
    days = own["latency_ms"].astype("float64").groupby(own["predicted_at"].dt.floor("D"))
    table = pd.DataFrame({"requests": days.size(), "p50_ms": days.median(), "p95_ms": days.quantile(0.95)})
    for name, first in (("refused", "4"), ("failed", "5")):
        error_rows = errors[errors["segment"].str.startswith(first)] if len(errors) else errors
        by_day = (
            error_rows.groupby(error_rows["as_of"].dt.floor("D"))["value"].sum() if len(error_rows) else pd.Series()
        )
        table = table.join(by_day.rename(name), how="outer") if len(by_day) else table.assign(**{name: 0.0})
    counts = ["requests", "refused", "failed"]
    table[counts] = table[counts].fillna(0).astype("int64")
    return table.rename_axis("day").reset_index()[SERVICE]

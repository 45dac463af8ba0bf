"""What the database knows beside the run: feedback on predictions, the service's log, and open alerts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from quire.config import Schema
from quire.io import database
from quire.io.artifacts import Run
from quire.model import measure
from quire.monitor.performance import outcomes_of

WEEKS = 12
MOST_ROWS = 100_000
FEEDBACK = ["source", "version", "predictions", "known", "coverage", "delay_hours", "metric", "value"]
SERVICE = ["day", "requests", "p50_ms", "p95_ms"]
ALERTS = ["id", "at", "severity", "kind", "title", "acknowledged_by"]


@dataclass(frozen=True)
class Outside:
    """What the last weeks left in the database.

    feedback: by source and model version, how many predictions, of how many the outcome is known (``coverage``), after
    how long (``delay_hours``, median), and the metric. service: requests and latency by day. alerts: the newest ones.
    """

    feedback: pd.DataFrame
    service: pd.DataFrame
    alerts: pd.DataFrame


def nothing_outside() -> Outside:
    """Return what is known where there is no database."""
    return Outside(pd.DataFrame(columns=FEEDBACK), pd.DataFrame(columns=SERVICE), pd.DataFrame(columns=ALERTS))


def read_outside(run: Run, schema: Schema, metric: str, *, before: datetime | None = None) -> Outside:
    """Return what the database holds of the last 12 weeks; empty frames where there is no database. Only reads."""
    url = run.settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return nothing_outside()
    store, name = database.open(url), run.settings.model_name
    try:
        newest = store.predictions(name, limit=1)
        until = before or (newest["predicted_at"].iloc[-1] + timedelta(seconds=1) if len(newest) else None)
        since = until - timedelta(weeks=WEEKS) if until is not None else None
        rows = store.predictions(name, since, until, limit=MOST_ROWS) if until is not None else newest
        alerts = store.alerts(name, limit=20)
    finally:
        store.close()
    return Outside(feedback_by_source(rows, schema, metric), service_by_day(rows), alerts[ALERTS])


def feedback_by_source(rows: pd.DataFrame, schema: Schema, metric: str) -> pd.DataFrame:
    """Return how much feedback there is to predictions, how late it came, and the metric on it."""
    found = []
    for (source, version), part in rows.groupby(["source", "model_version"], sort=True):
        known = part[part["actual"].notna()]
        delay = (known["feedback_at"] - known["predicted_at"]).dt.total_seconds() / 3600
        # Of several classes the database keeps only the predicted one's probability: not enough for a log loss.
        enough = len(known) >= 2 and schema.task != "multiclass"
        value = measure(outcomes_of(known, schema), (metric,))[metric] if enough else float("nan")
        share = len(known) / len(part)
        found.append((source, str(version), len(part), len(known), share, delay.median(), metric, value))
    return pd.DataFrame(found, columns=FEEDBACK)


def service_by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """Return requests answered by the service and its latency in milliseconds, by day."""
    own = rows[rows["source"] == "service"]
    if own.empty:
        return pd.DataFrame(columns=SERVICE)
    days = own.groupby(own["predicted_at"].dt.floor("D"))["latency_ms"]
    table = pd.DataFrame({"requests": days.size(), "p50_ms": days.median(), "p95_ms": days.quantile(0.95)})
    return table.rename_axis("day").reset_index()

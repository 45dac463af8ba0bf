"""The monitoring history: figures of earlier periods, kept in the database, read back to see what is usual."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from quire.io import database
from quire.io.artifacts import Run

DRIFT = "drift_"
"""Prefix of the names of drift figures; the rest is the part: values, zeros, missing."""

COLUMNS = ["column", "part", "start", "end", "psi", "threshold", "status", "version"]


def read_history(run: Run) -> pd.DataFrame:
    """Return the figures of all earlier runs, with the columns of the table metric; empty where there is no database.

    Nothing is created: by hand too, the database is only read.
    """
    url = run.settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return pd.DataFrame()
    store = database.open(url)
    try:
        metrics = store.metrics(run.settings.model_name, until=run.as_of)
    finally:
        store.close()
    return metrics


def drift_history(metrics: pd.DataFrame, version: str, *, before: datetime | None = None) -> pd.DataFrame:
    """Return the drift that earlier runs measured for this model version.

    Columns: ``column``, ``part``, ``start``, ``end``, ``psi``, ``threshold``, ``status``, ``version``. Only
    periods that end before ``before``: a period is not measured by itself, when a run is repeated.
    """
    if metrics.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = metrics[metrics["name"].str.startswith(DRIFT) & (metrics["model_version"] == version)]
    table = pd.DataFrame(
        {
            "column": rows["column"],
            "part": rows["name"].str.removeprefix(DRIFT),
            "start": rows["start"],
            "end": rows["as_of"],
            "psi": rows["value"].astype(float),
            "threshold": rows["threshold"].astype(float),
            "status": rows["status"],
            "version": rows["model_version"],
        }
    )
    return table if before is None else table[table["end"] < before].reset_index(drop=True)


def quiet(history: pd.DataFrame) -> pd.DataFrame:
    """Return the periods from which what is usual may be learned: those that did not alert.

    A drift that lasts would otherwise make itself usual.
    """
    return history[history["status"] != "alert"]


def bad_since(metrics: pd.DataFrame, version: str, name: str, column: str, since: datetime | None) -> datetime | None:
    """Return from when on a figure of this version has been warned of or alerted without a break up to ``since``.

    since: the start of the bad periods that one run sees; earlier runs may have seen the ones before.
    """
    if metrics.empty or since is None:
        return since
    bad = (metrics["name"] == name) & (metrics["column"] == column) & (metrics["segment"] == "")
    bad &= (metrics["model_version"] == version) & metrics["status"].isin(["warn", "alert"])
    starts = {row.as_of: row.start for row in metrics[bad].itertuples() if pd.notna(row.start)}
    while since in starts and starts[since] < since:
        since = starts[since].to_pydatetime()
    return since


def drift_rows(drift: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the table metric for the latest period of a drift table."""
    latest = drift[drift["period"] == drift["period"].max()]
    for row in latest.itertuples():
        yield {
            "name": f"{DRIFT}{row.part}",
            "column": row.column,
            "value": none_if_nan(row.psi),
            "threshold": none_if_nan(row.threshold),
            "status": row.status,
            "start": row.start,
            "rows": int(row.n),
        }


def none_if_nan(value: Any) -> Any:
    """Return ``value``, or None for NaN, which databases and JSON do not have."""
    return None if value is None or pd.isna(value) else value

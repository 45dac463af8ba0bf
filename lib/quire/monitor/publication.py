"""What a run's monitoring hands on: history to the database, alerts to people, a signal to the runner.

Not by hand, with ``--no-publish`` or in an experiment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from quire.io import database, notify
from quire.io.artifacts import Run
from quire.monitor.history import drift_rows, none_if_nan
from quire.monitor.monitoring_result import MonitoringResult, logical_time
from quire.monitor.performance_result import PerformanceResult
from quire.monitor.verdict import Finding, MonitoringVerdict
from quire.page.numbers import number

TOGETHER = {"performance": "performance", "concept": "performance", "data": "data"}
"""Findings that make one alert: bad predictions come with a signed error. All drift makes another."""

TITLES = {
    "performance": "The model predicts worse than it did",
    "data": "There is a data quality problem in this period",
    "drift": "The data has drifted",
}
RETRAIN = "retrain"


@dataclass(frozen=True)
class PublishResult:
    """What was handed on: figures kept, alerts with what became of each, and the signal that was given."""

    figures: int
    alerts: tuple[tuple[str, str], ...]
    signal: str
    held_back: str

    def __str__(self) -> str:
        if self.held_back:
            why_not = self.held_back[0].upper() + self.held_back[1:]
            return f"{why_not}: nothing was written to the database, nobody was alerted, and no signal was given."
        alert_text = "; ".join(f"{title}: {became}" for title, became in self.alerts) or "nobody had to be alerted"
        retrain_text = " A retraining was asked for." if self.signal else ""
        return f"{self.figures:,} values were stored; {alert_text}.{retrain_text}"

    def _repr_html_(self) -> str:
        return f"<p>{self}</p>"


def publish(run: Run, result: MonitoringResult, *, now: datetime | None = None) -> PublishResult:
    """Keep the figures, send alerts, and signal ``retrain`` where the verdict asks for it; by hand,
    with ``--no-publish`` and in an experiment do none of it."""
    if not run.publishes:
        return PublishResult(0, (), "", held_back=run.held_back)
    at = result.about.at or result.about.end or now or logical_time(run, result.about.end)
    store = database.open(run.settings.database_url)
    try:
        common = {
            "model_name": run.settings.model_name,
            "model_version": result.about.version,
            "as_of": at,
            "run_id": run.run_id,
        }
        n_values = store.save_metrics({**common, **row} for row in metric_rows(result.drift, result.figures))
        alerts = tuple(_send(alert, run, store) for alert in make_alerts(result.verdict, at, link=page_of(run)))
    finally:
        store.close()
    notify.measure(cloudwatch_figures(result), run.settings)
    if result.verdict.retrain:
        run.signal(RETRAIN, result.verdict.retrain)
    return PublishResult(n_values, alerts, result.verdict.retrain, held_back="")


def cloudwatch_figures(result: MonitoringResult) -> dict[str, float]:
    """Return what CloudWatch gets: how many columns drifted and checks failed, and how well the model predicts."""
    figures = {
        "DriftedColumns": float(drifted_columns(result.drift)),
        "FailedChecks": float((result.checks["status"] == "alert").sum()),
    }
    last = result.figures.latest
    if last is not None and last["value"] == last["value"]:
        figures |= {f"Realised_{result.figures.metric}": float(last["value"]), "ErrorChange": float(last["change"])}
    if len(result.figures.estimated):
        figures[f"Estimated_{result.figures.metric}"] = float(result.figures.estimated.iloc[-1]["estimated"])
    return figures


def metric_rows(drift: pd.DataFrame, figures: PerformanceResult) -> Iterator[Mapping[str, Any]]:
    """Yield what the history keeps of the latest period: drift by column, every metric, its estimate, segments."""
    if len(drift):
        yield from drift_rows(drift)
    for row in figures.judged.itertuples():
        yield _row(row.metric, row, row.value, rows=row.labelled, status=row.status, threshold=row.usual)
    if len(figures.estimated):
        last = figures.estimated.iloc[-1]
        yield _row(f"estimated_{figures.metric}", last, last["estimated"], rows=last["rows"])
    if figures.signed is not None:
        last = figures.signed
        yield _row("signed_error", last, last["share"], rows=last["labelled"], status=last["status"], interval=False)
    for row in figures.segments.itertuples():
        about = {"column": row.column, "segment": row.segment}
        yield _row(row.metric, row, row.value, rows=row.rows, status=row.status) | about


def _row(
    name: str,
    of: Any,
    value: Any,
    *,
    rows: Any,
    status: str | None = None,
    threshold: Any = None,
    interval: bool = True,
) -> dict[str, Any]:
    start = getattr(of, "start", None)
    return {
        "name": name,
        "value": none_if_nan(value),
        "low": none_if_nan(of.low) if interval else None,
        "high": none_if_nan(of.high) if interval else None,
        "threshold": none_if_nan(threshold),
        "status": status,
        "start": None if start is None or start != start else start,
        "rows": None if rows is None or rows != rows else int(rows),
    }


def drifted_columns(drift: pd.DataFrame) -> int:
    """Return how many columns alert in the latest period."""
    latest = drift[drift["period"] == drift["period"].max()] if len(drift) else drift
    return int(latest.loc[latest["status"] == "alert", "column"].nunique())


def make_alerts(verdict: MonitoringVerdict, at: datetime, *, link: str = "") -> list[notify.Alert]:
    """Return an alert for bad performance, one for bad data and one for drift, each where there is a finding to it."""
    groups: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        if finding.severity == "alert":
            groups.setdefault(TOGETHER.get(finding.area, "drift"), []).append(finding)
    return [
        notify.Alert(
            kind=kind,
            title=f"{TITLES[kind]}: {', '.join(dict.fromkeys(member.name for member in group))}",
            body="\n\n".join(map(tell, group)),
            severity="warning" if kind == "drift" else "critical",
            cause=f"{kind}: {', '.join(sorted({member.name for member in group}))}",
            link=link,
            at=at,
        )
        for kind, group in groups.items()
    ]


def tell(finding: Finding) -> str:
    """Return a finding as an alert says it: what, since when, how bad, how sure, likely cause."""
    since = f"{finding.since:%Y-%m-%d}" if finding.since else "this period"
    size = f"\nHow bad: {number(finding.size)}" if finding.size is not None else ""
    limit = (
        f", the limit is {number(finding.limit)}"
        if size and finding.limit is not None and finding.limit == finding.limit
        else ""
    )
    sure = f"\nHow sure: {finding.sure}" if finding.sure else ""
    cause = f"\nMay come from: {finding.cause}" if finding.cause else ""
    return f"{finding.what}\nSince: {since}{size}{limit}{sure}{cause}"


def page_of(run: Run) -> str:
    """Return where the run's monitoring page is, below the folder of outputs."""
    return f"runs/{run.run_id}/reports/{run.stage}.html"


def _send(alert: notify.Alert, run: Run, store: database.Database) -> tuple[str, str]:
    deliveries = notify.send(alert, run.settings, store, run_id=run.run_id)
    return alert.title, ", ".join(f"{delivery.channel} {delivery.status}" for delivery in deliveries)

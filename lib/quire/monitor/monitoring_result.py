"""One look at a run: everything that the monitoring page shows, made once, kept, and read back without raw data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Checks, Drift, Performance
from quire.data import Profiles
from quire.data.histogram import histogram_edges
from quire.io.artifacts import Run
from quire.monitor.checks import check_current
from quire.monitor.drift import compared, measure_drift, measure_shares
from quire.monitor.feedback_stats import FeedbackStats, read_feedback_stats
from quire.monitor.history import DRIFT, bad_since, drift_history, none_if_nan, quiet, read_history
from quire.monitor.monitoring_input import RECENT, MonitoringInput, read_input
from quire.monitor.performance import Interval
from quire.monitor.performance_result import PerformanceResult, measure_performance
from quire.monitor.relations import find_cause
from quire.monitor.verdict import Finding, MonitoringVerdict, judge
from quire.serve.predict import run_time

PAGE = "page"
"""The folder of frames that only the page needs, among the run's artifacts."""


@dataclass(frozen=True)
class About:
    """What was looked at: which period, how many rows, which model, and until when its training data reach.

    start, end: None without a timestamp. at: the logical time: the end of the period, else that of the run.
    """

    version: str
    trained_until: datetime | None
    start: datetime | None
    end: datetime | None
    rows: int
    period: str
    by_hand: bool = False
    at: datetime | None = None


@dataclass(frozen=True)
class MonitoringResult:
    """What monitoring found in one run.

    drift: as `measure_drift` returns it. shares: as `measure_shares` does. checks: as `check_data` does. spread: the
    histogram of predictions (``low``, ``high``, ``now``, ``test``: shares). history: drift of earlier runs.
    """

    about: About
    verdict: MonitoringVerdict
    drift: pd.DataFrame
    shares: pd.DataFrame
    checks: pd.DataFrame
    figures: PerformanceResult
    spread: pd.DataFrame
    history: pd.DataFrame
    outside: FeedbackStats
    recent: Profiles | None = field(default=None, repr=False)

    def save(self, run: Run) -> None:
        """Write everything as artifacts: ``monitoring``, ``drift``, ``performance``, the recent profiles, the page."""
        figures = self.figures
        metadata = _known({"metric": figures.metric, "past_error": figures.past_error, "due": figures.due})
        expected = {name: _known(asdict(interval)) for name, interval in figures.expected.items()}
        run.save("monitoring", self.verdict.summary() | {"about": asdict(self.about), "expected": expected} | metadata)
        run.save("drift", self.drift)
        run.save("performance", figures.periods)
        with run.writing(PAGE) as folder:
            folder.mkdir()
            for name, frame in self._frames().items():
                frame.to_parquet(folder / f"{name}.parquet", index=False)
        if self.recent is not None:
            with run.writing(RECENT) as path:
                self.recent.write(path)

    def _frames(self) -> dict[str, pd.DataFrame]:
        own = {name: getattr(self, name) for name in ("shares", "checks", "spread", "history")}
        of_figures = {name: getattr(self.figures, name) for name in ("concept", "estimated", "segments")}
        return (
            own
            | of_figures
            | {frame_field.name: getattr(self.outside, frame_field.name) for frame_field in fields(FeedbackStats)}
        )


def monitor_run(
    run: Run, *, period: str = "7d", drift: Drift, checks: Checks, performance: Performance
) -> MonitoringResult:
    """Return what monitoring finds in ``run``; under the dashboard, what the run itself found and kept."""
    if run.settings.live and run.has("monitoring"):
        return load_result(run)
    schema = run.settings.schema
    observed = read_input(run, period)
    trained, at = observed.champion.trained, logical_time(run, observed.end)
    metrics = read_history(run)
    history = drift_history(metrics, observed.champion.version, before=at)
    differences = measure_drift(trained, observed.profiles, drift, quiet(history), target=schema.target)
    checked = check_current(observed, schema, checks)
    figures = measure_performance(observed, schema, performance)
    cause = find_cause(trained, observed.profiles, differences, compared(trained, drift))
    verdict = judge(differences, checked, figures, schema, retrain=performance.retrain, cause=cause)
    return MonitoringResult(
        about=_about(run, observed, at),
        verdict=with_history(verdict, metrics, observed.champion.version),
        drift=differences,
        shares=measure_shares(trained, observed.profiles, drift, target=schema.target),
        checks=checked,
        figures=figures,
        spread=spread_of(observed),
        history=history,
        outside=read_feedback_stats(run, schema, figures.metric),
        recent=observed.profiles,
    )


def with_history(verdict: MonitoringVerdict, metrics: pd.DataFrame, version: str) -> MonitoringVerdict:
    """Return the verdict whose findings say since when, also where that was seen by earlier runs only."""

    def dated(one: Finding) -> Finding:
        if one.area in ("performance", "concept"):
            name, column = one.name.replace(" ", "_"), ""
        else:
            column, _, part = one.name.partition(" ")
            name = f"{DRIFT}{part or 'values'}"
        return replace(one, since=bad_since(metrics, version, name, column, one.since))

    return replace(verdict, findings=tuple(map(dated, verdict.findings)))


def load_result(run: Run) -> MonitoringResult:
    """Return what the run found and kept: small files, whatever the size of the data; raises ArtifactError if none."""
    record, folder = run.load("monitoring"), run.path(PAGE)
    frames = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    figures = PerformanceResult(
        metric=record["metric"],
        expected={name: _interval(entry) for name, entry in record["expected"].items()},
        periods=run.load("performance"),
        concept=frames["concept"],
        estimated=frames["estimated"],
        past_error=_number(record["past_error"]),
        segments=frames["segments"],
        due=datetime.fromisoformat(record["due"]) if record.get("due") else None,
    )
    return MonitoringResult(
        about=About(**_with_times(record["about"], "trained_until", "start", "end", "at")),
        verdict=MonitoringVerdict(
            record["status"],
            record["headline"],
            tuple(Finding(**_with_times(entry, "since")) for entry in record["findings"]),
            record["retrain"],
        ),
        drift=run.load("drift"),
        shares=frames["shares"],
        checks=frames["checks"],
        figures=figures,
        spread=frames["spread"],
        history=frames["history"],
        outside=FeedbackStats(**{entry.name: frames[entry.name] for entry in fields(FeedbackStats)}),
    )


def spread_of(observed: MonitoringInput, bins: int = 20) -> pd.DataFrame:
    """Return the histogram of current predictions (probabilities of a binary task) beside that of the test window.

    Columns: ``low``, ``high`` (edges; missing for classes), ``label`` (of classes), ``now``, ``test`` (shares).
    """
    column = "probability" if "probability" in observed.rows else "prediction"
    now, test = observed.current[column].dropna(), observed.champion.test[column].dropna()
    if not pd.api.types.is_numeric_dtype(now):
        shares = pd.DataFrame({"now": now.value_counts(normalize=True), "test": test.value_counts(normalize=True)})
        table = shares.fillna(0.0).rename_axis("label").reset_index()
        return table.assign(low=np.nan, high=np.nan)[["low", "high", "label", "now", "test"]]
    edges = histogram_edges(np.concatenate([now, test]), bins)
    shares = {name: np.histogram(part, edges)[0] / max(len(part), 1) for name, part in (("now", now), ("test", test))}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "label": "", **shares})


def logical_time(run: Run, end: datetime | None) -> datetime:
    """Return as of when a run monitors: the end of its last period, else its ``as_of``, else when it started."""
    return end or run.as_of or (run_time(run.run_id) if run.reads else datetime.now(UTC))


def _about(run: Run, observed: MonitoringInput, at: datetime) -> About:
    last = observed.profiles.periods[-1]
    champion = observed.champion
    rows = len(observed.current)
    return About(champion.version, champion.since, last.start, last.end, rows, observed.period, run.by_hand, at)


def _with_times(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: datetime.fromisoformat(value) if key in names and value else value for key, value in values.items()}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with None for NaN, which JSON does not have."""
    return {key: none_if_nan(value) for key, value in values.items()}


def _interval(kept: Mapping[str, float | None]) -> Interval:
    return Interval(*(_number(kept[name]) for name in ("value", "low", "high")))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value

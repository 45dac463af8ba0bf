"""The verdict: what was found, in words, the worst first, and what follows from it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from quire.config import Schema
from quire.model.metrics import HIGHER_IS_BETTER
from quire.monitor.concept import explain_bias
from quire.monitor.figures import Figures
from quire.monitor.performance import loss_of

Severity = Literal["alert", "warn"]

AREAS = ("performance", "concept", "data", "prediction", "target", "input")
"""What a finding is about, the one that matters most first."""


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know.

    what: in one sentence. since: the start of the first period of the run of bad ones. size, limit: how bad, and from
    where on it is reported, in the unit of the measure. sure: how sure, in words. cause: what it may come from.
    """

    area: str
    name: str
    severity: Severity
    what: str
    since: datetime | None = None
    size: float | None = None
    limit: float | None = None
    sure: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Verdict:
    """The status of the monitored period, why, and whether a retraining is asked for."""

    status: Literal["good", "warn", "bad"]
    headline: str
    findings: tuple[Finding, ...]
    retrain: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the verdict for JSON."""
        return {
            "status": self.status,
            "headline": self.headline,
            "reasons": [finding.what for finding in self.findings],
            "findings": [_known(asdict(finding)) for finding in self.findings],
            "retrain": self.retrain,
        }


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with None for NaN, which JSON does not have."""
    return {key: None if isinstance(value, float) and value != value else value for key, value in values.items()}


def judge(
    drift: pd.DataFrame, checks: pd.DataFrame, figures: Figures, schema: Schema, *, retrain: bool = True
) -> Verdict:
    """Return the verdict on the latest period.

    drift, checks: tables of `measure_drift` and `check_data`. retrain: whether worse performance asks for a retraining.
    """
    changed = _latest(drift)
    inputs_changed = bool((changed["status"].eq("alert") & changed["column"].isin(schema.features)).any())
    found = [
        *_performance_findings(figures.main, figures.metric),
        *_concept_findings(figures.concept, schema, inputs_changed),
        *_check_findings(checks),
        *_drift_findings(drift, schema),
    ]
    found.sort(key=lambda one: (one.severity != "alert", AREAS.index(one.area), -(one.size or 0.0)))
    status: Any = "bad" if any(one.severity == "alert" for one in found) else "warn" if found else "good"
    worse = [one.what for one in found if one.area in ("performance", "concept") and one.severity == "alert"]
    return Verdict(status, _headline(found, drift), tuple(found), " ".join(worse) if retrain else "")


def _headline(found: list[Finding], drift: pd.DataFrame) -> str:
    if not found:
        columns = drift["column"].nunique()
        return f"Nothing unusual: {columns} columns, the predictions and the known errors are as they were."
    alerts = [one for one in found if one.severity == "alert"]
    shown = (alerts or found)[:2]
    more = len(alerts or found) - len(shown)
    rest = f" And {more} more {'alert' if alerts else 'warning'}{'s' if more > 1 else ''}." if more else ""
    return " ".join(one.what for one in shown) + rest


def _performance_findings(performance: pd.DataFrame, metric: str) -> Iterator[Finding]:
    if performance.empty:
        return
    last = performance.iloc[-1]
    if last["status"] not in ("warn", "alert"):
        return
    better = "falls" if HIGHER_IS_BETTER[metric] else "rises"
    what = (
        f"The error is {last['change']:.0%} larger than on the test window: {metric} {better} from "
        f"{last['expected']:.3g} to {last['value']:.3g}."
    )
    sure = f"{last['low']:.3g} to {last['high']:.3g}, from {last['labelled']:,} labelled rows"
    limit = loss_of(metric, last["usual"]) / loss_of(metric, last["expected"]) - 1  # relative, as the change is
    yield Finding(
        "performance", metric, last["status"], what, _since(performance), last["change"], limit, sure,
        "the world has changed, or the data has; see drift and the signed error",
    )  # fmt: skip


def _concept_findings(concept: pd.DataFrame, schema: Schema, inputs_changed: bool) -> Iterator[Finding]:
    if concept.empty or concept.iloc[-1]["status"] not in ("warn", "alert"):
        return
    last = concept.iloc[-1]
    sure = f"mean error {last['low']:.3g} to {last['high']:.3g}, from {last['labelled']:,} labelled rows"
    limit = last["usual_high"] if last["share"] > 0 else last["usual_low"]
    yield Finding(
        "concept", "signed error", last["status"], explain_bias(last, schema, inputs_changed=inputs_changed),
        _since(concept), abs(last["share"]), limit, sure, "what follows from the inputs is no longer what was learnt",
    )  # fmt: skip


def _check_findings(checks: pd.DataFrame) -> Iterator[Finding]:
    causes = {
        "absent": "a change at the source",
        "missing": "a sensor, a join or a delivery that failed",
        "new category": "a new code at the source",
        "out of range": "a change of unit, or a broken sensor",
        "rows": "a delivery that is incomplete, or came twice",
        "freshness": "a delivery that is late",
    }
    for row in checks[checks["status"] != "ok"].itertuples():
        name = row.column or row.what
        cause = causes.get(row.what, "")
        yield Finding(
            "data", f"{name} {row.what}".strip(), row.status, row.detail, None, row.value, row.limit, "", cause
        )


def _drift_findings(drift: pd.DataFrame, schema: Schema) -> Iterator[Finding]:
    for row in _latest(drift).itertuples():
        if row.status not in ("warn", "alert"):
            continue
        mine = drift[(drift["column"] == row.column) & (drift["part"] == row.part)]
        known = f"usual is up to {row.usual:.2g}" if row.usual == row.usual else "what is usual is not yet known"
        chance = "by chance once in ten thousand or less" if row.p_value < 1e-4 else f"p = {row.p_value:.2g}"
        yield Finding(
            area_of(row.column, schema),
            f"{row.column} {row.part}" if row.part != "values" else row.column,
            row.status,
            describe_drift(row),
            _since(mine),
            row.psi,
            row.threshold,
            f"{known}; {chance}, from {int(row.n):,} rows",
            row.change if isinstance(row.change, str) else "",
        )


def describe_drift(row: Any) -> str:
    """Return in one sentence which part of which column is how far from the reference."""
    if row.part == "level":
        return f"{row.column} no longer goes with the other columns: it is {row.change}."
    part = {"values": "", "zeros": " in its share of zeros", "missing": " in its share of missing values"}[row.part]
    against = {"training": "training", "same_season": "the same season before", "previous": "the periods before"}
    change = f": {row.change}" if isinstance(row.change, str) and row.change else ""
    beyond = f"beyond {row.threshold:.2g}" if row.status == "alert" else "above its usual level for two periods"
    return f"{row.column} differs from {against[row.reference]}{part} (PSI {row.psi:.2g}, {beyond}){change}."


def area_of(column: str, schema: Schema) -> str:
    """Return what a drifted column is: prediction, target or input."""
    if column == "prediction" or column.startswith("probability"):
        return "prediction"
    return "target" if column == schema.target else "input"


def _latest(drift: pd.DataFrame) -> pd.DataFrame:
    return drift[drift["period"] == drift["period"].max()] if len(drift) else drift


def _since(table: pd.DataFrame) -> datetime | None:
    """Return the start of the run of periods with a warning or an alert that the last period ends."""
    since: Any = None
    for row in table.iloc[::-1].itertuples():
        if row.status not in ("warn", "alert"):
            break
        since = row.start
    return since.to_pydatetime() if since is not None and since == since else None

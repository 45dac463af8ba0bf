"""The verdict: what was found, in words, the worst first, and what follows from it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from quire.config import Schema
from quire.monitor.concept import explain_bias
from quire.monitor.drift import REFERENCES
from quire.monitor.performance import loss_of
from quire.monitor.performance_result import PerformanceResult
from quire.monitor.relations import Cause
from quire.page.numbers import number, percent

Severity = Literal["alert", "warn"]

AREAS = ("performance", "concept", "data", "prediction", "target", "input")
"""What a finding is about, the one that matters most first."""


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know.

    what: in one sentence. since: the start of the first period of the run of bad ones. size, limit: how bad, and from
    where on it is reported, in the unit of the measure. sure: how sure, in words. cause: what it may come from.
    follows: the column of another finding that explains this one.
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
    follows: str = ""


@dataclass(frozen=True)
class MonitoringVerdict:
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
    drift: pd.DataFrame,
    checks: pd.DataFrame,
    figures: PerformanceResult,
    schema: Schema,
    *,
    retrain: bool = True,
    cause: Cause | None = None,
) -> MonitoringVerdict:
    """Return the verdict on the latest period.

    drift, checks: tables of `measure_drift` and `check_data`. retrain: whether worse performance asks for a retraining.
    cause: the column that explains why others no longer match it.
    """
    latest_drift = _latest(drift)
    alerting = latest_drift.loc[
        latest_drift["status"].eq("alert") & latest_drift["column"].isin(schema.features), "column"
    ]
    inputs = list(dict.fromkeys(alerting))
    findings = [
        *_performance_findings(figures, inputs),
        *_concept_findings(figures.signed, figures.concept, schema, inputs),
        *_check_findings(checks),
        *_with_cause(list(_drift_findings(drift, schema)), cause, schema),
    ]
    findings.sort(
        key=lambda finding: (
            finding.severity != "alert",
            AREAS.index(finding.area),
            _order(finding, cause),
            -strength(finding),
        )
    )
    status: Any = "bad" if any(finding.severity == "alert" for finding in findings) else "warn" if findings else "good"
    worse = [
        finding.what
        for finding in findings
        if finding.area in ("performance", "concept") and finding.severity == "alert"
    ]
    return MonitoringVerdict(
        status, headline(findings, drift, figures), tuple(findings), " ".join(worse) if retrain else ""
    )


def headline(findings: list[Finding], drift: pd.DataFrame, figures: PerformanceResult) -> str:
    """Return the verdict in a sentence or two: the findings that matter most, or that there is none."""
    if not findings:
        return f"Nothing unusual: {_quiet_columns(drift)}, and {_quiet_error(figures)}."
    alerts = [finding for finding in findings if finding.severity == "alert"]
    causes = [
        finding for finding in alerts or findings if not finding.follows
    ]  # what follows is part of a cause's sentence
    main_causes = causes[:2]
    more = len(causes) - len(main_causes)
    rest = f" And {more} more {'alert' if alerts else 'warning'}{'s' if more > 1 else ''}." if more else ""
    return " ".join(finding.what for finding in main_causes) + rest


def _quiet_columns(drift: pd.DataFrame) -> str:
    now = _latest(drift)
    columns = now.loc[now["status"] != "unknown", "column"].nunique() if len(now) else 0
    if not columns:
        return "no column could be compared"
    verb = "columns differ from their references" if columns > 1 else "column differs from its reference"
    return f"{columns} {verb} by no more than is usual"


def _quiet_error(figures: PerformanceResult) -> str:
    last = figures.latest
    if last is None or pd.isna(last["value"]):
        return "no outcome of the period is known yet"
    return f"the {figures.metric} of {number(float(last['value']))} is no worse than is usual"


def strength(finding: Finding) -> float:
    """Return how far beyond its limit a finding is, so that measures of different units compare."""
    size, limit = (
        0.0 if pd.isna(value) else abs(float(value)) for value in (finding.size or 0.0, finding.limit or 0.0)
    )
    return size / limit if limit > 0 else size


def _order(finding: Finding, cause: Cause | None) -> int:
    """Return 0 for the finding on the column that explains others, 2 for those that it explains, 1 for the rest."""
    if finding.follows:
        return 2
    is_cause = cause is not None and f"{finding.name} ".startswith(f"{cause.column} ")
    return 0 if is_cause else 1


def _with_cause(findings: list[Finding], cause: Cause | None, schema: Schema) -> list[Finding]:
    """Return the findings on drift with the column that explains the others named, and these as what follows."""
    if cause is None or not cause.follows:
        return findings
    name = f"{cause.column} level"
    followers = {f"{column} level" for column in cause.follows}
    results = [
        replace(finding, follows=cause.column, cause=f"follows from {cause.column}")
        if finding.name in followers
        else finding
        for finding in findings
    ]
    own_finding = next((finding for finding in results if finding.name == name), None)
    model = own_finding or next(finding for finding in results if finding.name in followers)
    cause_finding = replace(
        model, area=area_of(cause.column, schema), name=name, what=tell_cause(cause, schema), follows="", cause=""
    )
    if own_finding is None:
        cause_finding = replace(cause_finding, size=None, limit=None)
    return [cause_finding, *(finding for finding in results if finding is not own_finding)]


def tell_cause(cause: Cause, schema: Schema) -> str:
    """Return in one sentence which column moved, by how much, and which others follow from it."""
    column = schema.columns.get(cause.column)
    unit = f" ({column.unit})" if column is not None and column.unit else ""
    side = "higher" if cause.shift > 0 else "lower"
    names = ", ".join(cause.follows[:-1])
    names = f"{names} and {cause.follows[-1]}" if names else cause.follows[-1]
    return (
        f"{cause.column} reads about {number(abs(cause.shift))}{unit} {side} than the other columns predict; "
        f"that {names} no longer {'match' if len(cause.follows) > 1 else 'matches'} them follows from it."
    )


def _performance_findings(figures: PerformanceResult, inputs: list[str]) -> Iterator[Finding]:
    last, metric = figures.latest, figures.metric
    if last is None or last["status"] not in ("warn", "alert"):
        return
    verb = "rises" if last["value"] > last["expected"] else "falls"
    error = f"The error is {percent(last['change'])} larger than on the test window"
    message = f"{error}{_when(figures)}: {metric} {verb} from {number(last['expected'])} to {number(last['value'])}."
    sure = f"{number(last['low'])} to {number(last['high'])}, from {number(last['labelled'])} labelled rows"
    limit = loss_of(metric, last["usual"]) / loss_of(metric, last["expected"]) - 1  # relative, as the change is
    main = figures.main
    since = _since(main.loc[: last.name])
    yield Finding("performance", metric, last["status"], message, since, last["change"], limit, sure, _why(inputs))


def _when(figures: PerformanceResult) -> str:
    """Return which period is meant, where it is not the last one: outcomes may be known late."""
    if figures.is_current or figures.latest is None:
        return ""
    return f", in the period up to {figures.latest['end']:%-d %B %Y}, the last whose outcomes are due"


def _why(inputs: list[str]) -> str:
    if not inputs:
        return "no input has drifted: the relation between the inputs and the target may have changed (concept drift)"
    return f"inputs that drifted at the same time: {', '.join(inputs)}"


def _concept_findings(
    last: pd.Series | None, concept: pd.DataFrame, schema: Schema, inputs: list[str]
) -> Iterator[Finding]:
    if last is None or last["status"] not in ("warn", "alert"):
        return
    sure = f"mean error {number(last['low'])} to {number(last['high'])}, from {number(last['labelled'])} labelled rows"
    limit = last["usual_high"] if last["share"] > 0 else last["usual_low"]
    message = explain_bias(last, schema, inputs_changed=bool(inputs))
    since = _since(concept.loc[: last.name])
    yield Finding(
        "concept", "signed error", last["status"], message, since, abs(last["share"]), limit, sure, _why(inputs)
    )


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
        periods = drift[(drift["column"] == row.column) & (drift["part"] == row.part)]
        usual_text = f"usual is up to {number(row.usual)}" if pd.notna(row.usual) else "what is usual is not yet known"
        size = ", ".join(part for part in (_chance(row.p_value), f"from {int(row.n):,} rows") if part)
        yield Finding(
            area_of(row.column, schema),
            f"{row.column} {row.part}" if row.part != "values" else row.column,
            row.status,
            describe_drift(row),
            _since(periods),
            row.psi,
            row.threshold,
            f"{usual_text}; {size}",
            row.change if isinstance(row.change, str) else "",
        )


def _chance(p_value: float) -> str:
    """Return how probable chance makes it, in words; nothing where no probability is computed."""
    if pd.isna(p_value):
        return ""
    return "by chance once in ten thousand or less" if p_value < 1e-4 else f"p = {number(p_value, digits=2)}"


def describe_drift(row: Any) -> str:
    """Return in one sentence which part of which column is how far from the reference."""
    change = row.change if isinstance(row.change, str) else ""
    if row.part == "level":
        return f"{row.column} no longer matches the other columns{f': it is {change}' if change else ''}."
    part = {"values": "", "zeros": " in its share of zeros", "missing": " in its share of missing values"}[row.part]
    beyond = (
        f"alert level {number(row.threshold, digits=2)}"
        if row.status == "alert"
        else "above its usual level for two periods"
    )
    size = f"PSI {number(row.psi, digits=2)}, {beyond}"
    return f"{row.column} differs from {REFERENCES[row.reference]}{part} ({size}){f': {change}' if change else ''}."


def area_of(column: str, schema: Schema) -> str:
    """Return what a drifted column is: prediction, target or input."""
    if schema.is_predicted(column):
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

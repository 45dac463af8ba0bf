"""Checks of a period's data that need no statistics: missing, new, out of range, absent, too few, too late."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd

from quire.config import Checks, Schema, duration
from quire.data import ColumnProfile, Profile, Profiles
from quire.monitor.monitoring_input import MonitoringInput
from quire.page.numbers import number, percent

SHOWN = 5
"""New categories that are named; the others are counted."""


@dataclass(frozen=True)
class DataCheck:
    """One thing that was checked: of which column ("" for the rows as a whole), with which result (ok, warn, alert)."""

    column: str
    what: Literal["absent", "missing", "new category", "out of range", "infinite", "rows", "freshness"]
    value: float
    limit: float
    status: str
    detail: str


def check_data(
    reference: Profiles, current: Profile, schema: Schema, checks: Checks, *, as_of: datetime | None = None
) -> pd.DataFrame:
    """Return what was checked in the current period, worst first.

    Columns: ``column``, ``what``, ``value``, ``limit`` (beyond it: alert), ``status`` (ok, warn, alert), ``detail``
    (the finding in words). A finding within the limits that is not nothing is a warning.
    """
    results = [*_check_rows(reference, current, checks), *_check_freshness(current, schema, checks, as_of)]
    for name, column in reference.merged().columns.items():
        if name in (schema.target, "actual"):
            continue
        results += _check_column(name, column, current.columns.get(name), schema, checks)
    table = pd.DataFrame(results, columns=["column", "what", "value", "limit", "status", "detail"])
    order = table["status"].map({"alert": 0, "warn": 1, "ok": 2})
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def check_current(observed: MonitoringInput, schema: Schema, checks: Checks) -> pd.DataFrame:
    """Return `check_data` of the last period that was observed."""
    return check_data(observed.champion.trained, observed.profiles.periods[-1], schema, checks, as_of=observed.end)


def _check_column(
    name: str, before: ColumnProfile, now: ColumnProfile | None, schema: Schema, checks: Checks
) -> Iterator[DataCheck]:
    if now is None or not now.rows:
        yield DataCheck(name, "absent", 1, 0, "alert", f"{name} is absent; the model was trained with it.")
        return
    if before.n and not now.n:
        yield DataCheck(name, "missing", 1, checks.missing, "alert", f"{name} is missing in every row.")
        return
    yield _check_missing(name, before, now, checks)
    if now.infinite:
        share = now.infinite / now.rows
        yield DataCheck(name, "infinite", share, 0, "alert", f"{name} is infinite in {now.infinite:,} rows.")
    if now.counts:
        yield _check_categories(name, before, now, schema, checks)
    elif name in schema.columns and now.kind == "number":
        yield from _check_range(name, before, now, schema, checks)


def _check_missing(name: str, before: ColumnProfile, now: ColumnProfile, checks: Checks) -> DataCheck:
    share, usual = now.missing / now.rows, before.missing / max(before.rows, 1)
    status = "alert" if share - usual > checks.missing else "ok"
    detail = f"{name} is missing in {percent(share)} of the rows; in training it was {percent(usual)}."
    return DataCheck(name, "missing", share, usual + checks.missing, status, detail)


def _check_categories(
    name: str, before: ColumnProfile, now: ColumnProfile, schema: Schema, checks: Checks
) -> DataCheck:
    categories = {*before.counts, *(schema.columns[name].labels if name in schema.columns else ())}
    # Where the sketch does not hold every category of the reference, a category that it lacks need not be new.
    complete = sum(before.counts.values()) >= before.n
    new = {value: count for value, count in now.counts.items() if value not in categories} if complete else {}
    share = sum(new.values()) / now.n if now.n else 0.0
    if not new:
        return DataCheck(name, "new category", 0.0, checks.new_categories, "ok", f"{name} has no new category.")
    names = ", ".join(repr(value) for value in list(new)[:SHOWN]) + (
        f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
    )
    status = "alert" if share > checks.new_categories else "warn"
    detail = f"{name} has a category that training did not have: {names}, in {percent(share)} of the rows."
    return DataCheck(name, "new category", share, checks.new_categories, status, detail)


def _check_range(
    name: str, before: ColumnProfile, now: ColumnProfile, schema: Schema, checks: Checks
) -> Iterator[DataCheck]:
    column = schema.columns[name]
    low, high = column.minimum, column.maximum
    edges = ([low] if low is not None else []) + ([float(np.nextafter(high, np.inf))] if high is not None else [])
    if not edges or not now.n:
        return
    shares, trained = (profile.histogram(edges) / max(profile.n, 1) for profile in (now, before))
    outside = (shares[0] if low is not None else 0.0) + (shares[-1] if high is not None else 0.0)
    usual = (trained[0] if low is not None else 0.0) + (trained[-1] if high is not None else 0.0)
    limit = checks.out_of_range + float(usual)
    # The extremes are exact; a share from a sketch can be a trace above zero.
    is_violated = (low is not None and now.minimum < low) or (high is not None and now.maximum > high)
    status = "ok" if not is_violated else "alert" if outside > limit else "warn"
    detail = f"{name} is from {number(now.minimum, digits=4)} to {number(now.maximum, digits=4)}; "
    detail += f"{_allowed(low, high)}, and {percent(float(outside))} are outside."
    yield DataCheck(name, "out of range", float(outside), limit, status, detail)


def _allowed(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{'at most' if low is None else 'at least'} {number(high if low is None else low)} is allowed"
    return f"{number(low)} to {number(high)} is allowed"


def _check_rows(reference: Profiles, current: Profile, checks: Checks) -> Iterator[DataCheck]:
    if current.start is None or len(reference) < 2:
        return
    usual = float(np.median([profile.rows for profile in reference]))
    ratio = current.rows / usual if usual else float("nan")
    low, high = checks.rows
    status = "ok" if low <= ratio <= high else "alert"
    detail = f"{current.rows:,} rows; usual is about {usual:,.0f} per period ({percent(ratio)} of it)."
    yield DataCheck("", "rows", ratio, low if ratio < 1 else high, status, detail)


def _check_freshness(current: Profile, schema: Schema, checks: Checks, as_of: datetime | None) -> Iterator[DataCheck]:
    column = current.columns.get(schema.timestamp or "")
    if column is None or as_of is None or not column.n or current.start is None or current.end is None:
        return
    last = datetime.fromtimestamp(column.maximum, tz=as_of.tzinfo)
    allowed = duration(checks.late) if checks.late else max((current.end - current.start) / 7, timedelta(hours=1))
    age = as_of - last
    hours = age.total_seconds() / 3600
    detail = f"The last row is of {last:%Y-%m-%d %H:%M}, {hours:.1f} hours before {as_of:%Y-%m-%d %H:%M} UTC."
    status = "alert" if age > allowed else "ok"
    yield DataCheck("", "freshness", hours, allowed.total_seconds() / 3600, status, detail)

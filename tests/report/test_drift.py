"""The history of drift is drawn whatever the periods are: with and without times, of one zone or of several."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quire.report import Chart, drift

from . import claims

AT = datetime(2026, 1, 19, tzinfo=UTC)
WEEK = timedelta(weeks=1)
CET = timezone(timedelta(hours=1))


def rows(starts, ends, columns=("a", "b"), **more):
    """A drift table of these periods."""
    names = list(columns)
    return pd.DataFrame(
        {
            "column": np.repeat(names, len(ends)),
            "part": "values",
            "reference": "training",
            "period": list(range(len(ends))) * len(names),
            "start": pd.Series(list(starts) * len(names), dtype=object),
            "end": pd.Series(list(ends) * len(names), dtype=object),
            "psi": np.linspace(0.01, 0.3, len(ends) * len(names)),
            "threshold": 0.1,
            "status": "ok",
            "change": "",
        }
        | more
    )


def seen_of(history, present, start=None):
    about = SimpleNamespace(start=start, end=None if start is None else AT, at=AT)
    return SimpleNamespace(history=history, drift=present, about=about)


NOW = rows([AT - WEEK], [AT])
UNTIMED = rows([None], [pd.NaT])
HISTORIES = {
    "none": rows([], []),
    "no starts, as the database has them without a timestamp": rows([None, None], [AT - 2 * WEEK, AT - WEEK]),
    "no starts but NaT": rows([pd.NaT, pd.NaT], [AT - 2 * WEEK, AT - WEEK]),
    "another zone": rows([(AT - 3 * WEEK).astimezone(CET), None], [(AT - 2 * WEEK).astimezone(CET), AT - WEEK]),
    "no zone": rows([datetime(2026, 1, 1)] * 2, [datetime(2026, 1, 5), AT - WEEK]),
    "timestamps of nanoseconds": rows(
        [pd.Timestamp(AT - 3 * WEEK)] * 2, [pd.Timestamp(AT - 2 * WEEK).as_unit("ns"), AT - WEEK]
    ),
    "a period that ends nowhere": rows([None, None], [pd.NaT, AT - WEEK]),
    "the same period again": rows([AT - 2 * WEEK, AT - WEEK], [AT - WEEK, AT]),
    "figures that are missing": rows(
        [None] * 2, [AT - 2 * WEEK, AT - WEEK], psi=np.nan, threshold=np.nan, status="unknown"
    ),
    "alerts": rows([None] * 2, [AT - 2 * WEEK, AT - WEEK], status=["ok", "alert", "alert", "ok"]),
    "a part of before": rows([AT - 2 * WEEK], [AT - WEEK], part="zeros", status="alert"),
    "a column that is gone": rows([AT - 2 * WEEK], [AT - WEEK], columns=("gone",), status="alert"),
}


@pytest.mark.parametrize("present", [NOW, UNTIMED], ids=["timed", "untimed"])
@pytest.mark.parametrize("name", HISTORIES)
def test_the_history_is_drawn_each_period_once_in_order(name, present):
    seen = seen_of(HISTORIES[name], present, None if present is UNTIMED else AT - WEEK)
    chart = drift.drift_history(seen)
    if not isinstance(chart, Chart):
        assert name in ("none",)
        assert "begins with the second run" in str(chart)
        return
    assert chart.frame["end"].notna().all()
    assert str(chart.frame["end"].dtype).endswith("UTC]")
    ends = chart.frame.groupby(["column", "part"])["end"]
    assert ends.apply(lambda one: one.is_monotonic_increasing and one.is_unique).all()
    assert chart.frame["end"].max() == pd.Timestamp(AT)
    claims.history(chart.message, chart.frame)
    assert "<svg" in chart.html()


@pytest.mark.parametrize("column", ["a", "b"])
def test_the_headline_of_one_column_is_of_that_column(column):
    history = rows([None] * 2, [AT - 2 * WEEK, AT - WEEK], status=["ok", "alert", "ok", "ok"])
    chart = drift.drift_history(seen_of(history, UNTIMED), column=column)
    claims.history(chart.message, chart.frame)
    assert chart.message.startswith("a alerted in 1 of 3 periods" if column == "a" else "b did not alert in 3 periods")


def test_without_rows_to_compare_there_is_a_remark():
    assert "No column is compared" in str(drift.drift_overview(seen_of(rows([], []), rows([], []))))

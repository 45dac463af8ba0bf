from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from quire import data
from quire.config import Checks, Column, Schema
from quire.monitor import check_data

SCHEMA = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        "temp": Column(type="number", minimum=0, maximum=1),
        "sky": Column(type="category", categories=("clear", "rain")),
        "y": Column(type="number", role="target"),
    },
)
END = datetime(2026, 1, 15, tzinfo=UTC)


def frame(hours=336, **changed):
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "at": pd.date_range("2026-01-01", periods=hours, freq="h", tz="UTC"),
            "temp": rng.uniform(0.1, 0.9, hours),
            "sky": pd.Series(rng.choice(["clear", "rain"], hours), dtype="str"),
            "y": 1.0,
        }
    )
    return made.assign(**changed)


def checked(recent, checks=None, as_of=END):
    reference = data.profile_periods(frame(), SCHEMA)
    current = data.profile_periods(recent, SCHEMA, end=END).periods[-1]
    table = check_data(reference, current, SCHEMA, checks or Checks(), as_of=as_of)
    return table.set_index(["column", "what"])


def test_data_like_the_reference_passes_every_check():
    assert set(checked(frame())["status"]) == {"ok"}


def test_an_absent_column_alerts():
    assert checked(frame().drop(columns="temp")).loc[("temp", "absent"), "status"] == "alert"


def test_a_column_that_is_missing_in_every_row_alerts():
    row = checked(frame(temp=np.nan)).loc[("temp", "missing")]
    assert row["status"] == "alert"
    assert "in every row" in row["detail"]


@pytest.mark.parametrize(("share", "status"), [(0.02, "ok"), (0.2, "alert")])
def test_missing_values_alert_beyond_the_limit(share, status):
    rows = frame()
    rows.loc[np.random.default_rng(1).random(len(rows)) < share, "temp"] = np.nan
    assert checked(rows).loc[("temp", "missing"), "status"] == status


def test_a_new_category_alerts_and_is_named():
    row = checked(frame(sky=pd.Series(["snow"] * 336, dtype="str"))).loc[("sky", "new category")]
    assert row["status"] == "alert"
    assert "'snow'" in row["detail"]


def test_a_category_of_the_schema_is_not_new():
    rows = frame()
    reference = data.profile_periods(rows[rows["sky"] == "clear"], SCHEMA)
    current = data.profile_periods(rows, SCHEMA).periods[-1]
    table = check_data(reference, current, SCHEMA, Checks()).set_index(["column", "what"])
    assert table.loc[("sky", "new category"), "status"] == "ok"


def test_a_changed_unit_is_out_of_range():
    row = checked(frame(temp=frame()["temp"] * 41)).loc[("temp", "out of range")]
    assert row["status"] == "alert"
    assert "0 to 1 is allowed" in row["detail"]


def test_infinite_values_alert():
    rows = frame()
    rows.loc[300, "temp"] = np.inf
    assert checked(rows).loc[("temp", "infinite"), "status"] == "alert"


def test_too_few_rows_alert():
    rows = frame()
    assert checked(rows[rows.index % 3 == 0]).loc[("", "rows"), "status"] == "alert"


def test_late_rows_alert():
    table = checked(frame(), as_of=END + timedelta(days=3))
    assert table.loc[("", "freshness"), "status"] == "alert"
    assert checked(frame(), Checks(late="7d"), END + timedelta(days=3)).loc[("", "freshness"), "status"] == "ok"

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from quire.io import database
from quire.monitor.history import bad_since, drift_history, drift_rows, quiet, read_history

WEEK = timedelta(weeks=1)
START = datetime(2026, 1, 5, tzinfo=UTC)


def drift_of(period, psi, status):
    """The drift table of one run with two periods, as far as the history looks at it."""
    start = START + period * WEEK
    rows = [{"column": "temp", "part": "values", "period": 0, "start": start - WEEK, "psi": 9.0, "status": "alert"}]
    rows.append(rows[0] | {"period": 1, "start": start, "psi": psi, "status": status})
    return pd.DataFrame(rows).assign(threshold=0.1, n=168.0)


def run_of(tmp_path, as_of=None):
    settings = SimpleNamespace(database_url=f"sqlite:///{tmp_path}/quire.db", model_name="demo")
    return SimpleNamespace(settings=settings, as_of=as_of)


@pytest.fixture
def kept(tmp_path):
    """A history of three weeks, the last of which alerted, and one of another version."""
    store = database.open(f"sqlite:///{tmp_path}/quire.db")
    for number, (psi, status, version) in enumerate(
        [(0.01, "ok", "1"), (0.02, "ok", "1"), (0.5, "alert", "1"), (0.3, "ok", "2")]
    ):
        about = {"model_name": "demo", "model_version": version, "as_of": START + (number + 1) * WEEK}
        store.save_metrics(about | row for row in drift_rows(drift_of(number, psi, status)))
    store.close()
    return run_of(tmp_path)


def test_the_latest_period_of_each_run_is_kept_and_read_back(kept):
    found = drift_history(read_history(kept), "1")
    assert found["psi"].tolist() == [0.01, 0.02, 0.5]
    assert found["column"].unique().tolist() == ["temp"]
    assert found["part"].unique().tolist() == ["values"]
    assert found["start"].iloc[0] == START


def test_another_version_has_a_history_of_its_own(kept):
    assert drift_history(read_history(kept), "2")["psi"].tolist() == [0.3]


def test_a_drift_that_lasts_does_not_make_itself_usual(kept):
    assert quiet(drift_history(read_history(kept), "1"))["psi"].tolist() == [0.01, 0.02]


def test_a_run_as_of_an_earlier_date_does_not_see_what_came_later(kept, tmp_path):
    found = read_history(run_of(tmp_path, as_of=START + 2 * WEEK + timedelta(days=1)))
    assert drift_history(found, "1")["psi"].tolist() == [0.01, 0.02]
    assert drift_history(read_history(kept), "1", before=START + 2 * WEEK)["psi"].tolist() == [0.01]


def test_without_a_database_there_is_no_history_and_none_is_made(tmp_path):
    assert drift_history(read_history(run_of(tmp_path)), "1").empty
    assert not (tmp_path / "quire.db").exists()


def test_what_is_not_known_is_kept_as_nothing():
    row = next(drift_rows(drift_of(0, float("nan"), "unknown")))
    assert row["value"] is None
    assert row["status"] == "unknown"


def test_since_when_reaches_back_to_what_only_earlier_runs_saw(tmp_path):
    store = database.open(f"sqlite:///{tmp_path}/quire.db")
    for number, status in enumerate(["alert", "ok", "warn", "alert", "alert"]):
        about = {"model_name": "demo", "model_version": "1", "as_of": START + (number + 1) * WEEK, "name": "mae"}
        store.save_metrics([about | {"value": 1.0, "status": status, "start": START + number * WEEK}])
    store.close()
    metrics = read_history(run_of(tmp_path))
    assert bad_since(metrics, "1", "mae", "", START + 4 * WEEK) == START + 2 * WEEK
    assert bad_since(metrics, "2", "mae", "", START + 4 * WEEK) == START + 4 * WEEK
    assert bad_since(metrics, "1", "mae", "", None) is None

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quire.config import Column, Schema
from quire.io import database
from quire.monitor.feedback_stats import ERRORS, fill_actual, read_feedback_stats

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NUMBER = Schema(
    task="regression",
    columns={
        "id": Column(type="integer", role="key"),
        "x": Column(type="number"),
        "y": Column(type="number", role="target"),
    },
)
BINARY = Schema(
    task="binary",
    positive="yes",
    columns={
        "id": Column(type="integer", role="key"),
        "x": Column(type="number"),
        "y": Column(type="category", role="target", categories=("no", "yes")),
    },
)


@pytest.fixture
def store(tmp_path):
    opened = database.open(f"sqlite:///{tmp_path}/quire.db")
    yield opened
    opened.close()


def run_of(tmp_path, labels):
    """What is read of a run: its settings and the labels that the source delivered."""
    settings = SimpleNamespace(database_url=f"sqlite:///{tmp_path}/quire.db", model_name="demo")
    return SimpleNamespace(settings=settings, run_id="run", as_of=NOW, load=lambda name: labels)


def served(number, *, value=10.0, label=None, at=NOW, source="service", latency=2.0):
    """A row of the table prediction for the row with the key ``number``."""
    blank = dict.fromkeys(("at", "probability", "probabilities", "features", "run_id", "request_id"))
    about = {"model_name": "demo", "model_version": "3", "row_key": str(number), "as_of": at, "predicted_at": at}
    outcome = {"value": None if label else value, "label": label, "latency_ms": latency, "source": source}
    return blank | about | outcome | {"id": f"{source}-{number}", "probability": 0.9 if label else None}


def nothing_known(schema=NUMBER):
    return pd.DataFrame({"id": pd.Series(dtype="int64"), schema.target: pd.Series(dtype="float64")})


def test_what_the_service_predicted_is_measured_by_the_feedback_on_it(store, tmp_path):
    store.insert_predictions([served(number) for number in range(40)])
    told = [{"prediction_id": f"service-{number}", "actual": 12.0} for number in range(30)]
    store.save_feedback(told, source="service", now=NOW + timedelta(hours=6))
    row = read_feedback_stats(run_of(tmp_path, nothing_known()), NUMBER, "mae").feedback.iloc[0]
    assert (row["predictions"], row["known"], row["coverage"]) == (40, 30, 0.75)
    assert row["delay_hours"] == pytest.approx(6.0)
    assert row["value"] == pytest.approx(2.0)
    assert row["low"] <= row["value"] <= row["high"]


def test_labels_that_the_source_delivers_late_count_where_no_feedback_came(store, tmp_path):
    store.insert_predictions([served(number, source="batch") for number in range(10)])
    labels = pd.DataFrame({"id": range(5), "y": 13.0})
    row = read_feedback_stats(run_of(tmp_path, labels), NUMBER, "mae").feedback.iloc[0]
    assert row["known"] == 5
    assert row["value"] == pytest.approx(3.0)
    assert np.isnan(row["delay_hours"])


def test_feedback_fills_what_the_source_does_not_know_of_the_current_rows_yet(store, tmp_path):
    store.insert_predictions([served(number, source="batch") for number in range(3)])
    store.save_feedback([{"prediction_id": "batch-1", "actual": 7.0}], source="file", now=NOW)
    rows = pd.DataFrame({"id": [0, 1, 2], "actual": [5.0, np.nan, np.nan]})
    filled = fill_actual(rows, run_of(tmp_path, nothing_known()), NUMBER)
    assert filled["actual"].tolist()[:2] == [5.0, 7.0]
    assert np.isnan(filled["actual"].iloc[2])


@pytest.mark.parametrize("dtype", ["str", "category", "object"])
def test_feedback_fills_classes_of_any_type(store, tmp_path, dtype):
    store.insert_predictions([served(number, label="no", source="batch") for number in range(2)])
    store.save_feedback([{"prediction_id": "batch-1", "actual": "yes"}], source="file", now=NOW)
    rows = pd.DataFrame({"id": [0, 1], "actual": pd.Series(["no", None], dtype=dtype)})
    assert fill_actual(rows, run_of(tmp_path, nothing_known()), BINARY)["actual"].tolist() == ["no", "yes"]


def test_without_a_key_only_feedback_on_this_runs_predictions_counts(store, tmp_path):
    schema = Schema(task="regression", columns={name: one for name, one in NUMBER.columns.items() if name != "id"})
    other = served(0, source="batch") | {"row_key": "#0", "run_id": "another"}
    store.insert_predictions([other])
    store.save_feedback([{"prediction_id": "batch-0", "actual": 7.0}], source="file", now=NOW)
    rows = pd.DataFrame({"x": [1.0], "actual": [np.nan]})
    assert fill_actual(rows, run_of(tmp_path, nothing_known()), schema)["actual"].isna().all()


def test_the_service_is_shown_by_day_with_its_errors(store, tmp_path):
    days = [NOW - timedelta(days=1), NOW]
    store.insert_predictions([served(at.day * 100 + number, at=at) for at in days for number in range(5)])
    about = {"model_name": "demo", "model_version": "3", "name": ERRORS}
    moment = NOW - timedelta(hours=2)
    store.save_metrics(
        about | {"as_of": moment, "segment": status, "column": f"worker {worker}", "value": 2.0}
        for status in ("422", "503")
        for worker in (1, 2)
    )
    found = read_feedback_stats(run_of(tmp_path, nothing_known()), NUMBER, "mae").service
    assert found["requests"].tolist() == [5, 5]
    assert found["refused"].tolist() == [0, 4]
    assert found["failed"].tolist() == [0, 4]
    assert found["p95_ms"].tolist() == [2.0, 2.0]


def test_where_only_batches_were_predicted_the_service_has_no_days(store, tmp_path):
    store.insert_predictions([served(number, source="batch", latency=None) for number in range(3)])
    assert read_feedback_stats(run_of(tmp_path, nothing_known()), NUMBER, "mae").service.empty


def test_without_a_database_nothing_is_known_and_none_is_made(tmp_path):
    found = read_feedback_stats(run_of(tmp_path, nothing_known()), NUMBER, "mae")
    assert found.feedback.empty
    assert found.service.empty
    assert found.alerts.empty
    assert not (tmp_path / "quire.db").exists()

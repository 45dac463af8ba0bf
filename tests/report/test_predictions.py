"""The report of a batch of predictions says how much, by which version, and whether it is like the training data."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quire.config import Schema
from quire.report import predictions as shown

CHAMPION = SimpleNamespace(version=SimpleNamespace(version="7", created_at=datetime(2026, 1, 2, tzinfo=UTC)))


def make_schema(task, timestamp=True):
    columns = {
        "x": {"type": "number"},
        "y": {"type": "number" if task == "regression" else "category", "role": "target"},
    }
    columns |= {"at": {"type": "datetime", "role": "timestamp"}} if timestamp else {}
    positive = {"positive": "yes"} if task == "binary" else {}
    return Schema.model_validate({"task": task, "columns": columns, **positive})


@pytest.fixture
def history():
    at = pd.date_range("2025-01-01", periods=2000, freq="h", tz="UTC")
    return pd.DataFrame({"at": at, "y": 100 + 50 * np.sin(np.arange(2000) * np.pi / 12)})


def predicted(values, **more):
    at = pd.date_range("2025-04-01", periods=len(values), freq="h", tz="UTC")
    return pd.DataFrame({"at": at, "prediction": values, **more})


def test_usual_predictions_are_good_and_said_with_version_and_levels(history):
    found = shown.predictions_answer(
        predicted(history["y"].head(96).to_numpy()), history, make_schema("regression"), CHAMPION, 96
    )
    assert found.status == "good"
    assert found.headline == "96 rows are predicted by version 7: the mean y is 100, against 100 in training."
    assert found.metrics["unusual_share"] == 0
    assert found.facts[0].note == "96 new in the database"


def test_predictions_outside_what_training_had_warn_with_their_share(history):
    values = np.r_[np.full(10, 900.0), np.full(90, 100.0)]
    found = shown.predictions_answer(predicted(values), history, make_schema("regression"), CHAMPION, None)
    assert found.status == "warn"
    assert "10% of them lie outside" in found.headline
    assert found.metrics["unusual_share"] == pytest.approx(0.1)
    assert found.facts[0].note == "not kept in the database"


def test_of_two_classes_the_mean_probability_is_set_against_the_share_in_training():
    history = pd.DataFrame({"y": ["yes"] * 30 + ["no"] * 70})
    made = predicted(["yes", "no", "no", "no"], probability=[0.9, 0.3, 0.2, 0.2])
    found = shown.predictions_answer(made, history, make_schema("binary"), CHAMPION, 4)
    assert found.headline.endswith(
        "25% of them as y = yes; the mean probability is 40%, against 30% of the rows in training."
    )
    chart = shown.predictions_distribution(made, history, make_schema("binary"))
    assert chart.message == "25% of the rows are predicted yes; the mean probability is 40%, training had 30%"
    table = shown.predictions_table(made, make_schema("binary"), rows=2)
    assert "The 2 highest" in table.html
    assert table.html.count("<tr") == 3


def test_of_several_classes_the_one_that_changed_most_is_named():
    history = pd.DataFrame({"y": ["a"] * 50 + ["b"] * 30 + ["c"] * 20})
    made = predicted(["a", "b", "b", "b"])
    chart = shown.predictions_distribution(made, history, make_schema("multiclass"))
    assert chart.message == "b differs most from training: 75% of the predictions, 30% of the training rows"
    assert "First rows" in shown.predictions_table(made, make_schema("multiclass")).html


def test_the_course_over_time_is_set_against_the_same_hours_of_training(history):
    as_usual = history["y"].tail(168).to_numpy()
    made = pd.DataFrame({"at": history["at"].tail(168) + pd.Timedelta("7D"), "prediction": as_usual + 500})
    chart = shown.predictions_over_time(made, history, make_schema("regression"))
    assert chart.message.startswith("Predictions are above what the same season in training had in 100% of the hours")
    long = pd.DataFrame({"at": pd.date_range("2025-03-20", periods=480, freq="h", tz="UTC"), "prediction": -1.0})
    chart = shown.predictions_over_time(long, history, make_schema("regression"))
    assert chart.message.endswith("0% of the days, and below it in 100%")


def test_without_timestamps_or_rows_there_is_no_course_and_it_says_so(history):
    schema = make_schema("regression", timestamp=False)
    assert "no course over time" in str(shown.predictions_over_time(predicted([1.0]), history, schema))
    assert "no course over time" in str(shown.predictions_over_time(predicted([]), history, make_schema("regression")))


def test_predictions_that_are_all_the_same_are_drawn_too(history):
    constant = history.assign(y=5.0)
    chart = shown.predictions_distribution(predicted([5.0] * 3), constant, make_schema("regression"))
    assert chart.message == "The median of the predictions is 5; that of the training values is 5"
    assert "<svg" in chart.html() or "<img" in chart.html()

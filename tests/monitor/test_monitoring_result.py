import json
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from quire import monitor
from quire.config import Schema
from quire.errors import ArtifactError
from quire.io import database
from quire.monitor.monitoring_input import join_outcomes
from quire.monitor.performance import outcomes_of, scored
from quire.monitor.publication import cloudwatch_figures
from quire.monitor.verdict import area_of


@pytest.fixture(scope="module")
def seen(quiet, runs):
    return monitor.monitor_run(quiet, **runs.rules_of(quiet.settings))


def test_a_quiet_week_is_good_and_says_so_in_words(seen):
    assert seen.verdict.status == "good"
    assert seen.verdict.headline.startswith("Nothing unusual")


def test_what_is_looked_at_is_the_current_week_and_the_weeks_of_the_test_window(seen):
    assert seen.about.rows == 168
    assert seen.drift["period"].nunique() == 9
    assert (seen.about.end - seen.about.start).days == 7


def test_what_is_kept_is_recalled_as_it_was(seen, quiet):
    seen.save(quiet)
    again = monitor.load_result(quiet)
    assert again.about == seen.about
    assert again.verdict == seen.verdict
    assert again.figures.expected == seen.figures.expected
    pd.testing.assert_frame_equal(again.drift, seen.drift, check_dtype=False)
    pd.testing.assert_frame_equal(again.figures.periods, seen.figures.periods, check_dtype=False)


def test_the_live_page_reads_no_raw_data(seen, quiet, runs, monkeypatch):
    seen.save(quiet)
    monkeypatch.setenv("QUIRE_LIVE", "1")
    hidden = [path.rename(path.with_suffix(".hidden")) for path in quiet.reads.glob("artifacts/ingest/*.parquet")]
    try:
        assert monitor.monitor_run(quiet, **runs.rules_of(quiet.settings)).verdict == seen.verdict
    finally:
        for path in hidden:
            path.rename(path.with_suffix(".parquet"))


def test_by_hand_nothing_is_written_to_the_database_and_nobody_is_alerted(seen, quiet):
    from quire.io import artifacts

    by_hand = artifacts.open(quiet.settings)
    shared = monitor.publish(by_hand, seen)
    assert str(shared).startswith("By hand: nothing was written to the database, nobody was alerted")
    assert not by_hand.folder.joinpath("_signals.json").exists()


def test_a_bad_verdict_is_kept_alerted_once_and_asks_for_a_retraining(seen, quiet):
    finding = monitor.Finding("concept", "signed error", "alert", "Demand grew.", None, 0.5, 0.3, "sure", "the world")
    bad = replace(seen, verdict=replace(seen.verdict, status="bad", findings=(finding,), retrain="Demand grew."))
    first, second = monitor.publish(quiet, bad), monitor.publish(quiet, bad)
    store = database.open(quiet.settings.database_url)
    alerts = store.alerts("demo")
    assert alerts["title"].tolist() == ["The model predicts worse than it did: signed error"]
    assert "May come from: the world" in alerts["body"].iloc[0]
    assert first.alerts[0][1] == "log sent"
    assert second.alerts[0][1] == "log quiet"
    assert json.loads((quiet.folder / "_signals.json").read_text("utf-8"))[0]["name"] == "retrain"
    figures = store.metrics("demo")
    assert {"drift_values", "mae", "signed_error", "estimated_mae"} <= set(figures["name"])
    assert (figures["as_of"] == pd.Timestamp(seen.about.end)).all()
    store.close()


def test_cloudwatch_gets_all_figures_of_a_run(seen, quiet, aws):
    from quire.io import storage

    alerts = quiet.settings.config.alerts.model_copy(update={"channels": ("cloudwatch",), "endpoint_url": aws})
    configuration = quiet.settings.config.model_copy(update={"alerts": alerts})
    monitor.publish(replace(quiet, settings=replace(quiet.settings, config=configuration)), seen)
    listing = storage.client("cloudwatch", aws).list_metrics(Namespace=alerts.namespace)
    metrics = {metric["MetricName"] for metric in listing["Metrics"]}
    assert metrics == set(cloudwatch_figures(seen))


def test_history_of_this_version_is_read_back_without_what_alerted(seen, quiet):
    monitor.publish(quiet, seen)
    later = replace(quiet, as_of=quiet.as_of + timedelta(weeks=1))
    history = monitor.drift_history(monitor.read_history(later), seen.about.version)
    assert set(history["column"]) == set(seen.drift["column"])
    assert len(monitor.quiet(history.assign(status="alert"))) == 0
    assert monitor.drift_history(monitor.read_history(later), "99").empty


def test_rows_without_a_key_must_match_in_number(quiet):
    from quire.config import Column, Schema

    schema = Schema(task="regression", columns={"x": Column(type="number"), "y": Column(type="number", role="target")})
    rows = pd.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(ArtifactError, match="role key"):
        join_outcomes(rows, pd.DataFrame({"prediction": [1.0]}), pd.DataFrame({"y": [1.0, 2.0]}), schema)


def test_what_cloudwatch_gets_is_what_the_page_says(seen):
    sent = cloudwatch_figures(seen)
    assert sent["DriftedColumns"] == 0
    assert sent["FailedChecks"] == 0
    assert sent["Realised_mae"] == pytest.approx(seen.figures.main["value"].iloc[-1])
    assert sent["Estimated_mae"] == pytest.approx(seen.figures.estimated["estimated"].iloc[-1])
    unlabelled = replace(seen.figures, periods=seen.figures.periods.assign(value=float("nan")))
    assert "Realised_mae" not in cloudwatch_figures(replace(seen, figures=unlabelled))


def test_rows_of_one_time_keep_their_own_prediction_and_label():
    columns = {
        "at": {"type": "datetime", "role": "timestamp"},
        "x": {"type": "number"},
        "y": {"type": "number", "role": "target"},
    }
    schema = Schema.of({"task": "regression", "on_duplicate": "keep", "columns": columns})
    at = pd.to_datetime(["2026-01-01"] * 3 + ["2026-01-02"], utc=True)
    rows = pd.DataFrame({"at": at, "x": [1.0, 2.0, 3.0, 4.0]})
    predictions = pd.DataFrame({"at": at, "prediction": [10.0, 20.0, 30.0, 40.0]})
    labels = pd.DataFrame({"at": at, "y": [11.0, float("nan"), 31.0, 41.0]})
    joined = join_outcomes(rows, predictions, labels, schema)
    assert joined["prediction"].tolist() == [10.0, 20.0, 30.0, 40.0]
    assert joined["actual"].isna().tolist() == [False, True, False, False]
    assert joined["actual"].dropna().tolist() == [11.0, 31.0, 41.0]


@pytest.mark.parametrize("name", ["prediction", "probability", "probability_u"])
def test_a_column_that_is_ignored_leaves_its_name_to_the_model(name):
    columns = {
        "x": {"type": "number"},
        name: {"type": "text", "role": "ignore", "why": "constant"},
        "y": {"type": "category", "role": "target", "categories": ["u", "v", "w"]},
    }
    schema = Schema.of({"task": "multiclass", "columns": columns})
    assert schema.is_predicted(name)
    predictions = pd.DataFrame({"prediction": ["u", "v"], name: ["u", "v"]})
    joined = join_outcomes(pd.DataFrame({"x": [1.0, 2.0]}), predictions, pd.DataFrame({"y": ["u", "u"]}), schema)
    assert joined[name].tolist() == ["u", "v"]


@pytest.mark.parametrize("name", ["probability_a", "probability of rain", "probability_", "probability2"])
@pytest.mark.parametrize("role", ["key", "feature"])
def test_a_column_called_like_a_probability_is_none_of_the_model(name, role):
    columns = {
        "id": {"type": "integer", "role": "key"},
        "x": {"type": "number"},
        name: {"type": "number", **({"role": "key"} if role == "key" else {})},
        "y": {"type": "category", "role": "target", "categories": ["u", "v", "w"]},
    }
    schema = Schema.of({"task": "multiclass", "columns": columns})
    rows = pd.DataFrame({"id": [1, 2, 3], "x": 1.0, name: [5.0, 6.0, 7.0]})
    shares = {"probability_u": [0.5, 0.2, 0.2], "probability_v": [0.3, 0.6, 0.1], "probability_w": [0.2, 0.2, 0.7]}
    predictions = rows[list(schema.key)].assign(prediction=["u", "v", "w"], **shares)
    labels = rows[list(schema.key)].assign(y=["u", "v", "u"])
    joined = join_outcomes(rows, predictions, labels, schema)
    assert joined[name].tolist() == [5.0, 6.0, 7.0]
    outcomes = outcomes_of(scored(joined, schema), schema)
    assert outcomes.classes == ("u", "v", "w")
    assert outcomes.probability.sum(axis=1) == pytest.approx(1)
    assert area_of(name, schema) == "input"
    assert area_of("probability_u", schema) == "prediction"

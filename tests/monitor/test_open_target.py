"""A target that is not known yet is not judged and never alerts; the page says which period is judged instead."""

import shutil

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from quire import config, monitor, report
from quire.report.drift import latest

RULES = {"drift": config.Drift(), "checks": config.Checks(), "performance": config.Performance()}


@pytest.fixture(scope="module", params=["0d", "3d", "21d"])
def seen(request, tmp_path_factory, tracking_store, runs):
    """What monitoring finds where labels come so late; without a delay, the labels of the last week are not there."""
    root = runs.make_project(tmp_path_factory.mktemp("open"))
    path = root / "params" / "demo" / "schema.yaml"
    path.write_text(f"label_delay: {request.param}\n{path.read_text('utf-8')}", "utf-8")
    settings = config.load("demo", root=root, environment={})
    settings.outputs.mkdir()
    shutil.copy(tracking_store, settings.outputs / "mlflow.db")
    at = runs.weeks_later("2023-05-08", 59)
    run = runs.make_run(settings, "20260101T000000-aaaa", at, estimator=LinearRegression())
    if request.param == "0d":
        labels = pd.read_parquet(run.path("labels"))
        labels[labels["timestamp"] < run.as_of - pd.Timedelta("7D")].to_parquet(run.path("labels"), index=False)
    return monitor.monitor_run(run, **RULES | runs.rules_of(settings)), settings.schema


def test_nothing_of_the_target_alerts(seen):
    found, schema = seen
    last = latest(found.drift)
    last = last[last["column"] == schema.target]
    assert set(last["status"]) <= {"unknown"}
    assert "missing" not in set(last["part"])
    assert [one.what for one in found.verdict.findings if one.area in ("target", "performance", "concept")] == []


def test_the_period_that_is_judged_is_the_last_whose_outcomes_are_due(seen):
    found, schema = seen
    figures = found.figures
    delay = config.duration(schema.label_delay)
    assert figures.latest["end"] <= pd.Timestamp(found.about.end) - delay
    later = figures.main[(figures.main["end"] > figures.latest["end"]) & figures.main["value"].notna()]
    assert later.empty or (later["end"] > figures.due).all()
    message = report.performance_over_time(found).message
    if not delay:
        assert "No outcome is known yet" in message
        assert figures.signed is None
    else:
        assert f"{figures.latest['end']:%-d %B %Y}, the last whose outcomes are due" in message
        assert figures.signed["end"] == figures.latest["end"]
    assert "nan" not in str(report.monitoring_answer(found))


def test_a_quiet_week_without_outcomes_says_so(seen):
    found, schema = seen
    if schema.label_delay == "0d" and not found.verdict.findings:
        assert found.verdict.headline.endswith("no outcome of the period is known yet.")

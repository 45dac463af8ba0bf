"""The demo's faults: each is found in its week, named by its column, and the quiet weeks before do not alert."""

import pytest

from quire import config, monitor

START = "2022-06-06"
TRAINED = 104
"""Weeks of data when the champion is trained, the last 8 and the current one not among its training rows."""

FAULT_WEEK = TRAINED + 4
FAULTS = {
    "sensor_bias": ("", "temp"),
    "unit_change": ("", "temp"),
    "missing_block": (", column: hum", "hum"),
    "new_category": ("", "weathersit"),
    "demand_shift": ("", "cnt"),
}

pytestmark = pytest.mark.slow


def settings_with(root, fault=""):
    source = f"kind: demo, start: {START}, hours: {24 * 7 * (FAULT_WEEK + 1)}, seed: 11{fault}"
    (root / "params" / "demo" / "config.yaml").write_text(f"title: Rentals\nsource: {{{source}}}\n", "utf-8")
    return config.load("demo", root=root, environment={})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, runs):
    """A project whose champion was trained before anything went wrong."""
    root = runs.make_project(tmp_path_factory.mktemp("faults"))
    runs.make_run(settings_with(root), "20260101T000000-aaaa", runs.weeks_later(START, TRAINED))
    return root


def test_quiet_weeks_before_the_fault_do_not_alert(trained, runs):
    settings = settings_with(trained)
    for week in range(TRAINED, FAULT_WEEK + 1, 2):
        run = runs.make_run(settings, f"20260102T0000{week % 60:02}-aaaa", runs.weeks_later(START, week), train=False)
        seen = monitor.monitor_run(run, **runs.rules_of(settings))
        assert [one.what for one in seen.verdict.findings if one.severity == "alert"] == [], week


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_in_its_week_and_named_by_its_column(trained, runs, kind):
    more, column = FAULTS[kind]
    at = runs.weeks_later(START, FAULT_WEEK)
    settings = settings_with(trained, f", faults: [{{kind: {kind}, at: {at}{more}}}]")
    run = runs.make_run(settings, f"20260103T000000-{kind[:4]}", runs.weeks_later(START, FAULT_WEEK + 1), train=False)
    seen = monitor.monitor_run(run, **runs.rules_of(settings))
    alerts = [one.what for one in seen.verdict.findings if one.severity == "alert"]
    assert seen.verdict.status == "bad"
    assert any(column in what for what in alerts), alerts

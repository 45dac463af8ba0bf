"""Monitoring works the second time: as of a later date, by another workflow, and after a run that failed."""

import json
import warnings

import pandas as pd
import pytest

from quire import monitor
from quire.report import Chart

NAMES = ("demo", "bikes", "churn", "segments", "people")


@pytest.fixture(scope="module", params=NAMES)
def runs(request, use_cases):
    return use_cases.runs(request.param)


def seen_of(executed):
    return executed.stages["monitor"].names["seen"]


def test_every_run_but_the_failed_one_was_monitored(runs):
    _, (trained, scored, failed, again) = runs
    assert "monitor" not in failed.stages
    for executed in (trained, scored, again):
        told = json.loads((executed.folder / "artifacts" / "monitor" / "monitoring.json").read_text("utf-8"))
        assert told["status"] in ("good", "warn", "bad")


def test_each_run_adds_its_period_to_the_history(runs):
    _, (trained, scored, _, again) = runs
    assert seen_of(trained).history.empty
    for earlier, executed in ((1, scored), (2, again)):
        seen = seen_of(executed)
        assert seen.history["end"].nunique() == earlier
        assert (pd.to_datetime(seen.history["end"], utc=True) < pd.Timestamp(seen.about.at)).all()


def test_the_history_chart_shows_every_period_once_in_order(runs):
    case, (_, _, _, again) = runs
    chart = next(
        value for value in again.stages["monitor"].values if isinstance(value, Chart) and "left_out" in value.frame
    )
    ends = chart.frame.groupby(["column", "part"])["end"]
    assert ends.apply(lambda one: one.is_monotonic_increasing and one.is_unique).all()
    assert chart.frame["end"].notna().all()
    if case.name in ("churn", "people"):
        assert ends.nunique().max() == 3


def test_every_chart_of_every_run_is_drawn_without_a_warning(runs):
    for executed in runs[1]:
        for shown in executed.stages.values():
            for value in shown.values:
                if isinstance(value, Chart):
                    with warnings.catch_warnings():
                        warnings.simplefilter("error")
                        assert "<svg" in value.html() or "<img" in value.html()


def test_what_was_kept_is_recalled_as_it_was(runs):
    case, (_, _, _, again) = runs
    with case.environment():
        recalled = monitor.recall(again.stages["monitor"].names["run"])
    seen = seen_of(again)
    assert recalled.about == seen.about
    assert recalled.verdict == seen.verdict
    assert recalled.figures.due == seen.figures.due


def test_nothing_missing_is_printed_as_a_number(runs):
    for executed in runs[1]:
        for shown in executed.stages.values():
            for value in shown.values:
                text = str(value)
                assert not pd.Series(text.split()).str.strip(".,;:()%").isin(["nan", "NaT", "inf", "e+02"]).any() or (
                    not isinstance(value, Chart)
                ), text

"""The shipped use cases, cut small: monitoring works the second time, and every sentence is true of its chart.

Each is trained, scored as of a later date, fails once, and is scored again, with the notebooks' own cells.
"""

import json
import re
import warnings

import pandas as pd
import pytest
from tests.report import claims
from tests.use_cases import UseCases

from quire import monitor
from quire.report import Answer, Chart

NAMES = ("demo", "bikes", "churn", "segments", "people")


@pytest.fixture(scope="module")
def use_cases(tmp_path_factory, tracking_store):
    return UseCases(tmp_path_factory.mktemp("use_cases"), tracking_store)


@pytest.fixture(scope="module", params=NAMES)
def runs(request, use_cases):
    return use_cases.runs(request.param)


def seen_of(executed):
    return executed.stages["monitor"].names["result"]


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
        recalled = monitor.load_result(again.stages["monitor"].names["run"])
    seen = seen_of(again)
    assert recalled.about == seen.about
    assert recalled.verdict == seen.verdict
    assert recalled.figures.due == seen.figures.due


def test_no_sentence_holds_what_is_missing_or_an_exponent(runs):
    for executed in runs[1]:
        for shown in executed.stages.values():
            for value in shown.values:
                if isinstance(value, Chart | Answer):
                    assert not re.search(r"\b(nan|NaN|NaT)\b|\de\+\d", str(value)), str(value)


def test_every_headline_of_the_shipped_use_cases_is_true_of_its_chart(runs):
    checked = set()
    for executed in runs[1]:
        for shown in executed.stages.values():
            for chart in shown.values:
                if isinstance(chart, Chart):
                    assert chart.frame is not None, chart.message
                    checked.add(claims.check(chart.message, chart.frame))
    assert len(checked) >= 15, checked


def test_the_answers_of_the_shipped_use_cases_say_what_their_frames_say(runs):
    for executed in runs[1]:
        if "monitor" not in executed.stages:
            continue
        seen = executed.stages["monitor"].names["result"]
        alerts = [one for one in seen.verdict.findings if one.severity == "alert"]
        assert seen.verdict.status == ("bad" if alerts else "warn" if seen.verdict.findings else "good")
        assert all("nan" not in one.what and "nan" not in one.sure for one in seen.verdict.findings)
        if not seen.verdict.findings:
            last = seen.drift[seen.drift["period"] == seen.drift["period"].max()]
            assert not last["status"].isin(["alert", "warn"]).any()
            assert f"{last.loc[last['status'] != 'unknown', 'column'].nunique()} column" in seen.verdict.headline

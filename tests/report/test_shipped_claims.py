"""Every sentence over a chart of the shipped use cases is true of the frame that is drawn."""

import pytest

from quire.report import Chart

from . import claims

USE_CASES = ("demo", "bikes", "churn", "segments", "people")


@pytest.mark.parametrize("name", USE_CASES)
def test_every_headline_of_the_shipped_use_cases_is_true_of_its_chart(use_cases, name):
    checked = set()
    for executed in use_cases.runs(name)[1]:
        for shown in executed.stages.values():
            for chart in shown.values:
                if isinstance(chart, Chart):
                    assert chart.frame is not None, chart.message
                    checked.add(claims.check(chart.message, chart.frame))
    assert len(checked) >= 15, checked


@pytest.mark.parametrize("name", USE_CASES)
def test_the_answers_of_the_shipped_use_cases_say_what_their_frames_say(use_cases, name):
    for executed in use_cases.runs(name)[1]:
        if "monitor" not in executed.stages:
            continue
        seen = executed.stages["monitor"].names["seen"]
        alerts = [one for one in seen.verdict.findings if one.severity == "alert"]
        assert seen.verdict.status == ("bad" if alerts else "warn" if seen.verdict.findings else "good")
        assert all("nan" not in one.what and "nan" not in one.sure for one in seen.verdict.findings)
        if not seen.verdict.findings:
            last = seen.drift[seen.drift["period"] == seen.drift["period"].max()]
            assert not last["status"].isin(["alert", "warn"]).any()
            assert f"{last.loc[last['status'] != 'unknown', 'column'].nunique()} column" in seen.verdict.headline

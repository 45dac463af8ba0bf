"""The monitoring page's parts, on what monitoring finds in simulated weeks."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quire import report
from quire.monitor.verdict import judge


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "monitor.py"
    spec = importlib.util.spec_from_file_location("monitor_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def champion(benchmark):
    return benchmark.make_champion(300)


@pytest.fixture(scope="module")
def quiet(benchmark, champion):
    return benchmark.look(benchmark.make(300, 1, benchmark.END, 1), champion, {})


@pytest.fixture(scope="module")
def broken(benchmark, champion):
    """A week in which n1 moved by two standard deviations and twice as much happened as before."""
    frame = benchmark.make(300, 1, benchmark.END, 1)
    frame = frame.assign(n1=frame["n1"] + 2, y=frame["y"] * 3 + 4)
    return benchmark.look(frame, champion, {})


def test_a_quiet_week_says_so_and_every_part_is_drawn(benchmark, quiet):
    parts = benchmark.draw(quiet)
    assert "Nothing unusual" in parts[0]
    assert sum("<svg" in part for part in parts) >= 7


def test_the_answer_counts_what_drifted_and_gives_the_realised_error(broken):
    answer = report.monitoring_answer(broken)
    assert answer.status == "bad"
    assert answer.metrics["columns_drifted"] >= 1
    assert answer.metrics["mae"] == pytest.approx(broken.figures.main["value"].iloc[-1])


def test_each_finding_is_a_sentence_under_its_status_the_worst_first(broken):
    html = report.findings_table(broken).html
    assert html.index("larger than on the test window") < html.index("n1 differs from training")
    assert 'quire-bad">alert' in html
    assert "likely cause:" in html


def test_nothing_found_is_said_in_words(quiet):
    assert "nothing to report" in str(report.findings_table(quiet))


def test_a_title_says_which_column_alerts_and_which_did_before(broken):
    assert "n1" in report.drift_overview(broken).message
    assert "n1 and y alerted in 1 of 9 periods" in report.drift_history(broken).message


def test_the_history_shows_and_names_the_part_of_a_column_that_alerted(quiet):
    past = quiet.drift.assign(end=quiet.drift["end"] - pd.Timedelta(weeks=60), status="ok")
    past.loc[past[past["column"] == "n1"].index[-1], ["part", "status"]] = ["zeros", "alert"]
    chart = report.drift_history(replace(quiet, history=past))
    assert chart.message.startswith("n1 (zeros) alerted in 1 of")
    titles = {chart.figure.axes[0].get_title(loc) for loc in ("left", "center")}  # the house style puts it left
    assert "n1 (zeros)" in titles


def test_the_line_of_estimates_is_not_drawn_across_weeks_that_nobody_saw(benchmark, quiet):
    estimated = quiet.figures.estimated.copy()
    estimated.loc[:3, ["start", "end"]] -= pd.Timedelta(weeks=30)
    apart = replace(quiet, figures=replace(quiet.figures, estimated=estimated))
    whole, broken = (report.performance_over_time(seen).figure.axes[0].lines for seen in (quiet, apart))
    assert len(broken) == len(whole) + 1


def test_the_limit_of_a_worse_error_is_relative_as_the_change_is(benchmark, broken):
    found = judge(broken.drift, broken.checks, broken.figures, benchmark.SCHEMA).findings
    worse = next(one for one in found if one.area == "performance")
    last = broken.figures.main.iloc[-1]
    assert worse.limit == pytest.approx(last["usual"] / last["expected"] - 1)
    assert worse.size > worse.limit


def test_without_labels_the_estimate_is_told(quiet):
    periods = quiet.figures.periods.assign(value=np.nan)
    unlabelled = replace(quiet, figures=replace(quiet.figures, periods=periods))
    assert "is estimated at" in report.performance_over_time(unlabelled).message


def test_without_labelled_rows_no_segment_is_shown(quiet):
    empty = replace(quiet, figures=replace(quiet.figures, segments=quiet.figures.segments.head(0)))
    assert "enough labelled rows" in str(report.segments_chart(empty))

"""Tests of the evaluation report, for each kind of task."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from quire import report
from quire.config import Decision, Gate, Schema, Search
from quire.model import evaluate, fit_candidate, judge

COLUMNS = '"at": {"type": "datetime", "role": "timestamp"}, "x": {"type": "number"}, "side": {"type": "category"}'
TARGETS = {
    "regression": '"y": {"type": "number", "role": "target", "unit": "kg"}',
    "binary": '"y": {"type": "category", "role": "target"}',
    "multiclass": '"y": {"type": "category", "role": "target"}',
}


def rows(task, seed, count=500):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, count)
    raw = x + rng.normal(0, 0.7, count)
    y = raw + 10 if task == "regression" else np.digitize(raw, [0] if task == "binary" else [-0.5, 0.5]).astype(str)
    return pd.DataFrame(
        {
            "at": pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC") + seed * pd.Timedelta(f"{count}h"),
            "x": x,
            "side": pd.Series(rng.choice(["left", "right"], count), dtype="str"),
            "y": y if task == "regression" else pd.Series(y, dtype="str"),
        }
    )


@pytest.fixture(scope="module", params=TARGETS)
def judged(request):
    task = request.param
    positive = '"positive": 1, ' if task == "binary" else ""
    schema = Schema.model_validate_json(
        f'{{"task": "{task}", {positive}"segments": ["side"], "columns": {{{COLUMNS}, {TARGETS[task]}}}}}'
    )
    train, test = rows(task, 0), rows(task, 1)
    good, other = (
        fit_candidate(part, schema, "linear", Search(trials=1, folds=2)).pipeline for part in (train, train.head(60))
    )
    return schema, evaluate(good, other, train, test, schema, version="7", resamples=60)


def test_the_answer_says_what_became_of_the_candidate(judged):
    _, found = judged
    alone = dataclasses.replace(found, champion=None, over_champion=None, champion_version="", same=False)
    verdict = judge(alone, Gate(max_segment_loss=None))
    assert verdict.promote
    promoted = report.evaluation.answer(alone, verdict, verdict.record(promoted=True, version="8"))
    assert promoted.status == "good"
    assert promoted.headline.startswith("Version 8 is the new champion.")
    for why_not in ("by hand", "--no-publish", "--try"):
        held_back = report.evaluation.answer(alone, verdict, verdict.record(promoted=False, held_back=why_not))
        assert f"Not promoted: {why_not}." in held_back.headline
    manual = judge(alone, Gate(approval="manual", max_segment_loss=None))
    waiting = report.evaluation.answer(alone, manual, manual.record(promoted=False))
    assert waiting.status == "neutral"
    assert "`quire promote`" in waiting.headline
    refused = judge(found, Gate(min_gain=5.0))
    kept = report.evaluation.answer(found, refused, refused.record(promoted=False, version="7"))
    assert kept.status == "warn"
    assert kept.headline.endswith("Version 7 stays champion.")


def test_the_reasons_and_all_metrics_are_tabled(judged):
    _, found = judged
    verdict = judge(found, Gate(min_gain=5.0))
    text = report.evaluation.reasons_table(verdict).html
    assert "quire-bad" in text
    assert "champion" in text
    table = str(report.evaluation.metrics_table(found))
    assert all(name in table for name in found.candidate.test)


def test_every_chart_has_a_message_of_its_data(judged):
    schema, found = judged
    charts = [
        report.evaluation.contenders(found),
        report.evaluation.segments(found, 0.1),
        report.evaluation.importance(found),
        report.residuals.errors(found, schema, Decision(rule="cost")),
        report.residuals.honesty(found, schema),
    ]
    messages = [chart.message for chart in charts]
    assert len(set(messages)) == len(charts)
    assert "relies most on x" in messages[2]
    assert all("<svg" in chart.html() or "<img" in chart.html() for chart in charts)


def test_without_a_champion_the_charts_show_the_candidate_alone(judged):
    _, found = judged
    alone = dataclasses.replace(
        found, champion=None, over_champion=None, segments=found.segments.assign(loss=np.nan, champion=np.nan)
    )
    assert "no champion to compare with" in report.evaluation.contenders(alone).message
    assert "The error is largest where" in report.evaluation.segments(alone).message


def test_errors_are_shown_as_the_task_has_them(judged):
    schema, found = judged
    chart = report.residuals.errors(dataclasses.replace(found, times=None), schema)
    starts = {"regression": "Nine of ten errors", "binary": "From ", "multiclass": "Most often "}
    assert chart.message.startswith(starts[found.task])

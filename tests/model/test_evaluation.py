"""Tests of the evaluation, and of what the gate makes of it."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from quire.config import Gate, Search
from quire.errors import ConfigError, DataError
from quire.model import complete_card, evaluate, fit_candidate, judge, model_input
from quire.model.bootstrap import Interval

SEARCH = Search(trials=1, folds=2)


@pytest.fixture(scope="module")
def good(hourly_parts, hourly_schema):
    return fit_candidate(hourly_parts[0], hourly_schema, search=SEARCH).pipeline


@pytest.fixture(scope="module")
def bad(hourly_parts, hourly_schema):
    """A model that learned from labels that were mixed up."""
    train = hourly_parts[0]
    mixed = train.assign(demand=train["demand"].sample(frac=1, random_state=0).to_numpy())
    return fit_candidate(mixed, hourly_schema, search=Search(trials=1, folds=2)).pipeline


@pytest.fixture(scope="module")
def coarse(hourly_parts, hourly_schema):
    """A model of three trees: worse than a good one, better than nothing."""
    space = {"max_iter": [12]}
    return fit_candidate(hourly_parts[0], hourly_schema, search=Search(trials=1, folds=2, space=space)).pipeline


@pytest.fixture(scope="module")
def judged(hourly_parts, hourly_schema):
    def against(candidate, champion, gate=None, **changes):
        found = evaluate(candidate, champion, *hourly_parts, hourly_schema, version="3" if champion else "")
        found = dataclasses.replace(found, **changes)
        return found, judge(found, gate or Gate())

    return against


def rules(verdict, holds):
    return [reason.rule for reason in verdict.reasons if reason.holds is holds]


def test_a_first_good_candidate_is_promoted(judged, good):
    found, verdict = judged(good, None)
    assert verdict.promote
    assert found.over_champion is None
    assert "There is no champion yet" in verdict.reasons[1].text


def test_a_candidate_that_learned_nothing_is_refused_by_the_baseline(judged, bad):
    found, verdict = judged(bad, None)
    assert found.baseline.name == "the same hour a week earlier"
    assert not verdict.promote
    assert rules(verdict, False) == ["baseline"]


def test_a_worse_candidate_does_not_replace_a_good_champion(judged, good, coarse):
    found, verdict = judged(coarse, good)
    assert found.over_champion["r2"].high < 0
    assert not verdict.promote
    assert "champion" in rules(verdict, False)
    assert any("worse than the champion for sure, version 3" in reason.text for reason in verdict.reasons)
    assert "segment" in rules(verdict, False)


def test_a_better_candidate_replaces_the_champion(judged, good, coarse):
    found, verdict = judged(good, coarse)
    assert found.over_champion["r2"].low > 0
    assert verdict.promote
    assert rules(verdict, False) == []


def test_the_champion_itself_is_recognised(judged, good):
    found, verdict = judged(good, good)
    assert found.same
    assert (verdict.promote, verdict.same, verdict.status) == (False, True, "good")
    assert "is the champion (version 3)" in verdict.headline


def test_a_champion_of_other_features_is_said_and_not_compared(judged, good, hourly_parts, hourly_schema):
    X = model_input(hourly_parts[0], hourly_schema).drop(columns="temperature")
    from sklearn.dummy import DummyRegressor

    odd = DummyRegressor().fit(X.assign(rain=1.0), hourly_parts[0]["demand"].astype(float))
    found, verdict = judged(good, odd)
    assert found.champion is None
    assert "It needs rain" in found.problem
    assert "not trained on temperature" in found.problem
    assert (verdict.passed, verdict.promote) == (True, False)
    assert any("The champion cannot be judged" in reason.text for reason in verdict.reasons)


def test_a_champion_that_has_seen_the_test_rows_is_noted(judged, good, hourly_parts, hourly_schema):
    late = fit_candidate(pd.concat(hourly_parts, ignore_index=True), hourly_schema, search=SEARCH).pipeline
    found, verdict = judged(good, late)
    assert "the comparison favours it" in found.notes[0]
    assert any(reason.note for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("gate", "gain", "promoted"),
    [
        (Gate(), (0.01, -0.01, 0.03), True),
        (Gate(), (-0.001, -0.01, 0.01), False),
        (Gate(undecided="promote"), (-0.001, -0.01, 0.01), True),
        (Gate(undecided="promote"), (-0.02, -0.03, -0.01), False),
        (Gate(min_gain=0.02), (0.01, 0.005, 0.015), False),
        (Gate(min_gain=0.02), (0.03, 0.01, 0.05), True),
    ],
)
def test_the_gain_over_the_champion_decides(judged, good, coarse, gate, gain, promoted):
    found, _ = judged(good, coarse)
    changed = dataclasses.replace(found, over_champion={**found.over_champion, "r2": Interval(*gain)})
    assert judge(changed, gate).promote is promoted


def test_floors_and_ceilings_are_kept(judged, good):
    _, verdict = judged(good, None, Gate(floor={"r2": 0.999}, ceiling={"mae": 1000.0}))
    assert rules(verdict, False) == ["floor"]
    assert "misses the floor of 0.999" in verdict.headline
    _, verdict = judged(good, None, Gate(ceiling={"mae": 0.001}))
    assert rules(verdict, False) == ["ceiling"]


@pytest.mark.parametrize("gate", [Gate(metric="auc"), Gate(floor={"auc": 0.5})])
def test_a_gate_on_an_unknown_metric_is_an_error(judged, good, gate):
    with pytest.raises(ConfigError, match="known for a regression task"):
        judged(good, None, gate)


def test_a_segment_that_loses_for_sure_refuses_unless_it_is_small_or_allowed(judged, good, coarse):
    found, _ = judged(good, coarse)
    segments = found.segments.copy()
    segments.loc[0, ["loss", "loss_low", "loss_high"]] = [0.3, 0.2, 0.4]
    lost = dataclasses.replace(found, segments=segments)
    assert rules(judge(lost, Gate()), False) == ["segment"]
    assert "is 30% above the champion's" in judge(lost, Gate()).headline
    assert judge(lost, Gate(max_segment_loss=0.5)).promote
    assert judge(lost, Gate(max_segment_loss=None)).promote
    assert judge(lost, Gate(min_segment_rows=int(segments["rows"][0]) + 1)).promote
    segments.loc[0, "loss_low"] = -0.1
    assert judge(dataclasses.replace(found, segments=segments), Gate()).promote


def test_a_person_is_asked_where_params_say_so(judged, good):
    _, verdict = judged(good, None, Gate(approval="manual"))
    assert (verdict.passed, verdict.promote, verdict.status) == (True, False, "neutral")


def test_the_same_arguments_give_the_same_figures_to_the_last_digit(judged, good, coarse):
    first, second = (judged(good, coarse)[0] for _ in range(2))
    assert first.record() == second.record()
    pd.testing.assert_frame_equal(first.segments, second.segments, check_exact=True)
    pd.testing.assert_frame_equal(first.importance, second.importance, check_exact=True)


def test_the_record_is_json_and_has_what_the_design_says(judged, good, coarse):
    found, verdict = judged(good, coarse)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    for name in ("candidate", "champion", "baseline"):
        assert set(record[name]["test"]) == {"r2", "mae", "rmse"}
        r2 = record[name]["test"]["r2"]
        assert r2["low"] <= r2["value"] <= r2["high"]
    outcome = json.loads(json.dumps(verdict.record(promoted=True, version="4")))
    assert {"promote", "promoted", "version", "reasons"} <= set(outcome)


def test_what_matters_comes_first_in_the_importance(judged, good):
    found, _ = judged(good, None)
    assert found.importance["feature"][0] == "at_hour"
    assert found.importance["importance"].is_monotonic_decreasing


def test_segments_are_declared_important_and_time(judged, good, coarse, hourly_parts):
    found, _ = judged(good, coarse)
    assert list(dict.fromkeys(found.segments["why"])) == ["declared", "important", "time"]
    rows = found.segments.groupby("column")["rows"].sum()
    assert set(rows) == {len(hourly_parts[1])}
    whole = found.candidate.test["mae"].value
    declared = found.segments[found.segments["why"] == "declared"]
    assert np.average(declared["candidate"], weights=declared["rows"]) == pytest.approx(whole)


def test_test_rows_without_a_target_are_refused(good, hourly_parts, hourly_schema):
    lost = hourly_parts[1].assign(demand=pd.array([4, None] * (len(hourly_parts[1]) // 2), dtype="Int64"))
    with pytest.raises(DataError, match="demand is missing in 336 of 672 rows of test"):
        evaluate(good, None, hourly_parts[0], lost, hourly_schema)


def test_the_card_tells_figures_limits_and_reasons(judged, good, coarse):
    found, verdict = judged(good, coarse)
    card = complete_card("# Demand\n", found, verdict)
    assert card.startswith("# Demand\n")
    assert "| r2 |" in card
    assert "Where it errs most" in card
    assert verdict.headline in card


def test_a_classification_is_judged_with_its_threshold(customer_parts, customer_schema):
    pipeline = fit_candidate(customer_parts[0], customer_schema, "linear", SEARCH).pipeline
    found = evaluate(pipeline, None, *customer_parts, customer_schema)
    assert found.baseline.test["roc_auc"].value == 0.5
    assert found.threshold == pipeline.threshold_
    assert 0 <= found.calibration_error < 0.2
    assert judge(found, Gate()).promote


def test_many_classes_are_judged(customer_parts, multiclass_schema):
    pipeline = fit_candidate(customer_parts[0], multiclass_schema, "linear", SEARCH).pipeline
    found = evaluate(pipeline, None, *customer_parts, multiclass_schema)
    assert set(found.candidate.test) == {"log_loss", "roc_auc_ovr", "accuracy", "f1_macro"}
    assert np.isfinite(found.over_baseline["log_loss"].value)

"""Tests of the gate's evidence: enough rows, data that keeps its rules, draws and metrics that can be computed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from quire.config import Gate, Search
from quire.data.quality import Check, QualityReport
from quire.model import complete_card, evaluate, fit_candidate, judge, model_input
from quire.model.bootstrap import Interval
from quire.model.own_rows import OwnRows

SEARCH = Search(trials=1, folds=2)


@pytest.fixture(scope="module")
def customer_model(customer_parts, customer_schema):
    return fit_candidate(customer_parts[0], customer_schema, "linear", SEARCH).pipeline


@pytest.fixture(scope="module")
def plan_model(customer_parts, multiclass_schema):
    return fit_candidate(customer_parts[0], multiclass_schema, "linear", SEARCH).pipeline


@pytest.fixture(scope="module")
def demand_model(hourly_parts, hourly_schema):
    return fit_candidate(hourly_parts[0], hourly_schema, search=SEARCH).pipeline


def positives(frame, count, column="leaves", label="yes"):
    """The frame with ``count`` rows of a class, and all others."""
    rare = frame[column] == label
    return pd.concat([frame[~rare], frame[rare].head(count)], ignore_index=True)


def broken(verdict):
    return [reason.text for reason in verdict.reasons if not reason.holds]


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (0, "0 positive rows in test: nothing can be said of 'yes'"),
        (1, "1 positive row in test: nothing can be said of 'yes'; at least 10 are asked (gate.min_positives)"),
        (9, "9 positive rows in test: nothing can be said"),
    ],
)
def test_too_few_positives_refuse_with_and_without_a_champion(
    customer_model, customer_parts, customer_schema, count, sentence
):
    train, test = customer_parts[0], positives(customer_parts[1], count)
    worse = DummyClassifier(strategy="prior").fit(model_input(train, customer_schema), train["leaves"])
    for champion in (None, worse):
        found = evaluate(customer_model, champion, train, test, customer_schema, version="1", resamples=60)
        verdict = judge(found, Gate())
        assert not verdict.passed
        assert sentence in verdict.headline
        json.dumps([found.record(), verdict.record(promoted=False)], allow_nan=False)
        assert "nan" not in complete_card("", found, verdict)


def test_enough_positives_pass_and_the_least_number_can_be_set(customer_model, customer_parts, customer_schema):
    found = evaluate(customer_model, None, *customer_parts, customer_schema, resamples=60)
    assert judge(found, Gate()).promote
    assert not judge(found, Gate(min_positives=400)).promote


def test_too_few_negatives_are_too_few_as_well(customer_model, customer_parts, customer_schema):
    test = positives(customer_parts[1], 2, label="no")
    found = evaluate(customer_model, None, customer_parts[0], test, customer_schema, resamples=60)
    assert any("2 negative rows in test" in text for text in broken(judge(found, Gate())))


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows of class 'large'"), (1, "1 row of class 'large' in test")])
def test_too_few_rows_of_a_class_refuse(plan_model, customer_parts, multiclass_schema, count, text):
    test = positives(customer_parts[1], count, "plan", "large")
    found = evaluate(plan_model, None, customer_parts[0], test, multiclass_schema, resamples=60)
    assert any(text in reason for reason in broken(judge(found, Gate())))
    assert not any("of class" in reason for reason in broken(judge(found, Gate(min_class_rows=0))))


def test_several_rare_classes_are_named_together(plan_model, customer_parts, multiclass_schema):
    test = positives(positives(customer_parts[1], 1, "plan", "large"), 2, "plan", "small")
    found = evaluate(plan_model, None, customer_parts[0], test, multiclass_schema, resamples=60)
    assert any("1 of 'large', 2 of 'small'" in text for text in broken(judge(found, Gate())))


@pytest.mark.parametrize("rows", [3, 19])
def test_too_few_test_rows_refuse(demand_model, hourly_parts, hourly_schema, rows):
    found = evaluate(demand_model, None, hourly_parts[0], hourly_parts[1].head(rows), hourly_schema, resamples=60)
    assert f"{rows} test rows: nothing can be said" in judge(found, Gate()).headline
    assert not any("test rows:" in text for text in broken(judge(found, Gate(min_test_rows=2))))


def test_a_table_of_a_few_hundred_rows_can_be_promoted(make, customer_schema):
    frame = make.customers(300)
    train, test = frame.iloc[:240].reset_index(drop=True), frame.iloc[240:].reset_index(drop=True)
    model = fit_candidate(train, customer_schema, "linear", SEARCH).pipeline
    assert judge(evaluate(model, None, train, test, customer_schema), Gate()).promote


def test_a_constant_target_is_judged_by_what_it_defines_and_the_rest_is_said(demand_model, hourly_parts, hourly_schema):
    flat = hourly_parts[1].assign(demand=pd.array([4] * len(hourly_parts[1]), dtype="Int64"))
    found = evaluate(demand_model, None, hourly_parts[0], flat, hourly_schema, resamples=60)
    assert found.metric == "mae"
    assert found.undefined == {"r2": "the target is 4 in all 672 rows"}
    verdict = judge(found, Gate(floor={"r2": 0.5}, ceiling={"mae": 1e6}))
    assert not verdict.passed
    assert "r2 cannot be computed on the test rows, the target is 4 in all 672 rows" in verdict.headline
    assert any("The floor of 0.5 cannot be judged" in text for text in broken(verdict))
    assert found.record()["candidate"]["test"]["r2"]["value"] is None


def test_a_gain_without_an_interval_does_not_beat_the_baseline(demand_model, hourly_parts, hourly_schema):
    found = evaluate(demand_model, None, *hourly_parts, hourly_schema, resamples=60)
    gain = Interval(0.4, np.nan, np.nan, draws=400, undefined=312)
    verdict = judge(replace(found, over_baseline={**found.over_baseline, "r2": gain}), Gate())
    assert "r2 cannot be computed in 312 of 400 draws, so it has no interval" in verdict.headline
    some = Interval(0.4, 0.3, 0.5, draws=400, undefined=12)
    verdict = judge(replace(found, over_baseline={**found.over_baseline, "r2": some}), Gate())
    assert any("leaves out 12 of 400 draws" in reason.text for reason in verdict.reasons)


def test_positives_of_one_day_give_no_interval(make):
    columns = {
        "at": {"type": "datetime", "role": "timestamp"},
        "x": {"type": "number"},
        "y": {"type": "category", "role": "target", "categories": ["no", "yes"]},
    }
    schema = make.schema({"task": "binary", "positive": "yes", "columns": columns})
    at = pd.date_range("2026-01-01", periods=60 * 24, freq="h", tz="UTC").as_unit("us")
    rng, spread = np.random.default_rng(0), np.where(rng_places(len(at)), "yes", "no")
    train = pd.DataFrame({"at": at, "x": rng.normal(size=len(at)) + (spread == "yes"), "y": spread})
    y = np.where(np.arange(len(at)) // 24 == 30, "yes", "no")
    test = pd.DataFrame({"at": at + pd.Timedelta("60D"), "x": rng.normal(size=len(at)) + 2 * (y == "yes"), "y": y})
    model = fit_candidate(train, schema, "linear", SEARCH).pipeline
    found = evaluate(model, None, train, test, schema, resamples=200)
    assert found.candidate.test["roc_auc"].undefined > 40
    assert not found.candidate.test["roc_auc"].is_known
    assert found.record()["candidate"]["undefined_draws"]["roc_auc"] == found.candidate.test["roc_auc"].undefined
    assert "of 200 draws" in judge(found, Gate()).headline


def rng_places(rows):
    return np.random.default_rng(1).random(rows) < 0.1


def quality(*checks):
    """The artifact as validation saves it, read back from JSON."""
    rows = [
        Check(part, "size", kind, {"min_value": 0}, severity, "warn", share=share, rows=int(share * 1000))
        for part, kind, severity, share in checks
    ]
    return json.loads(json.dumps(QualityReport(tuple(rows)).to_json()))


BETWEEN = "expect_column_values_to_be_between"


@pytest.mark.parametrize(
    ("check", "refused"),
    [
        (("history", BETWEEN, "warn", 0.5), True),
        (("history", BETWEEN, "warn", 0.11), True),
        (("train", "readable_as_the_type", "warn", 0.3), True),
        (("history", BETWEEN, "fail", 0.05), False),
        (("history", BETWEEN, "warn", 0.1), False),
        (("current", BETWEEN, "warn", 0.9), False),
        (("train", "rows_in_every_period", "warn", 0.9), False),
    ],
)
def test_data_of_which_much_breaks_its_rules_is_refused(demand_model, hourly_parts, hourly_schema, check, refused):
    found = evaluate(demand_model, None, *hourly_parts, hourly_schema, resamples=60)
    verdict = judge(found, Gate(), quality(check))
    assert verdict.promote is not refused
    if refused:
        assert "The data breaks its own rules, size:" in verdict.headline
        assert f"({check[3]:.0%}) break it" in verdict.headline
        assert judge(found, Gate(max_rule_breaks=1.0), quality(check)).promote


def test_what_mostly_allows_to_break_a_rule_does_not_count(demand_model, hourly_parts, hourly_schema):
    found = evaluate(demand_model, None, *hourly_parts, hourly_schema, resamples=60)
    artifact = quality(("history", BETWEEN, "warn", 0.45))
    artifact["checks"][0]["kwargs"]["mostly"] = 0.6
    assert judge(found, Gate(), artifact).promote
    assert not judge(found, Gate(max_rule_breaks=0.01), artifact).promote


def test_an_error_that_is_larger_than_the_baselines_is_noted(customer_model, customer_parts, customer_schema):
    found = evaluate(customer_model, None, *customer_parts, customer_schema, resamples=60)
    worse = replace(found, over_baseline={**found.over_baseline, "log_loss": Interval(-0.4, -0.5, -0.3)})
    assert not any("larger than the naive baseline's" in reason.text for reason in judge(found, Gate()).reasons)
    notes = [reason.text for reason in judge(worse, Gate()).reasons if reason.note]
    assert any(text.startswith("Its log_loss of") and "for sure larger" in text for text in notes)


def test_a_run_without_validation_is_judged_and_says_so(demand_model, hourly_parts, hourly_schema):
    verdict = judge(evaluate(demand_model, None, *hourly_parts, hourly_schema, resamples=60), Gate())
    assert verdict.promote
    assert any(reason.note and "No validation was part of this run" in reason.text for reason in verdict.reasons)


@pytest.fixture(scope="module")
def other_seed(hourly_parts, hourly_schema):
    """A model whose fingerprint is another, and whose predictions are the same."""
    return fit_candidate(hourly_parts[0], hourly_schema, search=SEARCH, seed=9).pipeline


@pytest.mark.parametrize("undecided", ["keep", "promote"])
def test_a_model_that_predicts_the_same_is_no_gain(demand_model, other_seed, hourly_parts, hourly_schema, undecided):
    assert demand_model.fingerprint_ != other_seed.fingerprint_
    found = evaluate(other_seed, demand_model, *hourly_parts, hourly_schema, version="2", resamples=60)
    verdict = judge(found, Gate(undecided=undecided))
    assert (verdict.promote, verdict.same) == (False, True)
    assert "predicts the same as the champion (version 2) on all 672 test rows" in verdict.headline


@pytest.mark.parametrize(
    ("scores", "promoted"),
    [((0.91512, 0.91512), False), ((0.915121, 0.915119), False), ((0.9152, 0.9151), True), ((1.5e-5, 1.4e-5), True)],
)
def test_a_score_that_is_the_champions_to_four_digits_is_no_gain(
    demand_model, other_seed, hourly_parts, hourly_schema, scores, promoted
):
    found = evaluate(other_seed, demand_model, *hourly_parts, hourly_schema, version="2", resamples=60)
    own, other = (replace(found.candidate, test={**found.candidate.test, "r2": Interval(s, s, s)}) for s in scores)
    gain = scores[0] - scores[1]
    over = {**found.over_champion, "r2": Interval(gain, -1.0, 1.0)}
    close = replace(found, predicts_same=False, candidate=own, champion=other, over_champion=over)
    assert judge(close, Gate()).promote is promoted
    assert judge(close, Gate(undecided="promote")).promote


@pytest.mark.parametrize(
    ("choice", "passed", "promoted"), [("ask", True, False), ("keep", False, False), ("promote", True, True)]
)
def test_a_champion_that_cannot_be_judged_is_not_replaced_unseen(
    demand_model, hourly_parts, hourly_schema, choice, passed, promoted
):
    train, test = hourly_parts
    odd = DummyRegressor().fit(model_input(train, hourly_schema).assign(rain=1.0), train["demand"].astype(float))
    found = evaluate(demand_model, odd, train, test, hourly_schema, version="4", resamples=60)
    verdict = judge(found, Gate(incomparable=choice))
    assert (verdict.passed, verdict.promote) == (passed, promoted)
    assert "The champion cannot be judged: It needs rain" in verdict.headline
    gone = OwnRows(test, hourly_schema, "rain cannot be read from the source again")
    found = evaluate(demand_model, odd, train, test, hourly_schema, champion_rows=gone, version="4", resamples=60)
    assert "rain cannot be read" in judge(found, Gate()).headline


def test_a_champion_of_other_features_is_judged_on_its_own_rows(demand_model, hourly_parts, make):
    columns = {
        name: column for name, column in make.HOURLY["columns"].items() if name not in ("temperature", "weather")
    }
    before = make.schema(make.HOURLY, columns=columns)
    train, test = hourly_parts
    older = fit_candidate(train, before, search=SEARCH).pipeline
    now = make.schema(make.HOURLY)
    found = evaluate(demand_model, older, train, test, now, champion_rows=OwnRows(test, before), version="1")
    assert found.problem == ""
    assert found.over_champion["r2"].low > 0
    assert judge(found, Gate()).promote


def test_classes_that_a_contender_never_learned_are_noted(plan_model, customer_parts, multiclass_schema):
    train = customer_parts[0]
    fewer = fit_candidate(train[train["plan"] != "small"], multiclass_schema, "linear", SEARCH).pipeline
    found = evaluate(plan_model, fewer, *customer_parts, multiclass_schema, version="1", resamples=60)
    assert any("The champion has never learned the class 'small'" in note for note in found.notes)
    assert found.over_champion["log_loss"].low > 0
    swapped = evaluate(fewer, plan_model, *customer_parts, multiclass_schema, version="1", resamples=60)
    assert any("The candidate has never learned the class 'small'" in note for note in swapped.notes)
    assert not judge(swapped, Gate()).promote

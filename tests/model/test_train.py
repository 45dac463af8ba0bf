"""Tests of fitting a candidate."""

import numpy as np
import pandas as pd
import pytest

from quire.config import Decision, Search
from quire.errors import ConfigError, DataError
from quire.model import fit_candidate, measure, outcomes

QUICK = Search(trials=2, folds=2, space={"max_iter": [40]})


@pytest.fixture(scope="module")
def candidate(hourly_parts, hourly_schema):
    return fit_candidate(hourly_parts[0], hourly_schema, search=QUICK)


def test_the_same_rows_and_arguments_give_the_same_model_to_the_last_digit(candidate, hourly_parts, hourly_schema):
    again = fit_candidate(hourly_parts[0], hourly_schema, search=QUICK)
    assert again.metrics == candidate.metrics
    assert again.fingerprint == candidate.fingerprint
    first, second = (measure(outcomes(one.pipeline, hourly_parts[1], hourly_schema)) for one in (candidate, again))
    assert first == second
    pd.testing.assert_frame_equal(again.out_of_fold, candidate.out_of_fold, check_exact=True)


def test_other_rows_or_parameters_have_another_fingerprint(candidate, hourly_parts, hourly_schema):
    fewer = fit_candidate(hourly_parts[0].iloc[:-1], hourly_schema, search=QUICK)
    other = fit_candidate(hourly_parts[0], hourly_schema, search=Search(trials=1, folds=2, space={"max_iter": [41]}))
    assert len({candidate.fingerprint, fewer.fingerprint, other.fingerprint}) == 3


def test_the_order_of_the_rows_does_not_matter_where_time_gives_one(candidate, hourly_parts, hourly_schema):
    shuffled = hourly_parts[0].sample(frac=1, random_state=3)
    again = fit_candidate(shuffled, hourly_schema, search=QUICK)
    assert again.fingerprint == candidate.fingerprint
    pd.testing.assert_frame_equal(again.out_of_fold.sort_index(), candidate.out_of_fold, check_exact=True)


def test_it_learns(candidate, hourly_parts, hourly_schema):
    assert candidate.metrics["r2"] > 0.5
    assert measure(outcomes(candidate.pipeline, hourly_parts[1], hourly_schema))["r2"] > 0.6


def test_neither_the_target_nor_an_ignored_column_is_learned_from(candidate, hourly_parts, hourly_schema):
    assert candidate.features == ("at_hour", "at_weekday", "temperature", "weather", "workday")
    spoilt = hourly_parts[0].assign(note=hourly_parts[0]["demand"].astype("str"))
    assert fit_candidate(spoilt, hourly_schema, search=QUICK).fingerprint == candidate.fingerprint


def test_out_of_fold_predictions_cover_every_row_and_are_honest(candidate, hourly_parts, hourly_schema):
    train = hourly_parts[0]
    assert list(candidate.out_of_fold.index) == list(train.index)
    assert candidate.out_of_fold["prediction"].notna().all()
    fitted = measure(outcomes(candidate.pipeline, train, hourly_schema))["mae"]
    assert measure(candidate.outcomes)["mae"] > fitted


def test_the_pipeline_carries_its_facts(candidate, hourly_parts):
    assert candidate.pipeline.fingerprint_ == candidate.fingerprint
    assert candidate.pipeline.trained_until_ == candidate.window["end"]
    assert candidate.window["end"] == hourly_parts[0]["at"].max().isoformat()


def test_the_record_has_no_frames_and_no_pipeline(candidate):
    record = candidate.record()
    assert {"estimator", "params", "metrics", "features", "fingerprint", "window"} <= set(record)
    assert not any(isinstance(value, pd.DataFrame) for value in record.values())
    assert "pipeline" not in record


def test_best_searches_every_estimator(hourly_parts, hourly_schema):
    found = fit_candidate(hourly_parts[0].tail(800), hourly_schema, "best", Search(trials=1, folds=2))
    assert set(found.trials["estimator"]) == {"linear", "random_forest", "hist_gradient_boosting"}
    assert found.estimator == found.trials["estimator"][0]
    assert found.trials["chosen"].tolist() == [True, False, False]


def test_a_binary_task_gets_a_threshold_from_rows_not_learned_from(customer_parts, customer_schema):
    found = fit_candidate(customer_parts[0], customer_schema, "linear", Search(trials=1, folds=3))
    assert 0 < found.threshold < 1
    assert found.pipeline.threshold_ == found.threshold
    said = found.out_of_fold["probability"] >= found.threshold
    assert (found.out_of_fold["prediction"] == "yes").tolist() == said.tolist()
    fixed = Decision(rule="fixed", threshold=0.9)
    other = fit_candidate(customer_parts[0], customer_schema, "linear", Search(trials=1, folds=3), decision=fixed)
    assert other.threshold == 0.9
    assert other.fingerprint != found.fingerprint


def test_many_classes_are_told_apart(customer_parts, multiclass_schema):
    found = fit_candidate(customer_parts[0], multiclass_schema, search=Search(trials=1, folds=3))
    assert list(found.out_of_fold) == ["prediction", "probability_large", "probability_middle", "probability_small"]
    np.testing.assert_allclose(found.out_of_fold.iloc[:, 1:].sum(axis=1), 1)
    assert found.scoring == "log_loss"


def test_a_target_with_one_class_is_refused(customer_parts, customer_schema):
    frame = customer_parts[0].assign(leaves="no")
    with pytest.raises(DataError, match=r"leaves is 'no' in all 1000 rows of train"):
        fit_candidate(frame, customer_schema)


def test_a_class_that_is_not_the_positive_one_is_refused(customer_parts, customer_schema):
    frame = customer_parts[0].assign(leaves=customer_parts[0]["leaves"].replace("yes", "Yes"))
    with pytest.raises(DataError, match=r"positive: 'yes'. Did you mean 'Yes'"):
        fit_candidate(frame, customer_schema)


def test_a_missing_target_is_refused(hourly_parts, hourly_schema):
    frame = hourly_parts[0].copy()
    frame.loc[3, "demand"] = pd.NA
    with pytest.raises(DataError, match=r"demand is missing in 1 of 1680 rows.*on_missing: drop"):
        fit_candidate(frame, hourly_schema)


def test_wrong_arguments_are_refused_before_anything_is_fitted(hourly_parts, hourly_schema):
    with pytest.raises(ConfigError, match="Did you mean 'linear'"):
        fit_candidate(hourly_parts[0], hourly_schema, "linaer")
    with pytest.raises(ConfigError, match=r"train.search.scoring is 'auc'; known for a regression task"):
        fit_candidate(hourly_parts[0], hourly_schema, search=Search(scoring="auc"))

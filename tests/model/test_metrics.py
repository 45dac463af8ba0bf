"""Tests of metrics: each value is held to scikit-learn's, with weights as without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from quire.errors import ConfigError
from quire.model.metrics import METRICS, Outcomes, check_metric, measure, row_errors, undefined_metrics

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(5, 60)


def draw(seed, rows, task):
    """Random outcomes with ties, and whole weights of which some are zero."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, rows).astype(float)
    if task == "regression":
        truth = rng.normal(100, 30, rows)
        return Outcomes(task, truth, truth + rng.normal(0, 10, rows)), weights + 1
    classes = 2 if task == "binary" else 3
    truth = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
    weights[:classes] = 1
    probability = np.round(rng.dirichlet(np.ones(classes), rows), 1) + 0.01
    probability /= probability.sum(axis=1, keepdims=True)
    names = tuple("abc"[:classes])
    return Outcomes(task, truth, probability.argmax(axis=1), probability, names), weights


def expected(found, weights):
    """The same metrics by scikit-learn."""
    truth, prediction, probability = found.truth, found.prediction, found.probability
    w = {"sample_weight": weights}
    if found.task == "regression":
        return {
            "r2": reference.r2_score(truth, prediction, **w),
            "mae": reference.mean_absolute_error(truth, prediction, **w),
            "rmse": reference.root_mean_squared_error(truth, prediction, **w),
        }
    shared = {
        "log_loss": reference.log_loss(truth, probability, labels=range(len(found.classes)), **w),
        "accuracy": reference.accuracy_score(truth, prediction, **w),
    }
    if found.task == "multiclass":
        aucs = [reference.roc_auc_score(truth == at, probability[:, at], **w) for at in range(len(found.classes))]
        macro = reference.f1_score(truth, prediction, average="macro", zero_division=0, **w)
        return shared | {"f1_macro": macro, "roc_auc_ovr": np.mean(aucs)}
    score = probability[:, 1]
    return shared | {
        "roc_auc": reference.roc_auc_score(truth, score, **w),
        "average_precision": reference.average_precision_score(truth, score, **w),
        "brier": reference.brier_score_loss(truth, score, **w),
        "f1": reference.f1_score(truth, prediction, zero_division=0, **w),
        "precision": reference.precision_score(truth, prediction, zero_division=0, **w),
        "recall": reference.recall_score(truth, prediction, zero_division=0, **w),
    }


@pytest.mark.parametrize("task", METRICS)
@given(seed=seeds, rows=sizes)
@settings(max_examples=40, deadline=None)
def test_every_metric_is_that_of_scikit_learn(task, seed, rows):
    found, weights = draw(seed, rows, task)
    assert measure(found) == pytest.approx(expected(found, np.ones(rows)), abs=1e-9)
    weighted = {name: float(value[0]) for name, value in measure(found, weights=weights[None]).items()}
    assert weighted == pytest.approx(expected(found, weights), abs=1e-9)


@given(seed=seeds, rows=sizes)
@settings(max_examples=30, deadline=None)
def test_weighing_rows_is_repeating_them(seed, rows):
    found, weights = draw(seed, rows, "binary")
    repeated = found.take(np.repeat(np.arange(rows), weights.astype(int)))
    weighted = {name: float(value[0]) for name, value in measure(found, weights=weights[None]).items()}
    assert weighted == pytest.approx(measure(repeated), abs=1e-9)


def test_one_class_has_no_roc_auc():
    found = Outcomes("binary", np.ones(4, int), np.ones(4, int), np.full((4, 2), 0.5), ("a", "b"))
    assert np.isnan(measure(found, ("roc_auc",))["roc_auc"])


def test_r2_of_large_numbers_keeps_its_digits():
    truth = 1e9 + np.arange(10.0)
    found = Outcomes("regression", truth, truth + np.tile([0.1, -0.1], 5))
    assert measure(found)["r2"] == pytest.approx(reference.r2_score(truth, found.prediction), rel=1e-6)


def test_a_metric_that_is_no_mean_of_rows_has_no_row_errors():
    found, _ = draw(0, 20, "regression")
    assert row_errors(found, "r2") is None
    assert row_errors(found, "mae").mean() == pytest.approx(measure(found)["mae"])


def test_an_unknown_metric_is_named_with_the_near_one():
    with pytest.raises(ConfigError, match=r"is 'roc_acu'; known for a binary task: .*Did you mean 'roc_auc'"):
        check_metric("roc_acu", "binary", where="params.yaml: evaluate.gate.metric")
    assert check_metric("", "multiclass", where="") == "log_loss"


@pytest.mark.parametrize(
    ("truth", "error"),
    [([5.0, 5.0, 5.0], 1.0), ([1e-300, 2e-300, 3e-300], 1.0), ([1e-20, 2e-20, 0.0], 1e30), ([0.0, 1e-9, 0.0], 1e6)],
)
def test_r2_is_undefined_where_the_target_is_constant_beside_the_errors(truth, error):
    found = Outcomes("regression", np.array(truth), np.array(truth) + error)
    assert np.isnan(measure(found)["r2"])
    assert "the target is" in undefined_metrics(found)["r2"]


@pytest.mark.parametrize("scale", [1e-100, 1e-9, 1.0, 1e30])
def test_r2_is_the_same_on_any_scale(scale):
    truth, prediction = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    found = Outcomes("regression", truth * scale, prediction * scale)
    assert measure(found)["r2"] == pytest.approx(reference.r2_score(truth, prediction))

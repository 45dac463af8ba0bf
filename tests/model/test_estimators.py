"""Tests of the estimators to choose from."""

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from quire.errors import ConfigError
from quire.model import NAMES, model_input, target_values
from quire.model.estimators import DEFAULTS, SPACES, build_pipeline, check_name, check_space, target_kind
from quire.model.features import columns_with_gaps, known_categories
from quire.model.search import few_threads


def fitted(name, frame, schema):
    X, y = model_input(frame, schema), target_values(frame, schema)
    kind = target_kind(schema, y)
    pipeline = build_pipeline(name, schema, known_categories(X, schema), kind=kind, gaps=columns_with_gaps(X))
    with few_threads(len(X)):
        return pipeline.fit(X, y), X


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_is_a_column_transformer_and_an_estimator(make, hourly_schema, name):
    pipeline, _ = fitted(name, make.hourly(2), hourly_schema)
    assert list(pipeline.named_steps) == ["features", "model"]
    assert isinstance(pipeline["features"], ColumnTransformer)
    names = {part for part, _, _ in pipeline["features"].transformers_}
    assert names <= {"numbers", "categories", "category_gaps", "gaps", "calendar", "trend", "many", "remainder"}


@pytest.mark.parametrize("name", NAMES)
def test_missing_values_and_unknown_categories_are_predicted_for(make, hourly_schema, name):
    pipeline, X = fitted(name, make.hourly(2), hourly_schema)
    strange = X.head(4).copy()
    strange.loc[0, "temperature"] = np.nan
    strange.loc[1, "weather"] = "hail"
    strange.loc[2, ["weather", "workday"]] = np.nan
    strange.loc[3, "at_hour"] = np.nan
    assert np.isfinite(pipeline.predict(strange)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_column_with_one_value_or_none_does_no_harm(make, hourly_schema, name):
    frame = make.hourly(2).assign(temperature=np.nan, workday=True)
    pipeline, X = fitted(name, frame, hourly_schema)
    assert np.isfinite(pipeline.predict(X)).all()
    frame = make.hourly(2).assign(temperature=4.0)
    pipeline, X = fitted(name, frame, hourly_schema)
    assert np.isfinite(pipeline.predict(X)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column", ["temperature", "weather", "workday"])
def test_a_column_that_begins_late_can_be_learned_from_before(make, hourly_schema, name, column):
    frame = make.hourly(4)
    frame.loc[: len(frame) // 2, column] = None
    X, y = model_input(frame, hourly_schema), target_values(frame, hourly_schema)
    categories, kind = known_categories(X, hourly_schema), target_kind(hourly_schema, y)
    pipeline = build_pipeline(name, hourly_schema, categories, kind=kind, gaps=columns_with_gaps(X))
    early = len(frame) // 2
    with few_threads(len(X)):
        predicted = pipeline.fit(X[:early], y[:early]).predict(X[early:])
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_many_categories_are_encoded_by_the_mean_of_the_target(make, name, task):
    rng = np.random.default_rng(0)
    towns = [f"town {at}" for at in range(300)]
    frame = make.customers(2000).assign(town=rng.choice(towns, 2000), spent=rng.gamma(2, 10, 2000))
    target = {"regression": "spent", "binary": "leaves", "multiclass": "plan"}[task]
    columns = {
        "months": {"type": "integer"},
        "town": {"type": "text"},
        target: {"type": "number" if task == "regression" else "category", "role": "target"},
    }
    schema = make.schema(make.CUSTOMERS, task=task, positive="yes" if task == "binary" else None, columns=columns)
    pipeline, X = fitted(name, frame, schema)
    assert "many" in pipeline["features"].named_transformers_
    assert len(pipeline.predict(X.head(3).assign(town="nowhere"))) == 3


def test_predictions_of_a_count_are_never_negative(make, hourly_schema):
    for name in NAMES:
        pipeline, X = fitted(name, make.hourly(2), hourly_schema)
        assert pipeline.predict(X.assign(temperature=-80.0)).min() >= 0


def test_a_target_that_may_be_negative_is_no_count(make, hourly_schema):
    columns = {**make.HOURLY["columns"], "demand": {"type": "number", "role": "target"}}
    free = make.schema(make.HOURLY, columns=columns)
    assert target_kind(free, np.array([1.0, 2.0])) == "regression"
    assert target_kind(hourly_schema, np.array([0.0, 2.0])) == "count"
    assert target_kind(hourly_schema, np.zeros(3)) == "regression"


def test_a_trend_is_not_bent_beyond_what_was_seen(make):
    columns = {**make.HOURLY["columns"], "at": {"type": "datetime", "role": "timestamp", "calendar": ["elapsed_days"]}}
    schema = make.schema(make.HOURLY, columns=columns)
    frame = make.hourly(8)
    frame["demand"] = np.round(20 * np.exp(np.arange(len(frame)) / 2000)).astype(int)
    pipeline, _ = fitted("linear", frame.head(6 * 168), schema)
    later = model_input(frame.tail(168), schema)
    assert pipeline.predict(later).mean() == pytest.approx(frame["demand"].tail(168).mean(), rel=0.1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["regression", "count", "classification"])
def test_every_default_and_space_is_of_parameters_that_the_estimator_takes(name, kind):
    check_space((name,), kind, SPACES[name][kind])
    check_space((name,), kind, {key: [value] for key, value in DEFAULTS[name][kind].items()})


def test_an_unknown_estimator_is_named_with_the_near_one():
    with pytest.raises(ConfigError, match=r"train.estimator is 'random_forrest'.*Did you mean 'random_forest'"):
        check_name("random_forrest")


def test_an_unknown_parameter_in_the_space_is_named_with_the_near_one():
    with pytest.raises(
        ConfigError, match=r"'learning_rat', which hist_gradient_boosting.*Did you mean 'learning_rate'"
    ):
        check_space(("hist_gradient_boosting",), "count", {"learning_rat": [0.1]})
    with pytest.raises(ConfigError, match="max_iter is an empty list"):
        check_space(("hist_gradient_boosting",), "count", {"max_iter": []})


def test_pipelines_hold_no_code_of_ours(make, hourly_schema):
    pipeline, _ = fitted("linear", make.hourly(2), hourly_schema)
    assert isinstance(pipeline, Pipeline)
    for _, transformer, _ in pipeline["features"].transformers_:
        assert type(transformer).__module__.startswith("sklearn") or isinstance(transformer, str)

"""Tests of predictions."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from quire.errors import ModelError
from quire.model import model_input, predict, target_values


@pytest.fixture
def yes_or_no(make, customer_schema):
    frame = make.customers(200)
    return DummyClassifier().fit(model_input(frame, customer_schema), target_values(frame, customer_schema)), frame


def test_a_regression_predicts_numbers_with_the_rows_index(make, hourly_schema):
    frame = make.hourly(1).set_index(np.arange(168) + 500)
    pipeline = DummyRegressor().fit(model_input(frame, hourly_schema), target_values(frame, hourly_schema))
    found = predict(pipeline, frame.drop(columns="demand"), hourly_schema)
    assert list(found) == ["prediction"]
    assert list(found.index) == list(frame.index)


def test_the_threshold_of_the_pipeline_decides(yes_or_no, customer_schema):
    pipeline, frame = yes_or_no
    share = (frame["leaves"] == "yes").mean()
    for threshold, expected in ((share - 0.01, "yes"), (share, "yes"), (share + 0.01, "no")):
        pipeline.threshold_ = threshold
        found = predict(pipeline, frame, customer_schema)
        assert set(found["prediction"]) == {expected}
        assert found["probability"].tolist() == pytest.approx([share] * len(frame))


def test_many_classes_have_a_probability_each(make, multiclass_schema):
    frame = make.customers(100)
    X, y = model_input(frame, multiclass_schema), target_values(frame, multiclass_schema)
    found = predict(DummyClassifier().fit(X, y), frame, multiclass_schema)
    assert list(found) == ["prediction", "probability_large", "probability_middle", "probability_small"]


def test_no_rows_give_no_predictions(yes_or_no, customer_schema):
    pipeline, frame = yes_or_no
    found = predict(pipeline, frame.head(0), customer_schema)
    assert list(found) == ["prediction", "probability"]
    assert len(found) == 0


def test_a_model_of_other_features_or_classes_is_refused_in_words(make, yes_or_no, customer_schema, hourly_schema):
    pipeline, frame = yes_or_no
    with pytest.raises(
        ModelError, match=r"It needs months, plan.*It was not trained on at_hour.*the task is regression"
    ):
        predict(pipeline, make.hourly(1), hourly_schema)
    other = make.schema(make.CUSTOMERS, positive="no")
    assert predict(pipeline, frame, other)["probability"].iloc[0] == pytest.approx((frame["leaves"] == "no").mean())
    X = model_input(frame, customer_schema)
    renamed = DummyClassifier().fit(X, np.where(frame["leaves"] == "yes", "Yes", "No"))
    with pytest.raises(ModelError, match=r"tells apart No, Yes; positive is 'yes'. Did you mean 'Yes'"):
        predict(renamed, frame, customer_schema)


def test_the_same_features_in_another_order_are_refused(make, customer_schema):
    frame = make.customers(50)
    X = model_input(frame, customer_schema)[["plan", "months"]]
    with pytest.raises(ModelError, match="same features in another order"):
        predict(DummyClassifier().fit(X, frame["leaves"].to_numpy(object)), frame, customer_schema)

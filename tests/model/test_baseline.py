"""Tests of the naive baseline."""

import numpy as np
import pandas as pd
import pytest

from quire.model.baseline import baseline_outcomes


def test_it_is_the_same_hour_a_week_earlier(make, hourly_schema, hourly_parts):
    train, test = hourly_parts
    found, name = baseline_outcomes(train, test, hourly_schema)
    assert name == "the same hour a week earlier"
    everything = pd.concat(hourly_parts)["demand"].to_numpy(float)
    np.testing.assert_array_equal(found.prediction, everything[len(train) - 168 : -168])


def test_a_label_that_comes_later_is_taken_from_an_earlier_week(make, hourly_parts):
    _, name = baseline_outcomes(*hourly_parts, make.schema(make.HOURLY, label_delay="9d"))
    assert name == "the same hour 2 weeks earlier"


def test_a_missing_week_is_filled_with_the_mean(hourly_schema, hourly_parts):
    train, test = hourly_parts
    found, _ = baseline_outcomes(train.iloc[:-5], test, hourly_schema)
    assert found.prediction[163:168] == pytest.approx([train["demand"].iloc[:-5].mean()] * 5)


def test_several_series_are_kept_apart(make):
    columns = {"town": {"type": "text", "role": "key"}, **make.HOURLY["columns"]}
    schema = make.schema(make.HOURLY, columns=columns)
    one, two = make.hourly(3).assign(town="a"), make.hourly(3, seed=1).assign(town="b")
    both = pd.concat([one, two]).sort_values("at", kind="stable", ignore_index=True)
    found, _ = baseline_outcomes(both.head(4 * 168), both.tail(2 * 168), schema)
    expected = both.iloc[2 * 168 : 4 * 168]["demand"].to_numpy(float)
    np.testing.assert_array_equal(found.prediction, expected)


def test_with_nothing_a_week_earlier_it_is_the_mean(hourly_schema, hourly_parts):
    train, test = hourly_parts[0].head(500), hourly_parts[1].head(100)
    found, name = baseline_outcomes(train, test, hourly_schema)
    assert name == "the mean of train"
    assert set(found.prediction) == {train["demand"].mean()}


def test_classes_get_their_shares(customer_schema, customer_parts):
    found, _ = baseline_outcomes(*customer_parts, customer_schema)
    assert found.score == pytest.approx((customer_parts[0]["leaves"] == "yes").mean())

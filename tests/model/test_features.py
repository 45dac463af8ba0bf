"""Tests of what a model is given."""

import numpy as np
import pandas as pd
import pytest

from quire.errors import ModelError
from quire.model import input_names, model_input, target_values
from quire.model.features import known_categories


def test_numbers_are_floats_and_the_rest_is_text_or_nan(make, hourly_schema):
    frame = make.hourly(1).assign(weather=pd.Series(["dry", None] * 84, dtype="str"))
    X = model_input(frame, hourly_schema)
    assert X["temperature"].dtype == np.float64
    assert set(map(type, X["workday"])) == {str}
    assert set(X["workday"]) == {"true", "false"}
    assert X["weather"].iloc[0] == "dry"
    assert np.isnan(X["weather"].iloc[1])


def test_a_missing_integer_becomes_nan(make, customer_schema):
    frame = make.customers(3)
    frame.loc[1, "months"] = pd.NA
    assert np.isnan(model_input(frame, customer_schema)["months"].iloc[1])


def test_target_key_and_ignored_columns_are_never_features(make, hourly_schema, customer_schema):
    assert list(model_input(make.hourly(1), hourly_schema)) == [
        "at_hour",
        "at_weekday",
        "temperature",
        "weather",
        "workday",
    ]
    assert list(model_input(make.customers(5), customer_schema)) == ["months", "plan"]


def test_calendar_parts_are_of_local_time(make):
    schema = make.schema(make.HOURLY, timezone="Asia/Tokyo")
    frame = make.hourly(1).head(1)  # Monday 00:00 UTC is Monday 09:00 in Tokyo.
    X = model_input(frame, schema)
    assert X[["at_hour", "at_weekday"]].iloc[0].tolist() == [9.0, 0.0]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("hour", 13.5), ("weekday", 5), ("month", 2), ("day_of_year", 59), ("is_weekend", 1), ("hour_of_week", 133),
        ("elapsed_days", 20512),
    ],
)  # fmt: skip
def test_each_calendar_part_has_its_value(make, part, expected):
    columns = {**make.HOURLY["columns"], "at": {"type": "datetime", "role": "timestamp", "calendar": [part]}}
    frame = make.hourly(1).head(1).assign(at=pd.Timestamp("2026-02-28T13:30", tz="UTC"))
    assert model_input(frame, make.schema(make.HOURLY, columns=columns))[f"at_{part}"].item() == expected


def test_a_datetime_without_parts_becomes_days_and_a_missing_one_nan(make):
    columns = {"since": {"type": "datetime"}, "leaves": make.CUSTOMERS["columns"]["leaves"]}
    schema = make.schema(make.CUSTOMERS, columns=columns)
    frame = pd.DataFrame({"since": pd.to_datetime(["1970-01-03", None], utc=True)})
    assert model_input(frame, schema)["since_elapsed_days"].tolist() == pytest.approx([2.0, np.nan], nan_ok=True)


def test_a_missing_feature_is_named_with_the_near_column(make, hourly_schema):
    with pytest.raises(ModelError, match=r"lack the feature temperature.*Did you mean 'temperatur'"):
        model_input(make.hourly(1).rename(columns={"temperature": "temperatur"}), hourly_schema)


def test_the_names_are_those_of_the_input(make, hourly_schema):
    numbers, texts = input_names(hourly_schema)
    X = model_input(make.hourly(1), hourly_schema)
    assert sorted([*numbers, *texts]) == sorted(X)
    assert all(X[name].dtype == np.float64 for name in numbers)


def test_labels_of_requests_are_read_as_those_of_the_snapshot(customer_schema):
    frame = pd.DataFrame({"months": [3], "plan": [1.0]})
    assert model_input(frame, customer_schema)["plan"].item() == "1"


def test_categories_keep_the_schemas_order_and_numbers_theirs(make, customer_schema):
    X = model_input(make.customers(50), customer_schema)
    assert known_categories(X, customer_schema)["plan"] == ["small", "middle", "large"]
    columns = {**make.CUSTOMERS["columns"], "plan": {"type": "category"}}
    odd = X.assign(plan=np.array(["10", "9", "b", "a", np.nan], dtype=object)[np.arange(50) % 5])
    assert known_categories(odd, make.schema(make.CUSTOMERS, columns=columns))["plan"] == ["9", "10", "a", "b"]


def test_the_target_of_a_classification_is_text(make, customer_schema, hourly_schema):
    assert set(target_values(make.customers(50), customer_schema)) == {"no", "yes"}
    assert target_values(make.hourly(1), hourly_schema).dtype == np.float64

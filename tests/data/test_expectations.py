import subprocess
import sys

import pandas as pd
import pytest

from quire.data import expectations
from quire.data.rules import Rule
from quire.errors import ConfigError

FRAME = pd.DataFrame(
    {
        "number": [0.1, 0.5, None, 7.0],
        "whole": pd.Series([1, 2, None, 4], dtype="Int64"),
        "flag": pd.Series([True, None, False, True], dtype="boolean"),
        "kind": pd.Series(["a", "b", None, "z"], dtype="str"),
        "at": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-04"], utc=True),
        "empty": pd.Series([None] * 4, dtype="float64"),
    }
)


def run(column, kind, **kwargs):
    return expectations.run_suite(FRAME, [Rule("all", column, kind, kwargs)])[0]


@pytest.mark.parametrize(
    ("column", "kind", "kwargs", "share"),
    [
        ("number", "expect_column_values_to_be_between", {"min_value": 0, "max_value": 1}, 1 / 3),
        ("number", "expect_column_values_to_not_be_null", {}, 1 / 4),
        ("whole", "expect_column_values_to_be_between", {"max_value": 3}, 1 / 3),
        ("flag", "expect_column_values_to_not_be_null", {}, 1 / 4),
        ("kind", "expect_column_values_to_be_in_set", {"value_set": ["a", "b"]}, 1 / 3),
        ("at", "expect_column_values_to_be_unique", {}, 2 / 4),
        ("at", "expect_column_values_to_be_between", {"min_value": "2024-01-02T00:00:00+00:00"}, 1 / 4),
    ],
)
def test_the_dtypes_of_the_snapshot_are_judged_and_what_breaks_a_rule_is_counted(column, kind, kwargs, share):
    outcome = run(column, kind, **kwargs)
    assert not outcome.success
    assert outcome.share == pytest.approx(share)
    assert outcome.rows == round(share * FRAME[column].notna().sum()) or "null" in kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("number", "float64"),
        ("whole", "int64"),
        ("flag", "bool"),
        ("kind", "str"),
        ("at", "Timestamp"),
        ("empty", "float64"),
    ],
)
def test_types_are_those_of_the_frame_contract(column, kind):
    assert run(column, "expect_column_values_to_be_of_type", type_=kind).success


def test_many_rules_come_back_in_their_order_even_if_some_are_alike():
    given = [
        Rule("all", "number", "expect_column_values_to_be_between", {"max_value": 9}),
        Rule("all", None, "expect_table_row_count_to_be_between", {"min_value": 5}),
        Rule("all", "number", "expect_column_values_to_be_between", {"max_value": 9}),
        Rule("all", "kind", "expect_column_values_to_be_in_set", {"value_set": ["a"], "mostly": 0.3}),
        Rule("all", "kind", "expect_column_values_to_be_in_set", {"value_set": ["a"], "mostly": 0.5}),
    ]
    outcomes = expectations.run_suite(FRAME, given)
    assert [outcome.success for outcome in outcomes] == [True, False, True, True, False]
    assert outcomes[1].observed == 4


@pytest.mark.parametrize(
    ("column", "kind", "kwargs", "message"),
    [
        (
            "number",
            "expect_column_values_to_be_betwen",
            {},
            "has no expectation .*Did you mean 'expect_column_values_to_be_between'",
        ),
        (
            "number",
            "expect_column_values_to_be_between",
            {"minvalue": 1},
            "takes no argument 'minvalue'.*Did you mean 'min_value'",
        ),
        ("number", "expect_column_values_to_be_between", {}, "min_value and max_value cannot both be None"),
        (
            "number",
            "expect_column_mean_to_be_between",
            {"min_value": "x"},
            "number: expect_column_mean_to_be_between: min_value",
        ),
        ("other", "expect_column_mean_to_be_between", {"min_value": 1}, "cannot be computed on all: .*other"),
        (None, "expect_table_row_count_to_equal", {"value": 4, "mostly": 0.5}, "takes no argument 'mostly'"),
    ],
)
def test_a_rule_that_cannot_be_computed_is_told(column, kind, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        run(column, kind, **kwargs)


def test_a_rule_about_rows_is_told_from_one_about_the_whole():
    assert expectations.is_about_rows("expect_column_values_to_be_between")
    assert expectations.is_about_rows("expect_column_pair_values_a_to_be_greater_than_b")
    assert not expectations.is_about_rows("expect_column_mean_to_be_between")


def test_great_expectations_is_quiet_and_does_not_bring_what_is_not_needed():
    code = """
import sys, pandas as pd
from quire.data import expectations
from quire.data.rules import Rule
assert "great_expectations" not in sys.modules
frame = pd.DataFrame({"x": [1.0]})
expectations.run_suite(frame, [Rule("all", "x", "expect_column_values_to_not_be_null")])
print([name for name in ("rfc3987_syntax", "boto3") if name in sys.modules])
import os, boto3
print(os.environ["GX_ANALYTICS_ENABLED"], boto3.__name__)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "false", "boto3"]
    assert done.stderr == ""

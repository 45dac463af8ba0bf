import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.config import Column
from quire.data import typed

messy = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(["", " ", "NA", "n/a", "abc", "1e400", "-", "inf", "1.5", " 2 ", "yes", "No", "2024-02-30"]),
        st.floats(allow_nan=False, allow_infinity=False).map(str),
        st.integers(-(2**62), 2**62).map(str),
        st.dates().map(str),
        st.text(max_size=8),
    ),
    max_size=30,
)
columns = st.sampled_from(
    [
        Column(type="number"),
        Column(type="integer"),
        Column(type="boolean"),
        Column(type="boolean", categories=("No", "yes")),
        Column(type="category"),
        Column(type="category", categories=(1, "abc")),
        Column(type="datetime"),
        Column(type="datetime", format="%Y-%m-%d"),
    ]
)


def text(*values):
    return pd.Series(values, dtype="str", name="x")


@given(messy, columns)
def test_every_missing_value_is_accounted_for(values, column):
    raw = text(*values)
    reading = typed.read(raw, column)
    empty = (raw.isna() | (raw == "")).to_numpy()
    told = np.zeros(len(raw), int) + empty
    for rule in ("blank", "marker", "unparsable"):
        told += reading.found.get(rule, np.zeros(len(raw), bool))
    assert list(told) == list(reading.values.isna().astype(int))


@given(messy, columns)
def test_a_typed_column_has_the_dtype_of_the_frame_contract_and_is_left_alone_when_read_again(values, column):
    dtypes = {"number": "float64", "integer": "Int64", "boolean": "boolean", "category": "str"}
    reading = typed.read(text(*values), column)
    assert str(reading.values.dtype) == dtypes.get(column.type, "datetime64[us, UTC]")
    plain = column.model_copy(update={"categories": ()}) if column.type == "boolean" else column
    again = typed.read(reading.values, plain)
    pd.testing.assert_series_equal(again.values, reading.values)
    assert not any(rows.any() for rule, rows in again.found.items() if rule != "unknown")


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1))
def test_integers_keep_every_digit(values):
    assert typed.read_integer(text(*map(str, values))).values.tolist() == values


@given(st.lists(st.floats(-1e38, 1e38), min_size=1))
def test_numbers_keep_every_digit(values):
    assert typed.read_number(text(*map(repr, values))).values.tolist() == values


@pytest.mark.parametrize("value", [4e38, -1e39, 1e200, -1.7e308, float("inf"), float("-inf")])
@pytest.mark.parametrize("written", [pd.Series, lambda values: text(*map(repr, values))], ids=["numbers", "text"])
def test_a_number_that_no_model_can_square_is_unparsable(written, value):
    reading = typed.read_number(written([1.0, value, -3e38]))
    assert reading.values.isna().tolist() == [False, True, False]
    assert reading.found["unparsable"].tolist() == [False, True, False]


def test_decimal_comma_is_read_where_the_source_says_so():
    assert typed.read_number(text("1,5", "2"), typed.Notation(",")).values.tolist() == [1.5, 2.0]


def test_decimals_of_a_database_are_numbers():
    raw = pd.Series([decimal.Decimal("1.25"), None], dtype=object)
    assert typed.read_number(raw).values.tolist()[0] == 1.25


@pytest.mark.parametrize(("value", "expected"), [("3.0", 3), ("3", 3), (" 4", 4), ("1e3", 1000)])
def test_whole_numbers_are_integers_however_they_are_written(value, expected):
    assert typed.read_integer(text(value)).values.tolist() == [expected]


def test_a_fraction_is_no_integer():
    reading = typed.read_integer(text("3.5", "3"))
    assert reading.found["unparsable"].tolist() == [True, False]


def test_infinity_is_no_number():
    assert typed.read_number(pd.Series([np.inf, 1.0])).found["unparsable"].tolist() == [True, False]


@pytest.mark.parametrize("raw", [text("1", "2"), text("1.0", " 2"), pd.Series([1, 2]), pd.Series([1.0, 2.0])])
def test_one_category_has_one_spelling(raw):
    reading = typed.read_category(raw, ("1", "2"))
    assert reading.values.tolist() == ["1", "2"]
    assert not reading.found.get("unknown", np.zeros(2, bool)).any()


def test_an_unknown_category_is_marked_and_kept():
    reading = typed.read_category(text("north", "nrth", None), ("north",))
    assert reading.values.tolist()[:2] == ["north", "nrth"]
    assert reading.found["unknown"].tolist() == [False, True, False]


def test_none_can_be_a_category():
    assert typed.read_category(text("None", "NA")).values.tolist() == ["None", "NA"]


def test_a_boolean_takes_its_two_labels_and_no_others():
    reading = typed.read_boolean(text("No", "Yes", "maybe", ""), ("No", "Yes"))
    assert reading.values.tolist()[:2] == [False, True]
    assert reading.found["unparsable"].tolist() == [False, False, True, False]


def test_a_boolean_of_numbers_takes_its_labels():
    assert typed.read_boolean(pd.Series([0, 1]), ("0", "1")).values.tolist() == [False, True]
    assert typed.read_boolean(pd.Series([2, 1]), ("2", "1")).values.tolist() == [False, True]


def test_a_bare_number_is_no_date():
    assert typed.read_datetime(pd.Series([20240131]), None, timezone="UTC").found["unparsable"].tolist() == [True]


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (pd.Series([20240131]), "%Y%m%d"),
        (text("31/01/2024"), "%d/%m/%Y"),
        (text("2024-01-31"), None),
        (text("2024-01-31T00:00:00Z"), None),
        (text("2024-01-31T02:00:00+02:00"), None),
        (pd.Series([1706659200]), "unix"),
        (pd.Series([1706659200000]), "unix_ms"),
        (pd.Series(pd.to_datetime(["2024-01-31"])), None),
        (pd.Series(pd.to_datetime(["2024-01-31"]).date), None),
    ],
    ids=str,
)
def test_dates_are_read_as_utc(raw, form):
    values = typed.read_datetime(raw, form, timezone="UTC").values
    assert values.dt.strftime("%Y-%m-%dT%H:%M%z").tolist() == ["2024-01-31T00:00+0000"]


def test_some_texts_with_a_zone_and_some_without():
    reading = typed.read_datetime(text("2024-07-01T12:00:00Z", "2024-07-01T12:00:00"), None, timezone="Europe/Paris")
    assert reading.values.dt.hour.tolist() == [12, 10]


def test_the_hour_that_the_clock_repeats_is_summer_time_then_winter_time():
    wall = pd.Series(pd.to_datetime(["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:30", "2024-10-27 03:30"]))
    times, found = typed.to_utc(wall, "Europe/Paris")
    assert times.dt.strftime("%d %H:%M").tolist() == ["26 23:30", "27 00:30", "27 01:30", "27 02:30"]
    assert found["ambiguous"].tolist() == [False, True, True, False]
    assert not found["nonexistent"].any()


def test_the_hour_that_the_clock_leaves_out_moves_forward_by_the_gap():
    wall = pd.Series(pd.to_datetime(["2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30", None]))
    times, found = typed.to_utc(wall, "Europe/Paris")
    assert times.dt.strftime("%H:%M").tolist()[:3] == ["00:30", "01:30", "01:30"]
    assert found["nonexistent"].tolist() == [False, True, False, False]
    assert pd.isna(times[3])


def test_an_empty_column_is_read():
    for kind in ("number", "integer", "boolean", "category", "datetime", "text"):
        assert len(typed.read(text(), Column(type=kind)).values) == 0
        assert typed.read(text(None, None), Column(type=kind)).values.isna().all()

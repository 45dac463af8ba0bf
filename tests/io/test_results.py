"""What is saved as JSON comes back as it was, or is refused with its place and what to do."""

import enum
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quire.errors import ArtifactError
from quire.io import results


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: float
    parts: tuple


def back(value):
    return results.loads(results.dumps(value, name="x"))


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "ä\u2028", [], {}, [1, [2, {"a": None}]], math.inf, 10**30,
        {1: "a", "1": "b"}, {True: 1, None: 2, 2.5: 3}, {("a", 1): {"b": {2: 3}}}, {"__quire__": "dict"}, {"": {"": 0}},
    ],
)  # fmt: skip
def test_plain_values_come_back_equal_and_of_their_type(value):
    result = back(value)
    assert result == value
    assert repr(result) == repr(value)


def test_nan_stays_nan_wherever_it_is():
    assert math.isnan(back({"r2": math.nan})["r2"])
    assert math.isnan(back([{"a": [np.float32("nan")]}])[0]["a"][0])


def test_scalars_of_numpy_are_numbers_of_python_also_as_keys():
    value = {"a": {"b": [np.int64(3), np.float32(0.5), np.bool_(True), np.str_("x")]}, np.int64(7): 1}
    result = back(value)
    assert result == {"a": {"b": [3, 0.5, True, "x"]}, 7: 1}
    assert [type(item) for item in result["a"]["b"]] == [int, float, bool, str]
    assert [type(key) for key in result] == [str, int]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3.0), np.eye(2, dtype="float32"), np.array([], "int8"), np.array(5), np.zeros((0, 2)),
        np.array(["a", "bc"]), np.array([1.5, np.nan]), np.array([True]),
        np.array(["2020-01-01", "NaT"], "datetime64[s]"),
        np.array([1, 2], "timedelta64[h]"), np.array([2**64 - 1], "uint64"),
    ],
    ids=str,
)  # fmt: skip
def test_arrays_within_a_result_come_back_with_type_and_shape(array):
    result = back({"deep": [array]})["deep"][0]
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype
    assert result.shape == array.shape


def test_what_has_a_form_in_json_is_kept_in_it():
    assert back(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00+00:00"
    assert back([date(2026, 1, 1), pd.Timestamp("2026-01-02"), np.datetime64("2026-01-03")]) == [
        "2026-01-01", "2026-01-02T00:00:00", "2026-01-03",
    ]  # fmt: skip
    assert back(Point(np.float64(1), (1, {2: 3}))) == {"x": 1.0, "parts": [1, {2: 3}]}
    assert back({Colour.RED: Level.HIGH}) == {"red": 3}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {2}]}, r"artifact 'x'\['a'\]\[1\] is a set.*sorted"),
        ({"a": {3: b"x"}}, r"\['a'\]\[3\] is a bytes.*run.writing"),
        ([Decimal("1.1")], r"\[0\] is a Decimal.*float"),
        ({"p": Path("a")}, r"\['p'\] is a PosixPath.*str"),
        ({"p": pd.NaT}, "NaTType.*None"),
        ({"p": pd.NA}, "NAType.*None"),
        ({"p": pd.DataFrame({"a": [1]})}, "DataFrame.*under a name of its own"),
        ({"p": pd.Series([1])}, "Series.*under a name of its own"),
        ({"p": timedelta(1)}, "timedelta.*total_seconds"),
        ({"p": 1j}, "complex"),
        ({"p": np.complex128(1j)}, "complex128"),
        ({"p": np.array([object()])}, "array of type object"),
        ({"p": object()}, "object, which has no form in JSON"),
        ({math.nan: 1}, "a key is NaN"),
        ({frozenset([1]): 1}, "the key frozenset"),
        (lambda: 1, "function"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_kept_is_refused_with_its_place_and_a_remedy(value, words):
    with pytest.raises(ArtifactError, match=words):
        results.dumps(value, name="x")


def test_what_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ArtifactError, match="holds itself"):
        results.dumps(value, name="x")


def test_json_of_an_older_run_is_read_as_it_is():
    assert results.loads(json.dumps({"1": {"kind": "dict"}})) == {"1": {"kind": "dict"}}

"""What is saved as a frame comes back as it was, or is refused with the artifact, the column and what to do."""

import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import pytest

from quire.errors import ArtifactError
from quire.io import stored_frames
from quire.io.frames import ParquetFrame

TIMES = pd.to_datetime(["2020-01-01", "2020-01-02", None])

COLUMNS = {
    "text categories with one unused": pd.Categorical(["x", "y", None], categories=["z", "y", "x"], ordered=True),
    "whole-number categories": pd.Categorical([3, 1, None], categories=[3, 2, 1]),
    "time categories": pd.Categorical(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-01"])),
    "interval categories": pd.cut([1, 2, 3], 2),
    "whole numbers, some missing": pd.array([1, None, 2], "Int64"),
    "truth values, some missing": pd.array([True, None, False], "boolean"),
    "small floats": np.array([1, 2, 3], "float16"),
    "unsigned": np.array([1, 2, 2**64 - 1], "uint64"),
    "times with a zone": TIMES.tz_localize("Europe/Berlin"),
    "times with an offset": TIMES.tz_localize(dt.timezone(dt.timedelta(hours=2))),
    "times in nanoseconds": TIMES.as_unit("ns"),
    "times in seconds": TIMES.as_unit("s"),
    "durations": pd.to_timedelta([1, 2, None], unit="h"),
    "periods": pd.PeriodIndex(["2020-01", "2020-02", None], freq="M"),
    "intervals": pd.interval_range(0, 3),
    "sparse": pd.arrays.SparseArray([0, 0, 1]),
    "texts of Arrow": pd.array(["x", None, "y"], "string[pyarrow]"),
    "objects: texts": pd.Series(["x", None, "y"], dtype=object),
    "objects: texts and NaN": pd.Series(["x", np.nan, "y"], dtype=object),
    "objects: whole numbers": pd.Series([1, None, 2**60 + 1], dtype=object),
    "objects: truth values": pd.Series([True, None, False], dtype=object),
    "objects: all missing": pd.Series([None, None, None], dtype=object),
    "objects: dates": [dt.date(2020, 1, 1), None, dt.date(1, 1, 1)],
    "objects: decimals": [decimal.Decimal("1.10"), None, decimal.Decimal("-2")],
    "objects: lists": [[1], [2, 3], []],
    "objects: tuples": [(1, 2), (3, 4), (5, 6)],
}

LABELS = {
    "whole numbers": [5, 7],
    "a number and a text": [5, "5"],
    "twice the same": ["a", "a"],
    "twice the same number": [1, 1],
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["u", "v"]),
    "times": pd.to_datetime(["2020-01-01", "2020-01-02"]),
    "named": pd.Index(["a", "b"], name="k"),
}

INDEXES = {
    "texts": pd.Index(["n", "s", "w"], name="region"),
    "a column's name": pd.Index(["n", "s", "w"], name="v"),
    "gaps": pd.Index([4, 7, 9]),
    "two levels": pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("b", 3)], names=["u", None]),
    "a number as name": pd.Index(["n", "s", "w"], name=3),
    "a tuple as name": pd.Index(["n", "s", "w"], name=("a", 1)),
    "steps": pd.RangeIndex(4, 10, 2, name="q"),
    "days": pd.date_range("2020", periods=3, freq="D"),
    "periods": pd.period_range("2020", periods=3, freq="D"),
    "categories": pd.CategoricalIndex(["a", "b", "a"], categories=["b", "a", "c"]),
}


def back(tmp_path, value):
    path = tmp_path / "x.parquet"
    stored_frames.write(path, value, name="x")
    return ParquetFrame(path).load(10**6)


def same(one, other):
    pd.testing.assert_frame_equal(one, other, check_freq=True)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", [3, 0])
def test_a_column_comes_back_with_its_type(tmp_path, name, rows):
    frame = pd.DataFrame({"n": range(3), "v": COLUMNS[name]}).head(rows)
    same(back(tmp_path, frame), frame)


@pytest.mark.parametrize("name", LABELS)
def test_names_of_columns_come_back(tmp_path, name):
    frame = pd.DataFrame([[1, "a"], [2, "b"]], columns=LABELS[name])
    same(back(tmp_path, frame), frame)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_comes_back(tmp_path, name):
    frame = pd.DataFrame({"v": [1, 2, 3]}, index=INDEXES[name])
    same(back(tmp_path, frame), frame)


@pytest.mark.parametrize("name", INDEXES)
def test_a_series_comes_back_with_index_and_name(tmp_path, name):
    for label in ("v", None, 3, ("a", 1)):
        series = pd.Series(pd.array([1, None, 3], "Int64"), index=INDEXES[name], name=label)
        pd.testing.assert_series_equal(back(tmp_path, series), series)


def test_an_index_and_an_array_of_pandas_come_back(tmp_path):
    index = pd.Index(["a", "b"], name="k")
    pd.testing.assert_index_equal(back(tmp_path, index), index)
    array = pd.array([1, None], "Int64")
    pd.testing.assert_extension_array_equal(back(tmp_path, array), array)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([{1}, {2}], "column 'v' holds values of type set"),
        ([{"a": 1}, {"b": 2}], "column 'v' holds values of type dict"),
        ([1, "x"], "column 'v' holds values of type int, str"),
        ([1j, 2], "column 'v' holds complex numbers"),
        ([object(), object()], "column 'v' holds values of type object"),
        ([2**70, 1], "artifact 'x'"),
        ([[1], ["a"]], "artifact 'x'.*column v"),
        ([[1, None], [2]], "column 'v'"),
    ],
)
def test_what_parquet_cannot_keep_is_refused_by_name(tmp_path, values, words):
    with pytest.raises(ArtifactError, match=words):
        stored_frames.write(tmp_path / "x.parquet", pd.DataFrame({"v": values}), name="x")


def test_an_index_that_cannot_be_kept_is_refused_with_the_remedy(tmp_path):
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.CategoricalIndex([2, 1], categories=[2, 1]))
    with pytest.raises(ArtifactError, match=r"its index \(write .reset_index"):
        stored_frames.write(tmp_path / "x.parquet", frame, name="x")
    with pytest.raises(ArtifactError, match="to_frame"):
        stored_frames.write(tmp_path / "x.parquet", INDEXES["two levels"], name="x")


def test_the_frame_that_is_saved_is_not_changed(tmp_path):
    frame = pd.DataFrame([[1, [1]], [2, [2]]], columns=["a", "a"], index=pd.Index([3, 4], name=5))
    before = frame.copy()
    back(tmp_path, frame)
    same(frame, before)


def test_parts_of_a_frame_have_its_types_and_a_sample_its_index(tmp_path):
    rows = 1_000
    frame = pd.DataFrame(
        {"c": pd.Categorical(np.arange(rows) % 3), "n": np.arange(rows)},
        index=pd.Index([f"r{i}" for i in range(rows)], name="row"),
    )
    path = tmp_path / "x.parquet"
    stored_frames.write(path, frame, name="x")
    stored = ParquetFrame(path)
    assert stored.columns == ("c", "n")
    parts = list(stored.chunks(rows=300))
    assert [len(part) for part in parts] == [300, 300, 300, 100]
    assert {str(part["c"].dtype) for part in parts} == {"category"}
    assert list(parts[1].index[:2]) == [300, 301]
    assert list(next(stored.chunks(["n"], rows=10)).columns) == ["n"]
    sample = stored.sample(100)
    same(sample, frame.loc[sample.index])
    assert sample.attrs == {"whole_rows": rows}
    same(stored.read(["c"]), frame[["c"]])


def test_a_file_of_an_older_run_is_read_as_it_was(tmp_path):
    frame = pd.DataFrame({"a": [1.5, None], "c": pd.Categorical(["x", "y"])})
    frame.to_parquet(tmp_path / "old.parquet", index=False)
    same(ParquetFrame(tmp_path / "old.parquet").load(10), frame)
    assert json.loads(b"{}") == stored_frames.read_metadata(ParquetFrame(tmp_path / "old.parquet")._schema)

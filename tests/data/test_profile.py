import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import data
from quire.config import Column, Schema
from quire.data.profile import merge_all
from quire.data.sketches import kind_of, labels, numbers, sketch, whylogs
from quire.errors import ArtifactError

RANK_ERROR = 0.0045
"""Of whylogs' KLL sketch with k=1024, for two ranks at 99%: get_normalized_rank_error(True) is 0.0035."""

SCHEMA = Schema(
    task="regression",
    columns={
        "id": Column(type="text", role="key"),
        "at": Column(type="datetime", role="timestamp"),
        "size": Column(type="number"),
        "colour": Column(type="category"),
        "open": Column(type="boolean"),
        "note": Column(type="text"),
        "secret": Column(type="text", role="ignore"),
        "y": Column(type="integer", role="target"),
    },
)


def _frame(rows=2_000, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": pd.Series([f"row {i}" for i in range(rows)], dtype="str"),
            "at": pd.date_range("2026-01-01", periods=rows, freq="h", tz="UTC"),
            "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(10, 2, rows)),
            "colour": pd.Series(rng.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]), dtype="str"),
            "open": pd.Series(rng.random(rows) < 0.25, dtype="boolean"),
            "note": pd.Series(["x" * n for n in rng.integers(1, 9, rows)], dtype="str"),
            "secret": pd.Series(["s"] * rows, dtype="str"),
            "y": pd.Series(rng.poisson(1, rows), dtype="Int64"),
        }
    )


def test_whylogs_is_imported_without_scikit_learn_and_without_telemetry():
    code = (
        "import sys, os; from quire.data.sketches import whylogs; whylogs();"
        "assert 'sklearn' not in sys.modules and os.environ['WHYLOGS_NO_ANALYTICS'];"
        "import sklearn.cluster"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_importing_the_data_room_does_not_import_whylogs():
    code = "import sys; from quire import data; data.profile_periods; assert 'whylogs' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_counts_of_a_column_are_exact():
    frame = _frame()
    frame.loc[[3, 5], "size"] = np.inf
    profile = data.profile_frame(frame, SCHEMA).columns
    assert profile["size"].missing == frame["size"].isna().sum()
    assert profile["size"].infinite == 2
    assert profile["y"].zeros == (frame["y"] == 0).sum()
    assert profile["colour"].counts == frame["colour"].value_counts().to_dict()
    assert profile["open"].counts["true"] == frame["open"].sum()


def test_infinite_values_do_not_spoil_the_mean():
    frame = _frame()
    mean = frame["size"].mean()
    frame.loc[3, "size"] = np.inf
    assert data.profile_frame(frame, SCHEMA).columns["size"].mean == pytest.approx(mean, abs=0.01)


def test_keys_and_ignored_columns_are_not_profiled_and_texts_keep_no_values():
    columns = data.profile_frame(_frame(), SCHEMA).columns
    assert "id" not in columns
    assert "secret" not in columns
    assert columns["note"].counts == {}
    assert columns["note"].maximum == 8


def test_an_unknown_column_is_profiled_by_its_dtype():
    frame = _frame().assign(prediction=1.5, label="a")
    columns = data.profile_frame(frame, SCHEMA).columns
    assert columns["prediction"].mean == 1.5
    assert columns["label"].counts == {"a": len(frame)}


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_vectorised_feed_equals_whylogs_own_within_the_bounds_of_the_sketches(dtype):
    whylogs()
    import whylogs as why

    rng = np.random.default_rng(1)
    values = pd.Series(rng.normal(100, 20, 50_000).astype(dtype))
    ours = data.ColumnProfile("number", sketch(values, "number"))
    theirs = data.ColumnProfile("number", why.log(values.to_frame("x")).view().get_column("x"))
    assert ours.mean == pytest.approx(theirs.mean)
    assert ours.deviation == pytest.approx(theirs.deviation)
    assert (ours.rows, ours.missing, ours.minimum, ours.maximum) == (
        theirs.rows,
        theirs.missing,
        theirs.minimum,
        theirs.maximum,
    )
    assert ours.distinct == pytest.approx(theirs.distinct, rel=1e-9)
    edges = [70, 80, 90, 100, 110, 120, 130]
    assert np.abs(ours.histogram(edges) - theirs.histogram(edges)).max() / len(values) < 2 * RANK_ERROR


def test_categories_have_the_counts_that_whylogs_own_feed_gives():
    whylogs()
    import whylogs as why

    values = pd.Series(np.random.default_rng(2).choice(["a", "b", "c"], 5_000), dtype="str")
    theirs = why.log(values.to_frame("x")).view().get_column("x")
    assert (
        data.ColumnProfile("category", sketch(values, "category")).counts
        == data.ColumnProfile("category", theirs).counts
    )


def test_histogram_is_exact_for_few_values_and_close_for_many():
    rng = np.random.default_rng(3)
    edges = [-1.0, 0.0, 0.5]
    for rows, bound in ((900, 0.0), (200_000, RANK_ERROR)):
        values = rng.normal(size=rows)
        counted = data.ColumnProfile("number", sketch(pd.Series(values), "number")).histogram(edges)
        exact = np.histogram(values, [-np.inf, *edges, np.inf])[0]
        assert np.abs(counted - exact).max() / rows <= bound


def test_a_value_on_an_edge_counts_to_the_bin_on_its_right():
    profile = data.ColumnProfile("number", sketch(pd.Series([0, 1, 1, 2]), "number"))
    assert profile.histogram([1, 2]).tolist() == [1, 2, 1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=2, max_size=60), st.integers(1, 59))
def test_merging_parts_gives_the_profile_of_the_whole(values, cut):
    series = pd.Series(values, dtype="float64")
    whole = data.ColumnProfile("number", sketch(series, "number"))
    parts = data.ColumnProfile("number", sketch(series[:cut], "number")).merge(
        data.ColumnProfile("number", sketch(series[cut:], "number"))
    )
    assert (parts.rows, parts.missing, parts.zeros) == (whole.rows, whole.missing, whole.zeros)
    assert parts.histogram([0.0]).tolist() == whole.histogram([0.0]).tolist()
    if whole.n:
        assert parts.mean == pytest.approx(whole.mean, rel=1e-6, abs=1e-6)


def test_periods_are_counted_back_from_the_midnight_after_the_last_row():
    profiles = data.profile_periods(_frame(24 * 17), SCHEMA, "7d")
    assert [profile.rows for profile in profiles] == [72, 168, 168]
    assert profiles.periods[-1].end == datetime(2026, 1, 18, tzinfo=UTC)
    assert profiles.periods[-1].start == datetime(2026, 1, 11, tzinfo=UTC)


def test_a_row_at_the_start_of_a_period_belongs_to_it():
    frame = _frame(24 * 14)
    profiles = data.profile_periods(frame, SCHEMA, "7d")
    starts = [pd.Timestamp(profile.columns["at"].minimum, unit="s", tz="UTC") for profile in profiles]
    assert starts == [profile.start for profile in profiles]


def test_without_a_timestamp_there_is_one_period():
    schema = Schema(task="regression", columns={"y": Column(type="number", role="target"), "x": Column(type="number")})
    profiles = data.profile_periods(pd.DataFrame({"x": [1.0, 2.0], "y": [0.0, 1.0]}), schema)
    assert len(profiles) == 1
    assert profiles.periods[0].start is None


def test_profiles_read_back_are_those_that_were_written(tmp_path):
    profiles = data.profile_periods(_frame(24 * 14), SCHEMA)
    again = data.read_profiles(profiles.write(tmp_path / "profiles.bin"))
    assert [(one.start, one.end, one.rows) for one in again] == [(one.start, one.end, one.rows) for one in profiles]
    assert again.columns == profiles.columns
    assert again.histograms("size", [9, 11]).tolist() == profiles.histograms("size", [9, 11]).tolist()
    assert again.merged().columns["y"].zeros == profiles.merged().columns["y"].zeros
    assert again.frequencies("colour", ["red"]).tolist() == profiles.frequencies("colour", ["red"]).tolist()
    assert list(tmp_path.iterdir()) == [tmp_path / "profiles.bin"]


def test_each_period_in_the_file_is_a_profile_that_plain_whylogs_reads(tmp_path):
    path = data.profile_periods(_frame(24 * 14), SCHEMA).write(tmp_path / "profiles.bin")
    with zipfile.ZipFile(path) as archive:
        content = archive.read("00001.bin")
    view = whylogs().DatasetProfileView.deserialize(content)
    assert view.get_column("size").to_summary_dict()["counts/n"] == 168


def test_parts_that_are_read_share_a_class_but_no_value(tmp_path, monkeypatch):
    path = data.profile_periods(_frame(24 * 14), SCHEMA).write(tmp_path / "profiles.bin")
    with zipfile.ZipFile(path) as archive:
        one, other = (archive.read(f"{number:05}.bin") for number in range(2))
    read = whylogs().DatasetProfileView.deserialize
    view = read(one)
    summaries = view.to_pandas()
    counts = [view.get_column(name).get_metric("counts") for name in ("size", "y")]
    assert len({type(part) for count in counts for part in (count.n, count.null)}) == 1
    assert not read(other).merge(view).to_pandas().equals(summaries)
    assert view.to_pandas().equals(summaries)
    part = whylogs().IntegralComponent.__mro__[1]
    monkeypatch.setattr(part, "from_protobuf", part.from_protobuf.__wrapped__)
    assert read(one).to_pandas().equals(summaries)


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = data.profile_periods(_frame(24 * 7), SCHEMA).write(tmp_path / "profiles.bin")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="not a whole file of profiles"):
        data.read_profiles(path)


def test_a_missing_file_of_profiles_says_which_stage_writes_it(tmp_path):
    with pytest.raises(ArtifactError, match="train stage"):
        data.read_profiles(tmp_path / "profiles.bin")


def test_profiles_of_chunks_merge_into_those_of_the_whole():
    frame, end = _frame(24 * 14), datetime(2026, 1, 15, tzinfo=UTC)
    chunks = [data.profile_periods(frame.iloc[rows], SCHEMA, end=end) for rows in (slice(0, 200), slice(200, None))]
    merged, whole = merge_all(chunks), data.profile_periods(frame, SCHEMA)
    assert [one.rows for one in merged] == [one.rows for one in whole]
    assert merged.histograms("size", [10]).tolist() == whole.histograms("size", [10]).tolist()


def test_an_absent_column_has_no_rows_in_its_period():
    frame = _frame(24 * 14)
    late = data.profile_periods(frame.drop(columns="size"), SCHEMA).periods[1]
    profiles = data.Profiles((data.profile_periods(frame, SCHEMA).periods[0], late))
    assert profiles.histograms("size", [10]).sum(axis=1).tolist() == [frame["size"][:168].notna().sum(), 0]


def test_an_all_missing_column_is_profiled_as_missing():
    profile = data.profile_frame(_frame(10).assign(size=np.nan), SCHEMA).columns["size"]
    assert profile.missing == profile.rows == 10
    assert np.isnan(profile.mean)
    assert profile.histogram([1]).tolist() == [0, 0]


ODD = {
    "category with missing values": (pd.Series(["a", None, "b"], dtype="category"), "category", 2),
    "category of whole numbers with missing values": (pd.Series([1, None, 2], dtype="category"), "category", 2),
    "sparse": (pd.arrays.SparseArray([0.0, 1.0, 0.0]), "number", 3),
    "time zone": (pd.Series(pd.to_datetime(["2026-01-01", None], utc=True)), "datetime", 1),
    "time without zone, in nanoseconds": (
        pd.Series(pd.to_datetime(["2026-01-01"])).astype("datetime64[ns]"),
        "datetime",
        1,
    ),
    "length of time": (pd.Series(pd.to_timedelta(["1h", None])), "number", 1),
    "period": (pd.Series(pd.period_range("2026-01", periods=2, freq="M")), "datetime", 2),
    "date": (pd.Series([date(2026, 1, 1), None]), "datetime", 1),
    "bytes": (pd.Series([b"\x01", b"\xff"]), "category", 2),
    "unsigned 64-bit": (pd.Series([2**64 - 1, 1], dtype="uint64"), "number", 2),
    "decimal": (pd.Series([Decimal("1.5"), None]), "number", 1),
    "nullable boolean": (pd.Series([True, None], dtype="boolean"), "boolean", 1),
    "objects true and false": (pd.Series([True, None, False], dtype="object"), "boolean", 2),
    "32-bit": (pd.Series([1.5, np.nan], dtype="float32"), "number", 1),
    "nullable integer": (pd.Series([1, None], dtype="Int64"), "number", 1),
    "all missing": (pd.Series([None, None], dtype="object"), "category", 0),
    "empty": (pd.Series([], dtype="float64"), "number", 0),
}


@pytest.mark.parametrize("name", ODD)
def test_a_column_of_any_type_is_profiled(name):
    values, kind, there = ODD[name]
    series = pd.Series(values)
    assert kind_of(series) == kind
    profile = data.ColumnProfile(kind, sketch(series, kind))
    assert (profile.rows, profile.n) == (len(series), there)


def test_dates_are_profiled_as_seconds_since_1970_in_utc():
    series = pd.Series(pd.to_datetime(["2026-01-01T01:00+01:00"]))
    assert numbers(series).tolist() == [datetime(2026, 1, 1, tzinfo=UTC).timestamp()]


def test_unsigned_numbers_beyond_64_bits_with_sign_keep_their_size():
    assert numbers(pd.Series([2**64 - 1], dtype="uint64")).tolist() == [float(2**64 - 1)]


def test_labels_of_booleans_are_in_lower_case_and_whole_numbers_have_no_point():
    assert labels(pd.Series([True, False, 1.0, "x"], dtype="object")).tolist() == ["true", "false", "1", "x"]


def test_the_same_rows_give_the_same_quantiles_however_often_their_periods_are_merged():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"t": pd.date_range("2024-01-01", periods=20_000, freq="h", tz="UTC"), "x": rng.normal(size=20_000)}
    )
    columns = {
        "t": {"type": "datetime", "role": "timestamp"},
        "x": {"type": "number"},
        "y": {"type": "number", "role": "target"},
    }
    schema = Schema(task="regression", columns=columns)
    shares = np.linspace(0.01, 0.99, 99)
    one, other = (data.profile_periods(frame, schema).merged().columns["x"].quantiles(shares) for _ in range(2))
    assert one.tolist() == other.tolist()
    assert one == pytest.approx(np.quantile(frame["x"], shares, method="inverted_cdf"), abs=2e-3)

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.config import Column, Schema
from quire.data import wrangle
from quire.errors import DataError


def schema(**columns):
    given = {"y": Column(type="number", role="target"), **columns}
    extra = {name: given.pop(name) for name in list(given) if not isinstance(given[name], Column)}
    if not any(column.role == "feature" for column in given.values()):
        given["feature"] = Column(type="text", nullable=True)
    return Schema(task="regression", columns=given, **extra)


def raw(**columns):
    frame = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})
    return frame.assign(**{name: "1" for name in ("y", "feature") if name not in frame})


def done(frame, what):
    result = wrangle.wrangle(frame, what)
    return result.frame, {(change.column, change.rule): change for change in result.changes}


def test_blanks_in_a_number_are_missing_and_counted():
    frame, changes = done(raw(x=["1", " ", ""]), schema(x=Column(type="number")))
    assert frame["x"].isna().tolist() == [False, True, True]
    assert changes["x", "blank"].rows == 1
    assert changes["x", "blank"].examples == (" ",)


@pytest.mark.parametrize(("policy", "rows"), [("missing", 3), ("drop", 2), ("fail", 3)])
def test_what_is_unparsable_is_missing_or_dropped_and_counted(policy, rows):
    frame, changes = done(raw(x=["1", "one", "2"]), schema(x=Column(type="number", on_unparsable=policy)))
    assert len(frame) == rows
    change = changes["x", "unparsable"]
    assert (change.rows, change.examples, policy in change.why) == (1, ("one",), True)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("keep", [-1.0, 0.5, 9.0]), ("clip", [0.0, 0.5, 1.0]), ("missing", [None, 0.5, None]), ("drop", [0.5])],
)
def test_what_is_out_of_range_is_answered_as_the_schema_says(policy, expected):
    column = Column(type="number", minimum=0, maximum=1, on_out_of_range=policy)
    frame, changes = done(raw(x=["-1", "0.5", "9"]), schema(x=column))
    assert [None if np.isnan(value) else value for value in frame["x"]] == expected
    assert changes["x", "out_of_range"].rows == 2
    assert "allowed: 0 to 1" in changes["x", "out_of_range"].why


def test_integers_are_clipped_to_whole_numbers():
    column = Column(type="integer", minimum=0.5, maximum=3.5, on_out_of_range="clip")
    frame, _ = done(raw(x=["0", "9"]), schema(x=column))
    assert frame["x"].tolist() == [1, 3]


@pytest.mark.parametrize(("policy", "expected"), [("keep", ["a", "c"]), ("missing", ["a", None]), ("drop", ["a"])])
def test_an_unknown_category_is_answered_as_the_schema_says(policy, expected):
    column = Column(type="category", categories=("a", "b"), on_unknown=policy)
    frame, changes = done(raw(x=["a", "c"]), schema(x=column))
    assert [None if pd.isna(value) else value for value in frame["x"]] == expected
    assert changes["x", "unknown"].examples == ("c",)


def test_missing_values_are_filled_with_a_value_of_the_column():
    frame, changes = done(raw(x=["1", None]), schema(x=Column(type="integer", on_missing="fill", fill=0)))
    assert frame["x"].tolist() == [1, 0]
    assert changes["x", "missing"].action == "filled with 0"


def test_a_fill_that_is_no_value_of_the_column_is_refused():
    with pytest.raises(DataError, match=r"columns\.x\.fill is 'none', which is no value of type integer"):
        done(raw(x=[None]), schema(x=Column(type="integer", on_missing="fill", fill="none")))


def test_missing_values_are_dropped_where_the_schema_says_so():
    frame, changes = done(raw(x=["1", None]), schema(x=Column(type="integer", on_missing="drop")))
    assert (len(frame), changes["x", "missing"].rows) == (1, 1)


def test_a_row_that_another_column_dropped_is_not_counted_as_filled():
    column = Column(type="number", on_unparsable="drop", on_missing="fill", fill=0)
    frame, changes = done(raw(x=["one", None]), schema(x=column))
    assert frame["x"].tolist() == [0]
    assert changes["x", "missing"].rows == 1


def test_a_row_without_a_time_is_dropped_and_counted():
    frame, changes = done(raw(at=["2024-01-01", "soon", None]), schema(at=Column(type="datetime", role="timestamp")))
    assert len(frame) == 1
    assert changes["at", "no_timestamp"].rows == 2


def test_hours_of_another_column_are_added_to_the_date():
    at = Column(type="datetime", role="timestamp", source="day", format="%m/%d/%Y", add_hours="hr")
    frame, _ = done(raw(day=["12/31/2011"], hr=["23"]), schema(at=at))
    assert frame["at"].tolist() == [pd.Timestamp("2011-12-31 23:00", tz="UTC")]


def test_hours_that_the_clock_repeats_are_told_apart_for_each_shop():
    at = Column(type="datetime", role="timestamp", key=True)
    shop = Column(type="text", role="key")
    wall = ["2024-10-27 02:00", "2024-10-27 02:00"]
    one = done(raw(at=wall, shop=["a", "a"]), schema(at=at, shop=shop, timezone="Europe/Paris"))[0]
    two = done(raw(at=wall, shop=["a", "b"]), schema(at=at, shop=shop, timezone="Europe/Paris"))[0]
    assert one["at"].nunique() == 2
    assert two["at"].nunique() == 1


def test_ignored_columns_are_neither_read_nor_kept_but_for_segments():
    what = schema(x=Column(type="number"), a=Column(type="text", role="ignore"), b=Column(type="text", role="ignore"))
    assert wrangle.source_columns(what) == ("y", "x")
    assert "b" in wrangle.source_columns(what.model_copy(update={"segments": ("b",)}))


def test_lacking_columns_are_named_with_the_nearest():
    what = schema(temp=Column(type="number"), hum=Column(type="number"))
    with pytest.raises(DataError, match=r"lacks 2 .*'temp' is not there. Did you mean 'tmp'\?.*'hum' is not there"):
        wrangle.check_columns(["y", "tmp"], what, where="x.csv")


@pytest.mark.parametrize(("policy", "values"), [("last", [2, 3]), ("first", [1, 3]), ("keep", [1, 2, 3])])
def test_rows_with_one_key_are_answered_as_the_schema_says(policy, values):
    frame = pd.DataFrame({"k": ["a", "a", "b"], "y": [1, 2, 3]})
    left, changes = wrangle.drop_duplicates(frame, schema(k=Column(type="text", role="key"), on_duplicate=policy))
    assert left["y"].tolist() == values
    assert (changes[0].rows, changes[0].examples) == (1, ("a",))


def test_rows_of_one_shop_at_different_times_are_no_duplicates():
    at = Column(type="datetime", role="timestamp", key=True)
    what = schema(shop=Column(type="text", role="key"), at=at)
    frame = pd.DataFrame({"shop": ["a", "a"], "at": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True)})
    assert len(wrangle.drop_duplicates(frame, what)[0]) == 2


messy = st.lists(
    st.sampled_from(["1", "2.5", "-7", "1e9", "x", " ", "NA", None, "north", "nrth"]), min_size=2, max_size=40
)


@given(messy, st.data())
@settings(max_examples=30, deadline=None)
def test_chunks_give_the_same_rows_and_their_counts_add_up(values, data):
    what = schema(
        x=Column(type="number", minimum=0, on_out_of_range="clip", on_unparsable="drop"),
        z=Column(type="category", source="x", categories=("north",), on_unknown="missing", nullable=True),
    )
    cut = data.draw(st.integers(1, len(values) - 1))
    whole = raw(x=values)
    all_at_once = wrangle.wrangle(whole, what)
    parts = [wrangle.wrangle(whole.iloc[:cut], what), wrangle.wrangle(whole.iloc[cut:], what)]
    pd.testing.assert_frame_equal(pd.concat([part.frame for part in parts]), all_at_once.frame)
    merged = wrangle.merge_changes([change for part in parts for change in part.changes])
    rows = {(change.column, change.rule): change.rows for change in merged}
    assert rows == {(change.column, change.rule): change.rows for change in all_at_once.changes}
    assert sum(part.missing["x"] for part in parts) == all_at_once.missing["x"]


@given(messy)
def test_the_raw_frame_is_left_as_it_was(values):
    frame = raw(x=values)
    before = frame.copy()
    wrangle.wrangle(frame, schema(x=Column(type="number", minimum=0, on_out_of_range="clip")))
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("values", [[["a"], ["b"]], [{"a": 1}, {}], [b"x", b"y"], pd.to_timedelta([1, 2], unit="s")])
def test_values_that_no_type_reads_are_told_with_the_column(values):
    columns = {"x": {"type": "category"}, "y": {"type": "number", "role": "target"}}
    schema = Schema.of({"task": "regression", "columns": columns})
    with pytest.raises(DataError, match=r"x holds .*role: ignore"):
        wrangle.wrangle(pd.DataFrame({"x": values, "y": [1.0, 2.0]}), schema)


def test_rows_without_any_value_are_dropped_and_counted():
    columns = {"x": {"type": "number"}, "y": {"type": "number", "role": "target"}}
    schema = Schema.of({"task": "regression", "columns": columns})
    done = wrangle.wrangle(pd.DataFrame({"x": ["1", None, None], "y": ["2", None, "3"]}, dtype="str"), schema)
    assert len(done.frame) == 2
    assert [(change.rule, change.rows) for change in done.changes] == [("blank_row", 1)]

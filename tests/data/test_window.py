from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quire.config import Column, Schema
from quire.data import window
from quire.errors import ConfigError, DataError

TABLE = Schema(
    task="binary",
    positive="yes",
    columns={"y": Column(type="category", role="target", categories=("no", "yes")), "x": Column(type="number")},
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
lengths = st.integers(1, 500).map(lambda hours: f"{hours}h")


def times(start, count, step="1h"):
    return pd.Series(pd.date_range(start, periods=count, freq=step, tz="UTC", unit="us"))


@given(moments, lengths, lengths, st.one_of(st.just(""), lengths), st.integers(0, 900), st.data())
def test_windows_follow_each_other_and_end_before_as_of(as_of, current, test, train, delay, data):
    placed = window.place_windows(as_of, current=current, test=test, train=train, label_delay=f"{delay}h")
    drawn = st.lists(st.integers(-2000, 100), min_size=1, max_size=60)
    at = pd.Series(pd.to_datetime([as_of + timedelta(hours=hours) for hours in data.draw(drawn)])).dt.as_unit("us")
    inside = {name: one.rows(at) for name, one in placed.items()}
    assert (inside["train"].astype(int) + inside["test"] + inside["current"]).max() <= 1
    assert not inside["current"][(at >= as_of).to_numpy()].any()
    order = [at[inside[name]] for name in window.PARTS]
    for earlier, later in ((order[0], order[1]), (order[1], order[2]), (order[0], order[2])):
        assert earlier.empty or later.empty or earlier.max() < later.min()
    known = at + pd.Timedelta(hours=delay) < as_of
    assert known[inside["train"] | inside["test"]].all()


@given(moments, lengths, lengths, st.integers(0, 900))
def test_test_and_current_keep_their_lengths_whatever_the_delay(as_of, current, test, delay):
    placed = window.place_windows(as_of, current=current, test=test, label_delay=f"{delay}h")
    assert placed["test"].end - placed["test"].start == pd.Timedelta(test)
    assert placed["current"].end - placed["current"].start == pd.Timedelta(current)
    assert placed["train"].end == placed["test"].start


def test_a_row_at_as_of_is_not_seen_and_a_row_on_a_border_is_in_the_later_window():
    placed = window.place_windows(datetime(2024, 3, 1, tzinfo=UTC), current="1d", test="1d")
    at = pd.Series(pd.to_datetime(["2024-02-28", "2024-02-29", "2024-03-01"], utc=True))
    assert placed["test"].rows(at).tolist() == [True, False, False]
    assert placed["current"].rows(at).tolist() == [False, True, False]


def test_a_time_zone_of_as_of_does_not_matter():
    berlin = datetime.fromisoformat("2024-03-01T01:00+01:00")
    utc = datetime(2024, 3, 1, tzinfo=UTC)
    assert window.place_windows(berlin) == window.place_windows(utc)


def test_train_can_be_limited():
    placed = window.place_windows(datetime(2024, 3, 1, tzinfo=UTC), train="30d")
    assert placed["train"].start == placed["test"].start - pd.Timedelta(days=30)


@pytest.mark.parametrize(("frequency", "end"), [("1h", "2024-01-02 00:00"), ("1d", "2024-01-02 23:00")])
def test_the_end_of_a_source_is_that_of_its_last_period(frequency, end):
    assert window.end_of(times("2024-01-01", 24), frequency) == pd.Timestamp(end, tz="UTC")


def test_the_end_of_a_source_without_a_frequency_is_that_of_its_last_second():
    at = pd.Series(pd.to_datetime(["2024-01-01 12:00:00.25"], utc=True))
    assert window.end_of(at, None) == pd.Timestamp("2024-01-01 12:00:01", tz="UTC")


@pytest.mark.parametrize("lengths", [{"current": "0d"}, {"test": "0h"}])
def test_an_empty_length_is_refused(lengths):
    with pytest.raises(ConfigError, match="expected a length above zero"):
        window.place_windows(datetime(2024, 1, 1, tzinfo=UTC), **lengths)


@pytest.mark.parametrize(
    ("start", "as_of", "message"),
    [
        ("2024-01-01", "2024-01-20", "train window, from the beginning.*Shorten ingest.test"),
        ("2023-01-01", "2024-01-20", "current window.*not been delivered"),
    ],
)
def test_a_window_without_rows_is_told_with_what_to_do(start, as_of, message):
    at = times(start, 15 * 24)
    placed = window.place_windows(datetime.fromisoformat(as_of).replace(tzinfo=UTC), current="7d", test="56d")
    with pytest.raises(DataError, match=message):
        window.split_by_time(pd.DataFrame({"at": at}), "at", placed)


def labelled(rows, share, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.random(rows), "y": np.where(rng.random(rows) < share, "yes", "no")})


@given(st.integers(60, 400), st.floats(0.2, 0.8), st.integers(0, 9), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
@settings(max_examples=50)
def test_random_parts_are_disjoint_whole_stratified_and_repeatable(rows, share, seed, test, current):
    frame = labelled(rows, share, seed)
    assume(frame["y"].value_counts().min() >= 15)
    parts = window.split_at_random(frame, TABLE, test_share=test, current_share=current, seed=seed)
    index = sorted(place for part in parts.values() for place in part.index)
    assert index == list(frame.index)
    overall = (frame["y"] == "yes").mean()
    for name, expected in (("test", test), ("current", current)):
        assert abs(len(parts[name]) - expected * rows) <= 2
        assert abs((parts[name]["y"] == "yes").sum() - overall * expected * rows) <= 1.5
    again = window.split_at_random(frame, TABLE, test_share=test, current_share=current, seed=seed)
    assert all(parts[name].equals(again[name]) for name in parts)


def test_another_seed_draws_other_rows():
    frame = labelled(200, 0.5, 0)
    one, other = (window.split_at_random(frame, TABLE, seed=seed)["test"].index for seed in (0, 1))
    assert list(one) != list(other)


@pytest.mark.parametrize("shares", [{"test_share": 0.0}, {"test_share": 0.9, "current_share": 0.2}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="sum is below 1"):
        window.split_at_random(labelled(50, 0.5, 0), TABLE, **shares)


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="too few for a"):
        window.split_at_random(labelled(3, 0.5, 0), TABLE)


@pytest.mark.parametrize("last", ["9999-12-31", "2999-01-01", "2200-01-01"])
def test_where_far_dates_are_the_cause_they_are_named(last):
    times = pd.Series(pd.to_datetime(["2024-01-01", "2024-02-01", last], utc=True))
    windows = window.place_windows(times.max() + pd.Timedelta(seconds=1))
    with pytest.raises(DataError, match=rf"`missing: \[{last}\]` below the timestamp"):
        window.split_by_time(pd.DataFrame({"at": times}), "at", windows)

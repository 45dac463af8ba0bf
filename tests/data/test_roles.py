import numpy as np
import pandas as pd
import pytest

from quire.config import duration
from quire.data.guess import guess_schema
from quire.errors import DataError

RNG = np.random.default_rng(1)
ROWS = 400


def table(**columns):
    base = {"x": RNG.random(ROWS).round(6), "y": RNG.random(ROWS).round(6)}
    return pd.DataFrame({**base, **columns}).astype("str")


def settings(draft):
    return {guess.name: dict(guess.settings) for guess in draft.columns}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", range(1, ROWS + 1)),
        ("n", range(ROWS)),
        ("n", RNG.permutation(ROWS) + 1),
        ("Unnamed: 0", range(ROWS)),
        ("rownames", range(1, ROWS + 1)),
        ("No", range(7, 7 + ROWS)),
        ("index", np.arange(ROWS) * 3),
        ("customer_id", RNG.permutation(10**6)[:ROWS]),
    ],
)
def test_what_only_counts_or_names_rows_is_the_key(name, values):
    assert settings(guess_schema(table(**{name: values})))[name]["role"] == "key"


@pytest.mark.parametrize("name", ["Unnamed: 0", "Unnamed: 3", "level_0", "rownames"])
@pytest.mark.parametrize("values", [["a", "b", "c", "d"], ["1", "2", "3", "4"], ["no", "yes", "no", "yes"]], ids=str)
def test_categories_called_like_an_index_are_features(name, values):
    drafted = settings(guess_schema(table(**{name: values * (ROWS // 4)}), target="y"))
    assert drafted[name].get("role", "feature") == "feature"


@pytest.mark.parametrize("name", ["Unnamed: 0", "level_0", "rownames", "row_id"])
def test_an_index_that_begins_again_is_no_feature(name):
    assert settings(guess_schema(table(**{name: [*range(ROWS // 2)] * 2}), target="y"))[name]["role"] == "ignore"


def test_of_several_counters_one_is_the_key_and_none_a_feature():
    drafted = settings(
        guess_schema(table(**{"Unnamed: 0": range(ROWS), "id": [f"c{n}" for n in range(ROWS)], "k": range(ROWS)}))
    )
    assert [drafted[name]["role"] for name in ("Unnamed: 0", "id", "k")] == ["ignore", "key", "ignore"]
    repeated = settings(guess_schema(table(**{"Unnamed: 0": np.arange(ROWS) % 100})))
    assert repeated["Unnamed: 0"]["role"] == "ignore"


@pytest.mark.parametrize("year", [1500, 1900])
def test_years_are_no_row_numbers(year):
    assert "role" not in settings(guess_schema(table(year=range(year, year + ROWS))))["year"]


@pytest.mark.parametrize("parts", [{"store": 4}, {"store": 2, "item": 4}, {"store": 2, "item": 2, "size": 2}])
def test_rows_of_a_panel_are_told_apart_by_the_fewest_columns_which_stay_features(parts):
    times = pd.date_range("2024-01-01", periods=200, freq="D").strftime("%Y-%m-%d")
    grid = pd.MultiIndex.from_product([*(range(many) for many in parts.values()), times], names=[*parts, "day"])
    rows = grid.to_frame(index=False).sample(frac=1, random_state=0)
    rows = rows.assign(price=RNG.random(len(rows)), promo=RNG.integers(0, 2, len(rows)), y=RNG.random(len(rows)))
    draft = guess_schema(rows.astype("str"), target="y")
    assert set(draft.key) == {*parts, "day"}
    drafted = settings(draft)
    assert all("role" not in drafted[name] for name in parts)
    assert drafted["day"]["key"] is True
    assert draft.on_duplicate is None


def test_where_nothing_tells_rows_of_one_time_apart_all_are_kept():
    days = np.repeat(pd.date_range("2024-01-01", periods=100, freq="D").strftime("%Y-%m-%d"), 4)
    draft = guess_schema(table(day=days, kind=RNG.choice(["a", "b"], ROWS)))
    assert (draft.key, draft.on_duplicate) == ((), "keep")


@pytest.mark.parametrize("hours", [lambda n: str(n % 24), lambda n: f"{n % 24:02}:30", lambda n: f"{n % 24}.00.00"])
def test_the_hour_in_a_column_of_its_own_is_added_to_the_day(hours):
    days = pd.Series(pd.date_range("2024-01-01", periods=ROWS, freq="h")).dt.strftime("%Y-%m-%d")
    draft = guess_schema(table(day=days, hour=[hours(n) for n in range(ROWS)]), target="y", timestamp="day")
    assert settings(draft)["day"]["add_hours"] == "hour"
    assert draft.frequency == "1h"


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("2020-01-01", periods=ROWS, freq="D"),
        pd.date_range("1950-01-01", periods=ROWS, freq="31D"),
        pd.DatetimeIndex(np.repeat(pd.date_range("2024-01-01", periods=20, freq="MS"), ROWS // 20)),
        pd.to_datetime("2024-01-01") + pd.to_timedelta(np.sort(RNG.exponential(3000, ROWS)).cumsum(), unit="s"),
        pd.DatetimeIndex(
            np.r_[pd.date_range("2000-01-01", periods=ROWS - 5, freq="D"), pd.date_range("2020-01-01", periods=5)]
        ),
    ],
    ids=["daily", "old months", "months with many rows", "bursts", "five late rows"],
)
def test_each_window_has_rows(times):
    draft = guess_schema(table(at=times.strftime("%Y-%m-%d %H:%M:%S")), target="y", timestamp="at")
    end = times.max() + pd.Timedelta(duration(draft.frequency or "1s"))
    current = end - pd.Timedelta(duration(draft.current))
    test = current - pd.Timedelta(duration(draft.test))
    assert (times >= current).sum() >= 5
    assert ((times >= test) & (times < current)).sum() >= 20
    assert (times < test).sum() >= 0.3 * ROWS


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"note": [f"n {n // 2}" for n in range(ROWS)]}, {"target": "note"}, "neither numbers nor some classes"),
        ({"same": ["a"] * ROWS}, {"target": "same"}, "nothing can be learned"),
        ({"note": [f"n {n // 2}" for n in range(ROWS)]}, {"timestamp": "note"}, "holds no dates of one form"),
        ({"at": ["2024-01-01", "2024-01-02"] * (ROWS // 2)}, {"timestamp": "at", "target": "y"}, "2 different times"),
        ({"at": pd.date_range("2024-01-01", periods=ROWS)}, {"target": "at"}, "holds dates"),
    ],
)
def test_what_a_person_asks_for_in_vain_is_told(columns, options, message):
    with pytest.raises(DataError, match=message):
        guess_schema(table(**columns), **options)


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2]] * ROWS,
        [1] * (ROWS - 1) + [[2]],
        [b"x"] * ROWS,
        [{"a": 1}] * ROWS,
        pd.to_timedelta(range(ROWS), unit="s"),
        ["a"] * ROWS,
        [None] * ROWS,
        ["long " * 900] * ROWS,
        [f"{'long ' * 900}{row}" for row in range(ROWS)],
        ["rare"] * 3 + [None] * (ROWS - 3),
        ["a"] * 5 + ["b"] * 5 + [None] * (ROWS - 10),
        [1e300 * row for row in range(ROWS)],
    ],
    ids=lambda values: repr(values)[:24],
)
def test_a_target_that_cannot_be_learned_is_refused_with_another_way_and_in_short(values):
    frame = table().assign(wanted=pd.Series(values))
    with pytest.raises(DataError, match=r"(?i)name another column") as error:
        guess_schema(frame, target="wanted")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("name", ["at", "target", "y"])
def test_the_timestamp_that_a_person_names_is_not_guessed_to_be_the_target(name):
    seconds = pd.Series(1_700_000_000 + 3600 * np.arange(ROWS))
    frame = pd.DataFrame({"x": RNG.random(ROWS), "n": RNG.random(ROWS), name: seconds}).astype("str")
    drafted = guess_schema(frame, timestamp=name)
    assert (drafted.column("target"), drafted.column("timestamp")) == ("n", name)


def test_a_timestamp_alone_and_a_timestamp_as_target_are_refused():
    seconds = pd.DataFrame({"at": [str(1_700_000_000 + 3600 * row) for row in range(ROWS)]})
    with pytest.raises(DataError, match="Bring one more"):
        guess_schema(seconds, timestamp="at")
    with pytest.raises(DataError, match="Name another column with one of them"):
        guess_schema(table(at=seconds["at"]), timestamp="at", target="at")


def test_of_columns_called_like_a_target_one_that_can_be_is_guessed():
    frame = table(target=["x"] * ROWS, label=["a", "b"] * (ROWS // 2))
    assert guess_schema(frame.drop(columns="y")).column("target") == "label"


def test_where_nothing_is_left_to_learn_from_each_column_is_told():
    rows = pd.DataFrame({"text": [f"words {n // 2} ..." for n in range(ROWS)], "y": ["spam", "ham"] * (ROWS // 2)})
    with pytest.raises(DataError, match=r"Nothing is left to learn y from. text: text with 200 different values"):
        guess_schema(rows, target="y")


def test_classes_of_few_rows_are_left_out_and_said():
    draft = guess_schema(table(y=["a", "b"] * 198 + ["c"] * 3 + ["NA"]), target="y")
    target = next(guess for guess in draft.columns if guess.name == "y")
    assert target.settings["categories"] == ("a", "b")
    assert target.settings["on_unknown"] == "drop"
    assert target.settings["missing"] == ("NA",)
    assert "left out: c (3)" in " ".join(target.doubts)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"a": 200, "b": 200}, ""),
        ({"a": 350, "b": 50}, ""),
        ({"a": 351, "b": 49}, "a class has few rows: b (49). The gate asks for 10 of it among the test rows"),
        ({"a": 200, "b": 175, "c": 25}, ""),
        ({"a": 200, "b": 176, "c": 24}, "c (24). The gate asks for 5 of it"),
        (
            {"a": 300, "b": 30, "c": 22, "d": 21, "e": 17, "f": 10},
            "4 classes have few rows: f (10), e (17), d (21) and 1 more. The gate asks for 5 of each",
        ),
    ],
)
def test_classes_of_which_the_test_would_hold_too_few_rows_are_told_before_any_run(counts, words):
    values = [name for name, rows in counts.items() for _ in range(rows)]
    drafted = guess_schema(table(y=RNG.permutation(values)), target="y")
    doubts = " ".join(next(guess for guess in drafted.columns if guess.name == "y").doubts)
    assert words in doubts
    assert ("The gate asks" in doubts) == bool(words)

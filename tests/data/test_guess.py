import numpy as np
import pandas as pd
import pytest

from quire.data.guess import guess_column, guess_schema
from quire.data.source import read_place

RNG = np.random.default_rng(0)


def column(*values):
    return guess_column(pd.Series(values * (100 // len(values)), dtype="str", name="x"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1.5", "2", "7"), {"type": "number", "minimum": 0}),
        (("0.5", "0.1", "1"), {"type": "number", "minimum": 0, "maximum": 1}),
        (("-1", "2", "3", "4", "5", "6"), {"type": "integer"}),
        (("Yes", "No"), {"type": "boolean", "categories": ("No", "Yes")}),
        (("0", "1"), {"type": "boolean", "categories": (0, 1)}),
        (("1", "2", "3"), {"type": "category", "categories": (1, 2, 3)}),
        (("red", "green", "blue"), {"type": "category", "categories": ("blue", "green", "red")}),
        (("a", ""), {"type": "text", "role": "ignore", "why": "constant: always 'a'"}),
        (("2024-01-31", "2024-02-01"), {"type": "datetime"}),
        (("2024-01-31T05:00:00Z", "2024-02-01T00:00:00Z"), {"type": "datetime"}),
        (("31/01/2024", "01/02/2024"), {"type": "datetime", "format": "%d/%m/%Y"}),
        (("20240131", "20240201"), {"type": "datetime", "format": "%Y%m%d"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_types_are_guessed(values, expected):
    assert dict(column(*values).settings) == expected


def test_a_date_that_reads_two_ways_is_asked_about():
    guess = column("01/02/2024", "03/04/2024")
    assert guess.settings["format"] == "%m/%d/%Y"
    assert guess.remarks == ("%d/%m/%Y fits as well: which is it?",)


def test_missing_and_broken_values_are_remarked():
    values = [*map(str, range(200)), "", "?!"]
    guess = guess_column(pd.Series(values, dtype="str", name="x"))
    assert guess.settings == {"type": "integer", "minimum": 0, "nullable": True, "missing": ("?!",)}
    assert "'?!' stands for no value" in guess.doubts
    assert "1 of 202 missing" in " ".join(guess.remarks)


def test_free_text_is_left_out():
    guess = guess_column(pd.Series([f"note {number // 2}" for number in range(400)], dtype="str", name="x"))
    assert guess.settings["role"] == "ignore"


def frame(rows=300, **columns):
    base = {"x": RNG.random(rows), "y": RNG.random(rows)}
    return pd.DataFrame({**base, **columns}).astype("str")


def roles(draft):
    return {guess.name: guess.settings.get("role", "feature") for guess in draft.columns}


def test_the_target_is_what_its_name_says_else_the_last_column_else_what_was_asked_for():
    assert guess_schema(frame(price=RNG.random(300))).column("target") == "y"
    assert guess_schema(frame().rename(columns={"y": "z"})).column("target") == "z"
    assert guess_schema(frame(), target="x").column("target") == "x"


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        (["no", "yes"], "binary", "yes"),
        ([0, 1], "binary", 1),
        (["b", "a", "b"], "binary", "a"),
        (["p", "q", "r"], "multiclass", None),
    ],
)
def test_the_task_follows_the_target(values, task, positive):
    draft = guess_schema(frame(y=values * (300 // len(values))))
    assert (draft.task, draft.positive) == (task, positive)


def test_an_asked_for_task_is_kept():
    assert guess_schema(frame(y=[1, 2, 3] * 100), task="regression").task == "regression"


def test_a_different_text_in_each_row_is_the_key():
    draft = guess_schema(frame(customer=[f"C{number}" for number in range(300)]))
    assert roles(draft)["customer"] == "key"


def test_rows_of_several_shops_at_one_time_have_a_key_of_both():
    times = pd.date_range("2024-01-01", periods=100, freq="D").strftime("%Y-%m-%d")
    draft = guess_schema(frame(shop=np.repeat(["a", "b", "c"], 100), day=np.tile(times, 3)))
    settings = {guess.name: guess.settings for guess in draft.columns}
    assert "role" not in settings["shop"]
    assert settings["shop"]["key"] is True
    assert settings["day"]["role"] == "timestamp"
    assert settings["day"]["key"] is True
    assert draft.frequency == "1d"


def test_a_second_date_is_left_out():
    times = pd.date_range("2024-01-01", periods=300, freq="h").strftime("%Y-%m-%dT%H:%M")
    days = pd.date_range("2020-01-01", periods=30, freq="D").strftime("%Y-%m-%d")
    found = roles(guess_schema(frame(at=times, born=np.tile(days, 10))))
    assert (found["at"], found["born"]) == ("timestamp", "ignore")


def test_columns_that_sum_to_the_target_or_equal_it_are_left_out():
    rows = frame(a=np.arange(300) % 7, b=np.arange(300) % 11).astype({"a": int, "b": int})
    rows["y"] = rows["a"] + rows["b"]
    rows["again"] = rows["y"]
    found = roles(guess_schema(rows.astype("str"), target="y"))
    assert [found[name] for name in ("a", "b", "again", "x")] == ["ignore", "ignore", "ignore", "feature"]


def test_a_column_that_gives_the_answer_alone_is_left_out_with_the_reason():
    rows = frame()
    rows["near"] = np.log(rows["y"].astype(float) + 1)
    settings = {guess.name: guess.settings for guess in guess_schema(rows.astype("str"), target="y").columns}
    assert "it alone takes away 100.0% of the error in y" in settings["near"]["why"]
    assert "role" not in settings["x"]
    classes = frame(left=["stays", "goes"] * 150, y=["no", "yes"] * 150)
    assert roles(guess_schema(classes))["left"] == "ignore"
    code = RNG.permutation(300)
    assert (
        roles(guess_schema(frame(code=[f"{n % 7}{'ab'[int(n % 7 > 3)]}" for n in code], y=code % 7 > 3)))["code"]
        == "ignore"
    )


def test_a_strong_column_stays_with_a_doubt():
    rows = frame()
    rows["near"] = rows["y"].astype(float) + RNG.normal(0, 0.03, 300)
    guesses = {guess.name: guess for guess in guess_schema(rows.astype("str"), target="y").columns}
    assert guesses["near"].role == "feature"
    assert "MAY LEAK" in guesses["near"].doubts[0]


def test_what_was_known_at_the_row_before_is_no_leak():
    y = np.cumsum(RNG.normal(0, 1, 400))
    times = pd.date_range("2024-01-01", periods=400, freq="D").strftime("%Y-%m-%d")
    rows = pd.DataFrame({"day": times, "lag": np.roll(y, 1), "now": y * 2, "y": y}).iloc[1:]
    found = roles(guess_schema(rows.astype("str"), target="y"))
    assert (found["lag"], found["now"]) == ("feature", "ignore")


def test_where_a_leak_is_all_there_is_it_stays_with_a_doubt():
    guesses = {
        guess.name: guess for guess in guess_schema(pd.DataFrame({"x": range(0, 600, 2), "y": range(300)})).columns
    }
    assert guesses["x"].role == "feature"
    assert "gives the target away" in guesses["x"].doubts[0]


def test_bikes(real):
    settings = real("bikes", "bike_sharing_hour.csv")
    draft = guess_schema(read_place(settings.config, settings.root, None).frame)
    found = roles(draft)
    assert [draft.column(role) for role in ("target", "timestamp", "key")] == ["cnt", "dteday", "instant"]
    assert (found["casual"], found["registered"]) == ("ignore", "ignore")
    assert draft.frequency == "1h"
    day = next(guess for guess in draft.columns if guess.name == "dteday")
    assert (day.settings["format"], day.settings["add_hours"]) == ("%m/%d/%Y", "hr")


def test_churn(real):
    settings = real("churn", "telco_churn.csv")
    draft = guess_schema(read_place(settings.config, settings.root, None).frame)
    assert (draft.task, draft.positive) == ("binary", "Yes")
    assert [draft.column(role) for role in ("target", "timestamp", "key")] == ["Churn", None, "customerID"]
    assert all(role != "ignore" for role in roles(draft).values())

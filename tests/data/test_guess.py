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
    assert guess.settings == {"type": "integer", "minimum": 0, "nullable": True}
    assert "1 values are no numbers, such as '?!'" in " ".join(guess.remarks)
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
    assert settings["shop"]["role"] == "key"
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


def test_columns_that_may_leak_are_remarked():
    rows = frame()
    rows["near"] = rows["y"].astype(float) * 2 + 0.001
    told = {guess.name: " ".join(guess.remarks) for guess in guess_schema(rows.astype("str"), target="y").columns}
    assert "MAY LEAK: correlation 1.000" in told["near"]
    assert "LEAK" not in told["x"]
    classes = frame(left=["stays", "goes"] * 150, y=["no", "yes"] * 150)
    told = {guess.name: " ".join(guess.remarks) for guess in guess_schema(classes).columns}
    assert "MAY LEAK: it alone tells y in 100.0%" in told["left"]


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

import numpy as np
import pandas as pd
import pytest

from quire.data import typed
from quire.data.columns import guess_column
from quire.data.draft import ColumnGuess

NUMBERS = [round(1.5 + 37.25 * n, 2) for n in range(60)]


def column(texts):
    raw = pd.Series(texts, dtype="str", name="x")
    guess = guess_column(raw)
    return guess, guess.read(raw.to_frame())


@pytest.mark.parametrize(
    "write",
    [
        lambda n: f"${n:,.2f}",
        lambda n: f"{n:,.2f} €",
        lambda n: f"£ {n}",
        lambda n: f"{n}kg",
        lambda n: f"{n:,} kms",
        lambda n: f"{n}%",
        lambda n: f"Rs. {n}",
        lambda n: f"USD {n:,.2f}",
        lambda n: f"{n:_}",
        lambda n: f"{n:,.2f}+",
    ],
    ids=range(10),
)
def test_numbers_are_read_as_people_write_them(write):
    guess, values = column([write(n) for n in NUMBERS])
    assert guess.type == "number"
    assert values.tolist() == NUMBERS


@pytest.mark.parametrize(
    ("text", "value"), [("($1,200.50)", -1200.5), ("-$5", -5), ("$-5", -5), ("+$5", 5), ("5 $", 5)]
)
def test_signs_and_brackets_are_read(text, value):
    notation = typed.Notation(thousands=",", affixes={"$": 1.0})
    assert typed.read_number(pd.Series([text], dtype="str"), notation).values.tolist() == [value]


@pytest.mark.parametrize("text", ["1,2,3", "$", "12,34", "1.2.3", "5 apples", "$$x", "1-2"])
def test_what_is_no_number_stays_unparsable(text):
    notation = typed.Notation(thousands=",", affixes={"$": 1.0})
    reading = typed.read_number(pd.Series([text], dtype="str"), notation)
    assert reading.values.isna().all()
    assert reading.found["unparsable"].all()


def test_units_of_one_quantity_are_brought_together():
    guess, values = column([f"{n}{unit}" for n in (1, 2.5, 300) for unit in ("k", "M")] * 10)
    assert guess.settings["affixes"] == {"k": 1e3, "M": 1e6}
    assert values.tolist()[:4] == [1e3, 1e6, 2.5e3, 2.5e6]


@pytest.mark.parametrize(
    "texts", [["A12", "B13", "C77"], ["1st", "2nd", "3rd"], ["5%", "0.05", "0.07"], ["5 GB", "7 kg", "9 l"]]
)
def test_codes_and_what_cannot_be_told_apart_are_no_numbers(texts):
    assert column([f"{text}" for text in texts] * 20)[0].type != "number"
    assert column([f"{text}" for text in texts] * 20)[0].type != "integer"


@pytest.mark.parametrize("word", ["missing", "inf", "Ask For Price", "unknown", "--"])
def test_a_word_in_a_tenth_stands_for_no_value(word):
    guess, values = column([word if n % 10 == 0 else str(n * 1.5) for n in range(300)])
    assert guess.type == "number"
    assert guess.settings["missing"] == (word,)
    assert int(values.isna().sum()) == 30
    assert any("stands for no value" in doubt for doubt in guess.doubts)


@pytest.mark.parametrize("value", [-200, -999, 9999, -99.9])
def test_a_number_far_from_all_others_stands_for_no_value(value):
    texts = [str(value) if n % 10 == 0 else str(round(float(np.sin(n)) + 5, 3)) for n in range(300)]
    guess, values = column(texts)
    assert guess.settings["missing"] == (value,)
    assert int(values.isna().sum()) == 30


@pytest.mark.parametrize("texts", [["00501", "10001", "90210"], ["007", "012", "123"], ["01", "02", "10"]])
def test_leading_zeros_stay_text(texts):
    guess, values = column(texts * 20)
    assert guess.type == "category"
    assert values.tolist()[:3] == texts


@pytest.mark.parametrize("number", [2**63, 10**19, -(2**64)])
def test_integers_beyond_64_bits_are_text_where_they_name_rows_and_numbers_else(number):
    assert column([str(number + n * 10**6) for n in range(60)])[0].type == "text"
    guess, values = column([str(number), str(number + 5), "7", "8", "9", "11"] * 10)
    assert guess.type == "number"
    assert values.notna().all()


def test_a_missing_number_may_be_written_in_another_way():
    guess = ColumnGuess("x", {"type": "integer", "missing": (-200,)})
    assert guess.read(pd.DataFrame({"x": ["-200.0", "-200", "5"]}, dtype="str")).isna().tolist() == [True, True, False]

import pandas as pd
import pytest

from quire.data.columns import guess_column
from quire.data.dates import FORMATS, NAMED_FORMATS, guess_date_form

DAYS = pd.Series(pd.date_range("1948-11-20", periods=400, freq="17D"))


@pytest.mark.parametrize(
    "form",
    [
        *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d-%b-%y", "%d %B %Y", "%b %d, %Y"),
        *("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%b %d %Y", "%Y%m%dT%H%M%S", "%d.%m.%Y %H.%M"),
    ],
)
def test_dates_are_read_in_many_forms_also_before_1970(form):
    days = DAYS if "%y" not in form else pd.Series(pd.date_range("1990-01-01", periods=400, freq="13D"))
    raw = days.dt.strftime(form).astype("str").rename("day")
    guess = guess_column(raw)
    assert guess.type == "datetime"
    read = guess.read(raw.to_frame()).dt.tz_localize(None)
    assert (read == days).all()


@pytest.mark.parametrize(("form", "other"), [("%d/%m/%Y", "%m/%d/%Y"), ("%m/%d/%Y", "%d/%m/%Y")])
def test_where_both_ways_fit_the_dates_are_read_so_that_they_ascend(form, other):
    months = pd.Series(pd.date_range("2015-01-01", periods=80, freq="MS"))
    found = guess_date_form(months.dt.strftime(form).astype("str"))
    assert found is not None
    assert (found.format, found.other) == (form, other)


@pytest.mark.parametrize(("form", "unit"), [("unix", 1), ("unix_ms", 10**3), ("unix_us", 10**6), ("unix_ns", 10**9)])
def test_numbers_since_1970_are_times_where_the_name_says_so(form, unit):
    texts = pd.Series([str((1_500_000_000 + n * 86_400) * unit) for n in range(100)], dtype="str")
    guess = guess_column(texts.rename("created_at"))
    assert guess.settings == {"type": "datetime", "format": form}
    read = guess.read(texts.rename("created_at").to_frame())
    assert read.iloc[1] == pd.Timestamp(1_500_086_400, unit="s", tz="UTC")
    assert guess_column(texts.rename("votes")).type != "datetime"


def test_a_date_far_off_stands_for_none():
    days = DAYS.dt.strftime("%Y-%m-%d").astype("str")
    days[::50] = "9999-12-31"
    guess = guess_column(days.rename("until"))
    assert guess.settings["missing"] == ("9999-12-31",)
    assert int(guess.read(days.rename("until").to_frame()).isna().sum()) == 8


@pytest.mark.parametrize(
    "texts",
    [["1.0.2", "4.0.3", "10.1.1"], ["12345678", "87654321", "555"], ["10-20", "30-40", "5-7"], ["a1", "b2", "c3"]],
)
def test_what_only_looks_alike_is_no_date(texts):
    assert guess_date_form(pd.Series(texts * 30, dtype="str")) is None


def test_no_form_stands_twice():
    assert len({*FORMATS, *NAMED_FORMATS}) == len(FORMATS) + len(NAMED_FORMATS)

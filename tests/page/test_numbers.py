"""Numbers and lengths as a person reads them."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest

from quire.page.numbers import length, number, percent, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.93456, "0.935"),
        (1234.5678, "1,235"),
        (12345, "12,345"),
        (-0.5, "−0.500"),
        (0.0, "0"),
        (1e-7, "1.00e−07"),
        (2.5e12, "2.50e+12"),
        (float("inf"), "∞"),
        (True, "yes"),
        (np.float64(0.5), "0.500"),
        (np.int64(7), "7"),
        (datetime(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04"),
        (date(2026, 1, 2), "2026-01-02"),
        (pd.Timestamp("2026-01-02 03:00", tz="UTC"), "2026-01-02 03:00"),
        ("Yes", "Yes"),
        ("nan", "nan"),
        (4.0, "4"),
        (1378.0, "1,378"),
        (-12, "−12"),
    ],
)
def test_a_value_is_rounded_to_what_a_person_reads(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan"), pd.NaT, pd.NA])
def test_what_is_missing_is_a_dash(value):
    assert number(value) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "–")],
)
def test_a_length_is_told_in_its_own_unit(seconds, text):
    assert length(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.000001, "<0.01%"),
        (0.0013, "0.13%"),
        (0.025, "2.5%"),
        (0.26, "26%"),
        (0.9999, "99.99%"),
        (0.999999, "99.99%"),
        (-0.04, "−4.0%"),
        (12.5, "1,250%"),
        (float("nan"), "–"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(share, text):
    assert percent(share) == text


def test_a_sign_is_shown_where_it_is_asked_for():
    assert [percent(share, signed=True) for share in (0.1, -0.1, 0.0)] == ["+10%", "−10%", "0%"]
    assert [signed(value) for value in (0.5, -0.5, 0.0)] == ["+0.500", "−0.500", "0"]

"""Numbers and lengths as a person reads them."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest

from quire.page.numbers import length, number


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

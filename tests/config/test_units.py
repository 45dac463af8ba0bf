from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.config import duration, moment
from quire.errors import ConfigError


@given(
    st.integers(0, 10_000),
    st.sampled_from([("w", "weeks"), ("d", "days"), ("h", "hours"), ("m", "minutes"), ("s", "seconds")]),
)
def test_a_length_is_a_whole_number_and_a_unit(number, unit):
    assert duration(f"{number}{unit[0]}") == timedelta(**{unit[1]: number})


@pytest.mark.parametrize("text", ["7", "d", "7 d", "7days", "-7d", "1.5h", "", "7M"])
def test_another_text_is_no_length(text):
    with pytest.raises(ConfigError, match="is not a length of time; write a whole number"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2012-12-01", datetime(2012, 12, 1, tzinfo=UTC)),
        ("2012-12-01T06:00", datetime(2012, 12, 1, 6, tzinfo=UTC)),
        ("2012-12-01T06:00Z", datetime(2012, 12, 1, 6, tzinfo=UTC)),
        ("2012-12-01T06:00+02:00", datetime(2012, 12, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_date_means_its_midnight_in_utc(text, expected):
    assert moment(text) == expected
    assert moment(text).tzinfo == UTC


@pytest.mark.parametrize("text", ["1 December 2012", "2012-13-01", "", "yesterday"])
def test_another_text_is_no_date(text):
    with pytest.raises(ConfigError, match="is not a date; write ISO 8601"):
        moment(text)

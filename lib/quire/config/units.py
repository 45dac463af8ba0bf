"""Text of configuration that stands for a quantity: durations and points in time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from quire.errors import ConfigError

EPOCHS = {"unix": 1, "unix_ms": 1_000, "unix_us": 1_000_000, "unix_ns": 1_000_000_000}
"""Formats of times that are numbers since 1970, and how many of each make a second."""

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def duration(text: str) -> timedelta:
    """Return the length that ``text`` names: a whole number and w, d, h, m or s, as in ``7d``; raises ConfigError."""
    match = re.fullmatch(r"(\d+)([wdhms])", text.strip())
    if not match:
        raise ConfigError(f"{text!r} is not a length of time; write a whole number and w, d, h, m or s, such as '7d'.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """Return the point in time that ISO 8601 ``text`` names, in UTC; a date means its midnight, no zone means UTC."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a date; write ISO 8601, such as '2012-12-01' or '2012-12-01T06:00'."
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _checked_duration(text: str) -> str:
    try:
        duration(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def _checked_moment(text: str) -> str:
    try:
        moment(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


Duration = Annotated[str, AfterValidator(_checked_duration)]
"""A length of time as written, such as ``7d``; `duration` reads it."""

Moment = Annotated[str, AfterValidator(_checked_moment)]
"""A point in time as written, such as ``2012-12-01``; `moment` reads it."""

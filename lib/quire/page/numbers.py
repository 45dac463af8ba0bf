"""Numbers, dates and texts as a person reads them."""

import math
from datetime import date, datetime
from typing import Any


def number(value: Any, *, digits: int = 3) -> str:
    """Return a value as text: three significant digits, thousands apart, a missing one as a dash.

    Whole numbers and texts stay whole; a time is given to the minute, at midnight as a date.
    """
    if is_missing(value):
        return "–"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _float(value, digits)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if (value.hour, value.minute) == (0, 0) else f"{value:%Y-%m-%d %H:%M}"
    return f"{value:%Y-%m-%d}" if isinstance(value, date) else str(value)


def percent(share: float, *, signed: bool = False) -> str:
    """Return a share as a percentage with as many digits as it needs: never 0% or 100% for what is not quite that.

    signed: with a plus before a positive one.
    """
    if is_missing(share):
        return "–"
    size = abs(share)
    if math.isinf(size):
        text = "∞"
    elif 0 < size < 0.0001:
        return "<0.01%"
    else:
        text = _percentage(size)
    return f"{'−' if share < 0 else '+' if signed and share > 0 else ''}{text}"


def signed(value: float, *, digits: int = 3) -> str:
    """Return a number as `number` does, with its sign also where it is positive."""
    return f"{'+' if value > 0 else ''}{number(value, digits=digits)}"


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or NA."""
    return value is None or (not isinstance(value, str) and str(value) in ("nan", "NaT", "<NA>"))


def _percentage(size: float) -> str:
    if size in (0.0, 1.0):
        return f"{size:.0%}"
    if size < 0.1:
        return f"{size:.1%}" if size >= 0.01 else f"{size:.2%}"
    if 0.995 <= size < 1.005:
        text = f"{size:.2%}"
        return text if text != "100.00%" else "99.99%" if size < 1 else "100%"
    return f"{size:,.0%}"


def _float(value: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 9 or size < -5:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    if value.is_integer():
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:,.{max(0, digits - 1 - size)}f}".replace("-", "−")


def length(seconds: float | None) -> str:
    """Return a length of time as text: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``; a missing one as a dash."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age(seconds: float) -> str:
    """Return how long ago something was, as a person says it: ``just now``, ``5 minutes ago``, ``3 days ago``."""
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // size)
        if count >= 1:
            return f"{count:,} {name}{'s' * (count > 1)} ago"
    return "just now"


def shortened(text: str, most: int) -> str:
    """Return a text of more than ``most`` characters as its start and its end, with how much is left out between."""
    if len(text) <= most:
        return text
    start, end = most - most // 3, most // 3
    return f"{text[:start]}\n[... {len(text) - start - end:,} characters left out ...]\n{text[-end:]}"

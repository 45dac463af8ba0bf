"""Numbers, dates and texts as a person reads them."""

import math
from datetime import date, datetime
from typing import Any


def number(value: Any, *, digits: int = 3) -> str:
    """Return a value as text: three significant digits, thousands apart, a missing one as a dash.

    Whole numbers and texts stay whole; a time is given to the minute, at midnight as a date.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("NaT", "<NA>"):
        return "–"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _float(value, digits)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if (value.hour, value.minute) == (0, 0) else f"{value:%Y-%m-%d %H:%M}"
    return f"{value:%Y-%m-%d}" if isinstance(value, date) else str(value)


def _float(value: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 9 or size < -5:
        return f"{value:.{digits - 1}e}".replace("-", "−")
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

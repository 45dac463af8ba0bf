"""Dates as people write them: which form of strptime fits a column's texts."""

import re
from dataclasses import dataclass
from itertools import product

import pandas as pd

from quire.config.units import EPOCHS

SHARE = 0.95
"""The share of texts that a form must fit."""

_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%y/%m/%d", "%y-%m-%d"),
)
_NAMED_DAYS = (
    *("%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%d %b %y", "%d %B %Y", "%d-%B-%Y", "%d/%b/%Y", "%d. %B %Y", "%d%b%Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%b. %d, %Y", "%b-%d-%Y", "%Y-%b-%d", "%Y %b %d"),
    *("%a %d %b %Y", "%a, %d %b %Y", "%a %b %d %Y", "%A, %B %d, %Y", "%A %d %B %Y"),
)
_HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H.%M", " %H.%M.%S", ", %H:%M")
_OTHERS = ("%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%m/%Y", "%H:%M %d/%m/%Y", "%H:%M:%S %d/%m/%Y")
_NAMED_OTHERS = (
    *("%b %Y", "%B %Y", "%b-%y", "%b-%Y", "%Y-%b", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y"),
    *("%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S", "%a, %d %b %Y %H:%M:%S %z"),
)
FORMATS = tuple(day + hour for day, hour in product(_DAYS, _HOURS)) + _OTHERS
NAMED_FORMATS = tuple(day + hour for day, hour in product(_NAMED_DAYS, _HOURS)) + _NAMED_OTHERS
"""Forms with the names of months or weekdays."""

_TIME_NAME = re.compile(r"(time|date|stamp|epoch|created|updated|_at$|_ts$|^ts$|utc)", re.IGNORECASE)


@dataclass(frozen=True)
class DateForm:
    """A form of strptime (None: ISO 8601), and another that fits as well, if there is one."""

    format: str | None
    other: str | None = None


def guess_date_form(values: pd.Series) -> DateForm | None:
    """Return the form that nearly all texts have; None if they are no dates.

    Where the day and the month can be read both ways, it is the way in which the dates ascend, or are evenly spaced.
    """
    sample = values.iloc[:: max(1, len(values) // 2000)].str.strip()
    if not sample.str.contains(r"\d", regex=True).mean() >= SHARE or sample.str.len().median() < 6:
        return None
    digits = bool(sample.str.fullmatch(r"\d+").all())
    if digits and not sample.str.fullmatch(r"(19|20)\d{6}(\d{6})?").all():
        return None
    if not digits and _fits(sample, "ISO8601") and sample.str.match(r"[+-]?\d{4}-?[\dW]").mean() >= SHARE:
        return DateForm(None)
    is_named = bool(sample.str.contains(r"[A-Za-z]{3}", regex=True).mean() >= SHARE)
    forms = [form for form in (NAMED_FORMATS if is_named else FORMATS) if _fits(sample.head(20), form)]
    forms = [form for form in forms if _fits(sample, form)]
    exact = [form for form in forms if _fits(values.str.strip(), form, share=1.0)]
    forms = exact or forms
    if not forms:
        return None
    ranked = sorted(forms, key=lambda form: (_disorder(sample, form), forms.index(form)))
    return DateForm(ranked[0], ranked[1] if len(ranked) > 1 else None)


def guess_epoch(name: str, numbers: pd.Series, *, is_asked: bool = False) -> str | None:
    """Return ``unix``, ``unix_ms``, ``unix_us`` or ``unix_ns`` if the numbers are times between 1980 and 2050.

    Only where the name says so, or the person does (``is_asked``): counts can be as large.
    """
    present = numbers.dropna()
    if present.empty or not (is_asked or _TIME_NAME.search(name)):
        return None
    for form, unit in EPOCHS.items():
        if present.between(315_576_000 * unit, 2_524_608_000 * unit).mean() >= SHARE:
            return form
    return None


def guess_year(numbers: pd.Series) -> bool:
    """Return whether the numbers are years."""
    present = numbers.dropna()
    return bool(len(present)) and bool(((present == present.round()) & present.between(1500, 2200)).all())


def _fits(values: pd.Series, form: str, share: float = SHARE) -> bool:
    parsed = pd.to_datetime(values, format=form, errors="coerce", utc=True)
    return bool(len(values)) and bool(parsed.notna().mean() >= share)


def _disorder(values: pd.Series, form: str) -> float:
    """Return how far the dates are from ascending or descending evenly, 0 to 2, in steps of 0.03: near is a tie."""
    times = pd.to_datetime(values, format=form, errors="coerce", utc=True).dropna()
    steps = times.diff().dropna()
    if steps.empty:
        return 0.0
    zero = pd.Timedelta(0)
    against = min((steps < zero).mean(), (steps > zero).mean())
    gaps = times.drop_duplicates().sort_values().diff().dropna().dt.days
    uneven = 1 - float(gaps.between(gaps.median() * 0.9, gaps.median() * 1.15).mean()) if len(gaps) > 2 else 0.0
    return round((float(against) + 0.5 * uneven) / 0.03) * 0.03

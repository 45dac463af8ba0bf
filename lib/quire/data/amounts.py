"""Numbers as people write them: with a currency, a unit, a percent sign, or marks between thousands."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from quire.data import typed
from quire.data.typed import Notation

MOSTLY = 0.8
"""That share where what else there is, are a few words that stand for no number."""

MOST_WORDS = 5

MANY_WORDS = 0.9
"""That share where there are more different words; they become missing, and a person is asked."""

_CURRENCIES = {"usd", "eur", "gbp", "inr", "chf", "jpy", "cny", "cad", "aud", "brl", "krw", "rub", "rs", "rs.", "us$"}
_CURRENCIES |= {"r$", "c$", "a$", "kr", "kr.", "zł", "tl", "dkk", "sek", "nok", "pln", "mxn", "zar", "sgd", "hkd"}

_SCALES = (
    {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "bn": 1e9, "mn": 1e6, "T": 1e12},
    {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    {"KB": 1e-6, "MB": 1e-3, "GB": 1.0, "TB": 1e3},
    {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
    {"ml": 1e-3, "cl": 1e-2, "l": 1.0, "L": 1.0},
)
"""Units of one quantity: where a column has several of them, all are turned into the one that counts 1."""

_NUMBER = r"[+-]?(?:\d[\d.,'_ ]*\d|\d|\.\d+)(?:[eE][+-]?\d+)?"
_AMOUNT = re.compile(
    rf"\(?\s*(?P<sign>[+-]?)(?P<before>[^\d\s.,()+-]{{1,3}}\.?)?\s*(?P<number>{_NUMBER})\s*(?P<after>[^\d\s.,()]"
    r"[^\d,()]{0,11})?\s*\)?"
)
_GROUPED = {
    ",": re.compile(r"[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?"),
    ".": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*\.\d{3}(?:,\d*)?"),
    " ": re.compile(r"[+-]?\d{1,3}(?: \d{3})+(?:[.,]\d*)?"),
    "'": re.compile(r"[+-]?\d{1,3}(?:'\d{3})+(?:\.\d*)?"),
    "_": re.compile(r"[+-]?\d{1,3}(?:_\d{3})+(?:\.\d*)?"),
}


@dataclass(frozen=True)
class Amounts:
    """How a column writes its numbers, the words among them, and the remark for a person."""

    notation: Notation
    words: tuple[str, ...] = ()
    remark: str = ""


def guess_amounts(raw: pd.Series, values: pd.Series, *, decimal: str = ".") -> Amounts | None:
    """Return how the ``values`` (texts, none missing) write numbers; None if they are no numbers.

    raw: the whole column. Units are accepted that nearly all values have, or that have a scale in common.
    """
    notation = Notation(decimal)
    numbers = typed.read_number(raw, notation).values[values.index]
    if numbers.isna().any() and not pd.api.types.is_numeric_dtype(raw.dtype):
        candidate = _guess_notation(values[numbers.isna()], values, decimal)
        more = None if candidate is None else typed.read_number(raw, candidate).values[values.index]
        if candidate is not None and more is not None and more.notna().sum() > numbers.notna().sum():
            notation, numbers = candidate, more
    invalid_values = values[numbers.isna()]
    share = 1 - len(invalid_values) / len(values)
    words = tuple(invalid_values.str.strip().unique())
    if share < MOSTLY or (share < MANY_WORDS and len(words) > MOST_WORDS):
        return None
    if len(words) > MOST_WORDS:
        words = ()
    return Amounts(replace(notation, missing=frozenset(words)), tuple(sorted(words)), _remark(notation))


def _guess_notation(odd: pd.Series, values: pd.Series, decimal: str) -> Notation | None:
    """Return the notation in which the texts that are no plain numbers are some; None if there is no clear one."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    read = 0
    for text, rows in odd.str.strip().value_counts().items():
        match = _AMOUNT.fullmatch(str(text))
        if match is None:
            continue
        read += rows
        for place, affixes in (("before", before), ("after", after)):
            affix = (match[place] or "").strip()
            if affix:
                affixes[affix] += rows
        number = match["number"]
        for mark, grouped in _GROUPED.items():
            if mark != decimal and grouped.fullmatch(number):
                marks[mark] += rows
    if not read or not (before or after or marks):
        return None
    if any(not _is_currency(affix) for affix in before) or len(before) > 2:
        return None
    scales = _scales_of(after, len(values))
    if scales is None:
        return None
    thousands = marks.most_common(1)[0][0] if marks else ""
    return Notation(decimal, thousands, {**dict.fromkeys(before, 1.0), **scales})


def _is_currency(text: str) -> bool:
    return text.lower() in _CURRENCIES or all(unicodedata.category(character) == "Sc" for character in text)


def _scales_of(after: Counter[str], rows: int) -> dict[str, float] | None:
    """Return what each text after a number multiplies it with; None if they cannot be brought together."""
    signs = {"%": 1.0, "+": 1.0}
    units = {affix: count for affix, count in after.items() if affix not in signs and not _is_currency(affix)}
    scales = {affix: 1.0 for affix in after if affix not in units}
    if "%" in scales and after["%"] < 0.9 * rows:  # 5% and 0.05 in one column cannot be told apart
        return None
    if not units:
        return scales
    for family in _SCALES:
        if set(units) <= set(family) and (len(units) > 1 or family is _SCALES[0]):
            return scales | {affix: family[affix] for affix in units}
    if len(units) == 1 and sum(units.values()) >= 0.9 * MOSTLY * rows and len(next(iter(units))) <= 12:
        return scales | dict.fromkeys(units, 1.0)
    same = {affix.rstrip("s.").lower() for affix in units}
    return scales | dict.fromkeys(units, 1.0) if len(same) == 1 and sum(units.values()) >= 0.7 * rows else None


def _remark(notation: Notation) -> str:
    parts = [f"{affix!r} is taken off" for affix, factor in notation.affixes.items() if factor == 1]
    parts += [f"{affix!r} is times {factor:g}" for affix, factor in notation.affixes.items() if factor != 1]
    parts += [f"{notation.thousands!r} parts thousands"] if notation.thousands else []
    return ", ".join(parts)


def guess_placeholder(numbers: pd.Series) -> float | None:
    """Return a value that stands for none, such as -200 or 9999: a repeated extreme far away from all others."""
    present = numbers.dropna()
    if len(present) < 50 or present.nunique() < 5:
        return None
    for value, is_low in ((present.min(), True), (present.max(), False)):
        count = int((present == value).sum())
        if count < max(5, 0.005 * len(present)) or not _looks_made_up(value):
            continue
        others = present[present != value]
        gap = others.min() - value if is_low else value - others.max()
        if gap > 2 * float(np.ptp(others)):
            return float(value)
    return None


def _looks_made_up(value: float) -> bool:
    return bool(re.fullmatch(r"-?9+|-?9+\.0|-[12]0{1,4}|-1", f"{value:g}")) or value in (-200, -999.9, -99.9)

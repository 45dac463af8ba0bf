"""One column, from whatever the source gives to the type that the schema asks for; nothing is coerced silently.

Each function takes a raw column (text, numbers, times, objects) and returns a `TypedColumn`: the values typed, and for
each kind of irregularity the rows where it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Column, label
from quire.config.units import EPOCHS

MARKERS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "."})
"""Texts, in lower case, that stand for a missing value in a column that is not text or category."""

TRUE = frozenset({"true", "t", "yes", "y", "1"})
FALSE = frozenset({"false", "f", "no", "n", "0"})

LARGEST = float(np.finfo(np.float32).max)
"""The size, 3.4e38, beyond which a number is none here: models compute in single precision, which ends there."""


@dataclass(frozen=True)
class TypedColumn:
    """A typed column, and where it was irregular: {"blank" | "marker" | "unparsable" | ...: boolean rows}."""

    values: pd.Series
    found: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Notation:
    """How a column writes its numbers, and what in it stands for no value; see `quire.config.Column`."""

    decimal: str = "."
    thousands: str = ""
    affixes: Mapping[str, float] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()

    @property
    def numbers(self) -> list[float]:
        """The numbers among what stands for no value: -200 may be written -200.0."""
        texts = (pd.to_numeric(text, errors="coerce") for text in self.missing)
        return [float(number) for number in texts if np.isfinite(number)]

    @classmethod
    def of(cls, column: Column, decimal: str = ".") -> "Notation":
        """Return that of a column of the schema."""
        return cls(decimal, column.thousands, column.affixes, frozenset(label(value) for value in column.missing))


def read(raw: pd.Series, column: Column, *, decimal: str = ".", timezone: str = "UTC") -> TypedColumn:
    """Return ``raw`` as ``column.type``: see the frame contract in `quire.data.snapshot`."""
    notation = Notation.of(column, decimal)
    if column.type == "number":
        return read_number(raw, notation)
    if column.type == "integer":
        return read_integer(raw, notation)
    raw, masks = without_missing(raw, notation.missing)
    if column.type == "boolean":
        reading = read_boolean(raw, column.labels)
    elif column.type == "category":
        reading = read_category(raw, column.labels)
    elif column.type == "datetime":
        reading = read_datetime(raw, column.format, timezone=timezone)
    else:
        reading = read_text(raw)
    return TypedColumn(reading.values, _merged(reading.found, masks))


def unusable(raw: pd.Series) -> str:
    """Return why no model can use values of this kind; empty if one may."""
    if pd.api.types.is_timedelta64_dtype(raw.dtype):
        return "durations; write them as numbers of seconds or days to use them"
    if pd.api.types.is_complex_dtype(raw.dtype) or isinstance(raw.dtype, pd.IntervalDtype):
        return f"values of type {raw.dtype}, which is not read"
    if raw.dtype != object:
        return ""
    kinds: dict[Any, str] = {
        bytes: "bytes",
        bytearray: "bytes",
        memoryview: "bytes",
        dict: "records",
        list: "lists",
        tuple: "lists",
    }
    kinds |= {set: "lists", np.ndarray: "lists"}
    kind = next((kinds[type(value)] for value in raw if type(value) in kinds), "")
    return f"{kind} in its rows; write what matters of them as columns of their own" if kind else ""


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def without_missing(raw: pd.Series, missing: frozenset[str]) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Return ``raw`` without the values that stand for none in this column, and the rows where they were."""
    if not missing:
        return raw, {}
    text = raw.astype("str").str.strip() if _is_text(raw) else _as_labels(raw)
    rows = text.isin(missing).to_numpy(bool, na_value=False)
    return (raw.mask(rows) if rows.any() else raw), {"marker": rows}


def _merged(found: Mapping[str, np.ndarray], more: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**found, **{rule: rows | found[rule] if rule in found else rows for rule, rows in more.items()}}


def read_number(raw: pd.Series, notation: Notation = Notation()) -> TypedColumn:
    """Return float64; what is no number is unparsable, and infinities and numbers beyond `LARGEST` are none."""
    raw, masks = without_missing(raw, notation.missing)
    if _is_number(raw):
        values = raw.astype("Float64").to_numpy("float64", na_value=np.nan).copy()
    else:
        text, more = _clean(raw)
        masks = _merged(more, masks)
        values = _numbers(text, notation)
        masks["unparsable"] = text.notna().to_numpy() & np.isnan(values)
    placeholder = np.isin(values, notation.numbers)
    if placeholder.any():
        masks = _merged(masks, {"marker": placeholder})
        values[placeholder] = np.nan
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        masks["unparsable"] = masks.get("unparsable", np.zeros(len(raw), bool)) | beyond
        values = np.where(beyond, np.nan, values)
    return TypedColumn(pd.Series(values, raw.index, name=raw.name), masks)


def _numbers(text: pd.Series, notation: Notation) -> np.ndarray:
    """Return what each text says as float64, NaN where it is no number."""
    plain = text.str.replace(notation.decimal, ".", regex=False) if notation.decimal != "." else text
    values = pd.to_numeric(plain, errors="coerce").to_numpy("float64", na_value=np.nan).copy()
    if notation.thousands or notation.affixes:
        # A point that parts thousands would read as a decimal one.
        rest = text.notna().to_numpy() & (np.isnan(values) | (notation.thousands == "."))
        amounts = {token: amount(token, notation) for token in text[rest].unique()}
        values[rest] = text[rest].map(amounts).to_numpy("float64", na_value=np.nan)
    return values


def amount(text: str, notation: Notation) -> float:
    """Return the number that ``text`` says as the notation writes it, such as ``$1,234.50``; NaN if it is none.

    In brackets, as accountants write it, it is below zero.
    """
    match = re.fullmatch(r"\((.+)\)", text)
    rest, sign, factor = (match[1], -1.0, 1.0) if match else (text, 1.0, 1.0)
    if rest[:1] in "+-" and rest[1:2] and not rest[1:2].isdigit():
        rest, sign = rest[1:], -sign if rest[0] == "-" else sign
    for affix in sorted(notation.affixes, key=len, reverse=True):
        if affix and rest.startswith(affix):
            rest, factor = rest.removeprefix(affix).strip(), factor * notation.affixes[affix]
        elif affix and rest.endswith(affix):
            rest, factor = rest.removesuffix(affix).strip(), factor * notation.affixes[affix]
    if notation.thousands:
        mark = re.escape(notation.thousands)
        grouped = rf"[+-]?\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?:{re.escape(notation.decimal)}\d*)?"
        if re.fullmatch(grouped, rest):
            rest = rest.replace(notation.thousands, "")
    if notation.decimal != ".":
        rest = rest.replace(notation.decimal, ".")
    return sign * factor * float(rest) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", rest) else np.nan


def read_integer(raw: pd.Series, notation: Notation = Notation()) -> TypedColumn:
    """Return Int64; ``3.0`` is 3, and 3.5 is unparsable, as is what 64 bits do not hold."""
    if pd.api.types.is_integer_dtype(raw.dtype) and str(raw.dtype).lower() != "uint64":
        raw, masks = without_missing(raw, notation.missing)
        return TypedColumn(raw.astype("Int64"), masks)
    reading = read_number(raw, notation)
    numbers = reading.values.to_numpy()
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**63)
    values = pd.Series(pd.NA, raw.index, dtype="Int64", name=raw.name)
    values[whole] = numbers[whole].astype("int64")
    exact = {} if str(raw.dtype).startswith(("float", "Float")) else _large_integers(raw, numbers)
    for row, value in exact.items():
        values[row] = value
    unparsable = np.isfinite(numbers) & values.isna().to_numpy()
    return TypedColumn(values, {**reading.found, "unparsable": reading.found.get("unparsable", False) | unparsable})


def read_hours(raw: pd.Series, notation: Notation = Notation()) -> TypedColumn:
    """Return hours of the day as float64: numbers, or times such as ``18:30``, ``18.00.00`` or ``6:30 PM``."""
    reading = read_number(raw, notation)
    if _is_number(raw) or not reading.found["unparsable"].any():
        return reading
    parts = raw.astype("str").str.strip().str.extract(_CLOCK, flags=re.IGNORECASE)
    hour, minute, second = (pd.to_numeric(parts[at].fillna("0" if at else np.nan)) for at in range(3))
    half = parts[3].str.lower()
    hour = hour.where(half.isna() | (hour != 12), 0) + 12 * (half == "pm")
    hours = hour + minute / 60 + second / 3600
    values = reading.values.where(reading.values.notna(), hours.where((hours >= 0) & (hours < 24)))
    masks = {**reading.found, "unparsable": reading.found["unparsable"] & values.isna().to_numpy()}
    return TypedColumn(values, masks)


_CLOCK = r"^(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d+)?)?\s*([ap]m)?$"


def read_boolean(raw: pd.Series, labels: tuple[str, ...] = ()) -> TypedColumn:
    """Return boolean. ``labels``: the texts for false and for true; without, the usual ones in any case."""
    if pd.api.types.is_bool_dtype(raw.dtype) and not labels:
        return TypedColumn(raw.astype("boolean"))
    text, masks = _labelled(raw, labels, markers=True)
    low = text.str.lower() if not labels else text
    true, false = ({labels[1]}, {labels[0]}) if labels else (TRUE, FALSE)
    values = pd.Series(pd.NA, raw.index, dtype="boolean", name=raw.name)
    values[low.isin(true)] = True
    values[low.isin(false)] = False
    masks["unparsable"] = text.notna().to_numpy() & values.isna().to_numpy()
    return TypedColumn(values, masks)


def read_category(raw: pd.Series, labels: tuple[str, ...] = ()) -> TypedColumn:
    """Return text as `quire.config.label` writes it; what is none of ``labels`` is unknown, and kept here."""
    text, masks = _labelled(raw, labels, markers=False)
    if labels:
        masks["unknown"] = (text.notna() & ~text.isin(labels)).to_numpy()
    return TypedColumn(text, masks)


def read_text(raw: pd.Series) -> TypedColumn:
    """Return text as it is; an empty one is missing."""
    text = raw.astype("str") if _is_text(raw) else _as_labels(raw)
    return TypedColumn(text.mask(text == ""))


def read_datetime(raw: pd.Series, form: str | None, *, timezone: str, first: np.ndarray | None = None) -> TypedColumn:
    """Return datetime64[us, UTC].

    form: as in strptime, or ``unix``, ``unix_ms``, ``unix_us``, ``unix_ns`` for numbers since 1970; without, ISO 8601.
    Times without a zone are those of ``timezone``; see `to_utc` for the hours that the clock repeats or leaves out.
    """
    masks: dict[str, np.ndarray] = {}
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        times = raw
    elif form in EPOCHS:
        reading = read_number(raw)
        seconds = reading.values / EPOCHS[form]
        times = pd.to_datetime(seconds.where(seconds.abs() < 2.5e11), unit="s", errors="coerce", utc=True)
        masks = dict(reading.found)
        masks["unparsable"] = masks.get("unparsable", False) | (reading.values.notna() & times.isna()).to_numpy()
    else:
        text, masks = _clean(raw if not _is_number(raw) else _as_labels(raw))
        times = _parse(text, form, numeric=_is_number(raw))
        masks["unparsable"] = (text.notna() & times.isna()).to_numpy()
        zoned = _has_zone(text, form)
        if zoned.any():
            aware = _parse(text.where(zoned), form, numeric=False, utc=True).dt.as_unit("us")
            masks["unparsable"] = (text.notna() & times.isna() & aware.isna()).to_numpy()
            plain, irregular = to_utc(times.mask(zoned), timezone, first=first)
            return TypedColumn(plain.where(~zoned, aware), {**masks, **irregular})
    utc, irregular = to_utc(times, timezone, first=first)
    return TypedColumn(utc, {**masks, **irregular})


def to_utc(
    times: pd.Series, timezone: str, *, first: np.ndarray | None = None
) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Return ``times`` as datetime64[us, UTC], and the rows whose wall-clock time is ambiguous or does not exist.

    An hour that the clock repeats in autumn is taken for summer time where ``first`` is true (by default: at its first
    appearance), then for winter time. A time that the clock leaves out in spring is read with the offset before the
    change, as Python's zoneinfo does, which moves it forward by the gap.
    """
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return times.dt.tz_convert("UTC").dt.as_unit("us"), {}
    wall = times.dt.as_unit("us")
    if timezone == "UTC":
        return wall.dt.tz_localize("UTC"), {}
    summer = (~wall.duplicated()).to_numpy() if first is None else first
    missing = wall.isna()
    early = wall.dt.tz_localize(timezone, ambiguous=np.ones(len(wall), bool), nonexistent="NaT")
    late = wall.dt.tz_localize(timezone, ambiguous=np.zeros(len(wall), bool), nonexistent="NaT")
    ambiguous = ((early != late) & early.notna()).to_numpy()
    absent = (early.isna() & ~missing).to_numpy()
    before = (wall - pd.Timedelta(hours=3)).dt.tz_localize(timezone, ambiguous=True, nonexistent="shift_backward")
    utc = early.where(summer, late).dt.tz_convert("UTC")
    utc = utc.mask(absent, before.dt.tz_convert("UTC") + pd.Timedelta(hours=3)).dt.as_unit("us")
    return utc, {"ambiguous": ambiguous, "nonexistent": absent}


def _parse(text: pd.Series, form: str | None, *, numeric: bool, utc: bool = False) -> pd.Series:
    """Return times, missing where the text is none of the form; without ``utc`` those with a zone are missing too."""
    if numeric and not form:  # a bare number is no date; pandas would read nanoseconds since 1970
        return pd.Series(pd.NaT, text.index, dtype="datetime64[us]", name=text.name)
    if not utc:
        text = text.mask(_has_zone(text, form))
    return pd.to_datetime(text, format=form or "ISO8601", errors="coerce", utc=utc)


def _has_zone(text: pd.Series, form: str | None) -> pd.Series:
    """Return which texts name a zone: all where the form does, those that end like one without a form."""
    if form:
        return pd.Series("%z" in form, text.index)
    return text.str.contains(r"\d[Tt ]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$", regex=True, na=False)


def _clean(raw: pd.Series, *, markers: bool = True) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Return text without spaces around it; blanks and missing markers are missing, and counted."""
    text = raw.astype("str")
    stripped_text = text.str.strip()
    empty = (stripped_text == "").to_numpy(bool, na_value=False)
    masks = {"blank": empty & (text != "").to_numpy(bool, na_value=False)}
    if markers:
        masks["marker"] = stripped_text.str.lower().isin(MARKERS).to_numpy()
        empty = empty | masks["marker"]
    return stripped_text.mask(empty), masks


def _labelled(raw: pd.Series, labels: tuple[str, ...], *, markers: bool) -> tuple[pd.Series, dict[str, np.ndarray]]:
    """Return text as `label` writes it; a text that is a known label once spaces or ``.0`` are gone becomes that."""
    if not _is_text(raw):
        return _as_labels(raw), {}
    text = raw.astype("str")
    spelled = {value: _spelling(value, labels) for value in text.dropna().unique()}
    clean, masks = _clean(
        text.map(spelled).astype("str"), markers=markers and not MARKERS & {x.lower() for x in labels}
    )
    masks["blank"] = (text.str.strip() == "").to_numpy(bool, na_value=False) & (text != "").to_numpy(
        bool, na_value=False
    )
    masks["respelled"] = (clean.notna() & (clean != text)).to_numpy(bool, na_value=False)
    return clean, masks


def _spelling(text: str, labels: tuple[str, ...]) -> str:
    stripped_text = text.strip()
    if stripped_text in labels or not labels:
        return stripped_text
    try:
        number = label(float(stripped_text))
    except (ValueError, OverflowError):
        return stripped_text
    return number if number in labels else stripped_text


def _as_labels(raw: pd.Series) -> pd.Series:
    """Return numbers, booleans and other values as text, missing ones missing."""
    spelled = {value: label(_plain(value)) for value in raw.dropna().unique()}
    return raw.map(spelled).astype("str")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _large_integers(raw: pd.Series, numbers: np.ndarray) -> dict[Any, int]:
    """Return, by row, the integers that a float cannot hold, as the text says them."""
    texts = raw[np.abs(numbers) >= 2**53].astype("str").str.strip()
    whole = texts[texts.str.fullmatch(r"[+-]?\d+")]
    return {row: int(text) for row, text in whole.items() if -(2**63) <= int(text) < 2**63}


def _is_number(raw: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(raw.dtype)


def _is_text(raw: pd.Series) -> bool:
    return isinstance(raw.dtype, pd.StringDtype) or (
        raw.dtype == object and pd.api.types.infer_dtype(raw, skipna=True) in ("string", "empty")
    )

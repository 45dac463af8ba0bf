"""What one raw column seems to be: its type, how it is written, what may be missing and what is allowed."""

import re
from typing import Any

import pandas as pd

from quire.data import typed
from quire.data.amounts import guess_amounts, guess_placeholder
from quire.data.dates import guess_date_form, guess_epoch
from quire.data.draft import ColumnGuess
from quire.data.window import FAR_FUTURE

MOST_CATEGORIES = 30
FEW_CODES = 5
MOST_PLACEHOLDERS = 5
MOST_QUOTED = 60

MARKERS = frozenset({"na", "n/a", "#n/a", "nan", "null", "?", "-", "."})
"""Texts, in lower case, that a category is taken not to have as one of its values."""

LABEL_MARKERS = frozenset({"na", "n/a", "#n/a", "nan", "null"})
"""Texts, in lower case, that are taken for a label that is not known."""


def guess_column(raw: pd.Series, *, decimal: str = ".") -> ColumnGuess:
    """Return the type of one raw column, with what may be missing and what is allowed."""
    name = str(raw.name)
    strange = typed.unusable(raw)
    if strange:
        return ColumnGuess(name, {"type": "text", "role": "ignore", "why": strange})
    text = as_text(raw)
    values = text.dropna()
    distinct = int(values.nunique())
    if distinct <= 1:
        detail = "no value at all" if distinct == 0 else f"always {quoted(values.iloc[0])}"
        return ColumnGuess(name, {"type": "text", "role": "ignore", "why": f"constant: {detail}"})
    if not re.search(r"\w", name) and not values.str.contains(r"\w", regex=True).any():
        return ColumnGuess(name, {"type": "text", "role": "ignore", "why": "neither words nor numbers"})
    guess = _guess_type(name, raw, values, distinct, decimal)
    missing = int(text.isna().sum())
    if guess.role == "ignore":
        return guess
    if guess.type in ("category", "text"):
        guess = _with_markers(guess, raw)
    if missing:
        guess = guess.having(f"{missing:,} of {len(raw):,} missing", nullable=True)
    return guess


def as_text(raw: pd.Series, markers: frozenset[str] = MARKERS) -> pd.Series:
    """Return the column as text without spaces around it, missing where it is blank or one of ``markers``."""
    text = typed.read_category(raw).values
    lower = text.str.lower()
    sign_markers = {marker for marker in markers if marker in {"?", "-", "."} and (lower == marker).any()}
    signs = set(lower[lower.str.fullmatch(r"\W+").fillna(False).astype(bool)].unique()) - {"?", "-", "."}
    # Where others are signs as well, such as + and -, they are values.
    return text.mask(lower.isin(markers - sign_markers if signs else markers))


def _guess_type(name: str, raw: pd.Series, values: pd.Series, distinct: int, decimal: str) -> ColumnGuess:
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return _with_placeholder(ColumnGuess(name, {"type": "datetime"}), raw)
    booleans = boolean_labels(values, distinct)
    if booleans:
        return ColumnGuess(name, {"type": "boolean", "categories": booleans})
    is_coded = not pd.api.types.is_numeric_dtype(raw.dtype) and values.str.fullmatch(r"0\d+").any()
    is_digits = bool(values.str.fullmatch(r"(19|20)\d{6}(\d{6})?").all())
    if not is_coded and not is_digits:
        number = _guess_number(name, raw, values, distinct, decimal)
        if number is not None:
            return number
    form = guess_date_form(values)
    if form is not None:
        doubt = f"dates are read as {form.format}; {form.other} fits as well" if form.other else ""
        remark = f"{form.other} fits as well: which is it?" if form.other else ""
        guess = ColumnGuess(name, {"type": "datetime"}).having(remark, doubt=doubt, format=form.format)
        return _with_placeholder(guess, raw)
    if is_digits:
        return _guess_number(name, raw, values, distinct, decimal) or _guess_label(name, raw, values, distinct)
    guess = _guess_label(name, raw, values, distinct)
    if is_coded and guess.role == "ignore":
        return guess.left_out(f"codes with leading zeros, {distinct:,} different: more than a model can learn from")
    return guess.having("codes with leading zeros: text") if is_coded else guess


def _guess_label(name: str, raw: pd.Series, values: pd.Series, distinct: int) -> ColumnGuess:
    """Return a category, a text that is different in each row, or a text that nothing can be learned from."""
    if distinct <= max(2, min(200, 0.05 * len(values))) or distinct <= 10:
        if distinct <= MOST_CATEGORIES:
            return ColumnGuess(name, {"type": "category", "categories": tuple(sorted(values.unique()))})
        return ColumnGuess(name, {"type": "category"}, (f"{distinct:,} different values, not listed",))
    if distinct == len(raw):
        return ColumnGuess(name, {"type": "text"})
    if (pd.to_numeric(values, errors="coerce").abs() > typed.LARGEST).any():
        return ColumnGuess(name, {"type": "text"}).left_out(
            f"numbers beyond {typed.LARGEST:.1g}, which models cannot take"
        )
    reason = f"text with {distinct:,} different values: more than a model can learn from"
    return ColumnGuess(name, {"type": "text", "role": "ignore", "why": reason})


def boolean_labels(values: pd.Series, distinct: int) -> tuple[Any, ...] | None:
    """Return the labels for false and for true if there are just those two."""
    if distinct != 2:
        return None
    labels = {value.lower(): value for value in values.unique()}
    false = [labels[low] for low in labels if low in typed.FALSE]
    true = [labels[low] for low in labels if low in typed.TRUE]
    return (plain(false[0]), plain(true[0])) if len(false) == len(true) == 1 else None


def _guess_number(name: str, raw: pd.Series, values: pd.Series, distinct: int, decimal: str) -> ColumnGuess | None:
    amounts = guess_amounts(raw, values, decimal=decimal)
    if amounts is None:
        return None
    numbers = typed.read_number(raw, amounts.notation).values
    epoch = guess_epoch(name, numbers)
    if epoch:
        return ColumnGuess(name, {"type": "datetime", "format": epoch})
    placeholder = guess_placeholder(numbers)
    present = numbers.dropna() if placeholder is None else numbers[numbers.notna() & (numbers != placeholder)]
    whole, low, high = bool((present == present.round()).all()), present.min(), present.max()
    if whole and present.abs().max() >= 2**63:
        if distinct == len(raw):
            return ColumnGuess(name, {"type": "text"}, ("numbers of more than 64 bits: read as text",))
        whole = False
    is_plain = not (amounts.words or amounts.remark) and len(present) == len(values)
    if whole and is_plain and distinct <= FEW_CODES and len(values) >= 50:
        return ColumnGuess(name, {"type": "category", "categories": tuple(sorted(int(x) for x in present.unique()))})
    settings: dict[str, Any] = {"type": "integer" if whole else "number"}
    if low >= 0:
        settings["minimum"] = 0
    if low >= 0 and not whole and high <= 1:
        settings["maximum"] = 1
    if amounts.notation.thousands:
        settings["thousands"] = amounts.notation.thousands
    if amounts.notation.affixes:
        settings["affixes"] = dict(amounts.notation.affixes)
    guess = ColumnGuess(name, settings, (f"seen: {low:g} to {high:g}",)).having(amounts.remark)
    return _with_gaps(guess, raw, values, amounts.words, amounts.notation, placeholder)


def _with_gaps(
    guess: ColumnGuess,
    raw: pd.Series,
    values: pd.Series,
    words: tuple[str, ...],
    notation: typed.Notation,
    placeholder: float | None,
) -> ColumnGuess:
    """Return the number with the words and the value that stand for none among its values."""
    missing: list[Any] = list(words)
    if words:
        guess = guess.having(doubt=f"{_listed(words)} stands for no value", nullable=True)
    if placeholder is not None:
        missing.append(int(placeholder) if float(placeholder).is_integer() else placeholder)
        guess = guess.having(doubt=f"{placeholder:g} stands for no value", nullable=True)
    unparsable = pd.Series(typed.read_number(raw, notation).found.get("unparsable", False), raw.index)
    invalid = values[unparsable[values.index]]
    if len(invalid):
        text = f"{len(invalid):,} values are no numbers, such as {quoted(invalid.iloc[0])}: they become missing"
        guess = guess.having(text, doubt=text, nullable=True)
    return guess.having(missing=tuple(missing) or None)


def with_placeholder(guess: ColumnGuess, frame: pd.DataFrame, value: float, decimal: str) -> ColumnGuess:
    """Return the column with a value as missing that stands for none in others, if nothing else here is below zero."""
    if guess.type not in ("number", "integer") or guess.settings.get("missing") or value >= 0:
        return guess
    numbers = guess.read(frame, decimal).astype("float64")
    others = numbers[numbers.notna() & (numbers != value)]
    if len(others) == numbers.notna().sum() or others.empty or others.min() < 0:
        return guess
    number = int(value) if float(value).is_integer() else value
    doubt = f"{value:g} stands for no value, as in other columns"
    return guess.having(doubt=doubt, missing=(number,), minimum=0, nullable=True)


def _with_markers(guess: ColumnGuess, raw: pd.Series) -> ColumnGuess:
    """Return the category or text with what stands for no value in it, as it is written."""
    text = typed.read_category(raw).values
    missing_values = text[as_text(raw).isna() & text.notna()]
    if missing_values.empty:
        return guess
    markers = tuple(sorted(missing_values.unique()))
    doubt = (
        f"{_listed(markers)} ({len(missing_values):,} of {len(raw):,}) stands for no value; if it is a category, say so"
    )
    return guess.having(doubt=doubt, missing=markers)


def _with_placeholder(guess: ColumnGuess, raw: pd.Series) -> ColumnGuess:
    """Return the date with far-off times, such as 9999-12-31, as what stands for no value."""
    form = guess.settings.get("format")
    times = typed.read_datetime(raw, form, timezone="UTC").values
    far = times >= FAR_FUTURE
    if not far.any() or far.mean() > 0.5:
        return guess
    text = raw.astype("str").str.strip() if not pd.api.types.is_datetime64_any_dtype(raw.dtype) else None
    placeholders = tuple(sorted((times[far].map(lambda at: at.isoformat()) if text is None else text[far]).unique()))
    if text is None or len(placeholders) > MOST_PLACEHOLDERS:
        return guess
    doubt = f"{_listed(placeholders)} ({int(far.sum()):,} rows) stands for no date"
    return guess.having(doubt=doubt, missing=placeholders, nullable=True)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, values[:3])) + (", ..." if len(values) > 3 else "")


def quoted(text: str) -> str:
    """Return a value as a sentence shows it: in quotes, and not more than its beginning."""
    return repr(text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 1]}…")


def plain(text: str) -> Any:
    """Return the number that a whole number's text says, else the text."""
    return int(text) if re.fullmatch(r"-?(0|[1-9]\d{0,15})", str(text)) else text


def in_order(text: str) -> tuple[int, float, str]:
    """Return what to sort labels by: numbers by size, before texts."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text

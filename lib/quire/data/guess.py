"""Guess a schema from raw rows, for a person to confirm: types, roles, what may be missing, and what may leak."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from quire.data import typed

FORMATS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y"),
    *("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d %b %Y", "%b %d, %Y"),
)
MOST_CATEGORIES = 30
MOST_PAIRS = 24
CLEAN = 0.95
"""The share of values that must be of a type for a column to be taken for it."""

_KEY_NAME = re.compile(r"(^|_|\b)(id|key|uuid|guid|instant|index|number|no|code)$|(ID|Id|Key|Number|No)$")
_TARGET_NAME = re.compile(
    r"^(target|label|y|class|outcome|churn|churned|cnt|count|demand|sales|price|default|survived|response)$", re.I
)
_YES = ("yes", "true", "1", "y", "t", "churn", "churned", "positive", "default", "bad", "fraud")


@dataclass(frozen=True)
class Guess:
    """One column: its settings for schema.yaml in order, and remarks for the person who confirms them."""

    name: str
    settings: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The column's type."""
        return str(self.settings["type"])

    def having(self, remark: str = "", **settings: Any) -> "Guess":
        """Return the guess with more settings, and one more remark; a setting of None is taken away."""
        merged = {name: value for name, value in {**self.settings, **settings}.items() if value is not None}
        return replace(self, settings=merged, remarks=(*self.remarks, remark) if remark else self.remarks)


@dataclass(frozen=True)
class Draft:
    """A schema as guessed."""

    task: str
    columns: tuple[Guess, ...]
    positive: Any = None
    frequency: str | None = None
    span: pd.Timedelta | None = None
    remarks: tuple[str, ...] = field(default=())

    def column(self, role: str) -> str | None:
        """Return the first column of a role, or None."""
        return next((guess.name for guess in self.columns if guess.settings.get("role") == role), None)


def guess_schema(
    frame: pd.DataFrame,
    *,
    target: str | None = None,
    timestamp: str | None = None,
    task: str | None = None,
    decimal: str = ".",
) -> Draft:
    """Return what the columns of ``frame`` (raw, at least one row) seem to be; the options overrule the guesses."""
    guesses = {str(name): guess_column(frame[name], decimal=decimal) for name in frame.columns}
    target = target or _guess_target(guesses)
    task, positive, guesses[target] = _guess_task(frame[target], guesses[target], task)
    guesses, times = _guess_time(frame, guesses, timestamp, target)
    guesses = _guess_key(frame, guesses, times, target)
    guesses = _flag_leaks(frame, guesses, target, decimal)
    frequency, span = _guess_frequency(times)
    return Draft(task, tuple(guesses.values()), positive, frequency, span)


def guess_column(raw: pd.Series, *, decimal: str = ".") -> Guess:
    """Return the type of one raw column, with what may be missing and what is allowed."""
    name, text = str(raw.name), _text(raw)
    values = text.dropna()
    distinct = int(values.nunique())
    if distinct <= 1:
        seen = "no value at all" if distinct == 0 else f"always {values.iloc[0]!r}"
        return Guess(name, {"type": "text", "role": "ignore", "why": f"constant: {seen}"})
    guess = _guess_type(name, raw, values, distinct, decimal)
    missing = int(text.isna().sum())
    if missing and guess.settings.get("role") != "ignore":
        guess = guess.having(f"{missing:,} of {len(raw):,} missing", nullable=True)
    return guess


def _text(raw: pd.Series) -> pd.Series:
    text = typed.read_category(raw).values
    return text.mask(text.str.lower().isin(typed.MARKERS - {"none", "?", "-", "."}))


def _guess_type(name: str, raw: pd.Series, values: pd.Series, distinct: int, decimal: str) -> Guess:
    booleans = _boolean_labels(values, distinct)
    if booleans:
        return Guess(name, {"type": "boolean", "categories": booleans})
    numbers = typed.read_number(raw, decimal=decimal).values
    if numbers.notna().sum() >= CLEAN * len(values) and not pd.api.types.is_datetime64_any_dtype(raw.dtype):
        date = _guess_date(raw, values) if values.str.fullmatch(r"(19|20)\d{6}").all() else None
        return date or _guess_number(name, numbers, values, distinct)
    date = _guess_date(raw, values)
    if date:
        return date
    if distinct <= max(2, min(200, 0.05 * len(values))) or distinct <= 10:
        if distinct <= MOST_CATEGORIES:
            return Guess(name, {"type": "category", "categories": tuple(sorted(values.unique()))})
        return Guess(name, {"type": "category"}, (f"{distinct:,} different values, not listed",))
    if distinct == len(raw):
        return Guess(name, {"type": "text"})
    why = f"text with {distinct:,} different values: more than a model can learn from"
    return Guess(name, {"type": "text", "role": "ignore", "why": why})


def _boolean_labels(values: pd.Series, distinct: int) -> tuple[Any, ...] | None:
    """Return the labels for false and for true if there are just those two."""
    if distinct != 2:
        return None
    labels = {value.lower(): value for value in values.unique()}
    false = [labels[low] for low in labels if low in typed.FALSE]
    true = [labels[low] for low in labels if low in typed.TRUE]
    return (_plain(false[0]), _plain(true[0])) if len(false) == len(true) == 1 else None


def _guess_number(name: str, numbers: pd.Series, values: pd.Series, distinct: int) -> Guess:
    present = numbers.dropna()
    whole = bool((present == present.round()).all())
    low, high = present.min(), present.max()
    if whole and distinct <= 5 and len(values) >= 50 and len(present) == len(values):
        return Guess(name, {"type": "category", "categories": tuple(sorted(int(x) for x in present.unique()))})
    settings: dict[str, Any] = {"type": "integer" if whole else "number"}
    if low >= 0:
        settings["minimum"] = 0
    if low >= 0 and not whole and high <= 1:
        settings["maximum"] = 1
    remarks = [f"seen: {low:g} to {high:g}"]
    broken = values[numbers[values.index].isna()]
    if len(broken):
        remarks.append(f"{len(broken):,} values are no numbers, such as {broken.iloc[0]!r}: they become missing")
        settings["nullable"] = True
    return Guess(name, settings, tuple(remarks))


def _guess_date(raw: pd.Series, values: pd.Series) -> Guess | None:
    """Return a datetime if nearly all values are dates of one format."""
    name = str(raw.name)
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return Guess(name, {"type": "datetime"})
    sample = values.iloc[:: max(1, len(values) // 2000)]
    if not sample.str.contains(r"\d").mean() >= CLEAN or sample.str.len().median() < 6:
        return None
    if not sample.str.fullmatch(r"\d+").all() and _parses(sample, "ISO8601"):
        return Guess(name, {"type": "datetime"})
    fitting = [form for form in FORMATS if _parses(sample, form)]
    if not fitting:
        return None
    fitting = [form for form in fitting if _parses(values, form)] or fitting
    remark = f"{fitting[1]} fits as well: which is it?" if len(fitting) > 1 else ""
    return Guess(name, {"type": "datetime"}).having(remark, format=fitting[0])


def _parses(values: pd.Series, form: str) -> bool:
    parsed = pd.to_datetime(values, format=form, errors="coerce", utc=True)
    return bool(parsed.notna().mean() >= CLEAN)


def _guess_target(guesses: Mapping[str, Guess]) -> str:
    named = [name for name in guesses if _TARGET_NAME.match(name)]
    usable = [name for name, guess in guesses.items() if guess.type in ("number", "integer", "boolean", "category")]
    return (named or usable[::-1] or list(guesses)[::-1])[0]


def _guess_task(raw: pd.Series, guess: Guess, task: str | None) -> tuple[str, Any, Guess]:
    """Return the task, the positive value of a binary one, and the target's guess."""
    values = _text(raw).dropna()
    distinct = int(values.nunique())
    if task is None:
        few = guess.type in ("boolean", "category", "text")
        task = ("binary" if distinct == 2 else "multiclass") if few else "regression"
    clear = {"nullable": None, "why": None, "role": "target"}
    if task == "regression":
        kind = guess.type if guess.type in ("integer", "number") else "number"
        return task, None, guess.having("confirm: the target", **clear, type=kind, categories=None)
    labels = tuple(_plain(value) for value in sorted(values.unique(), key=_order))
    settings = {"type": "category", "categories": labels, "minimum": None, "maximum": None}
    positive = _positive(values, labels) if task == "binary" else None
    return task, positive, guess.having("confirm: the target", **clear, **settings)


def _positive(values: pd.Series, labels: tuple[Any, ...]) -> Any:
    """Return the label that says yes, else the rarer one."""
    for label in labels:
        if str(label).lower() in _YES:
            return label
    return _plain(values.value_counts().index[-1])


def _guess_time(
    frame: pd.DataFrame, guesses: dict[str, Guess], timestamp: str | None, target: str
) -> tuple[dict[str, Guess], pd.Series | None]:
    """Return the guesses with a timestamp among them, and its times; other dates are left out of the model."""
    dates = [name for name, guess in guesses.items() if guess.type == "datetime" and name != target]
    chosen = timestamp or next(iter(sorted(dates, key=lambda name: -frame[name].nunique())), None)
    done = dict(guesses)
    for name in dates:
        if name != chosen:
            why = "a second date; give it `calendar: [weekday, month]` instead to make a feature of it"
            done[name] = done[name].having(role="ignore", why=why, nullable=None)
    if chosen is None:
        return done, None
    if done[chosen].type != "datetime":
        done[chosen] = Guess(chosen, {"type": "datetime"})
    form = done[chosen].settings.get("format")
    times = typed.read_datetime(frame[chosen], form, timezone="UTC").values
    done[chosen] = done[chosen].having("confirm: when the row happened", role="timestamp", nullable=None)
    hours = _hours_column(frame, guesses, times, chosen)
    if hours:
        times = times + pd.to_timedelta(typed.read_number(frame[hours]).values, unit="h")
        done[chosen] = done[chosen].having(f"the hour is in {hours}", add_hours=hours)
    return done, times


def _hours_column(frame: pd.DataFrame, guesses: Mapping[str, Guess], times: pd.Series, chosen: str) -> str | None:
    """Return a column with hours of the day, if the dates have none and there are several rows to a date."""
    if not (times.dropna() == times.dropna().dt.normalize()).all() or not times.duplicated().any():
        return None
    for name, guess in guesses.items():
        if name == chosen or guess.type != "integer" or not re.fullmatch(r"(?i)(hr|hour|hours|hour_of_day)", name):
            continue
        numbers = typed.read_number(frame[name]).values
        if numbers.between(0, 23).all():
            return name
    return None


def _guess_key(
    frame: pd.DataFrame, guesses: dict[str, Guess], times: pd.Series | None, target: str
) -> dict[str, Guess]:
    """Return the guesses with a key: an identifier, else the timestamp, else an identifier and the timestamp."""
    done = dict(guesses)
    free = [name for name, guess in guesses.items() if name != target and "role" not in guess.settings]
    unique = [name for name in free if guesses[name].type in ("text", "integer") and frame[name].is_unique]
    keys = [name for name in unique if guesses[name].type == "text" or _KEY_NAME.search(name)]
    keys.sort(key=lambda name: (guesses[name].type != "text", not _KEY_NAME.search(name)))
    for name in unique:
        if name in keys[:1]:
            done[name] = done[name].having("a different value in each row", role="key", minimum=None, nullable=None)
        elif guesses[name].type == "text":
            why = "another identifier: a different value in each row"
            done[name] = done[name].having(role="ignore", why=why, nullable=None)
    if keys or times is None or not times.duplicated().any():
        return done
    stamp = next(name for name, guess in done.items() if guess.settings.get("role") == "timestamp")
    for name in free:
        is_label = guesses[name].type in ("text", "category", "integer")
        if is_label and not pd.DataFrame({"t": times, "k": frame[name]}).duplicated().any():
            done[name] = done[name].having(f"one row for each {name} and time", role="key", nullable=None)
            done[stamp] = done[stamp].having(key=True)
            break
    else:
        done[stamp] = done[stamp].having("no column tells rows of the same time apart: see on_duplicate")
    return done


def _flag_leaks(frame: pd.DataFrame, guesses: dict[str, Guess], target: str, decimal: str) -> dict[str, Guess]:
    """Return the guesses with what gives the answer away left out, and what may do so remarked."""
    done = dict(guesses)
    features = [name for name, guess in guesses.items() if guess.settings.get("role") is None]
    numeric = [name for name in features if guesses[name].type in ("number", "integer")][:MOST_PAIRS]
    if guesses[target].type not in ("number", "integer"):
        return _flag_pure(frame, done, features, target)
    numbers = {name: typed.read_number(frame[name], decimal=decimal).values for name in (*numeric, target)}
    answer = numbers[target]
    for name in numeric:
        correlation = abs(float(np.corrcoef(*_both(numbers[name], answer))[0, 1])) if answer.nunique() > 1 else 0.0
        if np.allclose(*_both(numbers[name], answer)):
            done[name] = done[name].having(role="ignore", why=f"it is {target} itself")
        elif correlation > 0.95:
            done[name] = done[name].having(f"MAY LEAK: correlation {correlation:.3f} with {target}; known beforehand?")
    for one, other in combinations(numeric, 2):
        if np.allclose(*_both(numbers[one] + numbers[other], answer)):
            why = f"{one} + {other} = {target}: it would give the answer away"
            done[one], done[other] = (replace(done[n], remarks=()).having(role="ignore", why=why) for n in (one, other))
    return done


def _flag_pure(frame: pd.DataFrame, guesses: dict[str, Guess], features: list[str], target: str) -> dict[str, Guess]:
    """Remark columns whose value alone tells the class in more than 99% of the rows."""
    answer = _text(frame[target])
    for name in features:
        values = _text(frame[name])
        if values.nunique() > 0.2 * len(values):
            continue
        right = pd.crosstab(values, answer).max(axis=1).sum() / max(int((values.notna() & answer.notna()).sum()), 1)
        if right > 0.99 and answer.value_counts(normalize=True).max() < 0.98:
            guesses[name] = guesses[name].having(f"MAY LEAK: it alone tells {target} in {right:.1%} of the rows")
    return guesses


def _both(one: pd.Series, other: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    there = (one.notna() & other.notna()).to_numpy()
    return one.to_numpy()[there], other.to_numpy()[there]


def _guess_frequency(times: pd.Series | None) -> tuple[str | None, pd.Timedelta | None]:
    """Return the step of regular times, such as 1h, and the span of all; None where there are none."""
    if times is None or times.notna().sum() < 2:
        return None, None
    ordered = times.dropna().drop_duplicates().sort_values()
    span = ordered.iloc[-1] - ordered.iloc[0]
    steps = ordered.diff().dropna()
    step = steps.mode().iloc[0]
    if (steps == step).mean() < 0.9:
        return None, span
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if step.total_seconds() % length == 0:
            return f"{int(step.total_seconds() // length)}{unit}", span
    return None, span


def _plain(text: str) -> Any:
    """Return the number that a whole number's text says, else the text."""
    return int(text) if re.fullmatch(r"-?(0|[1-9]\d{0,15})", str(text)) else text


def _order(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text

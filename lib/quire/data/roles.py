"""What the columns beside the target are for: the timestamp, and what identifies a row."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from quire.config import duration
from quire.data import typed, window
from quire.data.columns import as_text, quoted
from quire.data.dates import guess_date_form, guess_epoch, guess_year
from quire.data.draft import ColumnGuess
from quire.errors import DataError

MOST_KEY_PARTS = 3
MOST_KEY_CANDIDATES = 16
LEAST_TIMES = 20
"""Different times that a column of dates must have to be taken for the one that orders the rows, unasked."""

_KEY_NAME = re.compile(r"(^|_|\b)(id|key|uuid|guid|instant|index|number|no|code|serial)$|(ID|Id|Key|Number|No)$", 0)
_INDEX_NAME = re.compile(
    r"(Unnamed: ?\d+|rownames?|row[ _]?(names?|number|num|no|id|index)|index|level_\d+|instant|)", re.I
)
_COUNTER_NAME = re.compile(r"(Unnamed: ?\d+|rownames?|row[ _]?(number|num|no|id|index)|level_\d+)", re.IGNORECASE)
_BIRTH = re.compile(r"birth|dob|born", re.IGNORECASE)
_HOUR_NAME = re.compile(r"(hr|hour|hours|hour_of_day|time|time_of_day)", re.IGNORECASE)


def guess_time(
    frame: pd.DataFrame, guesses: dict[str, ColumnGuess], timestamp: str | None, target: str, decimal: str
) -> tuple[dict[str, ColumnGuess], pd.Series | None]:
    """Return the guesses with a timestamp among them, and its times; other dates are left out of the model.

    Raises DataError if ``timestamp``, which a person named, holds no dates.
    """
    new_guesses = dict(guesses)
    if timestamp is not None and new_guesses[timestamp].type != "datetime":
        new_guesses[timestamp] = _as_time(frame[timestamp], new_guesses[timestamp], decimal)
    dates = [name for name, guess in new_guesses.items() if guess.type == "datetime" and name != target]
    usable = [name for name in dates if _may_order(frame[name], new_guesses[name])]
    stamp = timestamp or next(iter(sorted(usable, key=lambda name: -frame[name].nunique())), None)
    for name in dates:
        if name != stamp:
            reason = "a second date; give it `calendar: [weekday, month]` instead to make a feature of it"
            new_guesses[name] = new_guesses[name].left_out(reason if stamp else "a date that does not order the rows")
    if stamp is None:
        return new_guesses, None
    times = new_guesses[stamp].read(frame, decimal)
    doubt = "" if timestamp else f"{stamp} orders the rows in time"
    new_guesses[stamp] = new_guesses[stamp].having(
        "confirm: when the row happened", doubt=doubt, role="timestamp", nullable=None
    )
    hours = _hours_column(frame, new_guesses, times, stamp)
    if hours:
        times = times + pd.to_timedelta(typed.read_hours(frame[hours]).values, unit="h")
        new_guesses[stamp] = new_guesses[stamp].having(f"the hour is in {hours}", add_hours=hours)
    return new_guesses, times


def _may_order(raw: pd.Series, guess: ColumnGuess) -> bool:
    is_there = raw.notna().mean() > 0.95 and raw.nunique() >= min(LEAST_TIMES, len(raw))
    return is_there and guess.role != "ignore" and not _BIRTH.search(guess.name)


def _as_time(raw: pd.Series, guess: ColumnGuess, decimal: str) -> ColumnGuess:
    """Return the column as a datetime, although it was not taken for one."""
    numbers = typed.read_number(raw, typed.Notation(decimal)).values
    epoch = guess_epoch(guess.name, numbers, is_asked=True)
    if epoch:
        return ColumnGuess(guess.name, {"type": "datetime", "format": epoch})
    if guess_year(numbers):
        return ColumnGuess(guess.name, {"type": "datetime", "format": "%Y"})
    values = as_text(raw).dropna()
    form = guess_date_form(values) if len(values) else None
    if form is None:
        example = f", such as {quoted(values.iloc[0])}" if len(values) else ""
        raise DataError(
            f"--timestamp {quoted(guess.name)} holds no dates of one form{example}. Name another column, or none."
        )
    return ColumnGuess(guess.name, {"type": "datetime"}).having(format=form.format)


def _hours_column(frame: pd.DataFrame, guesses: Mapping[str, ColumnGuess], times: pd.Series, chosen: str) -> str | None:
    """Return a column with hours of the day, if the dates have none and there are several rows to a date."""
    valid_times = times.dropna()
    if valid_times.empty or not (valid_times == valid_times.dt.normalize()).all() or not valid_times.duplicated().any():
        return None
    for name in guesses:
        if name == chosen or not _HOUR_NAME.fullmatch(name) or guesses[name].role == "target":
            continue
        hours = typed.read_hours(frame[name]).values
        if hours.notna().mean() > 0.95 and hours.dropna().between(0, 24, inclusive="left").all():
            return name
    return None


def calendar_of(times: pd.Series) -> tuple[str, ...]:
    """Return the calendar parts of the timestamp that a model can learn from: what rows of the past repeat."""
    valid_times = times.dropna()
    span = valid_times.max() - valid_times.min()
    parts = []
    if (valid_times != valid_times.dt.normalize()).mean() > 0.5 and span >= pd.Timedelta(days=2):
        parts.append("hour")
    if span >= pd.Timedelta(days=21) and valid_times.dt.day_of_week.nunique() > 1:
        parts.append("weekday")
    if span >= pd.Timedelta(days=500):
        parts.append("month")
    return tuple(parts)


def guess_key(
    frame: pd.DataFrame, guesses: dict[str, ColumnGuess], times: pd.Series | None, target: str, decimal: str
) -> tuple[dict[str, ColumnGuess], str | None]:
    """Return the guesses with a key, and ``on_duplicate`` where none tells the rows apart.

    The key is an identifier, else a row number, else the timestamp, else columns that with it tell the rows apart.
    """
    new_guesses = dict(guesses)
    unique = [name for name, guess in guesses.items() if name != target and _is_identifier(frame[name], guess, decimal)]
    unique.sort(key=lambda name: _rank(frame[name], guesses[name], decimal))
    for name in unique:
        is_number = _is_row_number(frame[name], guesses[name], decimal)
        reason = "the number of the row" if is_number else "a different value in each row"
        if name == unique[0]:
            settings: dict[str, Any] = {
                "minimum": None,
                "maximum": None,
                "nullable": None,
                "missing": None,
                "role": "key",
                "why": None,
            }
            new_guesses[name] = new_guesses[name].having(f"{reason}: the key", **settings)
        else:
            new_guesses[name] = new_guesses[name].left_out(f"{reason}: it says nothing of other rows")
    for name, guess in guesses.items():
        # Categories are none, whatever they are called: a line of names may lack one, and levels of an index say a lot.
        is_counter = guess.role == "feature" and guess.type == "integer" and _COUNTER_NAME.fullmatch(name)
        if name not in unique and is_counter:
            new_guesses[name] = guess.left_out("an index of the rows: it says nothing of other rows")
    if unique or times is None or not times.duplicated().any():
        return new_guesses, None
    stamp = next(name for name, guess in new_guesses.items() if guess.role == "timestamp")
    parts = _key_parts(frame, new_guesses, times)
    if not parts:
        return new_guesses, "keep"
    for name in parts:
        remark = f"one row for each {' and '.join(parts)} and time; it stays a feature"
        new_guesses[name] = new_guesses[name].having(remark, key=True)
    new_guesses[stamp] = new_guesses[stamp].having(key=True, doubt=f"{', '.join(parts)} and {stamp} identify a row")
    return new_guesses, None


def _is_identifier(raw: pd.Series, guess: ColumnGuess, decimal: str) -> bool:
    """Return whether the column names the row: a text or number that differs in each, and says so, or counts them."""
    if guess.type not in ("text", "integer") or guess.role not in ("feature",):
        return False
    if raw.isna().any() or not raw.is_unique:
        return False
    is_named = bool(_KEY_NAME.search(guess.name) or _INDEX_NAME.fullmatch(guess.name))
    return guess.type == "text" or is_named or _is_row_number(raw, guess, decimal)


def _is_row_number(raw: pd.Series, guess: ColumnGuess, decimal: str) -> bool:
    """Return whether the column is 1 to n, or 0 to n - 1, in any order."""
    if guess.type != "integer":
        return False
    numbers = typed.read_number(raw, typed.Notation(decimal)).values
    if numbers.isna().any() or not numbers.is_unique or len(numbers) < 20:
        return False
    low, high, rows = numbers.min(), numbers.max(), len(numbers)
    return bool(low in (0, 1) and high - low == rows - 1)


def _rank(raw: pd.Series, guess: ColumnGuess, decimal: str) -> tuple[bool, bool, bool]:
    """Return where an identifier stands among others: names before numbers, row numbers last."""
    is_number = _is_row_number(raw, guess, decimal) or bool(_INDEX_NAME.fullmatch(guess.name))
    return is_number, guess.type != "text", not _KEY_NAME.search(guess.name)


def _key_parts(frame: pd.DataFrame, guesses: Mapping[str, ColumnGuess], times: pd.Series) -> tuple[str, ...]:
    """Return the fewest columns that tell rows of the same time apart, such as store and item; none if none do.

    What they name must come again: a panel has several times of each store and item.
    """
    names = [name for name, guess in guesses.items() if _may_be_part(frame[name], guess)]
    names = sorted(names, key=lambda name: frame[name].nunique())[:MOST_KEY_CANDIDATES]
    codes = {name: pd.factorize(frame[name])[0] for name in names}
    stamp, rows = pd.factorize(times)[0], len(frame)
    some = _rows_of_some_times(stamp)
    for size in range(1, MOST_KEY_PARTS + 1):
        fitting: list[tuple[int, tuple[str, ...]]] = []
        for subset in combinations(names, size):
            if not _are_unique([codes[name][some] for name in subset], stamp[some]):
                continue
            entities = len(np.unique(_combined([codes[name] for name in subset])))
            if 2 * entities <= rows and _are_unique([codes[name] for name in subset], stamp):
                fitting.append((entities, subset))
        if fitting:
            return min(fitting)[1]
    return ()


def _rows_of_some_times(stamp: np.ndarray) -> np.ndarray:
    """Return the places of all rows of the times that most rows share, some thousands: a quick test of a key."""
    counts = np.bincount(stamp[stamp >= 0])
    busiest = np.argsort(-counts, kind="stable")
    several = busiest[: max(1, int(np.searchsorted(np.cumsum(counts[busiest]), 5_000)))]
    return np.flatnonzero(np.isin(stamp, several))


def _are_unique(codes: Sequence[np.ndarray], stamp: np.ndarray) -> bool:
    return len(np.unique(_combined([*codes, stamp]))) == len(stamp)


def _may_be_part(raw: pd.Series, guess: ColumnGuess) -> bool:
    if guess.role != "feature" or raw.isna().any():
        return False
    if guess.type in ("text", "category"):
        return True
    return guess.type in ("integer", "boolean") and raw.nunique() * 2 <= len(raw)


def _combined(codes: Sequence[np.ndarray]) -> np.ndarray:
    """Return one number for each combination of codes."""
    total = codes[0].astype("int64")
    for more in codes[1:]:
        total = np.unique(total, return_inverse=True)[1] * (int(more.max()) + 2) + more
    return total


def guess_frequency(times: pd.Series | None) -> str | None:
    """Return the step of regular times, such as 1h; None where there is none."""
    if times is None or times.notna().sum() < 2:
        return None
    unique_times = times.dropna().drop_duplicates().sort_values()
    steps = unique_times.diff().dropna()
    if steps.empty:
        return None
    step = steps.mode().iloc[0]
    if (steps == step).mean() < 0.9:
        return None
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if step.total_seconds() >= 1 and step.total_seconds() % length == 0:
            return f"{int(step.total_seconds() // length)}{unit}"
    return None


def window_lengths(times: pd.Series, known: pd.Series, frequency: str | None) -> tuple[str, str]:
    """Return lengths of the windows current and test, such as 7d: a week and eight where they hold enough rows.

    times: of all rows; known: whether the target is. Enough are 200 rows in test, or a fifth of all. Of shorter data,
    or where few rows fall into the last weeks, current is the last twentieth of the rows and test the fifth before.
    """
    valid_times = times.dropna()
    labelled = times[known & times.notna()]
    end, span, rows = window.end_of(valid_times, frequency), valid_times.max() - valid_times.min(), len(valid_times)

    def fits(current: str, test: str, least: float) -> bool:
        start = end - pd.Timedelta(duration(current))
        before = start - pd.Timedelta(duration(test))
        tested = int(((labelled >= before) & (labelled < start)).sum())
        return bool(least <= tested <= 0.5 * rows and (valid_times >= start).sum() >= min(5, 0.02 * rows))

    if span >= pd.Timedelta(days=280) and fits("7d", "56d", min(200, 0.2 * rows)):
        return "7d", "56d"
    even = _length(span / 20), _length(span / 5)
    if span < pd.Timedelta(days=280) and fits(*even, 0.1 * rows):
        return even
    return _lengths_by_rows(valid_times, labelled, end)


def _lengths_by_rows(there: pd.Series, labelled: pd.Series, end: pd.Timestamp) -> tuple[str, str]:
    """Return lengths so that current has a twentieth of the rows, test a fifth of the labelled ones before them.

    Raises DataError where there are too few different times for three windows.
    """
    first = _time_with(there, 0.05)
    before = labelled[labelled < first]
    second = _time_with(before, 0.2) if len(before) else first
    if not (before < second).any():
        raise DataError(
            f"The timestamp has {there.nunique()} different times, {before.nunique()} of them with a target before the "
            "last ones: too few for rows to train on, to test on and to predict. Name another column, or none."
        )
    current = _longer(end - first)
    return current, _longer(end - pd.Timedelta(duration(current)) - second)


def _time_with(times: pd.Series, share: float) -> pd.Timestamp:
    """Return the latest time from which on there are at least ``share`` of the rows."""
    later = times.value_counts().sort_index(ascending=False).cumsum()
    return later.index[int((later >= share * len(times)).to_numpy().argmax())]


def _length(length: pd.Timedelta) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if length.total_seconds() >= seconds:
            return f"{int(length.total_seconds() // seconds)}{unit}"
    return f"{max(1, int(length.total_seconds()))}s"


def _longer(length: pd.Timedelta) -> str:
    """Return the length in whole units, rounded up by a tenth at most."""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if length.total_seconds() >= 10 * seconds or length.total_seconds() % seconds == 0:
            return f"{int(-(-length.total_seconds() // seconds))}{unit}"
    return f"{max(1, int(-(-length.total_seconds() // 1)))}s"

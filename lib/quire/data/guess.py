"""Guess a schema from raw rows, for a person to confirm: types, roles, what may be missing, and what gives the answer.

Each column is typed by the reader that a run uses (`quire.data.typed`), so that what is guessed is what a run reads.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from quire.config import label
from quire.config.schema import ELAPSED, TAKEN
from quire.data import leaks, roles, targets
from quire.data.columns import guess_column, with_placeholder
from quire.data.draft import ColumnGuess, Draft
from quire.errors import DataError


def guess_schema(
    frame: pd.DataFrame,
    *,
    target: str | None = None,
    timestamp: str | None = None,
    task: str | None = None,
    decimal: str = ".",
) -> Draft:
    """Return what the columns of ``frame`` (raw, at least one row) seem to be; the options overrule the guesses.

    Raises DataError where there is nothing to learn, or nothing to learn from.
    """
    guesses = {str(name): guess_column(frame[name], decimal=decimal) for name in frame.columns}
    guesses = _with_shared_placeholder(guesses, frame, decimal)
    is_asked = target is not None
    if is_asked and target == timestamp:
        raise DataError(f"--target and --timestamp are both {target!r}. Name another column with one of them.")
    target = target or targets.guess_target({name: guess for name, guess in guesses.items() if name != timestamp})
    task, positive, guesses[target] = targets.guess_task(frame[target], guesses[target], task, is_asked=is_asked)
    guesses, times = roles.guess_time(frame, guesses, timestamp, target, decimal)
    guesses, on_duplicate = roles.guess_key(frame, guesses, times, target, decimal)
    guesses = leaks.leave_out_leaks(frame, guesses, target, task, times=times, decimal=decimal)
    current, test, frequency = "", "", None
    if times is not None:
        stamp = next(name for name, guess in guesses.items() if guess.role == "timestamp")
        calendar = roles.calendar_of(times)
        guesses[stamp] = guesses[stamp].having(calendar=calendar or None)
        has_target = guesses[target].read(frame, decimal).notna()
        frequency = roles.guess_frequency(times)
        current, test = roles.window_lengths(times, has_target, frequency)
    check_features(guesses, target)
    columns = tuple(_named(guess, guesses, task, target) for guess in guesses.values())
    columns = tuple(_lenient(guess) for guess in columns)
    return Draft(task, columns, positive, frequency, on_duplicate, current, test)


def _with_shared_placeholder(
    guesses: dict[str, ColumnGuess], frame: pd.DataFrame, decimal: str
) -> dict[str, ColumnGuess]:
    """Return the guesses with a number that stands for no value in two columns doing so in the others as well."""
    counts = Counter(
        value
        for guess in guesses.values()
        for value in guess.settings.get("missing", ())
        if isinstance(value, int | float)
    )
    shared = [value for value, columns in counts.items() if columns > 1]
    if len(shared) != 1:
        return guesses
    return {name: with_placeholder(guess, frame, shared[0], decimal) for name, guess in guesses.items()}


def check_features(guesses: Mapping[str, ColumnGuess], target: str) -> None:
    """Raise DataError, with the reason for each column, if a model would be given none of them."""
    if any(guess.role == "feature" or guess.settings.get("calendar") for guess in guesses.values()):
        return
    others = [guess for guess in guesses.values() if guess.name != target]
    reasons = "; ".join(f"{guess.name}: {guess.settings.get('why') or guess.role}" for guess in others[:8])
    raise DataError(
        f"Nothing is left to learn {target} from. {reasons or 'There is no other column'}. "
        "Bring a column of numbers, dates or categories that is known before the target is."
    )


def _named(guess: ColumnGuess, guesses: Mapping[str, ColumnGuess], task: str, target: str) -> ColumnGuess:
    """Return the column under a name that Quire gives to nothing of its own."""
    reserved_names = set(TAKEN)
    if task == "multiclass":
        reserved_names |= {f"probability_{label(value)}" for value in guesses[target].settings["categories"]}
    for name, other in guesses.items():
        if other.type == "datetime" and (other.role == "feature" or other.settings.get("calendar")):
            reserved_names |= {f"{name}_{part}" for part in other.settings.get("calendar", ELAPSED)}
    if guess.name not in reserved_names or guess.role == "ignore":
        return guess
    name = f"source_{guess.name}"
    while name in guesses or name in reserved_names:
        name = f"{name}_"
    doubt = f"{guess.name} is a name that Quire gives to a column of its own; here it is {name}"
    settings: dict[str, Any] = {"type": guess.type, "source": guess.name, **guess.settings}
    return ColumnGuess(name, settings, guess.remarks, (*guess.doubts, doubt))


def _lenient(guess: ColumnGuess) -> ColumnGuess:
    """Return the column so that what breaks a guessed rule warns: only rules that a person wrote stop a run."""
    return guess if guess.role == "ignore" else guess.having(severity="warn")

"""Columns that give the answer: each is asked what it alone says of the target, on rows it has not seen.

The rule. Half of the rows (at most 20,000, chosen with a fixed seed) teach a table from the column's values to the
target, the other half judges it. Its skill is the share of the error of knowing nothing (the mean, the most frequent
class) that it takes away. From `GIVES` on, the column is left out; from `MAY_GIVE` on it stays, with a remark: strong
columns are often honest ones. What follows the target of the row before as closely as that of its own row is history,
known in time, and stays: lags of a slow series are no leak.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from quire.data.draft import ColumnGuess

GIVES = 0.99
MAY_GIVE = 0.95
MOST_ROWS = 20_000
LEAST_ROWS = 20
MOST_EQUAL = 200
"""Different values of a number up to which rows with an equal value teach each other; beyond, those with a near one."""

NEIGHBOURS = 5


def leave_out_leaks(
    frame: pd.DataFrame,
    guesses: Mapping[str, ColumnGuess],
    target: str,
    task: str,
    *,
    times: pd.Series | None = None,
    decimal: str = ".",
) -> dict[str, ColumnGuess]:
    """Return the guesses with columns that give ``target`` left out, and those that may do so in doubt.

    Where they are all that there is to learn from, they stay, in doubt: an exact relation may be what is looked for.
    """
    new_guesses = dict(guesses)
    features = {name: guess for name, guess in guesses.items() if guess.role == "feature" and guess.type != "text"}
    values = {name: _values(guess, frame, decimal) for name, guess in features.items()}
    answer = _values(guesses[target], frame, decimal)
    if task == "regression":
        answer = answer.astype("float64")
        for names, reason in _sums(values, answer, target):
            for name in names:
                new_guesses[name] = new_guesses[name].left_out(reason)
    for name, column in values.items():
        if new_guesses[name].role == "ignore" or new_guesses[name].settings.get("key"):
            continue
        skill = skill_of(column, answer, task)
        if skill < MAY_GIVE or _is_history(column, answer, times):
            continue
        if skill >= GIVES:
            new_guesses[name] = new_guesses[name].left_out(
                f"it alone takes away {skill:.1%} of the error in {target}: it is the answer"
            )
        else:
            text = f"MAY LEAK: it alone takes away {skill:.1%} of the error in {target}; is it known beforehand?"
            new_guesses[name] = new_guesses[name].having(text, doubt=text)
    if not any(guess.role == "feature" or guess.settings.get("calendar") for guess in new_guesses.values()):
        reason = "it gives the target away, but without it nothing is left to learn from"
        new_guesses |= {
            name: guesses[name].having(f"MAY LEAK: {reason}", doubt=reason) for name in features if name in guesses
        }
    return new_guesses


def skill_of(column: pd.Series, answer: pd.Series, task: str) -> float:
    """Return the share of the error in ``answer`` that ``column`` alone takes away, on rows it has not seen; 0 to 1.

    Regression: of the squared error. Classes: of the errors of the most frequent one.
    """
    is_complete = (answer.notna() & column.notna()).to_numpy(bool)
    if is_complete.mean() < 0.5 or is_complete.sum() < 2 * LEAST_ROWS or answer[is_complete].nunique() < 2:
        return 0.0
    order = np.random.default_rng(0).permutation(np.flatnonzero(is_complete))[:MOST_ROWS]
    half = len(order) // 2
    first, second = order[:half], order[half:]
    if task == "regression":
        truth = answer.to_numpy(dtype="float64")
        predictions = _predict_numbers(column.iloc[first], truth[first], column.iloc[second])
        mean = truth[second].mean()
        error, baseline_error = np.square(truth[second] - predictions).sum(), np.square(truth[second] - mean).sum()
    else:
        classes = answer.astype("str").to_numpy(dtype=object)
        predictions = _predict_classes(column.iloc[first], classes[first], column.iloc[second])
        _, counts = np.unique(classes[second], return_counts=True)
        error, baseline_error = int((predictions != classes[second]).sum()), int(len(second) - counts.max())
        if baseline_error < LEAST_ROWS / 2:
            return 0.0
    return max(0.0, 1 - float(error) / float(baseline_error)) if baseline_error else 0.0


def _values(guess: ColumnGuess, frame: pd.DataFrame, decimal: str) -> pd.Series:
    values = guess.read(frame, decimal).reset_index(drop=True)
    if guess.type in ("number", "integer"):
        return values.astype("float64")
    if guess.type == "datetime":
        return values.astype("int64").astype("float64").where(values.notna())
    return values.astype("str")


def _predict_numbers(column: pd.Series, answer: np.ndarray, values: pd.Series) -> np.ndarray:
    """Return for each of ``values`` the mean answer of equal values of ``column``; between numbers, interpolated."""
    means = pd.Series(answer).groupby(column.to_numpy()).mean()
    if column.dtype == "float64":
        return np.interp(values.to_numpy(), means.index.to_numpy(dtype="float64"), means.to_numpy())
    return values.map(means).fillna(answer.mean()).to_numpy("float64")


def _predict_classes(column: pd.Series, answer: np.ndarray, values: pd.Series) -> np.ndarray:
    """Return the most frequent class of the known values that are like the asked ones: equal, or the nearest ones."""
    if column.dtype == "float64" and column.nunique() > MOST_EQUAL:
        return _told_by_neighbours(column.to_numpy(), answer, values.to_numpy())
    usual = pd.Series(answer).groupby(column.to_numpy()).agg(lambda part: part.value_counts().index[0])
    if len(usual) > 0.5 * len(answer):
        return np.full(len(values), None, dtype=object)  # names of rows, not kinds of them
    return values.map(usual).to_numpy(dtype=object)


def _told_by_neighbours(column: np.ndarray, answer: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the most frequent class of the `NEIGHBOURS` known values next to each values one.

    So a threshold that parts two classes is met as exactly as the rows allow, wherever it lies.
    """
    order = np.argsort(column, kind="stable")
    classes, codes = np.unique(answer[order], return_inverse=True)
    first = np.searchsorted(column[order], values) - NEIGHBOURS // 2
    near = np.clip(first, 0, len(column) - NEIGHBOURS)[:, None] + np.arange(NEIGHBOURS)
    votes = np.zeros((len(values), len(classes)))
    np.add.at(votes, (np.arange(len(values))[:, None], codes[near]), 1)
    return classes[votes.argmax(axis=1)]


def _is_history(column: pd.Series, answer: pd.Series, times: pd.Series | None) -> bool:
    """Return whether the column is as close to the target of the row before as to that of its own row."""
    if (
        times is None
        or not pd.api.types.is_numeric_dtype(column.dtype)
        or not pd.api.types.is_numeric_dtype(answer.dtype)
    ):
        return False
    order = times.reset_index(drop=True).sort_values(kind="stable").index
    own, before = (column[order].corr(other) for other in (answer[order], answer[order].shift()))
    return bool(abs(before) >= abs(own) - 1e-6)


def _sums(values: Mapping[str, pd.Series], answer: pd.Series, target: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the numeric columns that add up to the target, or are it, with the reason to leave them out."""
    numbers = {
        name: column for name, column in values.items() if column.dtype == "float64" and column.notna().mean() > 0.5
    }
    for name, column in numbers.items():
        if _equal(column, answer):
            return [
                ((name,), f"it is {target} itself"),
                *_sums({n: v for n, v in values.items() if n != name}, answer, target),
            ]
    if len(numbers) < 2:
        return []
    table = pd.DataFrame(numbers)
    is_complete = (table.notna().all(axis=1) & answer.notna()).to_numpy()
    if is_complete.sum() < max(2 * LEAST_ROWS, 2 * len(numbers)):
        return []
    rows = np.random.default_rng(0).permutation(np.flatnonzero(is_complete))[:MOST_ROWS]
    X, y = table.to_numpy()[rows], answer.to_numpy()[rows]
    scale = X.std(axis=0)
    if (scale == 0).any() or y.std() == 0:
        return []
    centred, *_ = np.linalg.lstsq((X - X.mean(axis=0)) / scale, y - y.mean(), rcond=None)
    weights = centred / scale
    parts = [name for name, weight in zip(numbers, weights, strict=True) if abs(weight - 1) < 0.02]
    if len(parts) < 2:
        return []
    rest = y - table[parts].to_numpy()[rows].sum(axis=1)
    if np.square(rest - rest.mean()).mean() > 1e-4 * y.var():
        return []
    return [(tuple(parts), f"{' + '.join(parts)} = {target}: it would give the answer away")]


def _equal(column: pd.Series, answer: pd.Series) -> bool:
    is_complete = (column.notna() & answer.notna()).to_numpy()
    return bool(is_complete.sum() >= 2) and bool(
        np.allclose(column.to_numpy()[is_complete], answer.to_numpy()[is_complete])
    )

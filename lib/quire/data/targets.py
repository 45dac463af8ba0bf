"""What is predicted: which column is the target, which task follows from its values, and which classes it has."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from quire.config import Gate
from quire.data import typed, window
from quire.data.columns import LABEL_MARKERS, as_text, in_order, plain, quoted
from quire.data.draft import ColumnGuess
from quire.errors import DataError

MOST_CLASSES = 200
LEAST_OF_A_CLASS = 8
"""Rows of a class below which it is left out: train and each fold of the search need some of it."""

_TARGET_NAME = re.compile(
    r"^(target|label|y|class|outcome|churn|churned|cnt|count|demand|sales|price|default|survived|response)$", re.I
)
_YES = ("yes", "true", "1", "y", "t", "churn", "churned", "positive", "default", "bad", "fraud")


def guess_target(guesses: Mapping[str, ColumnGuess]) -> str:
    """Return the column that is predicted: what its name says, else the last that can be.

    Raises DataError where there is no column.
    """
    if not guesses:
        raise DataError("There is no column to predict. Bring one more, beside that of the timestamp.")
    matches = [name for name, guess in guesses.items() if _TARGET_NAME.match(name) and guess.role != "ignore"]
    usable = [name for name, guess in guesses.items() if guess.type in ("number", "integer", "boolean", "category")]
    return (matches or usable[::-1] or list(guesses)[::-1])[0]


def guess_task(raw: pd.Series, guess: ColumnGuess, task: str | None, *, is_asked: bool) -> tuple[str, Any, ColumnGuess]:
    """Return the task, the positive value of a binary one, and the target's guess.

    Raises DataError where the values are neither numbers nor some classes.
    """
    strange = typed.unusable(raw)
    if strange:
        raise DataError(f"The target {quoted(guess.name)} holds {strange}. Name another column with --target.")
    texts, labels = typed.read_category(raw).values, as_text(raw, LABEL_MARKERS)
    unknown = tuple(sorted(texts[labels.isna() & texts.notna()].unique()))
    counts = labels.value_counts()
    if task is None:
        few = guess.type in ("boolean", "category", "text")
        task = ("binary" if len(counts) == 2 else "multiclass") if few else "regression"
    clear = {"nullable": None, "why": None, "role": "target"}
    doubt = "" if is_asked else f"{guess.name} is the target"
    if len(counts) < 2:
        raise DataError(
            f"The target {quoted(guess.name)} is {guess.settings.get('why', 'constant')}: nothing can be learned. "
            "Name another column with --target, or bring rows in which it differs."
        )
    if task == "regression":
        if guess.type not in ("integer", "number", "category", "boolean"):
            what = "dates" if guess.type == "datetime" else "no numbers"
            raise DataError(
                f"The target {quoted(guess.name)} holds {what}, such as {quoted(counts.index[0])}; a regression "
                "predicts numbers. Name another column with --target, or another task with --task."
            )
        kind = guess.type if guess.type in ("integer", "number") else "number"
        return task, None, guess.having("confirm: the target", doubt=doubt, **clear, type=kind, categories=None)
    return *_classes(counts, task, guess), _target_of_classes(counts, unknown, guess, doubt, clear)


def _classes(counts: pd.Series, task: str, guess: ColumnGuess) -> tuple[str, Any]:
    if len(counts) > MOST_CLASSES or (len(counts) > 20 and counts.iloc[0] < LEAST_OF_A_CLASS):
        raise DataError(
            f"The target {quoted(guess.name)} has {len(counts):,} different values, such as "
            f"{quoted(str(counts.index[0]))}: they are neither numbers nor some classes. Name another column with "
            "--target."
        )
    if task == "binary" and len(counts) != 2:
        raise DataError(
            f"The target {quoted(guess.name)} has {len(counts)} values; a binary task needs two. Name another column "
            "with --target, or leave out --task."
        )
    return task, _positive(counts) if task == "binary" else None


def _target_of_classes(
    counts: pd.Series, unknown: tuple[str, ...], guess: ColumnGuess, doubt: str, clear: Mapping[str, Any]
) -> ColumnGuess:
    """Return the target with its classes; those of very few rows are left out, and said."""
    rare = [name for name, rows in counts.items() if rows < LEAST_OF_A_CLASS] if len(counts) > 2 else []
    categories = tuple(plain(name) for name in sorted(set(counts.index) - set(rare), key=in_order))
    if len(categories) < 2 or counts.iloc[0] < LEAST_OF_A_CLASS:
        rows = ", ".join(f"{quoted(str(name))} {count:,}" for name, count in counts.iloc[:3].items())
        raise DataError(
            f"The target {quoted(guess.name)} has no two classes of {LEAST_OF_A_CLASS} rows or more, which learning "
            f"and judging take. The most frequent have: {rows}. Bring more rows, or name another column with --target."
        )
    settings = {"type": "category", "categories": categories, "minimum": None, "maximum": None}
    settings |= {"format": None, "thousands": None, "affixes": None, "missing": unknown or None}
    target = ColumnGuess(guess.name, guess.settings).having("confirm: the target", doubt=doubt, **{**clear, **settings})
    if rare:
        listing = ", ".join(f"{name} ({counts[name]})" for name in rare[:5]) + (", ..." if len(rare) > 5 else "")
        text = f"classes of fewer than {LEAST_OF_A_CLASS} rows are left out: {listing}"
        target = target.having(text, doubt=text, on_unknown="drop")
    return target.having(doubt=_too_few_to_judge({name: rows for name, rows in counts.items() if name not in rare}))


def _too_few_to_judge(counts: Mapping[Any, int]) -> str:
    """Return a sentence about the classes of which a test of the usual share would hold too few rows for the gate."""
    setting, least = (
        ("min_positives", Gate().min_positives) if len(counts) == 2 else ("min_class_rows", Gate().min_class_rows)
    )
    few = [f"{name} ({rows:,})" for name, rows in counts.items() if rows * window.TEST_SHARE < least][::-1]
    if not few:
        return ""
    names = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
    classes, these = ("a class has", "it") if len(few) == 1 else (f"{len(few)} classes have", "each")
    return (
        f"{classes} few rows: {names}. The gate asks for {least} of {these} among the test rows, or promotes nothing: "
        f"bring more rows{'' if len(counts) == 2 else ', merge rare classes'} or lower gate.{setting} in params.yaml"
    )


def _positive(counts: pd.Series) -> Any:
    """Return the label that says yes, else the rarer one."""
    labels = sorted(counts.index, key=in_order)
    for label in labels:
        if str(label).lower() in _YES:
            return plain(label)
    return plain(counts.index[-1])

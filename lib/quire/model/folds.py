"""Folds of cross-validation: in time where rows have a time, else at random and stratified.

A fold must hold what can be learned from and judged on: both classes, or more than one value of a number. Where the
usual folds do not, fewer of them are taken, or others are cut; what no cut can mend is said.
"""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold

from quire.config import METRICS, Schema, duration
from quire.errors import DataError, ModelError
from quire.model.features import target_values
from quire.model.metrics import undefined_for

Fold = tuple[np.ndarray, np.ndarray]
"""Positions of the rows to learn from and of those to be judged on."""

SHARES = ((1, 3), (1, 2), (1, 4), (2, 3), (1, 6))
"""How much of the time, up to its end, the folds may cover, as fractions, in the order in which it is tried."""


LEAST_ROWS = 6
"""Rows of train below which there are no folds: two of them, each of a third of the rows at most."""

LEAST_TIMES = 6
"""Different times that train must have where the folds are in time, for the same reason."""


@dataclass(frozen=True)
class Needs:
    """What a fold must hold of the target ``y``, shape (rows,), so that ``scoring`` can be computed on it."""

    y: np.ndarray
    schema: Schema
    scoring: str

    @cached_property
    def _codes(self) -> tuple[np.ndarray, np.ndarray]:
        """The place of each row's value among the values in order, and those values."""
        codes, values = pd.factorize(self.y, sort=True)
        return codes, np.asarray(values)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Return the different values that the rows have, in order."""
        codes, values = self._codes
        return values[np.bincount(codes[rows], minlength=len(values)) > 0]

    def learnable(self, rows: np.ndarray) -> bool:
        """Whether a model can learn something from the rows: they have more than one class or value."""
        return len(self.values(rows)) > 1

    def judged(self, fold: Fold) -> bool:
        """Whether the fold can be learned from, and ``scoring`` is defined on its judged rows."""
        learn_values, judge_values = (self.values(rows) for rows in fold)
        return (
            len(learn_values) > 1
            and len(judge_values) > 0
            and self.scoring not in undefined_for(judge_values, learn_values, self.schema)
        )

    def whole(self, fold: Fold) -> bool:
        """Whether, beyond that, the learned rows have every class, and the judged ones more than one class or value."""
        every = self.schema.task == "regression" or len(self.values(fold[0])) == len(self._codes[1])
        return every and self.learnable(fold[1]) and self.judged(fold)

    @property
    def what(self) -> str:
        """What must be in a fold, in words."""
        target = self.schema.target
        return f"more than one value of {target}" if self.schema.task == "regression" else f"the classes of {target}"

    @property
    def rare(self) -> np.ndarray:
        """The rows of the rarest class; of a number, those that are not its most frequent value."""
        codes, values = self._codes
        counts = np.bincount(codes, minlength=len(values))
        return codes != counts.argmax() if self.schema.task == "regression" else codes == counts.argmin()

    def describe_rare(self) -> str:
        """How rare the rarest class, or a change of the number, is, in words."""
        rows, target = self.rare, self.schema.target
        if self.schema.task == "regression":
            usual = self.y[~rows][0]
            return f"{target} is {usual:g} in all but {rows.sum():,} of {len(rows):,} rows of train"
        count = f"{rows.sum():,} row{'' if rows.sum() == 1 else 's'}"
        return f"Class {str(self.y[rows][0])!r} of {target} has {count} in train"


def make_folds(frame: pd.DataFrame, schema: Schema, *, folds: int, seed: int, scoring: str = "") -> list[Fold]:
    """Return at most ``folds`` splits of the rows of ``frame``, on which ``scoring`` (default: the task's) is defined.

    With a timestamp each fold is judged on rows later than all it learns from; together they cover the last third of
    the time, so that the first fold has learned enough and the judgement is of how things are now. Rows of one time
    stay together, and rows whose label was not known yet at the start of the judged ones (label_delay) are left out.
    Where such folds lack a class, or all have one value, there are fewer of them, or they are cut elsewhere. Raises
    DataError or ModelError where none can be learned from or judged on.
    """
    needs = Needs(target_values(frame, schema), schema, scoring or METRICS[schema.task][0])
    folds = _fewer(len(frame), folds)
    if schema.timestamp is None:
        return _chosen(needs, lambda: _random_layouts(frame, needs, folds, seed))
    times = frame[schema.timestamp]
    if times.nunique() < LEAST_TIMES:
        raise DataError(
            f"The train window has {times.nunique()} different times, and a search takes {LEAST_TIMES}. Bring a longer "
            "history, or leave out the timestamp in schema.yaml: then rows are split at random."
        )
    if not any(_time_layouts(times, needs, folds)):
        raise DataError(
            f"No label of the train window is known in time for a fold: schema.yaml's label_delay is "
            f"{schema.label_delay}, and the window spans {times.max() - times.min()}. Bring a longer history."
        )
    return _chosen(
        needs,
        lambda: _time_layouts(times, needs, folds),
        lambda: _event_layouts(times, needs, folds),
        lambda: _turns(times, folds),
    )


def make_partition(frame: pd.DataFrame, schema: Schema, *, folds: int, seed: int) -> list[Fold]:
    """Return splits in which every row is judged exactly once, for out-of-fold predictions.

    With a timestamp whole weeks take turns: each is judged by a model of its neighbours, as current weeks are judged by
    a model of the weeks before them. With fewer weeks than folds, blocks of rows in time order. Where that leaves
    nothing to learn from, since all rows of a class are of one week, there are fewer turns, or days or times take them.
    """
    needs = Needs(target_values(frame, schema), schema, "")
    folds = _fewer(len(frame), folds)
    if schema.timestamp is None:
        layouts: Iterable[list[Fold]] = _random_layouts(frame, needs, folds, seed)
    else:
        layouts = _turns(frame[schema.timestamp], folds)
    first: list[Fold] = []
    for layout in layouts:
        first = first or layout
        if all(needs.learnable(learn) for learn, _ in layout):
            return layout
    return first


def _chosen(needs: Needs, *ways: Callable[[], Iterator[list[Fold]]]) -> list[Fold]:
    """Return the first layout whose folds all hold what they must, of the first way that has one.

    Where no way has one, the layout that loses fewest folds, without those.
    """
    for way in ways:
        for holds in (needs.whole, needs.judged):
            for layout in way():
                if layout and all(holds(fold) for fold in layout):
                    return layout

    def folds() -> Iterator[list[Fold]]:  # made again for each question: they hold every row's place many times over
        return itertools.chain.from_iterable(way() for way in ways)

    best_layout = max(([fold for fold in layout if needs.judged(fold)] for layout in folds()), key=len, default=[])
    if best_layout:
        return best_layout
    learnable = (fold for layout in folds() for fold in layout if len(fold[1]) and needs.learnable(fold[0]))
    learn, judge = next(learnable, (None, None))
    if learn is None or judge is None:
        raise DataError(
            f"{needs.describe_rare()}: no cut of the train window leaves {needs.what} to learn from and others to be "
            "judged on. Lengthen the train window, or bring more rows."
        )
    cause = undefined_for(needs.y[judge], needs.y[learn], needs.schema)[needs.scoring]
    raise ModelError(
        f"{needs.scoring} cannot be computed in any fold of the search; in the first {cause}. {needs.describe_rare()}. "
        "Choose another metric in train.search.scoring, or bring more rows."
    )


def _fewer(rows: int, folds: int) -> int:
    """Return how many folds so many rows allow, at most ``folds``; raises DataError for fewer than two."""
    if rows < LEAST_ROWS:
        raise DataError(
            f"The train part has {rows} rows, and a search takes {LEAST_ROWS}. Bring more rows, or give train more of "
            "them by ingest's windows or shares in params.yaml."
        )
    return min(folds, rows // 3)


def _time_layouts(times: pd.Series, needs: Needs, folds: int) -> Iterator[list[Fold]]:
    """Yield folds in time: as many as are asked over the last third, then fewer, then over other parts."""
    moments = np.sort(times.unique())
    for part, whole in SHARES:
        for count in range(folds, 1, -1):
            size = len(moments) * part // (whole * count)
            if size:
                yield _cut(times, moments[len(moments) - count * size :: size][:count], needs.schema)


def _event_layouts(times: pd.Series, needs: Needs, folds: int) -> Iterator[list[Fold]]:
    """Yield folds in time that are cut where rows of the rarest class are, or where a number changes at all."""
    events = np.sort(times[needs.rare].unique())
    for count in range(min(folds, len(events) - 1), 0, -1):
        for judge_count in dict.fromkeys(max(count, len(events) * part // whole) for part, whole in SHARES):
            if judge_count < len(events):
                yield _cut(
                    times, events[len(events) - judge_count + np.arange(count) * judge_count // count], needs.schema
                )


def _cut(times: pd.Series, starts: np.ndarray, schema: Schema) -> list[Fold]:
    """Return a fold for each start, judged up to the next one, of what was known at it."""
    delay = pd.Timedelta(duration(schema.label_delay))
    folds = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        is_known = ((times < start) & (times + delay <= start)).to_numpy(bool)
        is_judged = (times >= start) if end is None else (times >= start) & (times < end)
        if is_known.any():
            folds.append((np.flatnonzero(is_known), np.flatnonzero(is_judged.to_numpy(bool))))
    return folds


def _turns(times: pd.Series, folds: int) -> Iterator[list[Fold]]:
    """Yield partitions in which weeks, then days, then single times take turns, or blocks where there are few weeks."""
    since = times - times.min()
    weeks = (since // pd.Timedelta("7D")).to_numpy(np.int64)
    days = (since // pd.Timedelta("1D")).to_numpy(np.int64)
    ranks = times.rank(method="dense").to_numpy(np.int64) - 1
    for unit in (weeks, days, ranks):
        for count in range(folds, 1, -1):
            turn = unit
            if unit is weeks and weeks.max() + 1 < count:
                turn = (ranks + 1) * count // (times.nunique() + 1)
            turn = turn % count
            yield [(np.flatnonzero(turn != at), np.flatnonzero(turn == at)) for at in np.unique(turn)]


def _random_layouts(frame: pd.DataFrame, needs: Needs, folds: int, seed: int) -> Iterator[list[Fold]]:
    if needs.schema.task == "regression":
        for count in range(folds, 1, -1):
            yield list(KFold(count, shuffle=True, random_state=seed).split(frame))
        for count in range(folds, 1, -1):
            yield _dealt(needs.y, count, seed)
        return
    target, counts = needs.y.astype(str), np.unique(needs.y, return_counts=True)[1]
    if needs.schema.task == "binary" and counts.min() < 2:
        raise DataError(
            f"{needs.describe_rare()}: a model cannot learn from it and be judged on it. Merge rare classes, or bring "
            "more rows."
        )
    if counts.max() < 2:
        raise DataError(f"Every class of {needs.schema.target} has one row in train: it is a key and no target.")
    count = max(2, min([folds, *counts[counts > 1]]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        yield list(StratifiedKFold(count, shuffle=True, random_state=seed).split(frame, target))


def _dealt(y: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Return folds to which the rows are dealt in turn by their distance from the median: the few that differ apart."""
    shuffled = np.random.default_rng(seed).permutation(len(y))
    order = shuffled[np.argsort(-np.abs(y[shuffled] - np.median(y)), kind="stable")]
    turn = np.empty(len(y), np.int64)
    turn[order] = np.arange(len(y)) % count
    return [(np.flatnonzero(turn != at), np.flatnonzero(turn == at)) for at in range(count)]


def fold_remarks(splits: list[Fold], frame: pd.DataFrame, schema: Schema, *, folds: int, scoring: str) -> list[str]:
    """Return in words what the folds lack: some of those that were asked for, classes, or metrics that they define."""
    needs = Needs(target_values(frame, schema), schema, scoring)
    remarks = []
    if len(splits) != folds:
        count = f"{len(splits)} fold{'' if len(splits) == 1 else 's'} instead of {folds}"
        remarks.append(f"The search judges on {count}: more would not all hold {needs.what}.")
    unseen: dict[str, list[int]] = {}
    undefined: dict[tuple[str, int], list[str]] = {}
    for number, (learn, judge) in enumerate(splits, start=1):
        if schema.task != "regression":
            for name in np.setdiff1d(needs.values(judge), needs.values(learn)):
                unseen.setdefault(str(name), []).append(number)
        for metric, reason in undefined_for(needs.y[judge], needs.y[learn], schema).items():
            undefined.setdefault((reason, number), []).append(metric)
    for name, numbers in unseen.items():
        listing = ", ".join(map(str, numbers))
        remarks.append(f"Fold {listing}: the model has not learned the class {name!r} that it is judged on.")
    for (reason, number), metrics in undefined.items():
        period = _when(frame, schema, splits[number - 1][1])
        omission = f"{' and '.join(metrics)} {'is' if len(metrics) == 1 else 'are'} left out"
        remarks.append(f"Fold {number} of {len(splits)}{period}: {omission}, since {reason}.")
    return remarks


def _when(frame: pd.DataFrame, schema: Schema, rows: np.ndarray) -> str:
    """Return from when to when the rows are, in brackets; empty without a timestamp."""
    if schema.timestamp is None:
        return ""
    times = frame[schema.timestamp].iloc[rows].dt.tz_convert(schema.timezone)
    return f" ({times.min():%Y-%m-%d} to {times.max():%Y-%m-%d})"

"""Folds of cross-validation: in time where rows have a time, else at random and stratified."""

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

from quire.config import Schema, duration
from quire.errors import DataError

Fold = tuple[np.ndarray, np.ndarray]
"""Positions of the rows to learn from and of those to be judged on."""


def make_folds(frame: pd.DataFrame, schema: Schema, *, folds: int, seed: int) -> list[Fold]:
    """Return ``folds`` splits of the rows of ``frame``.

    With a timestamp each fold is judged on rows later than all it learns from; together they cover the last third of
    the time, so that the first fold has learned enough and the judgement is of how things are now. Rows of one time
    stay together, and rows whose label was not known yet at the start of the judged ones (label_delay) are left out.
    """
    _check_size(len(frame), folds)
    if schema.timestamp is None:
        return _random_folds(frame, schema, folds=folds, seed=seed)
    times = frame[schema.timestamp]
    moments = np.sort(times.unique())
    size = len(moments) // (3 * folds)
    if size == 0:
        raise DataError(
            f"The train window has {len(moments)} times, too few for {folds} folds; lower train.search.folds."
        )
    delay = pd.Timedelta(duration(schema.label_delay))
    splits = []
    for _, judged in TimeSeriesSplit(n_splits=folds, test_size=size).split(moments):
        start, end = moments[judged[0]], moments[judged[-1]]
        known = ((times < start) & (times + delay <= start)).to_numpy(bool)
        if known.any():
            splits.append((np.flatnonzero(known), np.flatnonzero(((times >= start) & (times <= end)).to_numpy(bool))))
    if not splits:
        raise DataError(
            f"No label of the train window is known in time for a fold: schema.yaml's label_delay is "
            f"{schema.label_delay}, and the window spans {times.max() - times.min()}. Bring a longer history."
        )
    return splits


def make_partition(frame: pd.DataFrame, schema: Schema, *, folds: int, seed: int) -> list[Fold]:
    """Return splits in which every row is judged exactly once, for out-of-fold predictions.

    With a timestamp whole weeks take turns: each is judged by a model of its neighbours, as current weeks are judged by
    a model of the weeks before them. With fewer weeks than folds, blocks of rows in time order.
    """
    _check_size(len(frame), folds)
    if schema.timestamp is None:
        return _random_folds(frame, schema, folds=folds, seed=seed)
    times = frame[schema.timestamp]
    turn = ((times - times.min()) // pd.Timedelta("7D")).to_numpy(np.int64)
    if turn.max() + 1 < folds:
        turn = times.rank(method="dense").to_numpy() * folds // (times.nunique() + 1)
    turn = (turn % folds).astype(np.int64)
    return [(np.flatnonzero(turn != at), np.flatnonzero(turn == at)) for at in np.unique(turn)]


def _random_folds(frame: pd.DataFrame, schema: Schema, *, folds: int, seed: int) -> list[Fold]:
    if schema.task == "regression":
        return list(KFold(folds, shuffle=True, random_state=seed).split(frame))
    target = frame[schema.target].astype("str")
    rarest = target.value_counts()
    if rarest.min() < folds:
        raise DataError(
            f"Class {rarest.idxmin()!r} of {schema.target} has {rarest.min()} rows in train, fewer than the {folds} "
            "folds of the search. Lower train.search.folds in params.yaml, merge rare classes or bring more rows."
        )
    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(frame, target))


def _check_size(rows: int, folds: int) -> None:
    if rows < 3 * folds:
        raise DataError(f"The train window has {rows} rows, too few for {folds} folds; lower train.search.folds.")

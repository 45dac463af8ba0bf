"""Windows: which rows a model learns from, which it is judged on, and which are current.

With a timestamp, in order: train < test < current < as_of. Without one, a random share each, with a fixed seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from quire.config import Schema, duration
from quire.errors import ConfigError, DataError

PARTS = ("train", "test", "current")

TEST_SHARE = 0.2
"""Of the rows, to judge models on, where there is no timestamp and params.yaml does not say otherwise."""

FAR_FUTURE = pd.Timestamp("2200-01-01", tz="UTC")
"""Times from then on are taken for marks that stand for no date, such as 9999-12-31."""


@dataclass(frozen=True)
class Window:
    """Times from ``start`` (inclusive) until ``end`` (exclusive), in UTC; no start means since ever."""

    start: pd.Timestamp | None
    end: pd.Timestamp

    def rows(self, times: pd.Series) -> np.ndarray:
        """Return which of ``times`` are within."""
        inside = times < self.end
        return (inside if self.start is None else inside & (times >= self.start)).to_numpy(bool)


def place_windows(
    as_of: datetime, *, current: str = "7d", test: str = "56d", train: str = "", label_delay: str = "0d"
) -> dict[str, Window]:
    """Return the windows of train, test and current before ``as_of``.

    ``test`` ends where current starts, or earlier where labels arrive later: as_of - label_delay. So it keeps its
    length, and rows whose label is not yet known are in neither. ``train`` is all before test, or that long a window.
    """
    at = pd.Timestamp(as_of).tz_convert("UTC")
    start = at - _length("current", current)
    test_end = min(start, at - pd.Timedelta(duration(label_delay)))
    split = test_end - _length("test", test)
    first = split - _length("train", train) if train else None
    return {"train": Window(first, split), "test": Window(split, test_end), "current": Window(start, at)}


def end_of(times: pd.Series, frequency: str | None) -> pd.Timestamp:
    """Return the as_of of a source that ends with ``times``: the end of its last period, or of its last second."""
    last = times.max()
    step = pd.Timedelta(duration(frequency)) if frequency else pd.Timedelta(seconds=1)
    return (last + step).floor("s")


def split_by_time(frame: pd.DataFrame, timestamp: str, windows: Mapping[str, Window]) -> dict[str, pd.DataFrame]:
    """Return the rows of each window, in time order; raises DataError for a window without rows."""
    times = frame[timestamp]
    parts = {name: frame[window.rows(times)] for name, window in windows.items()}
    for name in reversed(PARTS):  # where the current rows are not there, that is what to say
        if parts[name].empty:
            raise DataError(empty(name, windows[name], times))
    return parts


def split_at_random(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    test_share: float = TEST_SHARE,
    current_share: float = 0.1,
    seed: int | list[int] = 0,
) -> dict[str, pd.DataFrame]:
    """Return a random share of the rows as test, another as current, and the rest as train, each in order.

    Stratified by the target for classification. The same rows, seed and shares give the same parts, in whatever order
    the source hands the rows in, if they have a key.
    """
    if not (0 < test_share < 1 and 0 < current_share < 1 and test_share + current_share < 1):
        raise ConfigError(
            f"params.yaml: ingest.test_share is {test_share} and current_share {current_share}; expected shares above "
            "0 whose sum is below 1, such as 0.2 and 0.1."
        )
    rank = np.random.default_rng(seed).random(len(frame))
    order = pd.Series(rank, frame.index)
    groups = frame[schema.target].astype("str") if schema.task != "regression" else pd.Series("", frame.index)
    place = (order.groupby(groups, dropna=False).rank(method="first") - 0.5) / order.groupby(
        groups, dropna=False
    ).transform("size")
    test, current = place < test_share, (place >= test_share) & (place < test_share + current_share)
    parts = {"train": frame[~test & ~current], "test": frame[test], "current": frame[current]}
    for name, part in parts.items():
        if part.empty:
            raise DataError(
                f"The source has {len(frame)} rows, too few for a {name} part. "
                "Bring more, or change ingest's shares in params.yaml."
            )
    return parts


def _length(name: str, text: str) -> pd.Timedelta:
    length = pd.Timedelta(duration(text))
    if length <= pd.Timedelta(0):
        raise ConfigError(f"params.yaml: ingest.{name} is {text!r}; expected a length above zero, such as '7d'.")
    return length


def empty(name: str, window: Window, times: pd.Series) -> str:
    """Return what to say of a window without rows, given the times that there are."""
    span = f"the source's rows before as_of are from {times.min():%Y-%m-%d %H:%M} to {times.max():%Y-%m-%d %H:%M} UTC"
    start = "the beginning" if window.start is None else f"{window.start:%Y-%m-%d %H:%M}"
    advice = {
        "train": "Shorten ingest.test or ingest.current in params.yaml, or bring a longer history",
        "test": "Change ingest.test in params.yaml, or bring the rows that are missing",
        "current": "The source has not been delivered up to as_of, or as_of is too late",
    }[name]
    if times.max() >= FAR_FUTURE:
        last = f"{times.max():%Y-%m-%d}"
        advice = f"If {last} stands for no date, write `missing: [{last}]` below the timestamp in schema.yaml"
    return f"The {name} window, from {start} to {window.end:%Y-%m-%d %H:%M} UTC, has no rows: {span}. {advice}."

"""Means and products of a frame's numbers: how columns go with each other, in a form that merges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quire.data.sketches import numbers

MOST_COLUMNS = 40


@dataclass(frozen=True)
class Moments:
    """Of the rows in which every one of ``names`` has a value: how many, their means and their scatter.

    mean: shape (columns,). scatter: sums of products of differences from the mean, shape (columns, columns).
    """

    names: tuple[str, ...]
    n: int
    mean: np.ndarray
    scatter: np.ndarray

    def merge(self, other: "Moments") -> "Moments | None":
        """Return the moments of both together; None if they are of different columns. Source: Chan et al. (1983)."""
        if self.names != other.names:
            return None
        if not self.n or not other.n:
            return other if not self.n else self
        n, delta = self.n + other.n, other.mean - self.mean
        between = np.outer(delta, delta) * self.n * other.n / n
        return Moments(self.names, n, self.mean + delta * other.n / n, self.scatter + other.scatter + between)

    def record(self) -> dict[str, Any]:
        """Return the moments for JSON."""
        return {
            "names": list(self.names),
            "n": self.n,
            "mean": self.mean.tolist() if self.n else [],
            "scatter": self.scatter.tolist() if self.n else [],
        }


def moments_of(frame: pd.DataFrame, names: Sequence[str]) -> Moments | None:
    """Return the moments of the columns ``names`` of ``frame``; None with fewer than two of them, or very many."""
    if not 2 <= len(names) <= MOST_COLUMNS:
        return None
    # A line per column: they lie in memory as they come, which takes half the time of interleaving them.
    table = np.stack([_floats(frame[name]) for name in names])
    whole = np.isfinite(table).all(axis=0)
    observations = table if whole.all() else table[:, whole]
    if not observations.size:
        return Moments(tuple(names), 0, np.full(len(names), np.nan), np.full((len(names), len(names)), np.nan))
    mean = observations.mean(axis=1)
    observations -= mean[:, None]
    return Moments(tuple(names), observations.shape[1], mean, observations @ observations.T)


def moments_from(record: Mapping[str, Any] | None) -> Moments | None:
    """Return the moments that `Moments.record` made."""
    if record is None:
        return None
    names, n = tuple(record["names"]), int(record["n"])
    empty = np.full(len(names), np.nan), np.full((len(names), len(names)), np.nan)
    mean, scatter = (np.asarray(record["mean"]), np.asarray(record["scatter"])) if n else empty
    return Moments(names, n, mean, scatter)


def _floats(column: pd.Series) -> np.ndarray:
    if column.dtype == object or column.isna().any():
        values = np.full(len(column), np.nan)
        is_present = column.notna().to_numpy()
        present_values = numbers(column)
        if len(present_values) == is_present.sum():
            values[is_present] = present_values
        return values
    return numbers(column).astype(float)

"""Intervals by the bootstrap: rows drawn again, in blocks of time where neighbours resemble each other."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from quire.model.metrics import HIGHER_IS_BETTER, METRICS, Outcomes, measure

LEVEL = 0.95
FEWEST_BLOCKS = 20
CELLS = 4_000_000
"""Weights in memory at a time."""


MOST_UNDEFINED = 0.1
"""Share of the draws in which a value may be undefined before they give no interval.

What is undefined in a draw, such as the ROC AUC of a draw without a positive, hangs on very few blocks: on two, if it
is undefined in an eighth of the draws (e to the power of -2), on one, if in more than a third. The other draws then
repeat the same few rows, and their interval would look sure.
"""


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of its interval (95 % unless something else is said); NaN where it cannot be computed.

    draws: of the bootstrap behind it. undefined: draws in which the value cannot be computed.
    """

    value: float
    low: float
    high: float
    draws: int = field(default=0, kw_only=True)
    undefined: int = field(default=0, kw_only=True)

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return not np.isnan(self.low)

    def as_json(self) -> dict[str, float | None]:
        """Return the value and the two ends, null for what is no finite number."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}


@dataclass(frozen=True)
class Resampling:
    """How the rows are drawn again: the block of each row, how often, and the seed.

    The same resampling gives the same draws every time, so that two models are compared on the same rows.
    """

    blocks: np.ndarray
    resamples: int
    seed: int
    unit: str

    def weights(self) -> Iterator[np.ndarray]:
        """Yield how often each row is drawn, shape (some resamples, rows), until all resamples are done."""
        rng = np.random.default_rng(self.seed)
        count = int(self.blocks.max()) + 1
        at_once = max(1, CELLS // len(self.blocks))
        for start in range(0, self.resamples, at_once):
            size = min(at_once, self.resamples - start)
            block_counts = rng.multinomial(count, np.full(count, 1 / count), size=size)
            yield block_counts[:, self.blocks].astype(np.float64)


def resampling(times: pd.Series | None, rows: int, *, resamples: int, seed: int) -> Resampling:
    """Return how to draw ``rows`` rows again: single rows, or with ``times`` blocks of weeks, days or hours.

    The longest of them of which there are at least 20; with fewer hours, 20 blocks of rows in the order of time.
    Source: Künsch (1989), The jackknife and the bootstrap for general stationary observations.
    """
    if times is None:
        return Resampling(np.arange(rows), resamples, seed, "row")
    since = times - times.min()
    for unit, length in (("week", "7D"), ("day", "1D"), ("hour", "1h")):
        blocks = pd.factorize(since // pd.Timedelta(length))[0]
        if blocks.max() + 1 >= FEWEST_BLOCKS:
            return Resampling(blocks, resamples, seed, unit)
    rank = times.rank(method="first").to_numpy() - 1
    blocks = pd.factorize((rank * FEWEST_BLOCKS // rows).astype(np.int64))[0]
    return Resampling(blocks, resamples, seed, "block of rows")


def metric_draws(found: Outcomes, how: Resampling, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Return each metric on every resample, shape (resamples,)."""
    names = names or METRICS[found.task]
    parts = [measure(found, names, weights) for weights in how.weights()]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def interval(value: float, draws: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Return ``value`` with the percentile interval of ``draws``, those left out in which it is undefined (NaN).

    There is no interval where more than a tenth of the draws are undefined.
    """
    valid_draws = draws[~np.isnan(draws)]
    undefined = len(draws) - len(valid_draws)
    if np.isnan(value) or not len(valid_draws) or undefined > MOST_UNDEFINED * len(draws):
        return Interval(float(value), np.nan, np.nan, draws=len(draws), undefined=undefined)
    low, high = np.quantile(valid_draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), draws=len(draws), undefined=undefined)


def intervals(values: dict[str, float], draws: dict[str, np.ndarray]) -> dict[str, Interval]:
    """Return each metric with its interval."""
    return {name: interval(values[name], draws[name]) for name in values}


def gains(
    values: dict[str, float], draws: dict[str, np.ndarray], others: dict[str, float], other_draws: dict[str, np.ndarray]
) -> dict[str, Interval]:
    """Return by how much the first is better than the other, by metric: above zero is better, whatever the metric.

    The draws are paired: both were measured on the same resamples.
    """
    signs = {name: 1 if HIGHER_IS_BETTER[name] else -1 for name in values}
    return {
        name: interval(sign * (values[name] - others[name]), sign * (draws[name] - other_draws[name]))
        for name, sign in signs.items()
    }

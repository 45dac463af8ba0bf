"""What windows of the reference itself show against the rest of it: the difference that is usual.

Real weeks are not independent draws: they are autocorrelated and seasonal. What a week of the reference shows against
the rest of the reference is therefore the measure of what is unusual.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from scipy import special

Reference = str
"""training: all of it. same_season: the same time of the year. previous: the periods just before."""

YEAR_DAYS = 365.2425


def reference_mask(
    mode: Reference,
    targets: Sequence[datetime | None],
    windows: Sequence[datetime | None],
    *,
    season_days: float = 28.0,
    previous: int = 8,
) -> np.ndarray:
    """Return which windows are the reference of which target, as 0 and 1, shape (targets, windows).

    targets, windows: where each period starts. A window is never its own reference.
    season_days: how far apart in the year "the same season" reaches, either side.
    previous: how many periods "just before" are.
    """
    if not windows or windows[0] is None or (targets and targets[0] is None):
        return np.ones((len(targets), len(windows)))
    at = np.array([start.timestamp() for start in targets if start])[:, None] / 86_400
    of = np.array([start.timestamp() for start in windows if start])[None, :] / 86_400
    gap_days = at - of
    mask = np.abs(gap_days) > 1e-6
    if mode == "previous":
        mask &= gap_days > 0
    if mode == "same_season":
        within = np.abs((gap_days + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2)
        mask &= within <= season_days
    if mode == "previous":
        mask &= np.cumsum(mask[:, ::-1], axis=1)[:, ::-1] <= previous
    return mask.astype(float)


def tolerance_bound(
    values: np.ndarray, *, tests: int, false_alarms: float = 0.01, confidence: float = 0.95, least: int = 20
) -> float:
    """Return the bound that a share ``false_alarms`` / ``tests`` of usual windows would exceed; NaN if not yet known.

    values: PSI of each window of the reference against the rest, shape (windows,); NaN are left out. With fewer than
    ``least`` of them the bound is not yet known.
    The fit is on the scale of square roots: a small shift moves PSI by its square, so roots of PSI have the tails of
    the shift. The factor is that of a one-sided tolerance bound of a normal distribution (noncentral t), so few windows
    give a wider bound. Source: Krishnamoorthy and Mathew (2009), Statistical Tolerance Regions, 2.1.
    """
    values = values[~np.isnan(values)]
    if len(values) < least:
        return float("nan")
    roots = np.sqrt(values)
    factor = tolerance_factor(len(roots), false_alarms / max(tests, 1), confidence)
    bound = float(np.mean(roots) + factor * np.std(roots, ddof=1)) ** 2
    return max(bound, float(values.max()))


def tolerance_factor(n: int, outside: float, confidence: float) -> float:
    """Return how many standard deviations above the mean of ``n`` values a share ``outside`` lies at most.

    Exact for independent normal values: the ``confidence`` quantile of the noncentral t with n - 1 degrees of freedom
    and noncentrality z * sqrt(n), divided by sqrt(n).
    """
    z = -special.ndtri(outside)
    return float(special.nctdtrit(n - 1, z * np.sqrt(n), confidence) / np.sqrt(n))


def usual_level(values: np.ndarray, *, deviations: float = 4.0, least: int = 20) -> float:
    """Return median + ``deviations`` times the median absolute deviation of the windows; NaN if not yet known."""
    values = values[~np.isnan(values)]
    if len(values) < least:
        return float("nan")
    middle = np.median(values)
    return float(middle + deviations * np.median(np.abs(values - middle)))

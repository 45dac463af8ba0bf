"""How far two histograms are apart, and how far independent rows alone would put them.

Every function takes counts, shape (..., bins), and works on the last axis, so that a year of windows or a study of
thousands of weeks is one call.
"""

import numpy as np
from scipy import special

SMALLEST = 0.5
"""Added to each count, so that an empty bin has a logarithm (Jeffreys' prior for a share)."""


def psi(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the population stability index of counts: the symmetric Kullback-Leibler divergence of their shares.

    reference, current: counts, shapes that broadcast to (..., bins). Returns nats, >= 0, shape (...); NaN where one of
    the two has no rows. Source: Siddiqi (2006), Credit Risk Scorecards; Jeffreys (1946).
    """
    p, q = _shares(reference), _shares(current)
    return np.sum((q - p) * np.log(q / p), axis=-1)


def noise(n_reference: np.ndarray, n: np.ndarray, bins: int, *, tests: int, false_alarms: float = 0.001) -> np.ndarray:
    """Return the PSI that independent rows exceed with probability ``false_alarms`` / ``tests``.

    PSI / (1/n_reference + 1/n) of two samples of one distribution is about chi-square with bins - 1 degrees of freedom.
    Source: Yurdakul (2018), Statistical Properties of Population Stability Index.
    """
    quantile = special.chdtri(max(bins - 1, 1), false_alarms / max(tests, 1))
    return _inverse_rows(n_reference, n) * quantile


def expected(n_reference: np.ndarray, n: np.ndarray, bins: int) -> np.ndarray:
    """Return the mean PSI of two samples of one distribution: what must be taken off to compare effects."""
    return _inverse_rows(n_reference, n) * max(bins - 1, 1)


def p_value(index: np.ndarray, n_reference: np.ndarray, n: np.ndarray, bins: int) -> np.ndarray:
    """Return the probability that independent rows of one distribution give a PSI of ``index`` or more."""
    return special.chdtrc(max(bins - 1, 1), index / _inverse_rows(n_reference, n))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number, shape (tests,); NaN stays. Source: Holm (1979)."""
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p_values), np.nan)
    order = [place for place in np.argsort(p_values, kind="stable") if not np.isnan(p_values[place])]
    if order:
        steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
        corrected[order] = np.minimum(steps, 1.0)
    return corrected


def ks(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the largest distance of the cumulative shares at the bins' edges, in [0, 1] (Kolmogorov-Smirnov)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p = reference / np.sum(reference, axis=-1, keepdims=True)
        q = current / np.sum(current, axis=-1, keepdims=True)
    return np.max(np.abs(np.cumsum(p - q, axis=-1)), axis=-1)


def wasserstein(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the mean distance of two quantile functions at the same shares, in the column's unit (Wasserstein-1)."""
    return float(np.mean(np.abs(np.asarray(reference) - np.asarray(current))))


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=float)
    total = counts.sum(axis=-1, keepdims=True)
    shares = (counts + SMALLEST) / (total + SMALLEST * counts.shape[-1])
    return np.where(total > 0, shares, np.nan)


def _inverse_rows(n_reference: np.ndarray, n: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 1 / np.asarray(n_reference, dtype=float) + 1 / np.asarray(n, dtype=float)

"""The bins of a histogram."""

import numpy as np


def histogram_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the edges of ``bins`` equal bins over the values, shape (bins + 1,), increasing.

    Where the values differ by less than so many bins can tell apart, the bins reach further than the values.
    """
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    least = 4 * bins * np.spacing(max(abs(low), abs(high)))
    if high - low < least:
        middle, half = low + (high - low) / 2, max(0.5 if low == high else 0.0, least)
        low, high = middle - half, middle + half
    return np.linspace(low, high, bins + 1)

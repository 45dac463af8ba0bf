"""Whether probabilities mean what they say: of rows given 30 %, 30 % should be positive."""

import numpy as np
import pandas as pd

from quire.model.metrics import Outcomes

BINS = 10


def calibration_curve(found: Outcomes, *, bins: int = BINS) -> pd.DataFrame:
    """Return predicted against observed shares, in bins of like many rows, from low to high.

    Columns: predicted (mean probability), observed (share that was so), low, high (95 % Wilson interval of observed),
    rows. Binary: of the positive class. Multiclass: of the class that was predicted.
    Source of the interval: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    probability, hits = _said_and_so(found)
    rank = np.argsort(np.argsort(probability, kind="stable"), kind="stable")
    frame = pd.DataFrame({"bin": rank * bins // len(rank), "predicted": probability, "observed": hits})
    curve = frame.groupby("bin").agg(
        predicted=("predicted", "mean"), observed=("observed", "mean"), rows=("observed", "size")
    )
    low, high = _wilson(curve["observed"].to_numpy(), curve["rows"].to_numpy())
    return curve.assign(low=low, high=high).reset_index(drop=True)[["predicted", "observed", "low", "high", "rows"]]


def calibration_error(found: Outcomes, *, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean distance of predicted and observed over rows, in [0, 1].

    Source: Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning; with
    bins of like many rows.
    """
    curve = calibration_curve(found, bins=bins)
    return float(np.average((curve["predicted"] - curve["observed"]).abs(), weights=curve["rows"]))


def _said_and_so(found: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    if found.task == "binary":
        return found.score, found.truth.astype(np.float64)
    assert found.probability is not None
    return found.probability.max(axis=1), (found.truth == found.prediction).astype(np.float64)


def _wilson(share: np.ndarray, rows: np.ndarray, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return centre - half, centre + half

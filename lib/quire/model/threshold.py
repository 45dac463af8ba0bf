"""From which probability on a binary model says yes."""

import numpy as np
import pandas as pd

from quire.config import Decision
from quire.model.metrics import Outcomes


def threshold_curve(found: Outcomes, decision: Decision) -> pd.DataFrame:
    """Return what each threshold would do, at most 200 of them, from low to high.

    Columns: threshold, flagged (share of rows said to be positive), precision, recall, f1, youden (sensitivity +
    specificity - 1), cost (mean per row, by the costs of ``decision``).
    """
    score, hits = found.score, found.truth
    thresholds = np.unique(np.quantile(score, np.linspace(0, 1, 200), method="higher"))
    ordered = np.argsort(score, kind="stable")
    below = np.searchsorted(score[ordered], thresholds, side="left")
    positives_from = np.r_[np.cumsum(hits[ordered][::-1])[::-1], 0]
    rows, positives = len(hits), hits.sum()
    flagged, caught = rows - below, positives_from[below]
    false, missed = flagged - caught, positives - caught
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "flagged": flagged / rows,
            "precision": caught / np.maximum(flagged, 1),
            "recall": caught / max(positives, 1),
            "f1": 2 * caught / (flagged + positives),
            "youden": caught / max(positives, 1) - false / max(rows - positives, 1),
            "cost": (decision.false_positive_cost * false + decision.false_negative_cost * missed) / rows,
        }
    )


def choose_threshold(found: Outcomes, decision: Decision) -> float:
    """Return the probability from which on a row is said to be positive, by the rule of ``decision``.

    found: out-of-fold predictions of the training rows, so that the test rows still judge the choice.
    """
    if decision.rule == "fixed":
        return decision.threshold
    curve = threshold_curve(found, decision)
    best = curve["cost"].argmin() if decision.rule == "cost" else curve[decision.rule].argmax()
    return float(curve["threshold"].iloc[best])

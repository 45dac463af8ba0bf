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
    order = np.argsort(score, kind="stable")
    rows_below = np.searchsorted(score[order], thresholds, side="left")
    positives_from = np.r_[np.cumsum(hits[order][::-1])[::-1], 0]
    rows, positives = len(hits), hits.sum()
    flagged, true_positives = rows - rows_below, positives_from[rows_below]
    false_positives, false_negatives = flagged - true_positives, positives - true_positives
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "flagged": flagged / rows,
            "precision": true_positives / np.maximum(flagged, 1),
            "recall": true_positives / max(positives, 1),
            "f1": 2 * true_positives / (flagged + positives),
            "youden": true_positives / max(positives, 1) - false_positives / max(rows - positives, 1),
            "cost": (decision.false_positive_cost * false_positives + decision.false_negative_cost * false_negatives)
            / rows,
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

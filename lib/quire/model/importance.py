"""Which features a model relies on."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance

from quire.config import Schema
from quire.model.features import model_input, target_values
from quire.model.metrics import HIGHER_IS_BETTER, METRICS, SEGMENT_METRIC, compare, measure, undefined_for
from quire.model.predictions import predict_input

MOST_ROWS = 2_000
REPEATS = 5


def permuted_importance(
    pipeline: Any, test: pd.DataFrame, schema: Schema, *, metric: str = "", seed: int
) -> tuple[pd.DataFrame, str]:
    """Return how much a metric gets worse when a feature is shuffled among the rows, highest first, and which metric.

    Columns: feature, importance, std over the shuffles. metric: by default the task's first; an error of single rows
    where the rows do not define it. At most 2,000 rows, drawn with ``seed``. Features that say the same share their
    importance: shuffling one leaves the other. Source: Breiman (2001), Random forests.
    """
    if len(test) > MOST_ROWS:
        indices = np.random.default_rng(seed).choice(len(test), MOST_ROWS, replace=False)
        test = test.iloc[np.sort(indices)]
    X, y = model_input(test, schema), target_values(test, schema)
    metric = metric or METRICS[schema.task][0]
    if metric in undefined_for(y, y, schema):
        metric = SEGMENT_METRIC[schema.task]
    sign = 1 if HIGHER_IS_BETTER[metric] else -1

    def score(fitted: Any, X: pd.DataFrame, y: np.ndarray) -> float:
        return sign * measure(compare(y, predict_input(fitted, X, schema), schema), (metric,))[metric]

    result = permutation_importance(pipeline, X, y, scoring=score, n_repeats=REPEATS, random_state=seed)
    frame = pd.DataFrame(
        {"feature": X.columns, "importance": result["importances_mean"], "std": result["importances_std"]}
    )
    return frame.sort_values("importance", ascending=False, kind="stable").reset_index(drop=True), metric

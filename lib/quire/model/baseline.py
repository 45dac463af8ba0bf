"""What a prediction is worth that needs no model: last week's same hour, the mean, or the classes' shares."""

import numpy as np
import pandas as pd

from quire.config import Schema, duration
from quire.model.features import target_values
from quire.model.metrics import Outcomes, compare
from quire.model.predictions import decide

LEAST_COVERAGE = 0.5
"""A seasonal value must be known for at least this share of the test rows."""


def baseline_outcomes(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> tuple[Outcomes, str]:
    """Return what the naive prediction gives for ``test``, and what it is, in words.

    Regression with a timestamp: the value one season earlier (a week for data up to daily, else a year), if its label
    was known by then. Where that row is missing, the mean of train. Other regressions: the mean of train. Else: the
    shares of the classes in train.
    """
    truth = target_values(test, schema)
    if schema.task != "regression":
        classes, counts = np.unique(target_values(train, schema), return_counts=True)
        shares = np.tile(counts / counts.sum(), (len(test), 1))
        names = [str(name) for name in classes]
        return compare(truth, decide(shares, names, schema, 0.5, test.index), schema), "the classes' shares in train"
    mean = target_values(train, schema).mean()
    seasonal, name = _seasonal(train, test, schema)
    if seasonal is None or np.isnan(seasonal).mean() > 1 - LEAST_COVERAGE:
        return Outcomes("regression", truth, np.full(len(test), mean)), "the mean of train"
    return Outcomes("regression", truth, np.where(np.isnan(seasonal), mean, seasonal)), name


def season_length(schema: Schema) -> tuple[pd.Timedelta, str]:
    """Return the length of a season that no label is missing for, and the baseline's name."""
    step = pd.Timedelta(duration(schema.frequency)) if schema.frequency else pd.Timedelta("1h")
    if step > pd.Timedelta("1D"):
        return pd.Timedelta("364D"), "the value 52 weeks earlier"
    weeks = max(1, -(-pd.Timedelta(duration(schema.label_delay)) // pd.Timedelta("7D")))
    unit = "day" if step == pd.Timedelta("1D") else "hour"
    return weeks * pd.Timedelta("7D"), f"the same {unit} {'a week' if weeks == 1 else f'{weeks} weeks'} earlier"


def _seasonal(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> tuple[np.ndarray | None, str]:
    if schema.timestamp is None:
        return None, ""
    season, name = season_length(schema)
    rows = pd.concat([train, test])
    series = [key for key in schema.key if key != schema.timestamp and rows[key].nunique() * 2 < len(rows)]
    by = [schema.timestamp, *series]
    past = rows[[*by, schema.target]].drop_duplicates(by, keep="last")
    past = past.assign(**{schema.timestamp: past[schema.timestamp] + season})
    forecast = test[by].merge(past, on=by, how="left")[schema.target]
    return forecast.to_numpy(dtype=np.float64, na_value=np.nan), name

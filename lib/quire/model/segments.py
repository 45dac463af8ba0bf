"""The candidate against the champion in parts of the data: an average can hide who loses."""

import itertools

import numpy as np
import pandas as pd

from quire.config import Schema, label
from quire.model.bootstrap import Resampling, interval
from quire.model.metrics import SEGMENT_METRIC, Outcomes, row_errors
from quire.page.numbers import number

MOST_LEVELS = 12


def segment_labels(frame: pd.DataFrame, schema: Schema, columns: tuple[str, ...]) -> dict[str, pd.Series]:
    """Return for each column the segment of every row, as text.

    A number is cut into four parts of like size, unless it has at most 12 values; a category keeps its 12 most frequent
    values and the rest is ``other``; a time is cut into calendar weeks where it spans at most 12, else into months.
    """
    return {name: _labels(frame[name], schema.columns[name].type, schema.timezone) for name in columns}


def exact_labels(values: pd.Series) -> pd.Series:
    """Return each value as text, as the snapshot writes categories; missing ones stay missing."""
    return values.astype(object).map(label, na_action="ignore")


def compare_segments(
    candidate: Outcomes, champion: Outcomes | None, labels: dict[str, pd.Series], how: Resampling
) -> pd.DataFrame:
    """Return a row for each segment, in the order of ``labels``.

    Columns: column, segment, rows, metric (mae or log_loss: lower is better), candidate, and, with a champion,
    champion, loss (relative: 0.1 says that the candidate's error is a tenth higher) with loss_low and loss_high.
    """
    metric = SEGMENT_METRIC[candidate.task]
    errors = row_errors(candidate, metric)
    others = None if champion is None else row_errors(champion, metric)
    assert errors is not None
    rows = [
        {"column": column, "segment": name, "rows": int(members.sum()), "metric": metric}
        | _compared(errors, others, members, how)
        for column, values in labels.items()
        for name in sorted(values.unique(), key=_rank)
        if (members := (values == name).to_numpy(bool)).any()
    ]
    names = ["column", "segment", "rows", "metric", "candidate", "champion", "loss", "loss_low", "loss_high"]
    return pd.DataFrame(rows, columns=names)


def _compared(errors: np.ndarray, others: np.ndarray | None, members: np.ndarray, how: Resampling) -> dict[str, float]:
    own = float(errors[members].mean())
    if others is None:
        return {"candidate": own, "champion": np.nan, "loss": np.nan, "loss_low": np.nan, "loss_high": np.nan}
    other = float(others[members].mean())
    sums = [(w @ (errors * members), w @ (others * members)) for w in how.weights()]
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = np.concatenate([own_sums / other_sums - 1 for own_sums, other_sums in sums])
    loss = interval(own / other - 1 if other > 0 else np.nan, draws)
    return {"candidate": own, "champion": other, "loss": loss.value, "loss_low": loss.low, "loss_high": loss.high}


def _labels(values: pd.Series, kind: str, timezone: str) -> pd.Series:
    missing = values.isna()
    if kind == "datetime":
        local = values.dt.tz_convert(timezone).dt.tz_localize(None)
        weeks = local.dt.to_period("W")
        text = (weeks.dt.start_time if weeks.nunique() <= MOST_LEVELS else local.dt.to_period("M")).astype("str")
    elif kind in ("number", "integer") and values.nunique() > MOST_LEVELS:
        text = _quarters(values.astype("float64"), whole=kind == "integer")
    else:
        text = exact_labels(values)
        frequent = text.value_counts().index[:MOST_LEVELS]
        text = text.where(text.isin(frequent), "other")
    return text.astype(object).where(~missing, "missing")


def _quarters(values: pd.Series, *, whole: bool) -> pd.Series:
    _, edges = pd.qcut(values, 4, retbins=True, duplicates="drop")
    pairs = list(itertools.pairwise(edges))
    if whole:  # an interval holds its right edge, and of whole numbers those between
        pairs = [(np.floor(low) + (place > 0), np.floor(high)) for place, (low, high) in enumerate(pairs)]
    names = [f"{number(float(low), digits=4)} to {number(float(high), digits=4)}" for low, high in pairs]
    return pd.cut(values, edges, labels=names, include_lowest=True, ordered=False).astype(object)


def _rank(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text.split(" to ")[0].replace(",", "").replace("−", "-")), text
    except ValueError:
        return True, 0.0, text

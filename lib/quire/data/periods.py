"""Rows in periods of the same length, counted back from the end so that the last one is whole."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from quire.config import Schema, duration


def split_periods(
    frame: pd.DataFrame, schema: Schema, period: str = "7d", *, end: datetime | None = None
) -> list[tuple[datetime | None, datetime | None, pd.DataFrame]]:
    """Return start, end and rows of each period that `profile_periods` profiles; all rows without a timestamp."""
    if schema.timestamp is None or schema.timestamp not in frame:
        return [(None, None, frame)] if len(frame) else []
    times = pd.to_datetime(frame[schema.timestamp], utc=True)
    if not times.notna().any():
        return []
    length = duration(period)
    last = end or end_of_day(times.max().to_pydatetime(), length)
    ages = ((pd.Timestamp(last) - times) / length).to_numpy(dtype=float, na_value=np.nan)
    # A row at the very start of a period is a whole number of periods back, and belongs to that period.
    number = np.where(np.isnan(ages) | (ages <= 0), -1, np.ceil(ages) - 1).astype(int)
    order = np.argsort(-number, kind="stable")
    numbers, firsts = np.unique(-number[order], return_index=True)
    stops = [*firsts[1:], len(order)]
    return [
        (last + (offset - 1) * length, last + offset * length, _rows(frame, order[first:stop]))
        for offset, first, stop in zip(numbers.tolist(), firsts, stops, strict=True)
        if offset <= 0
    ]


def _rows(frame: pd.DataFrame, places: np.ndarray) -> pd.DataFrame:
    """Return the rows at ascending ``places``; without copying them where none lies between."""
    first, last = int(places[0]), int(places[-1])
    return frame.iloc[first : last + 1] if last - first + 1 == len(places) else frame.iloc[places]


def end_of_day(last: datetime, length: timedelta) -> datetime:
    """Return the first midnight, or multiple of a shorter ``length``, after ``last``."""
    step = min(timedelta(days=1), length)
    origin = datetime(1970, 1, 1, tzinfo=UTC)
    return origin + ((last - origin) // step + 1) * step

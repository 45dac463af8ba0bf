"""The simulator: hourly bike rentals with the columns of the UCI bike-sharing data.

Weather is autocorrelated as real weather is, demand follows season, hour, working day, weather and growth, and faults
can be switched on at a date, so that what monitoring should find is known. Rows are made in blocks of a year, each
with random numbers of its own: the same seed gives the same rows whatever the length.
"""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pandas as pd

from quire.config import DemoSource, Fault, moment
from quire.errors import ConfigError, near

BLOCK_HOURS = 364 * 24
COLUMNS = (
    *("timestamp", "season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"),
    *("temp", "atemp", "hum", "windspeed", "casual", "registered", "cnt"),
)
_MEMORY_HOURS = 28 * 24  # beyond it, what is left of a shock is below 1e-4
_HOLIDAYS = ((1, 1), (7, 4), (11, 11), (12, 25))  # month, day; the others are nth Mondays and a Thursday
_MONDAYS = ((1, 15, 21), (2, 15, 21), (5, 25, 31), (9, 1, 7), (10, 8, 14))  # month, first and last possible day


def simulate(source: DemoSource) -> pd.DataFrame:
    """Return ``source.hours`` hourly rows with the columns `COLUMNS`, faults applied; ``timestamp`` is in UTC."""
    return pd.concat(blocks(source), ignore_index=True)


def blocks(source: DemoSource) -> Iterator[pd.DataFrame]:
    """Yield the rows of `simulate`, a block of at most a year at a time."""
    for number in range(-(-source.hours // BLOCK_HOURS)):
        frame = _block(source, number).iloc[: source.hours - number * BLOCK_HOURS]
        for fault in source.faults:
            frame = apply_fault(frame, fault, np.random.default_rng([source.seed, number, 1]))
        yield frame


def apply_fault(frame: pd.DataFrame, fault: Fault, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows with one fault in those from ``fault.at`` until ``fault.until``.

    sensor_bias adds ``size`` (default 0.15) to a column (default temp). unit_change multiplies by ``size`` (default
    41, from the UCI scale to degrees Celsius). missing_block empties a column, or takes the rows out where none is
    named. new_category sets a share ``size`` (default 0.3) of a column (default weathersit) to a value never seen.
    demand_shift multiplies the rentals by ``size`` (default 0.6).
    """
    within = frame["timestamp"] >= moment(fault.at)
    if fault.until:
        within &= frame["timestamp"] < moment(fault.until)
    if fault.column is not None and fault.column not in COLUMNS[1:]:
        raise ConfigError(
            f"config.yaml: source.faults names the column {fault.column!r}; known: {', '.join(COLUMNS[1:])}."
            + near(fault.column, COLUMNS)
        )
    if fault.kind == "missing_block" and fault.column is None:
        return frame[~within]
    frame = frame.copy()
    _FAULTS[fault.kind](frame, within.to_numpy(), fault, rng)
    return frame


def _sensor_bias(frame: pd.DataFrame, within: np.ndarray, fault: Fault, rng: np.random.Generator) -> None:
    column = fault.column or "temp"
    frame[column] = frame[column] + within * (0.15 if fault.size is None else fault.size)


def _unit_change(frame: pd.DataFrame, within: np.ndarray, fault: Fault, rng: np.random.Generator) -> None:
    column = fault.column or "temp"
    frame[column] = frame[column] * np.where(within, 41.0 if fault.size is None else fault.size, 1.0)


def _missing_block(frame: pd.DataFrame, within: np.ndarray, fault: Fault, rng: np.random.Generator) -> None:
    column = str(fault.column)
    frame[column] = frame[column].astype("float64").mask(within)


def _new_category(frame: pd.DataFrame, within: np.ndarray, fault: Fault, rng: np.random.Generator) -> None:
    column = fault.column or "weathersit"
    mask = within & (rng.random(len(frame)) < (0.3 if fault.size is None else fault.size))
    frame[column] = frame[column].mask(mask, 9)


def _demand_shift(frame: pd.DataFrame, within: np.ndarray, fault: Fault, rng: np.random.Generator) -> None:
    factor = np.where(within, 0.6 if fault.size is None else fault.size, 1.0)
    for column in ("casual", "registered"):
        frame[column] = np.rint(frame[column] * factor).astype("int64")
    frame["cnt"] = frame["casual"] + frame["registered"]


_FAULTS = {
    "sensor_bias": _sensor_bias,
    "unit_change": _unit_change,
    "missing_block": _missing_block,
    "new_category": _new_category,
    "demand_shift": _demand_shift,
}


def _block(source: DemoSource, number: int) -> pd.DataFrame:
    start = moment(source.start)
    first = pd.Timestamp(start) + pd.Timedelta(hours=number * BLOCK_HOURS)
    times = pd.date_range(first, periods=BLOCK_HOURS, freq="h", unit="us")
    frame = _calendar(times, start)
    _weather(frame, times, source.seed, number)
    years = (number * BLOCK_HOURS + np.arange(BLOCK_HOURS)) / 8766
    _demand(frame, years, np.random.default_rng([source.seed, number, 0]))
    return frame[list(COLUMNS)]


def _calendar(times: pd.DatetimeIndex, start: datetime) -> pd.DataFrame:
    """Return the columns that the calendar gives; weekday counts from Sunday = 0, as in the UCI data."""
    month, day, weekday = (np.asarray(part) for part in (times.month, times.day, times.day_of_week))
    holiday = np.zeros(len(times), bool)
    for m, d in _HOLIDAYS:
        holiday |= (month == m) & (day == d)
    for m, low, high in _MONDAYS:
        holiday |= (month == m) & (weekday == 0) & (day >= low) & (day <= high)
    holiday |= (month == 11) & (weekday == 3) & (day >= 22) & (day <= 28)
    season = 1 + np.searchsorted([80, 172, 266, 355], np.asarray(times.day_of_year), side="right") % 4
    return pd.DataFrame(
        {
            "timestamp": times,
            "season": season,
            "yr": np.asarray(times.year).astype("int64") - start.year,
            "mnth": month.astype("int64"),
            "hr": np.asarray(times.hour).astype("int64"),
            "holiday": holiday.astype("int64"),
            "weekday": (weekday.astype("int64") + 1) % 7,
            "workingday": ((weekday < 5) & ~holiday).astype("int64"),
        }
    )


def _autocorrelated(seed: int, number: int, name: int, hours: float) -> np.ndarray:
    """Return a block of a first-order autoregressive process: mean 0, deviation 1, decaying by 1/e in ``hours``.

    The sum over past shocks is cut off after `_MEMORY_HOURS`, so a block needs only the shocks of the one before it.
    """
    shocks = [
        np.random.default_rng([seed, number + 1 + offset, 10 + name]).standard_normal(BLOCK_HOURS) for offset in (-1, 0)
    ]
    past = np.concatenate(shocks)[BLOCK_HOURS - _MEMORY_HOURS + 1 :]
    phi = np.exp(-1 / hours)
    return np.convolve(past, phi ** np.arange(_MEMORY_HOURS) * np.sqrt(1 - phi**2), mode="valid")


def _weather(frame: pd.DataFrame, times: pd.DatetimeIndex, seed: int, number: int) -> None:
    """Add weathersit (1 clear to 4 heavy rain) and temp, atemp, hum, windspeed, each on the UCI scale of 0 to 1."""
    year = 2 * np.pi * (np.asarray(times.day_of_year) - 205) / 365.25
    hour = 2 * np.pi * (np.asarray(times.hour) - 15) / 24
    front, wet, wind, cloud = (_autocorrelated(seed, number, k, h) for k, h in enumerate((60.0, 30.0, 12.0, 14.0)))
    temp = 0.5 + 0.24 * np.cos(year) + 0.055 * np.cos(hour) + 0.075 * front
    hum = 0.62 - 0.11 * np.cos(hour) - 0.05 * front + 0.15 * wet
    sky = 0.75 * wet + 0.65 * cloud
    frame["weathersit"] = 1 + np.searchsorted([0.45, 1.4, 3.1], sky, side="right").astype("int64")
    frame["temp"] = np.clip(temp, 0.02, 1).round(2)
    frame["hum"] = np.clip(hum + 0.06 * (sky > 1.4), 0.1, 1).round(2)
    frame["windspeed"] = np.clip(0.19 + 0.045 * np.cos(hour) + 0.1 * wind, 0, 0.9).round(4)
    chill = 0.05 * (frame["windspeed"] - 0.19) * (1 - frame["temp"]) * 4
    frame["atemp"] = np.clip(0.94 * frame["temp"] - chill + 0.04 * (frame["hum"] - 0.6), 0, 1).round(4)


def _demand(frame: pd.DataFrame, years: np.ndarray, rng: np.random.Generator) -> None:
    """Add casual, registered and their sum cnt; ``years`` since the start drive growth, which levels off."""
    hour, work = frame["hr"].to_numpy(), frame["workingday"].to_numpy() == 1
    temp, hum, wind = (frame[name].to_numpy() for name in ("temp", "hum", "windspeed"))
    commute = 0.12 + 1.5 * _peak(hour, 8, 0.9) + 1.7 * _peak(hour, 17.5, 1.5) + 0.55 * _peak(hour, 12.5, 2.5)
    commute = commute + 0.3 * _peak(hour, 20, 2.0)
    leisure = 0.08 + 1.15 * _peak(hour, 14, 3.6) + 0.12 * _peak(hour, 0, 1.5)
    weather = np.array([1.0, 0.93, 0.58, 0.3])[np.minimum(frame["weathersit"], 4) - 1]
    weather = weather * (1 - 0.35 * np.clip(hum - 0.75, 0, 1) * 2) * (1 - 0.5 * np.clip(wind - 0.3, 0, 1))
    warmth = 1 / (1 + np.exp(-(temp - 0.38) / 0.11)) - 0.9 * np.clip(temp - 0.8, 0, 1)
    growth = 1 + 0.45 * (1 - np.exp(-years / 0.45))
    registered = 280 * growth * weather * (0.35 + 0.65 * warmth) * np.where(work, commute, 0.85 * leisure + 0.05)
    casual = 110 * growth * weather * (0.06 + 0.94 * warmth) * np.where(work, 0.42 * leisure, leisure)
    for name, mean, spread in (("casual", casual, 12.0), ("registered", registered, 40.0)):
        frame[name] = rng.poisson(mean * rng.gamma(spread, 1 / spread, len(mean))).astype("int64")
    frame["cnt"] = frame["casual"] + frame["registered"]


def _peak(hour: np.ndarray, at: float, width: float) -> np.ndarray:
    distance = np.abs(hour - at)
    return np.exp(-0.5 * (np.minimum(distance, 24 - distance) / width) ** 2)

"""Monitoring of the real bike data: a model of 2011, watched week by week through 2012, never retrained.

    QUIRE_DATA=folder python benchmarks/bikes_monitoring.py

Prints, for each week, which weather columns alert, how performance is judged, and what the page says; then the shares
that must hold: weather in ALERT in at most 5% of column-weeks, performance in ALERT within 4 weeks and in at least 80%
of the weeks from March on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from quire import config, data
from quire.config import Checks, Drift, Performance, Settings
from quire.model import input_names, model_input, predict, target_values
from quire.monitor.checks import check_current
from quire.monitor.drift import measure_drift
from quire.monitor.figures import measure_performance
from quire.monitor.observe import Champion, Observed, profile_recent
from quire.monitor.verdict import Verdict, judge

WEATHER = ("weathersit", "temp", "atemp", "hum", "windspeed")
YEAR = pd.Timestamp("2012-01-01", tz="UTC")
WEEK, TEST = pd.Timedelta("7d"), pd.Timedelta("56d")


@dataclass(frozen=True)
class Week:
    """One week of 2012: which weather columns alert, whether performance does, and the verdict."""

    start: pd.Timestamp
    weather: tuple[str, ...]
    performance: bool
    verdict: Verdict


def read(settings: Settings) -> pd.DataFrame:
    """Return all rows of the file, typed as the schema says."""
    made = data.ingest(settings, config.moment("2013-01-01"))
    current = made.current.merge(
        made.labels[[*settings.schema.key, settings.schema.target]], on=list(settings.schema.key)
    )
    return pd.concat([made.train, made.test, current], ignore_index=True)


def champion_of_2011(rows: pd.DataFrame, settings: Settings) -> tuple[Champion, object]:
    """Return a model of 2011, with the last 8 weeks as its test window, and its pipeline."""
    schema = settings.schema
    times = rows["timestamp"]
    train, test = rows[times < YEAR - TEST], rows[(times >= YEAR - TEST) & (times < YEAR)]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encode, input_names(schema)[1]), remainder="passthrough")
    pipeline = make_pipeline(columns, HistGradientBoostingRegressor(max_iter=200, random_state=0))
    pipeline.fit(model_input(train, schema), target_values(train, schema))
    profiles = data.profile_periods(train.assign(**predict(pipeline, train, schema)), schema)
    known = test.rename(columns={schema.target: "actual"}).assign(window="test", **predict(pipeline, test, schema))
    return Champion("1", profiles, {}, known), pipeline


def weeks(settings: Settings) -> Iterator[Week]:
    """Yield what monitoring says of each week of 2012, as a weekly run would."""
    schema, section = settings.schema, settings.params["monitor"]
    rows = read(settings)
    champion, pipeline = champion_of_2011(rows, settings)
    seen = rows.rename(columns={schema.target: "actual"}).assign(**predict(pipeline, rows, schema))
    for end in pd.date_range(YEAR + WEEK, rows["timestamp"].max(), freq=WEEK):
        recent = seen[(seen["timestamp"] >= end - TEST - WEEK) & (seen["timestamp"] < end)]
        recent = recent.assign(window=np.where(recent["timestamp"] >= end - WEEK, "current", "test"))
        at = end.to_pydatetime()
        observed = Observed(champion, recent, profile_recent(recent, schema, "7d", at), "7d", at)
        drift = measure_drift(champion.trained, observed.profiles, Drift.of(section["drift"]))
        figures = measure_performance(observed, schema, Performance.of(section.get("performance", {})))
        verdict = judge(drift, check_current(observed, schema, Checks()), figures, schema)
        now = drift[(drift["period"] == drift["period"].max()) & (drift["status"] == "alert")]
        weather = tuple(dict.fromkeys(name for name in now["column"] if name in WEATHER))
        bad = any(one.severity == "alert" and one.area in ("performance", "concept") for one in verdict.findings)
        yield Week(end - WEEK, weather, bad, verdict)


def main() -> None:
    """Print every week and the shares."""
    found = list(weeks(config.load("bikes")))
    for week in found:
        words = next((one.what for one in week.verdict.findings if one.area == "concept"), "")
        print(
            f"{week.start:%Y-%m-%d}  {'ALERT' if week.performance else '     '}  {', '.join(week.weather):14}  {words}"
        )
    columns = sum(len(week.weather) for week in found) / (len(WEATHER) * len(found))
    first = next(number for number, week in enumerate(found, 1) if week.performance)
    later = [week.performance for week in found if week.start >= pd.Timestamp("2012-03-01", tz="UTC")]
    print(f"weather in ALERT: {columns:.1%} of {len(WEATHER) * len(found)} column-weeks (at most 5%)")
    share = f"{np.mean(later):.0%} of the weeks from March on (at least 80%)"
    print(f"performance in ALERT: first in week {first} (at most 4), {share}")


if __name__ == "__main__":
    main()

"""Monitoring of the real bike data: a model of 2011, watched week by week through 2012, never trained again.

    quire backfill params/bikes --from 2012-01-01 --to 2012-01-01
    quire backfill params/bikes --from 2012-01-08 --to 2012-12-30 --every 7d --workflow score
    python benchmarks/bikes_monitoring.py

The first command trains on 2011, the second scores and monitors each week with that model. This reads what the weekly
runs found and prints it, then the shares that must hold: weather in ALERT in at most 5% of column-weeks, performance in
ALERT within 4 weeks and in at least 80% of the weeks from March on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quire import config

WEATHER = ("weathersit", "temp", "atemp", "hum", "windspeed")
ALIAS = "backfill"


@dataclass(frozen=True)
class Week:
    """One week of 2012: which weather columns alert, whether performance does, and what the page says of it."""

    start: pd.Timestamp
    model: str
    weather: tuple[str, ...]
    performance: bool
    words: str


def weeks(outputs: Path, params: str) -> list[Week]:
    """Return the weeks that the backfill monitored, in order of time."""
    found = {}
    for path in sorted((outputs / "runs").glob("*/run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        is_ours = (record["params"], record["workflow"], record.get("alias")) == (params, "score", ALIAS)
        kept = path.parent / "artifacts" / "monitor"
        if is_ours and (kept / "monitoring.json").is_file():
            week = read(kept)
            found[week.start] = week
    return [found[start] for start in sorted(found)]


def read(kept: Path) -> Week:
    """Return the week that one run monitored."""
    told = json.loads((kept / "monitoring.json").read_text(encoding="utf-8"))
    drift = pd.read_parquet(kept / "drift.parquet")
    now = drift[(drift["period"] == drift["period"].max()) & (drift["status"] == "alert")]
    weather = tuple(dict.fromkeys(name for name in now["column"] if name in WEATHER))
    bad = [one for one in told["findings"] if one["severity"] == "alert" and one["area"] in ("performance", "concept")]
    words = next((one["what"] for one in told["findings"] if one["area"] == "concept"), "")
    return Week(pd.Timestamp(told["about"]["start"]), told["about"]["version"], weather, bool(bad), words)


def tell(found: list[Week]) -> Iterator[str]:
    """Yield the shares that must hold, in words."""
    columns = sum(len(week.weather) for week in found) / (len(WEATHER) * len(found))
    first = next((number for number, week in enumerate(found, 1) if week.performance), None)
    later = [week.performance for week in found if week.start >= pd.Timestamp("2012-03-01", tz="UTC")]
    said = np.mean(["under-predicts" in week.words for week in found if week.performance])
    yield f"models: {', '.join(dict.fromkeys(week.model for week in found))}; weeks: {len(found)}"
    yield f"weather in ALERT: {columns:.1%} of {len(WEATHER) * len(found)} column-weeks (at most 5%)"
    yield f"performance in ALERT: first in week {first} (at most 4)"
    yield f"performance in ALERT: {np.mean(later):.0%} of the {len(later)} weeks from March on (at least 80%)"
    yield f"of the weeks in ALERT, {said:.0%} say that the model under-predicts"


def main() -> None:
    """Print every week and the shares."""
    settings = config.load("bikes")
    found = weeks(settings.outputs, settings.name)
    if not found:
        raise SystemExit(f"No week of a backfill is in {settings.outputs}; the commands are: {__doc__}")
    for week in found:
        status = "ALERT" if week.performance else "     "
        print(f"{week.start:%Y-%m-%d}  {status}  {', '.join(week.weather):14}  {week.words}")
    print(*tell(found), sep="\n")


if __name__ == "__main__":
    main()

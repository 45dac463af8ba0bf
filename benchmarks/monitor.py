"""CPU seconds of the monitor stage for 1M current rows x 20 columns, imports and reading the data left out.

python benchmarks/monitor.py [--rows N]

All that notebooks/70_monitor does once its frames are in memory: predictions and labels are joined to the rows,
profiled, compared, judged, and drawn. What the model takes to predict its test window is the model's own, and left out.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd

from quire import data, report
from quire.config import Checks, Column, Drift, Performance, Schema
from quire.monitor.checks import check_current
from quire.monitor.drift import measure_drift, measure_shares
from quire.monitor.feedback_stats import no_feedback
from quire.monitor.history import drift_history
from quire.monitor.monitoring_input import MonitoringInput, WatchedModel, join_outcomes, profile_recent
from quire.monitor.monitoring_result import About, MonitoringResult, spread_of
from quire.monitor.performance_result import measure_performance
from quire.monitor.verdict import judge

NUMBERS, CLASSES = 12, 5
SCHEMA = Schema(
    task="regression",
    columns={
        "id": Column(type="integer", role="key"),
        "at": Column(type="datetime", role="timestamp"),
        **{f"n{i}": Column(type="number") for i in range(NUMBERS)},
        **{f"c{i}": Column(type="category") for i in range(CLASSES)},
        "y": Column(type="number", role="target"),
    },
    segments=("c0",),
)
END = pd.Timestamp("2026-01-05", tz="UTC")


def make(rows: int, weeks: int, end: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Return ``rows`` in the ``weeks`` before ``end`` in the 20 columns of the schema, and their prediction."""
    rng = np.random.default_rng(seed)
    span = weeks * 7 * 86_400
    columns: dict = {"id": np.arange(rows)}
    columns["at"] = end - pd.to_timedelta(np.sort(rng.random(rows) * span)[::-1] + 1, unit="s").floor("us")
    columns |= {f"n{i}": rng.normal(size=rows) for i in range(NUMBERS)}
    columns |= {f"c{i}": pd.Series(rng.choice(list("abcdef"), rows), dtype="str") for i in range(CLASSES)}
    frame = pd.DataFrame(columns)
    return frame.assign(y=frame["n0"] + rng.normal(size=rows), prediction=frame["n0"])


def make_champion(rows: int) -> WatchedModel:
    """Return a champion with a year of training data and a test window of 8 weeks, of so many rows a week."""
    test = make(8 * rows, 8, END - pd.Timedelta("7D"), 2).rename(columns={"y": "actual"}).assign(window="test")
    past = make(52 * rows, 52, END - pd.Timedelta("63D"), 3)
    return WatchedModel("1", data.profile_periods(past, SCHEMA), {}, test)


@contextmanager
def timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Note the CPU seconds of the block under ``name``."""
    start = time.process_time()
    yield
    seconds[name] = time.process_time() - start


def look(frame: pd.DataFrame, champion: WatchedModel, seconds: dict[str, float]) -> MonitoringResult:
    """Return what monitoring finds in the current rows ``frame``, as the notebook does once they are read."""
    current, labels = frame.drop(columns=["y", "prediction"]), frame[["id", "y"]]
    predictions, at = frame[["id", "prediction"]], END.to_pydatetime()
    with timed("join", seconds):
        now = join_outcomes(current, predictions, labels, SCHEMA).assign(window="current")
        rows = pd.concat([champion.test, now], ignore_index=True)
    with timed("profile", seconds):
        profiles = profile_recent(rows, SCHEMA, "7d", at)
    observed = MonitoringInput(champion, rows, profiles, "7d", at)
    with timed("drift", seconds):
        drift = measure_drift(champion.trained, profiles, Drift())
        shares = measure_shares(champion.trained, profiles, Drift())
    with timed("checks", seconds):
        checked = check_current(observed, SCHEMA, Checks())
    with timed("performance", seconds):
        figures = measure_performance(observed, SCHEMA, Performance())
    with timed("verdict", seconds):
        last = profiles.periods[-1]
        about = About("1", champion.since, last.start, last.end, len(observed.current), "7d")
        verdict = judge(drift, checked, figures, SCHEMA)
        history = drift_history(pd.DataFrame(), "1")
        spread = spread_of(observed)
        return MonitoringResult(about, verdict, drift, shares, checked, figures, spread, history, no_feedback())


def draw(seen: MonitoringResult) -> list[str]:
    """Return every part of the page as HTML."""
    of_seen = ("monitoring_answer", "findings_table", "checks_table", "drift_overview", "drift_history")
    of_seen += ("drift_details", "drift_table", "performance_over_time", "metrics_table", "segments_chart")
    of_both = ("predictions_spread", "predicted_and_actual", "signed_errors")
    parts = [getattr(report, name)(seen) for name in of_seen]
    parts += [getattr(report, name)(seen, SCHEMA) for name in of_both]
    return [part.html() if isinstance(part, report.Chart) else part._repr_html_() for part in parts]


def main() -> None:
    """Print the seconds of each part and their sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    report.style()
    champion = make_champion(10_000)
    draw(look(make(1_000, 1, END, 4), champion, {}))  # imports
    champion = replace(champion, trained=data.Profiles(champion.trained.periods, "7d"))  # nothing merged yet
    frame = make(parser.parse_args().rows, 1, END, 1)
    seconds: dict[str, float] = {}
    seen = look(frame, champion, seconds)
    with timed("page", seconds):
        draw(seen)
    for name, spent in seconds.items():
        print(f"{name:12} {spent:6.2f} CPU s")
    columns = len(SCHEMA.columns)
    print(f"{'all':12} {sum(seconds.values()):6.2f} CPU s for {len(frame):,} rows x {columns} columns")


if __name__ == "__main__":
    main()

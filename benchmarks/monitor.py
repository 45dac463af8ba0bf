"""CPU seconds of what the monitor stage computes for 1M current rows x 20 columns, imports and reading left out.

python benchmarks/monitor.py [--rows N]
"""

import argparse
import time
from itertools import pairwise

import numpy as np
import pandas as pd

from quire import data
from quire.config import Checks, Column, Drift, Performance, Schema
from quire.monitor.checks import check_current
from quire.monitor.drift import measure_drift, measure_shares
from quire.monitor.figures import measure_performance
from quire.monitor.observe import Champion, Observed, profile_recent
from quire.monitor.verdict import judge

NUMBERS, CLASSES = 12, 5
SCHEMA = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        **{f"n{i}": Column(type="number") for i in range(NUMBERS)},
        **{f"c{i}": Column(type="category") for i in range(CLASSES)},
        "y": Column(type="number", role="target"),
    },
    segments=("c0",),
)


def make(rows: int, weeks: int, end: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Return ``rows`` in the ``weeks`` before ``end``: 20 columns with the prediction."""
    rng = np.random.default_rng(seed)
    span = weeks * 7 * 86_400
    columns: dict = {"at": end - pd.to_timedelta(np.sort(rng.random(rows) * span)[::-1] + 1, unit="s")}
    columns |= {f"n{i}": rng.normal(size=rows) for i in range(NUMBERS)}
    columns |= {f"c{i}": pd.Series(rng.choice(list("abcdef"), rows), dtype="str") for i in range(CLASSES)}
    frame = pd.DataFrame(columns)
    return frame.assign(prediction=frame["n0"], actual=frame["n0"] + rng.normal(size=rows))


def main() -> None:
    """Print the seconds of each part and their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    end = pd.Timestamp("2026-01-05", tz="UTC")
    current = make(parser.parse_args().rows, 1, end, 1).assign(window="current")
    test = make(80_000, 8, end - pd.Timedelta("7d"), 2).assign(window="test")
    past = make(520_000, 52, end - pd.Timedelta("63d"), 3).rename(columns={"actual": "y"})
    champion = Champion("1", data.profile_periods(past, SCHEMA), {}, test)
    rows, at = pd.concat([test, current], ignore_index=True), end.to_pydatetime()
    measure_performance(Observed(champion, test, champion.trained, "7d", None), SCHEMA, Performance())  # imports
    marks = [("start", time.process_time())]
    profiles = profile_recent(rows, SCHEMA, "7d", at)
    marks.append(("profile", time.process_time()))
    observed = Observed(champion, rows, profiles, "7d", at)
    drift = measure_drift(champion.trained, profiles, Drift())
    measure_shares(champion.trained, profiles, Drift())
    marks.append(("drift", time.process_time()))
    checked = check_current(observed, SCHEMA, Checks())
    marks.append(("checks", time.process_time()))
    figures = measure_performance(observed, SCHEMA, Performance())
    judge(drift, checked, figures, SCHEMA)
    marks.append(("performance", time.process_time()))
    for (_, before), (name, after) in pairwise(marks):
        print(f"{name:12} {after - before:6.2f} CPU s")
    print(
        f"{'all':12} {marks[-1][1] - marks[0][1]:6.2f} CPU s for {len(current):,} rows x {current.shape[1] - 1} columns"
    )


if __name__ == "__main__":
    main()

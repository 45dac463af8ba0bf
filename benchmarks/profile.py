"""CPU seconds of profiling 1M rows x 20 mixed columns: our feed of the sketches beside plain ``whylogs.log``.

python benchmarks/profile.py [--rows N] [--plain]
"""

import argparse
import time

import numpy as np
import pandas as pd

from quire import data
from quire.config import Column, Schema
from quire.data.sketches import whylogs

SCHEMA = Schema(task="regression", columns={"n0": Column(type="number", role="target"), "n1": Column(type="number")})


def make(rows: int) -> pd.DataFrame:
    """Return 9 numbers (one with gaps), 4 whole numbers, 5 categories, a boolean and a time."""
    rng = np.random.default_rng(0)
    columns: dict = {f"n{i}": rng.normal(size=rows) for i in range(8)}
    columns["gaps"] = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    columns |= {f"i{i}": rng.poisson(3, rows) for i in range(4)}
    columns |= {f"c{i}": pd.Series(rng.choice(list("abcdef"), rows), dtype="str") for i in range(5)}
    columns["b"] = rng.random(rows) < 0.3
    columns["at"] = pd.date_range("2020", periods=rows, freq="min", tz="UTC")
    return pd.DataFrame(columns)


def main() -> None:
    """Print the seconds, ours and plain in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--plain", action="store_true", help="also whylogs.log, which is slow")
    options = parser.parse_args()
    frame = make(options.rows)
    whylogs()
    for _ in range(2):
        start = time.process_time()
        data.profile_frame(frame, SCHEMA)
        print(f"ours   {time.process_time() - start:6.2f} CPU s for {frame.shape[0]:,} x {frame.shape[1]}")
        if options.plain:
            import whylogs as why

            start = time.process_time()
            why.log(frame.assign(at=frame["at"].astype("int64")))
            print(f"plain  {time.process_time() - start:6.2f} CPU s")


if __name__ == "__main__":
    main()

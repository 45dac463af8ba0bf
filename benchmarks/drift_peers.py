"""Our drift rule beside whylogs', evidently's and plain significance tests, on the rows of the same simulated weeks.

    python benchmarks/drift_peers.py [--weeks 20] [--evidently /path/to/its/python]

The worlds are those of benchmarks/drift.py, the rows drawn one by one: 20 columns, a reference of 52 weeks and, for
each kind and n, some weeks in which nothing is wrong and as many with a drift planted in three columns. Peers compare
a week with the reference's rows (a random 100,000 of more), as their defaults say; evidently needs an environment of
its own (`pip install evidently "pandas<3"`). Fewer weeks than our own study has, because peers take their time.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import drift as simulated  # beside this file
import numpy as np
import pandas as pd
from scipy import stats

from quire import data
from quire.config import Column, Drift, Schema
from quire.data.sketches import whylogs

FIRST_CATEGORY = simulated.NUMERIC + simulated.ZEROS
NAMES = [f"c{column}" for column in range(simulated.COLUMNS)]
SCHEMA = Schema(task="regression", columns={"y": Column(type="number", role="target"), "x": Column(type="number")})
MOST_REFERENCE = 100_000
LETTERS = np.array(list("abcdef"))


def draw_rows(world: simulated.World, weeks: np.ndarray, drift: bool, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row for each entry of ``weeks``, drawn from that week of the world."""
    columns = {}
    for column, name in enumerate(NAMES):
        if column >= FIRST_CATEGORY:
            below = world.probabilities(column, None, drift)[weeks].cumsum(axis=1)
            codes = (rng.random(len(weeks))[:, None] > below[:, :-1]).sum(axis=1)
            columns[name] = pd.Series(LETTERS[codes], dtype="str")
            continue
        shift = 0.5 if drift and column < simulated.NUMERIC else 0.0
        values = rng.normal(world.levels[weeks, column, 0] + shift)
        if column >= simulated.NUMERIC:
            values[rng.random(len(weeks)) < world.zeros(column, drift)[weeks]] = 0.0
        columns[name] = values
    return pd.DataFrame(columns)


def reference_rows(world: simulated.World, rng: np.random.Generator) -> pd.DataFrame:
    """Return rows of the reference's 52 weeks, a random part of very many."""
    return draw_rows(world, rng.integers(0, simulated.WEEKS, min(52 * world.n, MOST_REFERENCE)), False, rng)


def ours(world: simulated.World, weeks: list[pd.DataFrame], rng: np.random.Generator) -> np.ndarray:
    """Return which columns our rule warns of or alerts in which of these consecutive weeks, shape (weeks, columns)."""
    things = []
    for thing in simulated.draw(world, rng):
        column = int(thing.column)
        counts = np.stack([_counts(thing.part, week[NAMES[column]], world, column) for week in weeks])
        things.append(replace(thing, recent=counts))
    starts = simulated.WHEN[simulated.WEEKS : simulated.WEEKS + len(weeks)]
    found = np.zeros((2, len(weeks), simulated.COLUMNS), dtype=bool)
    for thing in things:
        status = simulated.judge_counts(
            thing, simulated.WHEN[: simulated.WEEKS], starts, Drift(), tests=2 * simulated.COLUMNS
        )["status"]
        found[0, :, int(thing.column)] |= status == "alert"
        found[1, :, int(thing.column)] |= np.isin(status, ["warn", "alert"])
    return found


def _counts(part: str, values: pd.Series, world: simulated.World, column: int) -> np.ndarray:
    if column >= FIRST_CATEGORY:
        return values.value_counts().reindex(LETTERS, fill_value=0).to_numpy(dtype=float)
    edges = simulated._edges(world, column)
    zeros = float((values == 0).sum())
    if part == "zeros":
        return np.array([len(values) - zeros, zeros])
    bins = np.bincount(np.searchsorted(edges, values[values != 0], side="right"), minlength=len(edges) + 1)
    return np.array([zeros, *bins] if column >= simulated.NUMERIC else bins, dtype=float)


def by_whylogs(reference: pd.DataFrame, weeks: list[pd.DataFrame], *, hellinger: bool = False) -> np.ndarray:
    """Return what `calculate_drift_scores` calls DRIFT: by default KS for numbers, chi-square for categories.

    hellinger: its Hellinger distance for numbers instead, with its own thresholds.
    """
    whylogs()
    from whylogs.viz.drift.column_drift_algorithms import Hellinger, calculate_drift_scores

    def view(frame: pd.DataFrame) -> object:
        columns = {name: one.view for name, one in data.profile_frame(frame, SCHEMA).columns.items()}
        return whylogs().DatasetProfileView(columns=columns, dataset_timestamp=None, creation_timestamp=None)

    known, found = view(reference), []
    for week in weeks:
        numbers = {name: Hellinger() for name in NAMES[:FIRST_CATEGORY]} if hellinger else None
        scores = calculate_drift_scores(view(week), known, numbers, with_thresholds=True)
        found.append([(scores[name] or {}).get("drift_category") == "DRIFT" for name in NAMES])
    return np.array(found)


def by_tests(reference: pd.DataFrame, weeks: list[pd.DataFrame]) -> np.ndarray:
    """Return where p < 0.05: Kolmogorov and Smirnov for numbers, chi-square for categories."""
    found = []
    for week in weeks:
        p = [
            stats.ks_2samp(reference[name], week[name]).pvalue
            if column < FIRST_CATEGORY
            else stats.chi2_contingency(
                [one[name].value_counts().reindex(LETTERS, fill_value=0) + 1 for one in (reference, week)]
            ).pvalue
            for column, name in enumerate(NAMES)
        ]
        found.append([value < 0.05 for value in p])
    return np.array(found)


def by_evidently(python: str, reference: pd.DataFrame, weeks: list[pd.DataFrame]) -> np.ndarray:
    """Return which columns evidently's preset calls drifted; run by its own Python."""
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in [("reference", reference), *((str(at), week) for at, week in enumerate(weeks))]:
            np.savez(Path(folder) / f"{name}.npz", **{key: frame[key].to_numpy(dtype=_plain(key)) for key in frame})
        script = Path(__file__).with_name("drift_evidently.py")
        done = subprocess.run([python, str(script), folder, str(len(weeks))], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{python} did not judge the weeks:\n{done.stderr[-2000:]}")
        return np.array([[week[name] for name in NAMES] for week in json.loads(done.stdout.splitlines()[-1])])


def _plain(name: str) -> str:
    return "U1" if int(name[1:]) >= FIRST_CATEGORY else "f8"


def compare(
    kind: str, n: int, weeks: int, evidently: str = "", few: int = 6, seed: int = 0
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each rule's name and its findings in quiet and in drifted weeks, each of shape (weeks, columns)."""
    rng = np.random.default_rng([seed, n, simulated.KINDS.index(kind)])
    world = simulated.make_world(kind, n, rng)
    reference = reference_rows(world, rng)
    recent = [
        [draw_rows(world, np.full(n, simulated.WEEKS + week), drift, rng) for week in range(weeks)]
        for drift in (False, True)
    ]
    quiet, drifted = (ours(world, part, rng) for part in recent)
    yield "ours, ALERT", quiet[0], drifted[0]
    yield "ours, WARN or ALERT", quiet[1], drifted[1][1:]
    yield "whylogs, default", *(by_whylogs(reference, part) for part in recent)
    yield "whylogs, Hellinger", *(by_whylogs(reference, part, hellinger=True) for part in recent)
    yield "p < 0.05 (KS, chi-square)", *(by_tests(reference, part) for part in recent)
    if evidently:
        yield "evidently, default", *(by_evidently(evidently, reference, part[:few]) for part in recent)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=20, help="quiet and drifted weeks for each kind and n")
    parser.add_argument("--evidently", default="", metavar="PYTHON", help="the Python of an environment with evidently")
    parser.add_argument("--evidently-weeks", type=int, default=6, help="of these, how many evidently judges")
    options = parser.parse_args()
    print(f"found: {', '.join(simulated.DRIFTED)}")
    print(f"{'weeks':8s} {'n':>5s}  {'rule':27s} {'judged':>6s} {'quiet weeks with a finding':>26s}  columns   found")
    for kind in simulated.KINDS:
        for n in simulated.SIZES:
            for name, quiet, drifted in compare(kind, n, options.weeks, options.evidently, options.evidently_weeks):
                found = ", ".join(f"{drifted[:, column].mean():.0%}" for column in simulated.DRIFTED.values())
                weeks, columns = quiet.any(axis=1).mean(), quiet.mean()
                print(
                    f"{kind:8s} {n:5d}  {name:27s} {len(quiet):6d} {weeks:26.0%}  {columns:7.1%}   {found}", flush=True
                )


if __name__ == "__main__":
    main()

"""Generated tables through `quire init` and all stages of a run: what comes of them, and what crashes.

    python benchmarks/tables.py [--tables 500] [--seed 1] [--processes 2]
    python benchmarks/tables.py --tables 500 --seed 1 --only 17     # this table again, with its recipe and traceback

Tables are drawn by hypothesis (tests/tables.py), of any types, names and gaps, in any format, of 1 to 2,000 rows. Each
must end in success, or in an error that says what to do; anything else is a failure, and the exit code is then 1.
"""

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # the processes are the parallel part
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.table_runs import Outcome, run_table  # noqa: E402
from tests.tables import Recipe, draw_recipe  # noqa: E402

from quire.io.tracking_store import create_store  # noqa: E402

SEEDS = 1_000_003
"""More than the tables of one seed."""

LIMIT_S = 900
"""A table that takes longer hangs."""


def run_in_folder(task: tuple[int, Recipe, Path]) -> tuple[int, Outcome]:
    """Return the outcome of one table in a folder that goes with it."""
    number, recipe, store = task
    folder = Path(tempfile.mkdtemp(prefix="quire-table-"))
    signal.signal(signal.SIGALRM, _hang)
    signal.alarm(LIMIT_S)
    try:
        return number, run_table(recipe, folder / "project", store)
    finally:
        signal.alarm(0)
        shutil.rmtree(folder, ignore_errors=True)


def _hang(number: int, frame: object) -> None:
    raise TimeoutError(f"the table took longer than {LIMIT_S} s")


def outcomes(tasks: Sequence[tuple[int, Recipe, Path]], processes: int) -> Iterator[tuple[int, Outcome]]:
    """Yield each table's outcome as it is known."""
    if processes == 1:
        yield from map(run_in_folder, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run_in_folder, tasks)


def print_outcomes(results: Sequence[tuple[int, Outcome]], number: int) -> None:
    """Print how many tables ended how, the reasons grouped, and each failure with what reproduces it."""
    total = len(results)
    print(f"\n{'outcome':<28}{'tables':>7}{'share':>8}")
    for name, count in Counter(map(_name, (outcome for _, outcome in results))).most_common():
        print(f"{name:<28}{count:>7}{count / total:>8.1%}")
    for name in ("refused at init", "refused in a later stage"):
        reasons = Counter((outcome.stage, outcome.group) for _, outcome in results if _name(outcome) == name)
        for (stage, group), count in reasons.most_common():
            example = next(i for i, outcome in results if (outcome.stage, outcome.group) == (stage, group))
            print(f"  {count:>4}  {stage}: {group}  (such as {example})")
    for i, outcome in sorted(results, key=lambda result: result[0]):
        if outcome.kind == "failed":
            print(f"  FAILED --seed {number} --only {i}: {outcome.stage}: {outcome.reason[:300]}")


def _name(outcome: Outcome) -> str:
    if outcome.kind == "refused":
        return "refused at init" if outcome.stage == "init" else "refused in a later stage"
    return outcome.kind


def _report(results: Sequence[tuple[int, Outcome]], of: int) -> None:
    """Print how far it is, and the last table if it failed."""
    i, last = results[-1]
    failed = sum(outcome.kind == "failed" for _, outcome in results)
    print(f"{len(results)} of {of} tables, {failed} failed", end="\r", file=sys.stderr, flush=True)
    if last.kind == "failed":
        print(f"\n{i}: {last.stage}: {last.reason[:300]}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, action="append", help="the number of a table; may be repeated")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    drawn = [draw_recipe(options.seed * SEEDS + i) for i in range(options.tables)]
    numbers = options.only or range(len(drawn))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "mlflow.db"
        create_store(f"sqlite:///{store}")
        results: list[tuple[int, Outcome]] = []
        with contextlib.suppress(KeyboardInterrupt):  # then what is known so far is printed
            for i, outcome in outcomes([(i, drawn[i], store) for i in numbers], options.processes):
                results.append((i, outcome))
                _report(results, len(numbers))
                if options.only:
                    print(f"{i}: {drawn[i]}\n{outcome.kind} {outcome.stage}\n{outcome.reason}\n{outcome.details}")
    print_outcomes(results, options.seed)
    if len(results) < len(numbers):
        print(f"interrupted: {len(results)} of {len(numbers)} tables")
    slowest = sorted(results, key=lambda result: -result[1].seconds)[:3]
    print("slowest:", ", ".join(f"{i} in {outcome.seconds:.0f} s" for i, outcome in slowest))
    return int(len(results) < len(numbers) or any(outcome.kind == "failed" for _, outcome in results))


if __name__ == "__main__":
    sys.exit(main())

"""Rows that do not fit into memory: time per million rows and peak memory of ingest, validate, profile and predict.

    python benchmarks/scale.py                 1, 10 and 50 million rows of the demo simulator
    python benchmarks/scale.py --millions 1 10
    python benchmarks/scale.py --keep FOLDER --pieces 1     one stage; again for the next, as FOLDER keeps the rest

The rows are those of many bike-sharing systems of two years each, written to a temporary folder as Parquet, a file for
every 50 systems. Each stage is a process of its own, whose peak memory (ru_maxrss) and CPU seconds the operating system
tells. The ratio that must hold is that of CPU seconds, which other work on the machine distorts least. The folder is
removed afterwards; 50 million rows take about 10 GB of disk meanwhile. Predictions are written to the run's artifact,
not to the database.
"""

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOURS = 17_520
PER_FILE = 50
STAGES = ("ingest", "validate", "profile", "predict")
MOST_GIB = 2.0
MOST_RATIO = 1.2

CONFIG = "source: {{kind: parquet, path: {folder}/rows}}\nmemory_rows: 500000\n"


def write_rows(folder, millions):
    """Write the systems' rows; each has its own seed, and a whole number as key."""
    import pandas as pd

    from quire.config import DemoSource
    from quire.data.demo import simulate

    rows = folder / "rows"
    rows.mkdir(parents=True)
    kinds = [simulate(DemoSource(kind="demo", start="2023-06-01", hours=HOURS, seed=seed)) for seed in range(8)]
    systems = -(-millions * 1_000_000 // HOURS)
    for start in range(0, systems, PER_FILE):
        some = [
            kinds[number % len(kinds)].assign(instant=range(number * HOURS, (number + 1) * HOURS))
            for number in range(start, min(start + PER_FILE, systems))
        ]
        pd.concat(some, ignore_index=True).to_parquet(rows / f"{start:06}.parquet", index=False, row_group_size=250_000)
    return systems * HOURS


def make_project(folder):
    params = folder / "params" / "large"
    params.mkdir(parents=True)
    shutil.copy(ROOT / "params" / "workflow.yaml", folder / "params")
    schema = (ROOT / "params" / "demo" / "schema.yaml").read_text("utf-8")
    key = "columns:\n  instant: {type: integer, role: key}\n"
    (params / "schema.yaml").write_text(schema.replace("columns:\n", key, 1), "utf-8")
    (params / "config.yaml").write_text(CONFIG.format(folder=folder), "utf-8")
    (params / "params.yaml").write_text("{}\n", "utf-8")


def stage(name, folder):
    """Do one stage in this process, on what the stages before it left."""
    from quire import artifacts, config, data

    settings = config.load("large", root=folder)
    run = artifacts.open_stage(settings, f"outputs/runs/0/artifacts/{name}")
    run.folder.mkdir(parents=True, exist_ok=True)
    if name == "ingest":
        data.ingest(settings).save(run)
    elif name == "validate":
        stored = {part: run.scan(part) for part in ("train", "test", "current")}
        report = data.validate(stored, settings.schema, run.load("manifest"), memory_rows=settings.config.memory_rows)
        run.save("quality", report.to_json())
    elif name == "profile":
        profiles = data.profile_stored(run.scan("train"), settings.schema)
        with run.writing("profiles.bin") as path:
            profiles.write(path)
    else:
        predict(run, settings)


def predict(run, settings):
    """Predict all training rows, so that there are as many as there can be, into the run's artifact."""
    from types import SimpleNamespace

    from quire import model
    from quire.config import Search
    from quire.io import frames
    from quire.serve.predict import Champion, predict_batch

    train = run.scan("train")
    rows = next(train.chunks(rows=20_000))
    candidate = model.fit_candidate(rows, settings.schema, "linear", Search(trials=1, folds=2), 0)
    champion = Champion(SimpleNamespace(version="1"), candidate.pipeline)
    with run.writing("predictions.parquet") as path, frames.writer(path) as out:
        for chunk in train.chunks(rows=50_000):
            out.write(predict_batch(champion, chunk, settings.schema))


@dataclass(frozen=True)
class Cost:
    """What a stage took for ``rows`` rows, in millions: seconds by the clock and of CPU, and peak memory in GiB."""

    rows: float
    seconds: float
    cpu: float
    peak: float


def measure(name, folder, rows):
    """Return what a stage costs in a process of its own."""
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Cost(rows / 1e6, seconds, told["cpu"], told["peak_gib"])


def at_hand(folder, millions):
    """Return how many rows the project in ``folder`` has, which is made if it is not there."""
    known = folder / "rows.json"
    if not known.exists():
        shutil.rmtree(folder, ignore_errors=True)
        make_project(folder)
        known.write_text(json.dumps(write_rows(folder, millions)))
    return json.loads(known.read_text())


def benchmark(sizes, base, *, keep, pieces):
    """Return the cost of each stage for each size; with ``keep`` the folder and what was measured stay."""
    found = {}
    for millions in sizes:
        folder = base / f"{millions}m"
        rows = at_hand(folder, millions)
        for name in STAGES:
            record = folder / f"{name}.json"
            if not record.exists():
                if not pieces:
                    return found
                pieces -= 1
                record.write_text(json.dumps(asdict(measure(name, folder, rows))))
            one = found[name, millions] = Cost(**json.loads(record.read_text()))
            print(
                f"{millions:>3} million rows  {name:<9} {one.seconds:8.1f} s, {one.cpu:8.1f} s of CPU; per million "
                f"{one.seconds / one.rows:6.2f} s, {one.cpu / one.rows:6.2f} s of CPU; peak {one.peak:.2f} GiB",
                flush=True,
            )
        if not keep:
            shutil.rmtree(folder)
    return found


def growth(costs, what):
    """Return how many times more each further million costs from the second size to the third than before."""
    # Of further millions, so that what every stage needs to start does not count.
    first, second = ((getattr(b, what) - getattr(a, what)) / (b.rows - a.rows) for a, b in itertools.pairwise(costs))
    return second / first


def judge(found, sizes):
    """Print what must hold; return whether it does."""
    good = True
    for name in STAGES:
        costs = [found[name, millions] for millions in sizes]
        peak = max(one.peak for one in costs)
        good &= peak < MOST_GIB
        line = f"{name:<9} peak {peak:.2f} GiB (limit {MOST_GIB:.0f})"
        if len(sizes) == 3:
            cpu = growth(costs, "cpu")
            good &= cpu <= MOST_RATIO
            line += f"; each further million costs {cpu:.2f} times as much CPU as before (limit {MOST_RATIO})"
            line += f", {growth(costs, 'seconds'):.2f} times as much time"
        print(line)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--base", help="where the temporary folder is made")
    parser.add_argument("--keep", type=Path, help="a folder that stays, to go on in it")
    parser.add_argument("--pieces", type=int, default=1000, help="how many stages are measured before it stops")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage:
        stage(asked.stage, asked.folder)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"peak_gib": used.ru_maxrss / 1024**2, "cpu": used.ru_utime + used.ru_stime}))
        return
    sizes = tuple(asked.millions)
    with tempfile.TemporaryDirectory(prefix="quire-scale-", dir=asked.base) as made:
        found = benchmark(sizes, asked.keep or Path(made), keep=bool(asked.keep), pieces=asked.pieces)
    if len(found) == len(sizes) * len(STAGES):
        sys.exit(0 if judge(found, sizes) else 1)


if __name__ == "__main__":
    main()

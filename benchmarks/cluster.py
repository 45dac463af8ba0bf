"""A backfill of twelve weeks on one and on two Dask workers: how much faster, and whether the figures are the same.

    python benchmarks/cluster.py [--rounds 3] [--hours 5000] [--trials 16]

The notebooks and params of the demo, in a project of its own each time, but for its search, which is small so that the
demo ends within seconds: here it has ``--trials`` over the values that are searched if params.yaml names none. How much
a second worker helps depends on it, since workers train, while the gate and the monitoring follow in date order on the
runner's side, on the same two cores. Workers are processes with an empty folder each, as `dask worker` starts them;
what they make reaches the runner through an S3 bucket (moto, on loopback, on the same cores). One backfill without a
cluster says what the metrics are to be; those of every date and stage are compared digit by digit. Then one worker and
two take turns. Timed is `quire backfill --cluster` from start to end; the cluster is up before.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATES = ("--from", "2025-03-15", "--to", "2025-05-31", "--every", "7d")
MANY = 12
LEAST = 1.3
BUCKET = "quire-benchmark"
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
LIB = str(ROOT / "lib")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_", "AWS_"))}
    return {**kept, **AWS, "PYTHONPATH": LIB, **more}


@contextmanager
def process(arguments, folder, log):
    """Run a process in ``folder`` while the block runs."""
    with log.open("w") as out:
        started = subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=out, stderr=out)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come within {seconds} s.")
        time.sleep(0.1)
    return found


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def s3(folder):
    """Yield the address of an empty S3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, folder, folder / "s3.log"):
        wait_for(lambda: answers(port), "S3")
        os.environ.update(AWS)
        from quire.io import storage

        url = f"http://127.0.0.1:{port}"
        place = {"LocationConstraint": AWS["AWS_REGION"]}
        storage.client("s3", url).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        yield url


@contextmanager
def cluster(folder, workers):
    """Yield the address of a scheduler with ``workers`` workers, each a process in an empty folder."""
    from distributed import Client

    file = folder / "scheduler.json"
    with ExitStack() as stack:
        for number in range(workers + 1):
            own = folder / f"machine{number}"
            own.mkdir()
            kind = "worker" if number else "scheduler"
            command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(file)]
            command += ["--no-dashboard", *(("--nthreads", "1") if number else ("--port", "0"))]
            command += ["--host", "127.0.0.1"]
            stack.enter_context(process(command, own, folder / f"machine{number}.log"))
            wait_for(file.exists, "The scheduler")
        with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
            address = client.scheduler.address
        yield address


def make_project(root, url, asked):
    """Copy notebooks and params to ``root``, with an archive and a search of its own."""
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    config = root / "params" / "demo" / "config.yaml"
    text = re.sub(r"hours: \d+", f"hours: {asked.hours}", config.read_text("utf-8"))
    # The same end as with all hours, so that the dates of DATES have rows.
    text = re.sub(r"start: .*", f"start: {first_hour(asked.hours)}", text)
    archive = f"archive: {{url: s3://{BUCKET}/{root.name}, endpoint_url: {url}}}"
    text, count = re.subn("^archive: .*", archive, text, flags=re.M)
    assert count == 1, "params/demo/config.yaml has no archive"
    config.write_text(text, "utf-8")
    params = root / "params" / "demo" / "params.yaml"
    search = f"  search: {{trials: {asked.trials}}}"
    text, count = re.subn("^  search: .*", search, params.read_text("utf-8"), flags=re.M)
    assert count == 1, "params/demo/params.yaml has no search"
    params.write_text(text, "utf-8")


def first_hour(hours):
    import pandas as pd

    return (pd.Timestamp("2025-05-31") - pd.Timedelta(hours=hours)).date()


def backfill(root, *options):
    """Run the backfill; return its seconds, wall and CPU of all its processes but the cluster's."""
    before, started = os.times(), time.monotonic()
    command = [sys.executable, "-m", "quire", "backfill", "params/demo", *DATES, "--json", *options]
    done = subprocess.run(
        command, cwd=root, env=environment(QUIRE_ROOT=str(root)), capture_output=True, text=True, check=False
    )
    seconds, after = time.monotonic() - started, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    workers = {one["worker"] for line in done.stdout.splitlines() if (one := json.loads(line))["event"] == "job"}
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, cpu, len(workers)


def metrics(root):
    """Return the metrics of every stage at every date, and the contenders' intervals."""
    found = {}
    for path in sorted((root / "outputs" / "runs").glob("*/run.json")):
        record = json.loads(path.read_text("utf-8"))
        if record["workflow"] == "train" and record["status"] == "succeeded" and not record["partial"]:
            stages = sorted((path.parent / "artifacts").glob("*/_answer.json"))
            found[record["as_of"]] = {one.parent.name: json.loads(one.read_text()).get("metrics") for one in stages}
            evaluation = json.loads((path.parent / "artifacts" / "evaluate" / "evaluation.json").read_text("utf-8"))
            contenders = ("candidate", "champion", "baseline")
            found[record["as_of"]]["intervals"] = [evaluation[one] and evaluation[one]["test"] for one in contenders]
    assert len(found) == MANY, f"{len(found)} dates succeeded, expected {MANY}"
    return found


def differences(expected, found):
    """Return a line for each date and stage whose metrics differ."""
    return [
        f"{date} {stage}: {expected[date][stage]} became {found[date].get(stage)}"
        for date in expected
        for stage in expected[date]
        if expected[date][stage] != found[date].get(stage)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=int, default=5_000, help="rows of the demo")
    parser.add_argument("--trials", type=int, default=16, help="trials of the search at each date")
    parser.add_argument("--without-serial", action="store_true", help="do not compare with a backfill without cluster")
    asked = parser.parse_args()
    times = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="quire-cluster-") as made:
        folder = Path(made)
        with s3(folder) as url:
            expected = None
            if not asked.without_serial:
                make_project(folder / "serial", url, asked)
                seconds, cpu, _ = backfill(folder / "serial")
                expected = metrics(folder / "serial")
                print(f"no cluster  {seconds:7.1f} s, {cpu:7.1f} s of CPU", flush=True)
            for turn in range(asked.rounds):
                for workers in times:
                    root, machines = folder / f"{workers}-{turn}", folder / f"machines-{workers}-{turn}"
                    make_project(root, url, asked)
                    machines.mkdir()
                    with cluster(machines, workers) as address:
                        seconds, cpu, at_work = backfill(root, "--cluster", address)
                    assert at_work == workers, f"{at_work} of {workers} workers did something"
                    times[workers].append(seconds)
                    expected = expected or metrics(root)
                    different = differences(expected, metrics(root))
                    print(f"{workers} worker(s) {seconds:7.1f} s, same metrics: {not different}", flush=True)
                    if different:
                        raise SystemExit("\n".join(different))
    one, two = (statistics.median(times[workers]) for workers in (1, 2))
    print(f"medians: {one:.1f} s with one, {two:.1f} s with two: {one / two:.2f} times as fast (at least {LEAST})")
    sys.exit(0 if one / two >= LEAST else 1)


if __name__ == "__main__":
    main()

"""Stages on Dask workers that share no disk, and on processes here: the same results as one after another."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import yaml

from quire import config
from quire.errors import ConfigError, ServiceError
from quire.flow import cluster
from quire.flow.backfill import backfill, dates
from quire.flow.context import Request
from quire.flow.graph import build
from quire.flow.run import run

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[dask]'")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = """
import numpy as np
from quire.config import moment
rng = np.random.default_rng(int(moment(as_of).timestamp()))
x = rng.normal(size=(200, 3))
run.save("rows", {"x": x.tolist(), "y": (x @ [1.0, -2.0, 0.5] + rng.normal(size=200)).tolist()})
"""
FIT = """
import numpy as np
import time
rows = run.load("rows")
time.sleep(wait_s)
weights, *_ = np.linalg.lstsq(np.array(rows["x"]), np.array(rows["y"]), rcond=None)
run.save("weights", weights.tolist())
"""
GATE = """
import json
weights, path = run.load("weights"), settings.outputs / f"{settings.alias}.json"
before = json.loads(path.read_text()) if path.exists() else {"weights": [0, 0, 0], "generation": 0}
better = abs(weights[0] - 1) < abs(before["weights"][0] - 1)
now = {"weights": weights, "generation": before["generation"] + 1} if better else before
path.write_text(json.dumps(now))
metrics = {"weight": weights[0], "champion": now["weights"][0], "generation": now["generation"]}
run.save("_answer", {"status": "good", "headline": "", "facts": [], "metrics": metrics})
"""
POINTS = dates("2026-01-08", "2026-03-26", "7d")


@pytest.fixture
def series(project, bucket, aws):
    """Two stages that can be done anywhere, and one that must follow the dates."""
    archive = {"url": bucket, "endpoint_url": aws}
    content = {"source": {"kind": "demo"}, "archive": archive}
    (project.root / "params" / "x" / "config.yaml").write_text(yaml.safe_dump(content))
    project.stage("rows", ROWS, parameters='as_of = ""')
    # Without as_of: one key for all dates, whose results differ by what they were made of.
    project.stage("fit", FIT, parameters="wait_s = 0.0", needs=["rows"])
    return project.stage("gate", GATE, parameters='as_of = ""', needs=["fit"], reads=["champion"])


@pytest.fixture
def copy(series, tmp_path):
    """Return a function that copies the project, so that it has outputs of its own."""

    def make(name, *, archive=True):
        root = tmp_path / name
        shutil.copytree(series.root, root)
        if not archive:
            (root / "params" / "x" / "config.yaml").write_text("source: {kind: demo}\n")
        return series.__class__(root, series.stages)

    return make


@pytest.fixture
def workers(tmp_path):
    """A scheduler and two workers, each a process in an empty folder; returns its address and the processes."""
    processes = []
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")}

    def start(*arguments):
        folder = tmp_path / f"machine{len(processes)}"
        folder.mkdir()
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        log = (folder.parent / f"{folder.name}.log").open("w")
        processes.append(subprocess.Popen(command, cwd=folder, env=kept, stdout=log, stderr=log))

    file = tmp_path / "scheduler.json"
    options = ("--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard")
    start("dask_scheduler", *options, "--port", "0")
    for _ in range(2):
        start("dask_worker", "--scheduler-file", str(file), "--no-dashboard", "--no-nanny", "--nthreads", "1")
    with distributed.Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        address = client.scheduler.address
    yield address, processes
    for process in processes:
        process.kill()
        process.wait()


def metrics(project):
    """The answer of every date, to the last digit."""
    found = {}
    for path in sorted((project.outputs / "runs").glob("*/run.json")):
        record = json.loads(path.read_text())
        if record["workflow"] == "train" and not record["partial"] and record["status"] == "succeeded":
            answer = path.parent / "artifacts" / "gate" / "_answer.json"
            found[record["as_of"]] = json.loads(answer.read_text())["metrics"]
    return found


def statuses(result):
    return {name: stage["status"] for name, stage in result.record["stages"].items()}


def go(project, points=POINTS, **options):
    request = Request(params="x", publish=False)
    return list(backfill(request, points, root=project.root, **options))


def test_only_stages_that_read_no_outside_state_are_independent(series):
    assert cluster.independent(build(config.load("x", root=series.root), "train")) == ["rows", "fit"]


def test_twelve_dates_on_two_workers_give_what_they_give_one_after_another(copy, workers):
    address, _ = workers
    serial, spread, told = copy("serial", archive=False), copy("spread"), []
    assert len(go(serial)) == len(POINTS) == 12
    results = go(spread, cluster=address, listen=told.append)
    assert metrics(spread) == metrics(serial)
    assert max(one["generation"] for one in metrics(serial).values()) > 1
    assert all(statuses(one) == {"rows": "reused", "fit": "reused", "gate": "succeeded"} for one in results)
    jobs = [event for event in told if event["event"] == "job"]
    assert len({event["worker"] for event in jobs}) == 2
    assert {event["as_of"] for event in jobs} == {point.isoformat() for point in POINTS}


def test_processes_of_this_machine_give_the_same(copy):
    serial, spread = copy("serial", archive=False), copy("spread", archive=False)
    go(serial, POINTS[:4])
    results = go(spread, POINTS[:4], jobs=2)
    assert metrics(spread) == metrics(serial)
    assert statuses(results[-1]) == {"rows": "reused", "fit": "reused", "gate": "succeeded"}


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(copy, workers):
    address, processes = workers
    serial, spread = copy("serial", archive=False), copy("spread")
    for project in (serial, spread):
        project.params(fit={"wait_s": 0.5})
    go(serial, POINTS[:6])
    first = threading.Event()

    def kill_one(event):
        if event["event"] == "job" and "fit" in event["line"] and not first.is_set():
            first.set()
            processes[-1].send_signal(signal.SIGKILL)

    results = go(spread, POINTS[:6], cluster=address, listen=kill_one)
    assert first.is_set()
    assert processes[-1].wait(10) == -signal.SIGKILL
    assert metrics(spread) == metrics(serial)
    assert [statuses(one)["fit"] for one in results] == ["reused"] * 6


def test_one_run_has_its_stages_done_by_the_workers(copy, workers):
    address, _ = workers
    project, told = copy("one"), []
    settings = config.load("x", root=project.root)
    request = Request(params="x", publish=False, as_of="2026-01-01")
    with cluster.dask(settings, address, told.append) as force:
        spread = cluster.DistributedStages(settings, request, force)
        result = run(request, root=project.root, listen=spread.heard(told.append), drivers=spread.drivers)
    assert statuses(result) == dict.fromkeys(("rows", "fit", "gate"), "succeeded")
    assert len(json.loads((result.folder / "artifacts" / "fit" / "weights.json").read_text())) == 3
    assert (result.folder / "notebooks" / "fit.ipynb").exists()
    assert {event["worker"] for event in told if event["event"] == "job"}


SHARE = """
from distributed import Client
with Client(settings.cluster, set_as_default=False) as client:
    futures = [client.submit(lambda n: __import__("os").getpid(), n, workers=[one], pure=False)
               for n, one in enumerate(client.scheduler_info()["workers"])]
    run.save("processes", client.gather(futures))
"""


def test_a_stage_of_one_run_can_share_its_work_with_all_workers_its_own_included(copy, workers):
    address, processes = workers
    project = copy("shared")
    project.notebook("fit", SHARE, parameters='as_of = ""')
    settings = config.load("x", root=project.root)
    request = Request(params="x", publish=False, as_of="2026-01-01", stages=("fit",))
    with cluster.dask(settings, address, lambda event: None) as force:
        spread = cluster.DistributedStages(settings, request, force)
        result = run(request, root=project.root, listen=spread.heard(lambda event: None), drivers=spread.drivers)
    assert statuses(result) == dict.fromkeys(("rows", "fit"), "succeeded")
    made = json.loads((result.folder / "artifacts" / "fit" / "processes.json").read_text())
    assert sorted(made) == sorted(process.pid for process in processes[1:])


def test_a_stage_that_fails_on_a_worker_names_its_cell(copy, workers):
    project = copy("bad")
    project.notebook("fit", "1 / 0", parameters='as_of = ""')
    settings = config.load("x", root=project.root)
    request = Request(params="x", publish=False, as_of="2026-01-01")
    with cluster.dask(settings, workers[0], lambda event: None) as force:
        spread = cluster.DistributedStages(settings, request, force)
        result = run(request, root=project.root, listen=spread.heard(lambda event: None), drivers=spread.drivers)
    error = result.record["stages"]["fit"]["error"]
    assert (error["cell"], error["source"]) == (4, "1 / 0")
    assert "ZeroDivisionError" in error["message"]
    assert result.exit_code == 4


def test_what_a_cluster_needs_is_said(copy):
    project = copy("none", archive=False)
    with pytest.raises(ConfigError, match=r"archive\.url"):
        go(project, POINTS[:1], cluster="tcp://127.0.0.1:1")
    with pytest.raises(ConfigError, match="--fresh"):
        list(backfill(Request(params="x", fresh=True), POINTS[:1], root=project.root, jobs=2))


def test_a_cluster_that_is_not_there_is_said(copy, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_WITHIN_S", 1)
    with pytest.raises(ServiceError, match="No Dask scheduler answers"):
        go(copy("none"), POINTS[:1], cluster="tcp://127.0.0.1:1")


def test_a_part_of_a_fan_out_can_be_asked_for_alone(project):
    project.stage("all", "pass")
    project.stage(
        "each", "run.save('v', region)", parameters='region = ""', needs=["all"], for_each={"region": ["a", "b"]}
    )
    settings = config.load("x", root=project.root)
    assert list(build(settings, "train", ["each.region-a"])) == ["all", "each.region-a"]
    with pytest.raises(ConfigError, match="no part of a stage"):
        build(settings, "train", ["each.region-c"])

"""The workflow under a real Prefect server, worker and schedule, all on loopback."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("prefect", reason="Prefect is not installed: pip install -e '.[prefect]'")

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

SCHEMA = "task: regression\ncolumns:\n  x: {type: number}\n  y: {type: number, role: target}\n"
WORKFLOW = """
stages:
  first: {notebook: first}
  second: {notebook: second, needs: [first], retries: 1}
workflows: {train: [first, second], score: [first, second]}
"""
PARAMETERS = 'params = ""  # folder\nrun_dir = ""  # given\n'
SETUP = (
    "from pathlib import Path\nfrom quire import artifacts, config\n"
    "run = artifacts.open(config.load(params), run_dir)\n"
)
SECOND = {
    "good": "run.save('total', run.load('number') + 1)",
    "bad": "1 / run.load('zero')",
    "shaky": "flag = Path(run.settings.root / 'tried')\nagain = flag.exists()\nflag.touch()\nassert again, 'not yet'",
}


def notebook(path, *cells):
    tagged = [(PARAMETERS, ["parameters"]), (SETUP, ["setup"]), *((cell, ["work"]) for cell in cells)]
    content = {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {"tags": tags}, "source": source, "outputs": []}
            | {"execution_count": None}
            for i, (source, tags) in enumerate(tagged)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content), "utf-8")


def make_use_case(root, name):
    """A use case of two notebooks; the second is that of SECOND[name]."""
    folder = root / "params" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("source: {kind: demo}\n", "utf-8")
    (folder / "schema.yaml").write_text(SCHEMA, "utf-8")
    (folder / "params.yaml").write_text("{}\n", "utf-8")
    (folder / "workflow.yaml").write_text(WORKFLOW.replace("notebook: second", f"notebook: {name}"), "utf-8")
    notebook(root / "notebooks" / f"{name}.ipynb", SECOND[name])


class Prefect:
    """A server, a work pool, the deployments of prefect.yaml, and a worker."""

    def __init__(self, root):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.root, self.url = root, f"http://127.0.0.1:{port}/api"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "QUIRE", "MLFLOW", "AWS"))}
        self.environment = kept | {
            "PREFECT_HOME": str(root / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "QUIRE_ROOT": str(root),
            "QUIRE_OUTPUTS": str(root / "outputs"),
            "PWD": str(ROOT),
        }
        self.processes, self.said = [], []
        self.start("server", "start", "--host", "127.0.0.1", "--port", str(port))
        self.wait(self.is_healthy, "the server to answer")
        self.command("work-pool", "create", "quire", "--type", "process")
        self.command("--no-prompt", "deploy", "--all", "--prefect-file", "infra/prefect/prefect.yaml")
        self.start("worker", "start", "--pool", "quire", "--name", "tested")

    def start(self, *arguments):
        self.said.append(" ".join(["prefect", *arguments]))
        log = (self.root / f"{arguments[0]}.log").open("w")
        command = [sys.executable, "-m", "prefect", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def command(self, *arguments):
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.said.append(" ".join(["prefect", *arguments]))
        return done.stdout

    def is_healthy(self):
        try:
            return urllib.request.urlopen(f"{self.url}/health", timeout=2).status == 200
        except OSError:
            return False

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        return self.wait(lambda: self.answer(request), f"an answer of {path}", seconds=30)[0]

    @staticmethod
    def answer(request):
        """Prefect's SQLite answers 503 while it is locked; its own client asks again, too."""
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return [json.load(answer)]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return None

    def wait(self, condition, what, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.3)
        logs = "\n".join(path.read_text("utf-8")[-3000:] for path in self.root.glob("*.log"))
        raise AssertionError(f"waited {seconds} s for {what}\n{logs}")

    def deployment(self, name):
        return self.ask(f"/deployments/name/quire/{name}")

    def run(self, params, **more):
        """Start a flow run of the deployment train-monthly; return it, ended, with its task runs by name."""
        body = {"parameters": {"params": params, "workflow": "train", **more}, "state": {"type": "SCHEDULED"}}
        body["idempotency_key"] = str(uuid.uuid4())
        run = self.ask(f"/deployments/{self.deployment('train-monthly')['id']}/create_flow_run", body)
        return self.ended(run["id"])

    def ended(self, run_id):
        def done():
            run = self.ask(f"/flow_runs/{run_id}")
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return self.wait(done, f"flow run {run_id} to end")

    def tasks(self, run):
        """Task runs arrive by events, a moment after the flow run has ended."""

        def both():
            found = self.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
            tasks = {task["name"].rpartition("-")[0] or task["name"]: task for task in found}
            ended = all(task["state_type"] in ("COMPLETED", "FAILED") for task in found)
            return tasks if len(tasks) == 2 and ended else None

        return self.wait(both, "both task runs")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    root = tmp_path_factory.mktemp("prefect")
    (root / "notebooks").mkdir()
    notebook(root / "notebooks" / "first.ipynb", "run.save('number', 41)\nrun.save('zero', 0)")
    for name in SECOND:
        make_use_case(root, name)
    shutil.copy(ROOT / "params" / "workflow.yaml", root / "params" / "workflow.yaml")
    prefect = Prefect(root)
    yield prefect
    prefect.stop()


def test_the_weekly_schedule_is_deployed_and_its_next_runs_are_planned(prefect):
    deployment = prefect.deployment("score-weekly")
    assert [one["schedule"]["cron"] for one in deployment["schedules"]] == ["0 6 * * 1"]
    body = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
    planned = prefect.wait(lambda: prefect.ask("/flow_runs/filter", body), "planned runs")
    times = [datetime.fromisoformat(run["expected_start_time"]) for run in planned[:2]]
    assert {(at.weekday(), at.hour) for at in times} == {(0, 6)}
    assert times[1] - times[0] == timedelta(days=7)


def test_a_scheduled_run_happens_and_leaves_links_to_the_reports(prefect):
    deployment = prefect.deployment("score-weekly")
    soon = datetime.now(UTC) + timedelta(seconds=4)
    weekly = {"interval": timedelta(days=7).total_seconds(), "anchor_date": soon.isoformat(), "timezone": "UTC"}
    body = [{"schedule": weekly, "active": True, "parameters": {"params": "params/good", "workflow": "score"}}]
    prefect.ask(f"/deployments/{deployment['id']}/schedules", body)
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}},
    }
    run = prefect.wait(lambda: prefect.ask("/flow_runs/filter", wanted), "the scheduled run")[0]
    assert run["auto_scheduled"]
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    tasks = prefect.tasks(run)
    assert {name: task["state_name"] for name, task in tasks.items()} == {"first": "Completed", "second": "Completed"}
    needs = [one["id"] for one in tasks["second"]["task_inputs"]["wait_for"]]
    assert needs == [tasks["first"]["id"]]

    artifacts = prefect.ask("/artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert {"good-first", "good-second", "good-run"} <= {one["key"] for one in artifacts}
    link = next(one["data"] for one in artifacts if one["key"] == "good-second")
    folder = next((prefect.root / "outputs" / "runs").glob("*"))
    assert (folder / "reports" / "second.html").as_uri() in link

    again = prefect.run("params/good")
    assert {task["state_name"] for task in prefect.tasks(again).values()} == {"Reused"}


def test_a_failing_notebook_fails_the_flow_with_the_cell_in_its_message(prefect):
    run = prefect.run("params/bad")
    assert run["state_type"] == "FAILED"
    for words in ("bad.ipynb, cell 4", "ZeroDivisionError", "1 / run.load('zero')"):
        assert words in run["state"]["message"]
    task = prefect.tasks(run)["second"]
    assert task["state_type"] == "FAILED"
    assert "bad.ipynb, cell 4: ZeroDivisionError" in task["state"]["message"]
    assert task["run_count"] == 2


def test_a_stage_that_may_be_retried_is_retried_by_prefect_and_the_readme_says_what_was_typed(prefect):
    told = prefect.command("deployment", "run", "quire/train-monthly", "--param", "params=params/shaky")
    run = prefect.ended(re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", told).group())
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert prefect.tasks(run)["second"]["run_count"] == 2
    typed = re.findall(r"^(prefect .*?)(?: &)?$", (ROOT / "infra" / "prefect" / "README.md").read_text("utf-8"), re.M)
    assert len(typed) == 5
    for line in typed:
        assert any(said.startswith(line) for said in prefect.said), line

"""Kill a run, or a process of it, at a random moment; the next run must complete, and nothing may stay behind.

With ``publish`` the next run must also have delivered all that the killed one owes: every run is in MLflow once, and
every run that failed or died has alerted once.
"""

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

TARGETS = {False: ["runner", "kernel"], True: ["runner", "kernel", "forkserver", "publisher", "publisher", "all"]}


def soak(project, *, rounds, seed, publish=False, report=None):
    """Run ``rounds`` of them on a project of small notebooks, and return how many were really hit."""
    rng = random.Random(seed)
    with Receiver(project) if publish else nullcontext() as receiver:
        options = [] if publish else ["--no-publish"]
        # The first run that publishes makes the stores, which takes longer than all the rest.
        hits, whole_s = 0, [_time(project, *options) for _ in range(1 + publish)][-1]
        for number in range(rounds):
            process = _start(project, "--fresh", *options)
            time.sleep(rng.uniform(0.05, 0.95) * whole_s)
            hit = _kill(project, process, rng.choice(TARGETS[publish]))
            hits += hit
            whole_s *= 1 if hit else 0.8  # it had ended already
            process.wait(timeout=120)
            _wait_for_silence(project)
            _check_artifacts(project)
            after = _start(project, *options)
            code = after.wait(timeout=300)
            assert code == 0, f"round {number}: the run after the kill ended {code}: {after.stderr.read()}"
            _wait_for_silence(project)
            _check_artifacts(project)
            if receiver:
                receiver.check()
            if report:
                report(number + 1, hits)
    return hits


class Receiver:
    """A webhook that the project alerts, each failure of it; and what must be true once all that is owed was paid."""

    def __init__(self, project):
        self.project, self.ids = project, Counter()
        received = self.ids

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                received[json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"]] += 1
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        alerts = f"{{channels: [webhook], webhook: 'http://127.0.0.1:{self.server.server_port}/', cool_down_hours: 0}}"
        config = self.project.root / "params" / "x" / "config.yaml"
        config.write_text(f"source: {{kind: demo}}\nalerts: {alerts}\n")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *about):
        self.server.shutdown()
        self.server.server_close()

    def check(self):
        outputs = self.project.outputs
        records = [json.loads(path.read_text()) for path in (outputs / "runs").glob("*/run.json")]
        # A run that found everything done publishes nothing.
        whole = {r["run_id"] for r in records if r["status"] == "succeeded" and _has_computed(r)}
        alarms = {r["run_id"] for r in records if r["status"] == "failed" or "died_in" in r}
        kind = "select run_uuid from tags where key = 'quire.kind' and value = 'workflow'"
        logged = Counter(
            _column(
                outputs / "mlflow.db", f"select value from tags where key = 'quire.run_id' and run_uuid in ({kind})"
            )
        )
        alerted = Counter(_column(outputs / "quire.db", "select run_id from alert") if alarms else [])
        assert not list((outputs / ".owed").rglob("*.json")), "something is still owed"
        assert whole | alarms <= set(logged), f"MLflow lacks {(whole | alarms) - set(logged)}"
        assert set(logged.values()) <= {1}, f"MLflow has a run twice: {logged.most_common(3)}"
        assert alerted == Counter(alarms), f"alerts {alerted}, runs that failed or died {alarms}"
        assert len(self.ids) == len(alarms), "an alert was not sent, or one that is none"


def _has_computed(record):
    return any(stage["status"] == "succeeded" for stage in record["stages"].values())


def _column(path, query):
    with closing(sqlite3.connect(path)) as store:
        return [value for (value,) in store.execute(query)]


def _time(project, *options):
    """Return the seconds that a run takes which nobody kills."""
    started = time.monotonic()
    assert _start(project, "--fresh", *options).wait(timeout=300) == 0
    return time.monotonic() - started


def _start(project, *options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "quire", "run", "params/x", "--quiet", *options],
        cwd=project.root,
        env=environment | {"QUIRE_ROOT": str(project.root), "TMPDIR": str(_scratch(project))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _scratch(project):
    folder = Path(project.root).parent / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _kill(project, process, what):
    """Kill -9 the runner or others of its processes; whether there was something to kill."""
    if process.poll() is not None:
        return 0
    hit = 0
    for number in _targets(project, process, what):
        try:
            os.kill(number, signal.SIGKILL)
            hit = 1
        except ProcessLookupError:
            continue
    return hit


def _targets(project, process, what):
    """Return process ids; the runner's where there is none of that kind."""
    if what == "kernel":
        return project.kernels()[:1] or [process.pid]
    running = _processes(project)
    wanted = {
        "runner": [process.pid],
        "forkserver": [number for number, (command, _) in running.items() if "forkserver.py" in command],
        "publisher": [number for number, (_, errors) in running.items() if errors.endswith(".publish.log")],
        "all": list(running),
    }
    return wanted[what] or [process.pid]


def _wait_for_silence(project):
    end = time.monotonic() + 20
    while left := _processes(project):
        assert time.monotonic() < end, f"processes stayed behind: {left}"
        time.sleep(0.1)


def _processes(project):
    """Return command and standard error of the processes of the project, by id."""
    mark = f"QUIRE_ROOT={project.root}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = command, os.readlink(folder / "fd" / "2")
        except OSError:
            continue
    return found


def _check_artifacts(project):
    """Every artifact that a record names is there with the content that it names; every record is whole."""
    for path in (project.outputs / "runs").glob("*/run.json"):
        record = json.loads(path.read_text())
        for name, stage in record["stages"].items():
            for artifact in stage.get("artifacts", []):
                content = (path.parent / "artifacts" / name / artifact["name"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == artifact["sha256"], (path, name, artifact)
    for path in (project.outputs / "runs").glob("*/artifacts/*/*.json"):
        json.loads(path.read_text())


def fill(project):
    """Give the project a small workflow with branches."""
    save = 'import time\ntime.sleep(0.2)\nrun.save(settings.name + "_" + run.stage, list(range(20_000)))'
    project.stage("a", save)
    project.stage("b", save, 'run.load("x_a")', needs=["a"])
    project.stage("c", save, 'run.load("x_a")', needs=["a"])
    return project.stage("d", save, 'run.load("x_b")', 'run.load("x_c")', needs=["b", "c"])

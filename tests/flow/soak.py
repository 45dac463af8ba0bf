"""Kill a run, or one of its kernels, at a random moment; the next run must complete, and nothing may stay behind."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def soak(project, *, rounds, seed, report=None):
    """Run ``rounds`` of them on a project of small notebooks, and return how many were really hit."""
    rng = random.Random(seed)
    hits, whole_s = 0, _time(project)
    for number in range(rounds):
        process = _start(project, "--fresh")
        time.sleep(rng.uniform(0.05, 0.95) * whole_s)
        hit = _kill(project, process, rng.choice(["runner", "kernel"]))
        hits += hit
        whole_s *= 1 if hit else 0.8  # it had ended already
        process.wait(timeout=60)
        _wait_for_silence(project)
        _check_artifacts(project)
        after = _start(project)
        code = after.wait(timeout=120)
        assert code == 0, f"round {number}: the run after the kill ended {code}: {after.stderr.read()}"
        _wait_for_silence(project)
        _check_artifacts(project)
        if report:
            report(number + 1, hits)
    return hits


def _time(project):
    """Return the seconds that a run takes which nobody kills."""
    started = time.monotonic()
    assert _start(project, "--fresh").wait(timeout=120) == 0
    return time.monotonic() - started


def _start(project, *options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "quire", "run", "params/x", "--no-publish", "--quiet", *options],
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
    """Kill -9 the runner, or a kernel of it; whether there was something to kill."""
    if process.poll() is not None:
        return 0
    kernels = project.kernels()
    target = process.pid if what == "runner" or not kernels else kernels[0]
    try:
        os.kill(target, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def _wait_for_silence(project):
    end = time.monotonic() + 20
    while left := _processes(project):
        assert time.monotonic() < end, f"processes stayed behind: {left}"
        time.sleep(0.1)


def _processes(project):
    mark = f"QUIRE_ROOT={project.root}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
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

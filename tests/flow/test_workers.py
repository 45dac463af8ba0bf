"""Processes that do the jobs of others, one after another."""

import json
import os
import signal

import pytest

from quire.flow.fork_server import is_possible
from quire.flow.workers import Job, WorkerPool


@pytest.fixture
def job(project):
    """Return a function that makes the job of a date; its stage saves its kernel's parent and who is champion."""
    save = "import os\nrun.save('made', {'parent': os.getppid(), 'alias': settings.alias})"
    project.stage("a", save, parameters='as_of = ""')
    return lambda day, alias="one": Job("x", "train", ("a",), f"2026-01-{day:02d}T00:00:00+00:00", alias)


@pytest.fixture
def workers():
    made = WorkerPool()
    yield made
    made.close()


def do(workers, project, job):
    """Return what the job's stage saved."""
    done = workers.work_on(job, project.root, project.outputs, lambda event: None)
    assert done["status"] == "succeeded", done
    return json.loads((project.outputs / "runs" / done["run_id"] / "artifacts" / "a" / "made.json").read_text())


@pytest.mark.skipif(not is_possible(), reason="kernels are forked on Linux only")
def test_jobs_one_after_another_share_a_fork_server_which_ends_with_the_workers(project, job, workers):
    first, second = do(workers, project, job(1)), do(workers, project, job(2, alias="two"))
    assert first["parent"] == second["parent"]
    assert (first["alias"], second["alias"]) == ("one", "two")
    workers.close()
    assert not os.path.exists(f"/proc/{first['parent']}")


def test_a_job_that_fails_leaves_the_worker_to_the_next(project, job, workers):
    misspelt = Job("x", "train", ("aa",), job(1).as_of, "one")
    done = workers.work_on(misspelt, project.root, project.outputs, lambda event: None)
    assert done["status"] == "failed"
    assert "aa" in done["errors"][""]
    assert do(workers, project, job(1))


def test_a_process_that_was_killed_fails_its_job_only(project, job, workers):
    project.notebook("a", "import time\ntime.sleep(30)", parameters='as_of = ""')
    done = workers.work_on(job(1), project.root, project.outputs, kill_children)
    assert (done["status"], done["exit_code"]) == ("failed", -signal.SIGKILL)
    project.notebook("a", "run.save('made', 1)", parameters='as_of = ""')
    assert do(workers, project, job(2)) == 1


def test_a_worker_that_waits_too_long_ends(project, job, until):
    workers = WorkerPool(longest_wait_s=0.1)
    do(workers, project, job(1))
    until(lambda: not outposts(), seconds=10)


def outposts():
    """Return the processes of jobs that this one started."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = [int(pid) for pid in file.read().split()]
    return [pid for pid in children if b"quire.flow.workers" in open(f"/proc/{pid}/cmdline", "rb").read()]


def kill_children(event):
    if event["event"] == "stage_started":
        for pid in outposts():
            os.kill(pid, signal.SIGKILL)

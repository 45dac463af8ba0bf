"""The runner is interrupted, killed, resumed: as a person or a machine does it, from outside."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

SLOW = 'import time\n(run.folder / "started").touch()\ntime.sleep(120)'


@pytest.fixture
def slow(project):
    project.stage("a", 'run.save("one", 1)')
    return project.stage("b", SLOW, needs=["a"])


def started(project):
    return list((project.outputs / "runs").glob("*/artifacts/b/started")) if project.outputs.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_kernels_and_marks_the_run(slow, until, number):
    process = slow.process("run", "params/x", "--no-publish", start_new_session=True)
    until(lambda: started(slow))
    assert slow.kernels()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    record = slow.latest()
    assert record["status"] == "interrupted"
    assert record["stages"]["a"]["status"] == "succeeded"
    assert record["stages"]["b"]["status"] == "interrupted"
    until(lambda: not slow.kernels(), seconds=15)


@pytest.fixture
def scratch():
    """A folder for temporary files whose path is short enough for sockets, as pytest's own may not be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_after_kill_9_nothing_lives_on_or_stays_and_the_next_run_resumes(slow, until, scratch, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    process = slow.process("run", "params/x", "--no-publish", start_new_session=True)
    until(lambda: started(slow))
    assert slow.kernels()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not slow.kernels(), seconds=15)
    assert slow.latest()["status"] == "running"
    assert list(scratch.glob("quire-*/kernel.json"))

    slow.notebook("b", 'run.save("two", run.load("one") + 1)')
    result = slow.run()
    assert slow.statuses(result) == {"a": "reused", "b": "succeeded"}
    assert list(scratch.glob("quire-*")) == []
    dead = sorted((slow.outputs / "runs").iterdir())[0]
    assert '"interrupted"' in (dead / "run.json").read_text()

"""A disk that is really full: a small file system in memory."""

import json
import os
import subprocess
from datetime import UTC, datetime

import pytest

from quire import config
from quire.flow.context import Request
from quire.flow.record import read_record
from quire.flow.run import prepare


@pytest.fixture
def small_disk(project):
    """The project's outputs on a file system of 4 MB; yields a function that makes it larger."""
    project.outputs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(project.outputs)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root: run the tests as root in a container that may mount")
    yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(project.outputs)], check=True)
    subprocess.run(["umount", "-l", str(project.outputs)], check=True)


def test_a_full_disk_is_reported_corrupts_nothing_and_the_run_goes_on_when_there_is_room(project, small_disk):
    project.stage("a", 'run.save("one", 1)')
    fill = """
    import os
    path = run.folder / "big.bin"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 18))
    """
    project.stage("b", fill, needs=["a"])
    done = project.process("run", "params/x", "--no-publish")
    _, errors = done.communicate(timeout=120)
    assert done.returncode, errors
    assert "No space left on device" in errors
    assert "quire clean" in errors
    assert "Traceback" not in errors
    (record,) = [json.loads(path.read_text()) for path in (project.outputs / "runs").glob("*/run.json")]
    assert record["stages"]["a"]["status"] == "succeeded"
    for path in (*project.outputs.rglob("*.json"), *project.outputs.rglob("*.ipynb")):
        json.loads(path.read_text())
    small_disk()
    result = project.run()
    assert project.statuses(result) == {"a": "reused", "b": "succeeded"}


def test_where_not_even_the_record_can_be_written_it_is_said_without_a_traceback(project, small_disk):
    project.stage("a", 'run.save("one", 1)')
    ballast = project.outputs / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(1 << 23))
    done = project.process("run", "params/x", "--no-publish")
    _, errors = done.communicate(timeout=60)
    assert done.returncode == 1
    assert "No space left on device" in errors
    assert "quire clean" in errors
    assert "Traceback" not in errors
    ballast.unlink()
    assert project.run().exit_code == 0


def test_a_warning_that_finds_no_room_is_heard_and_written_with_the_next_change(project):
    project.stage("a", 'run.save("one", 1)')
    heard = []
    settings = config.load("x", root=project.root)
    context = prepare(settings, Request(params="x"), datetime.now(UTC), heard.append)
    context.warn("no report")  # the run's folder is not there: as on a full disk, nothing can be written
    assert heard == [{"event": "warning", "message": "no report"}]
    context.folder.mkdir(parents=True)
    context.record.update(status="failed")
    assert read_record(context.folder)["warnings"] == ["no report"]

"""Runs of the same params never interleave: one at a time holds the lock, and a dead one is found out."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from quire.errors import ArtifactError, Busy
from quire.flow.record import Record, read_record, write_whole
from quire.io.archive_format import is_run_name

GRACE_S = 0.5
"""How long a lock is waited for at least: `runs_under_way` holds each for a moment, to see whether its run lives."""


@contextmanager
def only_run(outputs: Path, params: str, *, wait_s: float = 0) -> Iterator["Holder"]:
    """Hold the lock of ``params`` while the block runs; the operating system frees it when the process dies.

    wait_s: how long to wait for another run to end; negative waits for ever.
    Raises Busy, naming the other run, if it is still under way then.
    """
    folder = outputs / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    holder = Holder(folder / f"{params}.json")
    lock = FileLock(folder / f"{params}.lock")
    try:
        lock.acquire(timeout=max(wait_s, GRACE_S) if wait_s >= 0 else wait_s, poll_interval=0.1)
    except Timeout:
        other = holder.read()
        other_run = (
            f"{other.get('run_id', '')} (process {other.get('pid')} on {other.get('host')}, since {other.get('since')})"
        )
        raise Busy(
            f"Another run of {params} is under way: {other_run}. Wait for it with --wait SECONDS, or end that process."
        ) from None
    try:
        yield holder
        holder.path.unlink(missing_ok=True)
    finally:
        lock.release()


class Holder:
    """The file beside the lock that says which run holds it; one that is left over belongs to a run that died."""

    def __init__(self, path: Path) -> None:
        """path: the JSON file."""
        self.path = path

    def read(self) -> dict[str, Any]:
        """Return run_id, pid, host and since of the run that holds the lock, or held it when it died; or nothing."""
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, run_id: str, now: datetime) -> None:
        """Say that ``run_id``, in this process, holds the lock."""
        content = {"run_id": run_id, "pid": os.getpid(), "host": socket.gethostname(), "since": now.isoformat()}
        write_whole(self.path, json.dumps(content))


def runs_under_way(outputs: Path) -> set[str]:
    """Return the runs whose processes are alive: those that are named beside a lock which is held."""
    return {
        str(Holder(path).read().get("run_id"))
        for path in (outputs / "locks").glob("*.json")
        if _is_held(path.with_suffix(".lock"))
    }


def _is_held(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def mark_dead_run(outputs: Path, holder: Holder) -> None:
    """Mark the run as interrupted whose process died while it held the lock, and its unfinished stages too."""
    run_id = str(holder.read().get("run_id"))
    if is_run_name(run_id):
        mark_dead(outputs / "runs" / run_id)


def mark_dead(folder: Path) -> None:
    """Mark a run whose process is gone as interrupted, and note in which stages it died; one that ended stays."""
    try:
        content = read_record(folder)
    except ArtifactError:
        return
    if content["status"] == "running":
        stages = content["stages"]
        died_in = [name for name, stage in stages.items() if stage["status"] == "running"]
        for stage in stages.values():
            if stage["status"] in ("waiting", "running"):
                stage["status"] = "interrupted"
        Record(folder, content).update(status="interrupted", died_in=died_in)

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

from quire.errors import Busy
from quire.flow.record import write_whole


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
        lock.acquire(timeout=wait_s, poll_interval=0.2)
    except Timeout:
        other = holder.read()
        who = (
            f"{other.get('run_id', '')} (process {other.get('pid')} on {other.get('host')}, since {other.get('since')})"
        )
        raise Busy(
            f"Another run of {params} is under way: {who}. Wait for it with --wait SECONDS, or end that process."
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

"""Other machines that share the archive: what they made is gone on from here, and no two run the same params at once.

A machine that starts with nothing gets the tracking store and the database of the one that ran last, finds the stages
of a run that died elsewhere by their keys, brings it back and reuses what is whole of it. An archive that does not
answer holds nothing up: it is said, and the run goes on alone.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from quire.config import Settings
from quire.errors import ArchiveError, ArtifactError, Busy
from quire.flow.cache import Cache, Trace
from quire.flow.graph import Task
from quire.flow.key import Key
from quire.flow.record import Record, read_record

if TYPE_CHECKING:
    from quire.io.archive import Archive

ASK_AGAIN_S = 5
"""Between two looks at a lease that another machine has."""

Warn = Callable[[str], None]


class Elsewhere:
    """The archive as the runner sees it; without one in config.yaml, and after it failed once, there is nothing."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened before something is asked."""
        self._settings = settings
        self._archive: Archive | None = None
        self._silent = not settings.config.archive.url
        self.trouble = ""
        """Why nothing is seen of other machines, where there is something to see."""
        self.news = ""
        """What came from another machine before the run began."""

    @contextmanager
    def held(self, run_id: str, *, wait_s: float = 0) -> Iterator[None]:
        """Hold the lease on the params while the block runs, and bring the stores up to date first.

        Raises Busy if another machine still has the lease after ``wait_s`` seconds; negative: waits for ever.
        """
        with ExitStack() as stack:
            if not self._silent:
                owner = f"run {run_id} (process {os.getpid()} on {socket.gethostname()})"
                try:
                    self._take_lease(stack, owner, wait_s)
                    self._bring_stores()
                except ArchiveError as error:
                    self._give_up(error)
            yield

    def bring(self, cache: Cache, task: Task, key: Key, matches: Callable[[Trace], bool], warn: Warn) -> bool:
        """Bring back the run that holds the stage's result, and enter it in the cache; return whether there was one."""
        if self._silent:
            return False
        try:
            traces = self._open().find_stage(stage_key(self._settings, task.name, key.digest))
            trace = next((trace for trace in traces if matches(trace)), None)
            if trace is None:
                return False
            folder = self._open().fetch_run(trace["run_id"])
        except ArtifactError:
            return False  # the run is no longer in the archive
        except ArchiveError as error:
            self._give_up(error)
            warn(self.trouble)
            return False
        self._end(folder.name)
        cache.hold(task, key, trace, folder.name, words=trace.get("words", ""))
        return True

    def _take_lease(self, stack: ExitStack, owner: str, wait_s: float) -> None:
        """Enter the lease as soon as no other machine has it; raises Busy when ``wait_s`` is over."""
        from quire.io import lease

        end = time.monotonic() + (wait_s if wait_s >= 0 else float("inf"))
        while True:
            try:
                stack.enter_context(lease.hold(self._open().store, self._settings.name, owner))
                return
            except Busy:
                left = end - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(left, ASK_AGAIN_S))

    def _bring_stores(self) -> None:
        """Bring the tracking store and the database of the machine that ran last, where this one has not got them."""
        from quire.io import mirror

        stores = mirror.open(self._settings)
        brought = stores.bring() if stores else []
        if brought:
            names = " and ".join(name for name in brought if "/" not in name)
            self.news = f"{names} came from the archive, with {sum('/' in name for name in brought)} files of models"

    def _open(self) -> "Archive":
        from quire.io import archive

        self._archive = self._archive or archive.open(self._settings)
        assert self._archive is not None
        return self._archive

    def _give_up(self, error: ArchiveError) -> None:
        self._silent = True
        self.trouble = f"Runs of other machines are not seen: {error}"

    def _end(self, run_id: str) -> None:
        """Say that a run which died elsewhere was interrupted."""
        record = Record(self._settings.outputs / "runs" / run_id, read_record(self._settings.outputs / "runs" / run_id))
        if record.content["status"] == "running":
            for stage in record.stages.values():
                if stage["status"] in ("waiting", "running"):
                    stage["status"] = "interrupted"
            record.update(status="interrupted")


def stage_key(settings: Settings, stage: str, digest: str) -> str:
    """Return the name that a stage's result has in the archive."""
    return f"{settings.name}/{stage}/{digest}"


def trace_name(trace: Trace) -> str:
    """Return what tells a result from others under the same key: a digest of what it was made of."""
    return hashlib.sha256(json.dumps([trace["inputs"], trace["reads"]], sort_keys=True).encode()).hexdigest()[:16]

"""Other machines that share the archive: what they made is gone on from here, and no two run the same params at once.

A machine that starts with nothing gets the tracking store and the database of the one that ran last, finds the stages
of a run that died elsewhere by their keys, brings it back and reuses what is whole of it. Without the lease nothing
starts, since another machine may run the same; an archive that fails later holds nothing up: it is said, and the run
goes on alone. A result that is not whole there costs that result, and no other.
"""

import hashlib
import json
import os
import socket
import threading
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

LOOK_S = 1
"""Between two looks whether the lease was lost."""

ASK_AGAIN_S = 5
"""Between two looks at a lease that another machine has."""

NOTED = {"run_id", "made_by", "inputs", "reads", "artifacts"}
"""What a note of a stage holds at least; see `quire.flow.cache.Trace`."""

Warn = Callable[[str], None]


class RemoteCache:
    """The archive as the runner sees it; without one in config.yaml, and after it failed once, there is nothing."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened before something is asked."""
        self._settings = settings
        self._archive: Archive | None = None
        self._silent = not settings.config.archive.url
        self._lost = threading.Event()
        self.trouble = ""
        """Why nothing is seen of other machines, where there is something to see."""
        self.news = ""
        """What came from another machine before the run began."""

    @contextmanager
    def held(self, run_id: str, *, wait_s: float = 0) -> Iterator[None]:
        """Hold the lease on the params while the block runs, and bring the stores up to date first.

        Raises Busy if another machine still has the lease after ``wait_s`` seconds (negative: waits for ever), or took
        it over while the block ran; and ArchiveError if the archive does not give it.
        """
        with ExitStack() as stack:
            if not self._silent:
                owner = f"run {run_id} (process {os.getpid()} on {socket.gethostname()})"
                self._take_lease(stack, owner, wait_s)
                try:
                    self._bring_stores()
                except ArchiveError as error:
                    self._give_up(error)
            yield
            if self._lost.is_set():
                raise Busy(
                    f"{self._settings.name!r} was taken over by another machine while run {run_id} went on: its lease "
                    "lapsed, as when a machine sleeps. The run was stopped; what is whole of it is reused by the next."
                )

    @contextmanager
    def stopped_when_lost(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` if another machine takes over while the block runs."""
        end_event = threading.Event()

        def watch() -> None:
            while not end_event.wait(LOOK_S):
                if self._lost.is_set():
                    stop()
                    return

        watcher = threading.Thread(target=watch, name="lease", daemon=True)
        if not self._silent:
            watcher.start()
        try:
            yield
        finally:
            end_event.set()

    def bring(self, cache: Cache, task: Task, key: Key, matches: Callable[[Trace], bool], warn: Warn) -> bool:
        """Bring back the run that holds the stage's result, and enter it in the cache; return whether there was one."""
        if self._silent:
            return False
        try:
            for trace in self._open().find_stage(stage_key(self._settings, task.name, key.digest)):
                if trace.keys() >= NOTED and matches(trace) and self._fetch(trace["run_id"], task, warn):
                    cache.hold(task, key, trace, trace["run_id"], words=trace.get("words", ""))
                    return True
        except ArchiveError as error:
            self._give_up(error)
            warn(self.trouble)
        return False

    def _fetch(self, run_id: str, task: Task, warn: Warn) -> bool:
        """Bring back a run, or the stage alone where not all of it is whole; return whether the stage came."""
        from quire.io.storage import Unreachable

        stage = (f"artifacts/{task.name}/", f"notebooks/{task.name}.ipynb", f"reports/{task.name}.html")
        for prefixes in (("",), stage):
            try:
                self._open().fetch_run(run_id, below=prefixes)
                if prefixes == ("",):
                    self._end(run_id)
                return True
            except ArtifactError:
                return False  # the run is no longer in the archive
            except Unreachable:
                raise
            except ArchiveError as error:
                reason = error
        warn(f"What run {run_id} made of {task.name} is not reused: {reason}")
        return False

    def _take_lease(self, stack: ExitStack, owner: str, wait_s: float) -> None:
        """Enter the lease as soon as no other machine has it; raises Busy when ``wait_s`` is over."""
        from quire.io import lease

        end = time.monotonic() + (wait_s if wait_s >= 0 else float("inf"))
        while True:
            try:
                self._lost = stack.enter_context(
                    lease.hold(self._open().store, self._settings.name, owner, lease.LENGTH)
                )
                return
            except ArchiveError as error:
                raise type(error)(
                    f"The lease on {self._settings.name!r} cannot be had, so nothing was started: another machine may "
                    f"run the same. {error} To run on this machine alone, leave archive.url in config.yaml empty."
                ) from error
            except Busy:
                remaining_s = end - time.monotonic()
                if remaining_s <= 0:
                    raise
                time.sleep(min(remaining_s, ASK_AGAIN_S))

    def _bring_stores(self) -> None:
        """Bring the tracking store and the database of the machine that ran last, where this one has not got them."""
        from quire.io import mirror

        stores = mirror.open(self._settings)
        file_names = stores.bring() if stores else []
        if file_names:
            names = " and ".join(name for name in file_names if "/" not in name)
            self.news = f"{names} came from the archive, with {sum('/' in name for name in file_names)} files of models"

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
        if record.content.get("status") == "running":
            for stage in dict(record.content.get("stages", {})).values():
                if stage.get("status") in ("waiting", "running"):
                    stage["status"] = "interrupted"
            record.update(status="interrupted")


def stage_key(settings: Settings, stage: str, digest: str) -> str:
    """Return the name that a stage's result has in the archive."""
    return f"{settings.name}/{stage}/{digest}"


def trace_name(trace: Trace) -> str:
    """Return what tells a result from others under the same key: a digest of what it was made of."""
    return hashlib.sha256(json.dumps([trace["inputs"], trace["reads"]], sort_keys=True).encode()).hexdigest()[:16]

"""The log of predictions: many requests to a commit, and an answer only after it (group commit).

With ``fast`` an answer does not wait; the last ones can then be lost in a crash. Either way the rows that wait are
bounded. When the database fails or hangs, or its file is gone, requests are refused at once, and the log tries again
until it can write. Only an error that the values of a row have caused is the row's own.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quire.errors import ServiceError
from quire.io.engine import Damaged, RowRefused

if TYPE_CHECKING:
    from quire.io.database import Database

LOG = logging.getLogger("quire.serve")

Records = Sequence[Mapping[str, Any]]

COMMIT_ROWS = 2_000
"""Rows of one commit."""

PAUSE_S = 0.5
"""Between two attempts to reach a database that failed."""

DOWN_S = 2.0
"""For so long at least a log that failed is down, so that whoever asks after its health hears of it."""

IDLE_S = 10.0
"""A database to which nothing was written for so long is asked whether it is well."""


class Unavailable(ServiceError):
    """The log takes no more for now; ``retry_after_s`` says when to come again."""

    retry_after_s = 2


@dataclass(slots=True, eq=False)
class _Entry:
    records: Records
    future: "asyncio.Future[None] | None"


class PredictionLog:
    """Writes predictions from an event loop to the database, in a thread of its own.

    connect: opens the database; it is called again after each failure. measured: called in the thread with rows and
    seconds of each commit. changed: called in the thread with whether the log is up, when that changes.
    """

    def __init__(
        self,
        connect: "Callable[[], Database]",
        *,
        queue_rows: int,
        timeout_s: float,
        fast: bool = False,
        measured: Callable[[int, float], None] = lambda rows, seconds: None,
        changed: Callable[[bool], None] = lambda up: None,
    ) -> None:
        self.rows = 0
        self.problem = ""
        self._connect, self._limit, self._timeout_s, self._fast = connect, queue_rows, timeout_s, fast
        self._measured, self._changed = measured, changed
        self._is_damaged, self._down_until, self._well_at = False, 0.0, 0.0
        self._database: Database | None = None
        self._queue: deque[_Entry] = deque()
        self._awaited: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin to write; called on the event loop whose requests are logged."""
        self._loop = asyncio.get_running_loop()
        self._watching = self._loop.create_task(self._watch())
        self._changed(True)
        self._thread.start()

    @property
    def state(self) -> str:
        """``up``, or why the log takes nothing."""
        since = self._busy_since
        if not self.problem and since is not None and time.monotonic() - since > self._timeout_s:
            return f"The database has not answered for {time.monotonic() - since:.0f} seconds."
        return self.problem or "up"

    async def write(self, records: Records, *, wait: bool = True) -> None:
        """Return when the records are committed (at once if the log is fast or ``wait`` is False).

        Raises Unavailable if they cannot be taken, or are not committed in time.
        """
        state = self.state
        if state != "up" and not (self._fast and self.rows + len(records) <= self._limit):
            raise Unavailable(f"Predictions cannot be logged now, so none is given: {state}")
        if self.rows + len(records) > self._limit and self.rows:
            raise Unavailable(f"{self.rows} predictions wait to be logged already; no more than {self._limit} may.")
        future = self._put(records, wait=wait and not self._fast)
        if future is not None:
            await future

    async def barrier(self) -> None:
        """Return when all that was written before is committed; raises Unavailable if it takes too long."""
        future = self._put([], wait=True)
        assert future is not None
        await future

    def _put(self, records: Records, *, wait: bool) -> "asyncio.Future[None] | None":
        """Have the records written; return what is done when they are committed, if somebody waits for it."""
        future = self._loop.create_future() if wait else None
        self.rows += len(records)
        self._queue.append(_Entry(records, future))
        # The thread clears it before it looks into the queue, so what was appended while it is set is seen.
        if not self._wake.is_set():
            self._wake.set()
        if future is not None:
            self._awaited.append((self._loop.time() + self._timeout_s, future))
        return future

    async def _watch(self) -> None:
        """Refuse what waits for too long. One watch for all: a timer for each would cost as much as logging it."""
        while True:
            await asyncio.sleep(min(0.25, self._timeout_s / 2))
            while self._awaited and (self._awaited[0][1].done() or self._awaited[0][0] <= self._loop.time()):
                _, future = self._awaited.popleft()
                if not future.done():
                    late = f"The database did not take the prediction within {self._timeout_s:g} seconds."
                    future.set_exception(Unavailable(late))

    async def close(self, timeout_s: float) -> None:
        """Write what was accepted, then stop; gives up after ``timeout_s``."""
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, timeout_s)
        self._watching.cancel()

    def _run(self) -> None:
        while not (self._stopping.is_set() and not self._queue):
            self._wake.wait(PAUSE_S)
            self._wake.clear()
            self._open()
            while self._queue and not self.problem:
                self._commit(self._take())
            if self.problem and self._stopping.is_set():
                break
        if self._database is not None:
            self._database.close()

    def _take(self) -> list[_Entry]:
        entries: list[_Entry] = []
        count = 0
        while self._queue and (not entries or count + len(self._queue[0].records) <= COMMIT_ROWS):
            entry = self._queue.popleft()
            entries.append(entry)
            count += len(entry.records)
        return entries

    def _commit(self, entries: list[_Entry]) -> None:
        assert self._database is not None
        records = [record for entry in entries for record in entry.records]
        started = self._busy_since = time.monotonic()
        try:
            self._database.insert_predictions(records)
        except RowRefused as error:
            self._recover(entries, error)
            return
        except Exception as error:
            self._fail(entries, error)
            return
        finally:
            self._busy_since = None
        self._well_at = time.monotonic()
        self._measured(len(records), time.monotonic() - started)
        self._call(_settle, self, entries, None)

    def _recover(self, entries: list[_Entry], error: ServiceError) -> None:
        """Tell a record that the database refuses from a database that refuses every record, which stops the log."""
        try:
            self._database.ping()  # type: ignore[union-attr]
        except Exception as failure:
            self._fail(entries, failure)
            return
        if len(entries) == 1:
            self._call(_settle, self, entries, ServiceError(str(error)))
            return
        for number, entry in enumerate(entries):
            if self.problem:
                self._fail(entries[number:], ServiceError(self.problem))
                return
            self._commit([entry])

    def _fail(self, entries: list[_Entry], error: Exception) -> None:
        """Note why the log is down, and answer all who wait, or keep what waits where nobody does."""
        problem = str(error) if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
        self._is_damaged = self._is_damaged or isinstance(error, Damaged)
        self._note(problem)
        if self._fast:
            self._queue.extendleft(reversed(entries))
            return
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        self._call(_settle, self, [*entries, *waiting], Unavailable(problem))

    def _open(self) -> None:
        """Reach the database if it is not open, failed, or has been idle; sets or clears the problem."""
        now = time.monotonic()
        is_well = self._database is not None and not self.problem
        if is_well and (self._queue or now < self._well_at + IDLE_S):
            return
        if self.problem and now < self._down_until:
            return
        try:
            if self._database is not None and self.problem:
                # What is open may be a connection that is lost, or a file that is gone.
                self._database.close()
                self._database = None
            self._database = self._database or self._connect()
            if self._is_damaged:
                self._database.check_pages()
            self._database.ping()
            self._is_damaged, self._well_at = False, time.monotonic()
            self._note("")
        except Exception as error:
            self._fail([], error)
            self._stopping.wait(PAUSE_S)
            self._wake.set()

    def _note(self, problem: str) -> None:
        """Remember what keeps the log from writing, if anything does, and say so when that changes."""
        if problem and not self.problem:
            self._down_until = time.monotonic() + DOWN_S
            self._changed(False)
            LOG.error("predictions are refused, because they cannot be logged: %s", problem)
        elif self.problem and not problem:
            self._changed(True)
            LOG.info("the database answers again, and predictions are taken")
        self.problem = problem

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _settle(log: PredictionLog, entries: list[_Entry], error: Exception | None) -> None:
    """Answer those who wait; on the event loop, which alone counts the rows."""
    for entry in entries:
        log.rows -= len(entry.records)
        if entry.future is None or entry.future.done():
            continue
        if error is None:
            entry.future.set_result(None)
        else:
            entry.future.set_exception(error)

"""The log of predictions: many requests to a commit, and an answer only after it (group commit).

With ``fast`` an answer does not wait; the last ones can then be lost in a crash. Either way the rows that wait are
bounded. When the database fails or hangs, requests are refused at once, and the log tries again until it answers.
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

if TYPE_CHECKING:
    from quire.io.database import Database

LOG = logging.getLogger("quire.serve")

Records = Sequence[Mapping[str, Any]]

COMMIT_ROWS = 2_000
"""Rows of one commit."""

PAUSE_S = 0.5
"""Between two attempts to reach a database that failed."""


class Unavailable(ServiceError):
    """The log takes no more for now; ``retry_after_s`` says when to come again."""

    retry_after_s = 2


@dataclass(slots=True, eq=False)
class _Entry:
    records: Records
    future: "asyncio.Future[None] | None"


class PredictionLog:
    """Writes predictions from an event loop to the database, in a thread of its own.

    connect: opens the database; it is called again where that fails. measured: called in the thread with rows and
    seconds of each commit.
    """

    def __init__(
        self,
        connect: "Callable[[], Database]",
        *,
        queue_rows: int,
        timeout_s: float,
        fast: bool = False,
        measured: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self.rows = 0
        self.problem = ""
        self._connect, self._limit, self._timeout_s, self._fast = connect, queue_rows, timeout_s, fast
        self._measured = measured
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
        future = self._loop.create_future() if wait and not self._fast else None
        await self._put(_Entry(records, future))

    async def barrier(self) -> None:
        """Return when all that was written before is committed; raises Unavailable if it takes too long."""
        await self._put(_Entry([], self._loop.create_future()))

    async def _put(self, entry: _Entry) -> None:
        self.rows += len(entry.records)
        self._queue.append(entry)
        self._wake.set()
        if entry.future is not None:
            self._awaited.append((self._loop.time() + self._timeout_s, entry.future))
            await entry.future

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
        except ServiceError as error:
            self._recover(entries, error)
            return
        finally:
            self._busy_since = None
        self._measured(len(records), time.monotonic() - started)
        self._call(_settle, self, entries, None)

    def _recover(self, entries: list[_Entry], error: ServiceError) -> None:
        """Tell a database that is gone, which stops the log, from a record that it refuses."""
        try:
            self._database.ping()  # type: ignore[union-attr]
        except ServiceError:
            self._fail(entries, str(error))
            return
        if len(entries) == 1:
            self._call(_settle, self, entries, error)
            return
        for entry in entries:
            if self.problem:
                self._fail([entry], self.problem)
            else:
                self._commit([entry])

    def _fail(self, entries: list[_Entry], problem: str) -> None:
        self._note(problem)
        if self._fast:
            self._queue.extendleft(reversed(entries))
            return
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        self._call(_settle, self, [*entries, *waiting], Unavailable(problem))

    def _open(self) -> None:
        """Reach the database if it is not open or failed; sets or clears the problem."""
        if self._database is not None and not self.problem:
            return
        try:
            if self._database is None:
                self._database = self._connect()
            self._database.ping()
            self._note("")
        except ServiceError as error:
            if self._fast:
                self._note(str(error))
            else:
                self._fail([], str(error))
            self._stopping.wait(PAUSE_S)
            self._wake.set()

    def _note(self, problem: str) -> None:
        """Remember what keeps the log from writing, if anything does, and say so when that changes."""
        if problem and not self.problem:
            LOG.error("predictions are refused, because they cannot be logged: %s", problem)
        elif self.problem and not problem:
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

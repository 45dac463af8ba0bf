"""Requests that wait while a prediction runs are predicted together. There is no timer: nobody waits for others."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from quire.serve.loaded_model import LoadedModel, Prediction
from quire.serve.request_schema import Row

MOST_ROWS = 256
"""Rows that are predicted at a time, unless one request alone has more."""

INLINE_ROWS = 64
"""Up to so many rows the fast path runs on the event loop: handing them to a thread would take longer."""


class Batcher:
    """Predicts rows for many requests at once, each with the model version that the request was checked for."""

    def __init__(self, *, measured: Callable[[int], None] = lambda rows: None) -> None:
        self._waiting: deque[tuple[LoadedModel, Sequence[Row], asyncio.Future[list[Prediction]]]] = deque()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None
        self._measured = measured

    async def predict(self, served: LoadedModel, rows: Sequence[Row]) -> list[Prediction]:
        """Return the outcome of each row."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((served, rows, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    def close(self) -> None:
        """Let go of the thread."""
        self._threads.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # Once around the event loop, so that requests that have arrived already come along.
            await asyncio.sleep(0)
            while self._waiting:
                model, rows, futures = self._take()
                self._measured(len(rows))
                try:
                    if model.fast and len(rows) <= INLINE_ROWS:
                        outcomes = model.score(rows)
                    else:
                        outcomes = await loop.run_in_executor(self._threads, model.score, rows)
                except Exception as error:
                    if len(futures) == 1:
                        _fail(futures, error)
                    else:  # whose row it is shows when each is predicted alone
                        await self._predict_singly(model, rows, futures)
                    continue
                _settle(futures, outcomes)
                await asyncio.sleep(0)
        finally:
            self._task = None

    async def _predict_singly(
        self, served: LoadedModel, rows: list[Row], futures: list[tuple[asyncio.Future[list[Prediction]], int]]
    ) -> None:
        start, loop = 0, asyncio.get_running_loop()
        for future, count in futures:
            own = rows[start : start + count]
            start += count
            try:
                _settle([(future, count)], await loop.run_in_executor(self._threads, served.score, own))
            except Exception as error:
                _fail([(future, count)], error)

    def _take(self) -> tuple[LoadedModel, list[Row], list[tuple[asyncio.Future[list[Prediction]], int]]]:
        model = self._waiting[0][0]
        rows: list[Row] = []
        futures = []
        while self._waiting and self._waiting[0][0] is model:
            if rows and len(rows) + len(self._waiting[0][1]) > MOST_ROWS:
                break
            _, request_rows, future = self._waiting.popleft()
            rows.extend(request_rows)
            futures.append((future, len(request_rows)))
        return model, rows, futures


def _settle(futures: list[tuple[asyncio.Future[list[Prediction]], int]], made: list[Prediction]) -> None:
    start = 0
    for future, count in futures:
        if not future.done():
            future.set_result(made[start : start + count])
        start += count


def _fail(futures: list[tuple[asyncio.Future[list[Prediction]], int]], error: Exception) -> None:
    for future, _ in futures:
        if not future.done():
            future.set_exception(error)

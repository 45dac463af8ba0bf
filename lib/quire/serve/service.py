"""The service without HTTP: predict and keep it, take feedback, say how things stand."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from quire.config import Settings, label
from quire.errors import ServiceError
from quire.io.engine import RowRefused
from quire.serve.batcher import Batcher
from quire.serve.explain import Effect, effects, variants
from quire.serve.ids import random_ids
from quire.serve.loaded_model import LoadedModel, Prediction
from quire.serve.log import PredictionLog, Unavailable
from quire.serve.metrics import Metrics
from quire.serve.model_watcher import ModelWatcher
from quire.serve.request_errors import InvalidRequest, RequestError, short
from quire.serve.request_schema import RequestRow, Row

if TYPE_CHECKING:
    from quire.io.database import Database
    from quire.io.tracking import Registry

LOG = logging.getLogger("quire.serve")

MOST_FEEDBACK = 8
"""Requests with feedback that are at the database at a time; it has its own connections, so predictions go on."""

MOST_SHADOWED = 2_000
"""Rows that may wait for the challenger; more are not shadowed."""

PRUNE_EVERY_S = 3_600.0

ERRORS_EVERY_S = 60.0

MOMENT = timedelta(microseconds=1)


class Service:
    """One worker's model, log and figures. now: the time, aware; it is asked for each request."""

    def __init__(
        self,
        settings: Settings,
        registry: "Registry",
        connect: "Callable[[], Database]",
        metrics: Metrics,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        serve = settings.config.serve
        self.settings, self.metrics, self.now = settings, metrics, now
        self.models = ModelWatcher(registry, settings, swapped=self._swapped)
        self.batcher = Batcher(measured=metrics.together.observe)
        self.log = PredictionLog(
            connect,
            queue_rows=serve.queue_rows,
            timeout_s=serve.log_timeout_s,
            fast=serve.durability == "fast",
            measured=metrics.commit,
            changed=metrics.log_up.set,
        )
        self.stopping = False
        self._connect, self._last = connect, now()
        self._own: Database | None = None
        self._ids = random_ids()
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._feedback, self._shadowed = asyncio.Semaphore(MOST_FEEDBACK), 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Open the log, load the champion if there is one, and begin to watch for the next."""
        serve = self.settings.config.serve
        self.log.start()
        await asyncio.to_thread(self.models.refresh)
        if self.models.current:
            self._swapped(self.models.current)
        else:
            LOG.warning("no model is served: %s", self.models.problem)
        self._begin(self.models.watch(every_s=serve.refresh_s))
        self._begin(self._watch_errors())
        if serve.keep_days:
            self._begin(self._prune(timedelta(days=serve.keep_days)))

    async def stop(self) -> None:
        """Write what was accepted and let go of everything."""
        self.stopping = True
        for task in self._tasks:
            task.cancel()
        if self.log.state == "up":
            with contextlib.suppress(ServiceError):  # the log says what the database has
                await self._keep_errors()
        await self.log.close(self.settings.config.serve.grace_s)
        self.batcher.close()
        self._aside.shutdown(wait=False)
        if self._own is not None:
            self._own.close()

    async def aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function gives that takes long; one at a time, in a thread, so that others are answered."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, function, *arguments)

    def served(self) -> LoadedModel:
        """Return the model that is served; raises Unavailable if there is none."""
        if self.models.current is None:
            raise Unavailable(f"No model is served. {self.models.problem}")
        return self.models.current

    async def predict(
        self, served: LoadedModel, given: Sequence[RequestRow], *, request_id: str, explain: bool = False
    ) -> tuple[list[dict[str, Any]], list[list[Effect]]]:
        """Return the answer for each row after it was logged, and its effects if asked for.

        Raises Unavailable if it cannot be logged.
        """
        started, rows = time.perf_counter(), [parsed_row.row for parsed_row in given]
        outcomes = served.cached(rows)
        if outcomes is None:
            outcomes = await self._outcomes(served, rows, request_id)
        else:
            self.metrics.cached.inc(len(rows))
        milliseconds = (time.perf_counter() - started) * 1000
        records = self._records(served, given, outcomes, "service", request_id, milliseconds)
        try:
            await self.log.write(records)
        except Unavailable:
            self.metrics.refused.inc(len(records))
            raise
        except ServiceError as error:
            LOG.warning("the database refuses request %s: %s", request_id, error)
            allowed = "values that the database can hold"
            raise InvalidRequest([RequestError(0 if len(rows) == 1 else None, "rows", None, allowed)]) from error
        self.metrics.predicted(served.number, "service", len(records))
        self._shadow(given, request_id)
        pairs = zip(records, outcomes, rows, strict=True)
        answers = [_answer(record["id"], outcome, served.warnings(row)) for record, outcome, row in pairs]
        return answers, [await self._explain(served, row) for row in rows] if explain else []

    async def _outcomes(self, served: LoadedModel, rows: Sequence[Row], request_id: str) -> list[Prediction]:
        """Return the outcomes; raises InvalidRequest where the model fails on rows, which its own example passed."""
        try:
            return await self.batcher.predict(served, rows)
        except Exception as error:
            LOG.warning(
                "version %s fails on request %s: %s: %s", served.number, request_id, type(error).__name__, error
            )
            allowed = f"values that version {served.number} of the model can compute with"
            raise InvalidRequest([RequestError(0 if len(rows) == 1 else None, "rows", None, allowed)]) from error

    async def keep_feedback(self, said: Sequence[Mapping[str, Any]], *, source: str) -> list[str]:
        """Return what became of each feedback (see `Database.save_feedback`); raises InvalidRequest and Unavailable."""
        rows = [
            {"prediction_id": str(record["prediction_id"]), "actual": self._actual(record["actual"], at)}
            for at, record in enumerate(said)
        ]
        if self.settings.config.serve.durability == "fast":
            await self.log.barrier()
        try:
            async with asyncio.timeout(self.settings.config.serve.log_timeout_s), self._feedback:
                statuses = await asyncio.to_thread(self._save_feedback, rows, source)
        except TimeoutError:
            raise Unavailable("The database did not take the feedback in time.") from None
        except RowRefused as error:
            LOG.warning("the database refuses feedback: %s", error)
            raise InvalidRequest([RequestError(None, "feedback", None, "values that the database can hold")]) from error
        except ServiceError as error:
            raise Unavailable(str(error)) from error
        for status in statuses:
            self.metrics.feedback.labels(status).inc()
        return statuses

    def health(self) -> dict[str, Any]:
        """Return how model and log are; ``status`` is ok, degraded (something is not as wanted) or unavailable."""
        model, state = self.models.current, self.log.state
        ready = model is not None and state == "up" and not self.stopping
        problems = [text for text in (self.models.problem, "" if state == "up" else state) if text]
        return {
            "status": "unavailable" if not ready else "degraded" if problems else "ok",
            "problems": problems,
            "model": None if model is None else self._model_health(model),
            "challenger": {
                "version": self.models.challenger.number if self.models.challenger else None,
                "problem": self.models.challenger_problem or None,
            },
            "log": {"state": "up" if state == "up" else "down", "queued_rows": self.log.rows},
        }

    def _model_health(self, served: LoadedModel) -> dict[str, Any]:
        age = self.now() - served.version.created_at
        return {
            "name": served.version.name,
            "version": served.number,
            "age_days": round(age.total_seconds() / 86_400, 3),
            "loaded_at": served.loaded_at.isoformat(),
            "path": served.slow_because or "fast",
        }

    def _actual(self, actual: Any, row: int) -> Any:
        """Return what really happened as the target's type; raises InvalidRequest."""
        schema = self.settings.schema
        target = schema.columns[schema.target]
        is_number = isinstance(actual, int | float) and not isinstance(actual, bool)
        if schema.task == "regression":
            if is_number and abs(actual) < 1e300:
                return float(actual)
            raise InvalidRequest(
                [RequestError(row, "actual", short(actual), f"a number: the {schema.target} that really was")]
            )
        names = dict(zip(target.labels, ("false", "true"), strict=False)) if target.type == "boolean" else {}
        classes = self.models.current.classes if self.models.current else []
        text = label(actual) if isinstance(actual, str | int | float | bool) else ""
        text = text if text in classes else names.get(text, text)
        if text in classes or (not classes and text):
            return text
        raise InvalidRequest([RequestError(row, "actual", short(actual), ", ".join(classes))])

    def _save_feedback(self, rows: list[dict[str, Any]], source: str) -> list[str]:
        database = self._own = self._own or self._connect()
        try:
            return database.save_feedback(rows, source=source, now=self.now())
        except RowRefused:
            raise
        except ServiceError:
            self._own = None  # its file may be gone: the next one opens it anew
            database.close()
            raise

    async def _explain(self, served: LoadedModel, row: tuple[Any, ...]) -> list[Effect]:
        rows = variants(served, row)
        return effects(served, row, await self._outcomes(served, rows, "")) if rows else []

    def _records(
        self,
        served: LoadedModel,
        given: Sequence[RequestRow],
        outcomes: Sequence[Prediction],
        source: str,
        request_id: str,
        milliseconds: float,
    ) -> list[dict[str, Any]]:
        records, is_number = [], not served.classes
        for parsed_row, outcome in zip(given, outcomes, strict=True):
            prediction_id, at = next(self._ids), self._tick()
            records.append(
                {
                    "id": prediction_id,
                    "model_name": served.version.name,
                    "model_version": served.number,
                    "row_key": parsed_row.key or prediction_id,
                    "as_of": at,
                    "source": source,
                    "predicted_at": at,
                    "at": parsed_row.at,
                    "value": outcome.prediction if is_number else None,
                    "label": None if is_number else outcome.prediction,
                    "probability": outcome.probability,
                    "probabilities": outcome.probabilities,
                    "features": served.contract.named(parsed_row.row),
                    "run_id": None,
                    "request_id": request_id,
                    "latency_ms": milliseconds,
                }
            )
        return records

    def _tick(self) -> datetime:
        """Return the time, each later than the last: two predictions of one key are told apart by it."""
        self._last = max(self.now(), self._last + MOMENT)
        return self._last

    def _shadow(self, given: Sequence[RequestRow], request_id: str) -> None:
        """Have the challenger predict the rows too, if it takes the same features and is not behind."""
        challenger = self.models.challenger
        if challenger is None:
            return
        if self._shadowed + len(given) > MOST_SHADOWED:
            self.metrics.shadow_dropped.inc(len(given))
            return
        self._shadowed += len(given)
        self._begin(self._predict_shadow(challenger, given, request_id))

    async def _predict_shadow(self, challenger: LoadedModel, given: Sequence[RequestRow], request_id: str) -> None:
        started = time.perf_counter()
        try:
            outcomes = await self.batcher.predict(challenger, [parsed_row.row for parsed_row in given])
            milliseconds = (time.perf_counter() - started) * 1000
            records = self._records(challenger, given, outcomes, "shadow", request_id, milliseconds)
            await self.log.write(records, wait=False)
            self.metrics.predicted(challenger.number, "shadow", len(given))
        except Unavailable:
            self.metrics.shadow_dropped.inc(len(given))
        except Exception:
            LOG.exception("version %s, which is shadowed, failed", challenger.number)
        finally:
            self._shadowed -= len(given)

    async def _watch_errors(self) -> None:
        while True:
            await asyncio.sleep(ERRORS_EVERY_S)
            try:
                await self._keep_errors()
            except ServiceError as error:
                LOG.warning("the counts of failed requests were not kept, and are tried again: %s", error)

    async def _keep_errors(self) -> None:
        """Keep in the database how many requests were refused or failed since the last time: monitoring shows it."""
        counts = dict(self.metrics.errors)
        if counts:
            await asyncio.to_thread(self._save_errors, counts)
            self.metrics.errors.subtract(counts)
            self.metrics.errors = +self.metrics.errors  # without those that are zero

    def _save_errors(self, counted: Mapping[int, int]) -> None:
        about = {"model_name": self.settings.model_name, "as_of": self.now(), "name": "service_errors"}
        about["model_version"] = self.models.current.number if self.models.current else ""
        about["column"] = f"worker {os.getpid()}"  # workers write at the same time, each rows of its own
        database = self._connect()
        try:
            database.save_metrics(about | {"segment": str(status), "value": n} for status, n in counted.items())
        finally:
            database.close()

    async def _prune(self, keep: timedelta) -> None:
        while True:
            try:
                await asyncio.to_thread(self._prune_once, self.now() - keep)
            except ServiceError as error:
                LOG.warning("old predictions were not deleted: %s", error)
            await asyncio.sleep(PRUNE_EVERY_S)

    def _prune_once(self, before: datetime) -> None:
        database = self._connect()
        try:
            counts = database.prune(before, model_name=self.settings.model_name)
            LOG.info("deleted %d predictions made before %s", counts.predictions, before.isoformat())
        finally:
            database.close()

    def _swapped(self, served: LoadedModel) -> None:
        self.metrics.serves(served)
        LOG.info("version %s of %s is served, %s", served.number, served.version.name, served.slow_because or "fast")

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def new_service(settings: Settings, metrics: Metrics) -> Service:
    """Return the service of a use case, on the registry and the database of its config."""
    from quire.io import database, tracking

    timeout_s = settings.config.serve.log_timeout_s
    connect = partial(database.open, settings.database_url, timeout_s=timeout_s)
    return Service(settings, tracking.open(settings), connect, metrics)


def _answer(prediction_id: str, outcome: Prediction, warnings: list[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"prediction_id": prediction_id, "prediction": outcome.prediction}
    if outcome.probability is not None:
        answer["probability"] = outcome.probability
    if outcome.probabilities is not None:
        answer["probabilities"] = outcome.probabilities
    answer["warnings"] = warnings
    return answer

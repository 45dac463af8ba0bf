"""Figures for Prometheus; with several workers they are added up from the files of all."""

import os
from collections import Counter as CounterOf
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from quire.serve.loaded_model import LoadedModel
from quire.serve.log import PredictionLog

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The service's figures."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        options: dict[str, Any] = {"registry": own}
        self.requests = Counter("quire_requests", "Requests answered.", ["path", "status"], **options)
        self.seconds = Histogram("quire_request_seconds", "Time to answer.", ["path"], buckets=BUCKETS, **options)
        self.predictions = Counter("quire_predictions", "Rows predicted.", ["version", "source"], **options)
        self.cached = Counter("quire_predictions_cached", "Rows answered from the cache.", **options)
        self.together = Histogram("quire_batch_rows", "Rows predicted in one call.", buckets=SIZES, **options)
        self.committed = Counter("quire_log_rows", "Rows committed to the database.", **options)
        self.commit_seconds = Histogram("quire_log_commit_seconds", "Time of a commit.", buckets=BUCKETS, **options)
        self.refused = Counter("quire_log_refused", "Rows refused because they could not be logged.", **options)
        self.feedback = Counter("quire_feedback", "Feedback by what became of it.", ["status"], **options)
        self.shadow_dropped = Counter("quire_shadow_dropped", "Rows that the challenger was too slow for.", **options)
        self.swaps = Counter("quire_model_swaps", "Champions that took over.", **options)
        mode: dict[str, Any] = {"multiprocess_mode": "livesum", **options}
        self.queued = Gauge("quire_log_queued_rows", "Rows that wait for the database.", **mode)
        self.log_up = Gauge("quire_log_up", "Workers whose log is up.", **mode)
        self.model = Gauge("quire_model", "Workers that serve this version.", ["name", "version"], **mode)
        self.errors: CounterOf[int] = CounterOf()
        """Predictions refused (4xx) and requests that failed (5xx), by status, since they were last kept."""
        self._shown: tuple[str, str] | None = None
        # Looking a label up takes longer than counting.
        self._of_request: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._of_version: dict[tuple[str, str], Counter] = {}

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        counters = self._of_request.get((path, status))
        if counters is None:
            counters = self.requests.labels(path, str(status)), self.seconds.labels(path)
            self._of_request[path, status] = counters
        counters[0].inc()
        counters[1].observe(seconds)
        if status >= 500 or (status >= 400 and path.startswith("/predict")):
            self.errors[status] += 1

    def predicted(self, version: str, source: str, rows: int) -> None:
        """Count predictions."""
        counter = self._of_version.get((version, source))
        if counter is None:
            counter = self._of_version[version, source] = self.predictions.labels(version, source)
        counter.inc(rows)

    def commit(self, rows: int, seconds: float) -> None:
        """Count a commit of the log."""
        self.committed.inc(rows)
        self.commit_seconds.observe(seconds)

    def serves(self, served: LoadedModel) -> None:
        """Note which version this worker serves."""
        if self._shown is not None:
            self.model.labels(*self._shown).set(0)
            self.swaps.inc()
        self._shown = (served.version.name, served.number)
        self.model.labels(*self._shown).set(1)

    def text(self, log: PredictionLog) -> bytes:
        """Return all figures in Prometheus' text format."""
        self.queued.set(log.rows)
        self.log_up.set(log.state == "up")
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:  # prometheus_client's own variable, set by `server`
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)

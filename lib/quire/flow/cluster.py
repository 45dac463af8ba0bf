"""Stages on other processes or machines: workers of a Dask cluster, or processes here.

Only stages that read no outside state are sent (neither who is champion nor the database), with all that they need:
they give the same wherever and whenever they run. The others stay with the runner, which finds what the workers made by
the stages' keys, in the archive or, with processes here, in its own cache.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from quire import config
from quire.config import Settings
from quire.errors import ConfigError, ServiceError
from quire.flow import files, workers
from quire.flow.context import Drivers, Listener, Request
from quire.flow.failure import CellFailed
from quire.flow.graph import Graph, Task, build
from quire.flow.progress import as_line
from quire.flow.workers import Job, JobResult

CONNECT_WITHIN_S = 20


def independent(graph: Graph) -> list[str]:
    """Return the tasks that read no outside state and need none that does, in order."""
    names: list[str] = []
    for task in graph.values():
        if not task.options.reads and all(need in names for need in task.needs):
            names.append(task.name)
    return names


@dataclass(frozen=True)
class JobExecutor:
    """Where jobs are done: ``submit`` hands one over; ``size`` is how many are done side by side."""

    submit: Callable[[Job], Future[JobResult]]
    size: int


@contextmanager
def processes(settings: Settings, jobs: int, listen: Listener) -> Iterator[JobExecutor]:
    """Yield ``jobs`` processes of this machine, which share outputs with the runner."""
    worker_pool = workers.WorkerPool()

    def work_on(job: Job) -> JobResult:
        def tell(event: dict[str, Any]) -> None:
            _tell(listen, {"worker": "here", "as_of": job.as_of, **event})

        return worker_pool.work_on(job, settings.root, settings.outputs, tell)

    with ThreadPoolExecutor(jobs, thread_name_prefix="job") as pool:
        try:
            yield JobExecutor(lambda job: pool.submit(work_on, job), jobs)
        finally:
            pool.shutdown(cancel_futures=True)
            worker_pool.close()


@contextmanager
def dask(settings: Settings, address: str, listen: Listener) -> Iterator[JobExecutor]:
    """Yield the workers of the Dask cluster at ``address``; jobs of a worker that is lost go to another.

    Raises ConfigError without an archive, through which the workers' results come, ServiceError without a cluster.
    """
    if not settings.config.archive.url:
        raise ConfigError(
            f"--cluster {address}: workers share no disk, so that what they make comes by the archive. "
            f"Set archive.url in {settings.folder}/config.yaml, such as s3://bucket/prefix."
        )
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--cluster needs Dask: pip install -e '.[dask]'.") from None
    try:
        client = Client(address, timeout=CONNECT_WITHIN_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ServiceError(f"No Dask scheduler answers at {address}: {error}. Is it up, and reachable?") from error
    with client:
        size = len(client.scheduler_info()["workers"])
        if not size:
            raise ServiceError(f"The Dask cluster at {address} has no workers. Start some: `dask worker {address}`.")
        client.subscribe_topic(workers.EVENTS, lambda event: _tell(listen, event[1]))
        packed = workers.pack(settings.root)
        name = hashlib.sha256(packed).hexdigest()[:16]
        project = client.scatter(packed, broadcast=True, hash=True)
        executor: Executor = client.get_executor(pure=False)
        yield JobExecutor(lambda job: executor.submit(workers.carry_out, job, project, name), size)


def _tell(listen: Listener, event: dict[str, Any]) -> None:
    """Pass on how the stages of a worker end, with the worker and the date."""
    if event["event"] in ("stage_ended", "stage_retried", "warning"):
        listen({"event": "job", "worker": event["worker"], "as_of": event["as_of"], "line": as_line(event)})


@contextmanager
def job_executor(settings: Settings, address: str, jobs: int, listen: Listener) -> Iterator[JobExecutor]:
    """Yield the cluster at ``address``, or else ``jobs`` processes here."""
    with dask(settings, address, listen) if address else processes(settings, jobs, listen) as executor:
        yield executor


@contextmanager
def prefetch(
    request: Request, points: Sequence[datetime], executor: JobExecutor, *, alias: str, root: Path | None = None
) -> Iterator[Callable[[datetime], None]]:
    """Have the independent stages of all points done; yield what waits until those of one point are.

    A point whose stages fail is waited for as well: the runner then meets the failure itself, and tells it.
    """
    settings = config.load(request.params, root=root)
    stages = tuple(independent(build(settings, request.workflow)))
    pending = {
        point: executor.submit(
            Job(
                request.params,
                request.workflow,
                stages,
                point.isoformat(),
                alias,
                request.overrides,
                request.fresh,
                publish=request.publish,
                trial=request.trial,
            )
        )
        for point in (points if stages else ())
    }

    def wait(point: datetime) -> None:
        if point in pending:
            pending[point].result()

    try:
        yield wait
    finally:
        for future in pending.values():
            future.cancel()


class DistributedStages:
    """Has the independent stages of one run done by a executor, each as soon as its needs are."""

    def __init__(self, settings: Settings, request: Request, executor: JobExecutor) -> None:
        """The run is to be given `drivers`, and `heard` instead of its listener."""
        from quire.io import archive

        self._settings, self._request, self._executor = settings, request, executor
        self._far = set(independent(build(settings, request.workflow, request.stages)))
        self._archive = archive.open(settings)
        self._folder = Path()
        self._lock = threading.Lock()

    @property
    def drivers(self) -> Drivers:
        """What the run is to be given."""
        return Drivers(carry=self.carry)

    def heard(self, listen: Listener) -> Listener:
        """Return a listener that also learns where the run is."""

        def hear(event: dict[str, Any]) -> None:
            if event["event"] == "run_started":
                self._folder = self._settings.outputs / "runs" / event["run_id"]
            listen(event)

        return hear

    def carry(self, task: Task, attempt: Callable[[], None]) -> None:
        """Have a stage done elsewhere and bring back what it left; one that reads outside state is done here."""
        if task.name not in self._far:
            attempt()
            return
        request = self._request
        job = Job(
            request.params, request.workflow, (task.name,), request.as_of, self._settings.alias, request.overrides,
            request.fresh, shares=True, publish=request.publish, trial=request.trial,
        )  # fmt: skip
        result = self._executor.submit(job).result()
        if result["exit_code"]:
            raise _failure(task, result)
        self._bring(task, result)

    def _bring(self, task: Task, done: JobResult) -> None:
        parts = (f"artifacts/{task.name}/", f"notebooks/{task.name}.ipynb")
        with self._lock:
            assert self._archive is not None
            job_folder = self._archive.fetch_run(done["run_id"], below=parts)
        for part in parts:
            if (job_folder / part).exists():
                files.link(job_folder / part, self._folder / part)


def _failure(task: Task, done: JobResult) -> Exception:
    """Return the error of a stage that failed elsewhere, with its cell."""
    error = done["errors"].get(task.name) or next(iter(done["errors"].values()), "the worker's process ended")
    if isinstance(error, str):
        return CellFailed(error)
    text = "\n".join([f"{error['kind']}: {error['message']}", *error.get("traceback", [])])
    return CellFailed(text, error.get("cell"), error.get("source", ""))


def local(workers: int, folder: Path) -> Any:
    """Return a running Dask cluster of ``workers`` processes on this machine, each with a folder of its own."""
    os.environ.setdefault("DASK_DISTRIBUTED__DIAGNOSTICS__NVML", "False")
    try:
        from distributed import LocalCluster
    except ImportError:
        raise ConfigError("A cluster needs Dask: pip install -e '.[dask]'.") from None
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
        local_directory=str(folder),
    )  # fmt: skip

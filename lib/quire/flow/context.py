"""What the parts of one run share."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.config import Settings
from quire.flow.cache import Cache
from quire.flow.graph import Graph, Task, beside, width
from quire.flow.libraries import Libraries
from quire.flow.parameters import read_signature
from quire.flow.record import Record
from quire.flow.remote_cache import RemoteCache
from quire.flow.source_graph import SourceGraph
from quire.flow.threads import THREADS
from quire.redaction import redact

if TYPE_CHECKING:
    from quire.flow.fork_server import ForkServerPool

Listener = Callable[[dict[str, Any]], None]
"""Called with every event of a run: ``{"event": "stage_started", "stage": ..., ...}``."""


Carrier = Callable[[Task, Callable[[], None]], None]
"""Carries a stage out, called in the stage's thread: given the task and an attempt, it makes the attempt, again as
often as it sees fit, and raises what the last one raised."""

KernelMaker = Callable[[Path, Mapping[str, str]], Any]
"""Given root and environment, returns a kernel that is not started yet; see `quire.flow.kernels.Kernel`."""


@dataclass(frozen=True)
class Drivers:
    """Who does the work of a run, where it is not this process alone: an orchestrator, a cluster.

    carry: instead of the runner's own retries. kernel: instead of a kernel on this machine. fork_servers: that
    several runs share, one after another.
    """

    carry: Carrier | None = None
    kernel: KernelMaker | None = None
    fork_servers: "ForkServerPool | None" = None


NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "WHYLOGS_NO_ANALYTICS": "True"}
"""It is off in every kernel; it would also start threads, and a process with threads cannot be forked."""

FOR_ANOTHER = "cluster"
"""Cause of a run whose stages another run has asked for: it goes to the archive, and the other one is told of."""


@dataclass(frozen=True)
class Request:
    """What somebody asks the runner to do.

    stages: bring only these up to date, with what they need; all of the workflow if empty.
    overrides: ``{stage: {name: value}}``, above params.yaml. as_of: the logical time, ISO 8601; empty for the default.
    fresh: run every stage. jobs: stages side by side; 0 for the cores. wait_s: how long to wait for another run of the
    same params; negative for ever. cold: start every kernel anew instead of forking it from a warm process.
    publish: change what others see: MLflow, the registry, the database, the archive, alerts; else only outputs/runs.
    trial: what an experiment tries, in a few words; it is logged to MLflow and archived, but moves no alias, writes
    nothing to the database and alerts nobody; empty for a run that is none. beside: may go on while others of the same
    params do, at other dates; only for stages that read no outside state. cause: why this run was started, if not by a
    person.
    """

    params: str
    workflow: str = "train"
    stages: tuple[str, ...] = ()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    as_of: str = ""
    fresh: bool = False
    jobs: int = 0
    wait_s: float = 0
    cold: bool = False
    publish: bool = True
    trial: str = ""
    beside: bool = False
    cause: str = ""


@dataclass(frozen=True)
class Context:
    """One run: what was asked for, what is known, and where it is written down."""

    settings: Settings
    request: Request
    graph: Graph
    parameters: Mapping[str, Mapping[str, Any]]
    as_of: str
    record: Record
    cache: Cache
    library: SourceGraph
    libraries: Libraries
    listen: Listener
    elsewhere: RemoteCache
    drivers: Drivers = Drivers()
    token: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.record.folder

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.record.folder.name

    @property
    def environment(self) -> dict[str, str]:
        """What is added to the environment of processes that belong to the run."""
        return {
            "QUIRE_ALIAS": self.settings.alias,
            "QUIRE_RUN_TOKEN": self.token,
            "QUIRE_OUTPUTS": str(self.settings.outputs),
            "QUIRE_ROOT": str(self.settings.root),
            **NO_TELEMETRY,
            **self._threads,
        }

    @property
    def jobs(self) -> int:
        """How many stages run side by side at most."""
        return self.request.jobs or os.cpu_count() or 1

    @property
    def _threads(self) -> dict[str, str]:
        """Return on how many cores a kernel computes that was told nothing else, unless somebody said how many."""
        return {THREADS: str(self._share(width(self.graph)))} if self._shares_cores else {}

    def threads(self, task: Task) -> int:
        """Return on how many cores the notebook of ``task`` is to compute if it starts now; 0 if others decide.

        What can still run beside it gets its share. OpenMP and BLAS would each start a thread per core in every kernel,
        and wait for one another: measured on two cores beside one busy process, the same gradient boosting took 2.4 s
        with two threads and 0.6 s with one.
        """
        stages = self.record.stages
        others = beside(self.graph, task.name)
        active_tasks = {
            name: other for name, other in others.items() if stages[name]["status"] in ("waiting", "running")
        }
        return self._share(1 + width(active_tasks)) if self._shares_cores else 0

    @property
    def _shares_cores(self) -> bool:
        return THREADS not in os.environ and not self.drivers.kernel

    def _share(self, side_by_side: int) -> int:
        return max(1, (os.cpu_count() or 1) // min(self.jobs, side_by_side))

    def artifacts(self, name: str) -> Path:
        """Return where the task ``name`` saves its artifacts."""
        return self.folder / "artifacts" / name

    def emit(self, event: str, **values: Any) -> None:
        """Tell the listener."""
        self.listen({"event": event, **values})

    def warn(self, message: str) -> None:
        """Tell the listener, and keep in run.json, what went wrong beside the stages.

        Where the disk has no room for it now, the record's next change writes it too, and ends the run if it cannot.
        """
        message = redact(message)
        self.emit("warning", message=message)
        with suppress(OSError):
            self.record.update(warnings=[*self.record.content.get("warnings", []), message])

    def own_values(self, task: Task) -> dict[str, Any]:
        """Return the values that the task's result depends on: its parameters, and ``as_of`` if it takes one."""
        values = dict(self.parameters[task.name])
        if "as_of" in read_signature(task.notebook):
            values["as_of"] = self.as_of
        return values

    def injected_values(self, task: Task) -> dict[str, Any]:
        """Return what papermill puts into the notebook."""
        folder, root = self.artifacts(task.name), self.settings.root
        run_dir = folder.relative_to(root) if folder.is_relative_to(root) else folder
        return {"params": self.settings.name, "run_dir": str(run_dir), **self.own_values(task)}

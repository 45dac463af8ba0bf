"""What a worker does of a run: the stages it is given, in a process of its own, from a copy of the project.

A worker shares no disk with who sent the work. It takes what the stages need from the archive, by their keys, and what
it makes goes there: whoever asks for the same stages next finds them.
"""

import ctypes
import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quire.flow.context import Drivers

EVENTS = "quire"
"""Dask's topic on which a worker tells what happens."""

GIVE_WAY = 10
"""Niceness of a job's process."""

_SHIPPED = (("notebooks", "**/*"), ("params", "**/*.yaml"), ("lib", "**/*"))


@dataclass(frozen=True)
class Job:
    """Stages of one workflow of one use case as of a date; ``alias`` is who is champion for them.

    shares: whether a search in them may have its fits done by the other workers too. publish, trial: as of the run
    that asks for them.
    """

    params: str
    workflow: str
    stages: tuple[str, ...]
    as_of: str
    alias: str
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fresh: bool = False
    shares: bool = False
    publish: bool = True
    trial: str = ""


_unpacking = threading.Lock()

JobResult = dict[str, Any]
"""How a job ended: status, run_id, exit_code, and errors by stage as run.json holds them."""


def pack(root: Path) -> bytes:
    """Return notebooks, params and lib of the project as a zip archive, the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, pattern in _SHIPPED:
            for path in sorted((root / folder).glob(pattern)):
                parts = path.relative_to(root).parts
                if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
                    archive.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes())
    return packed.getvalue()


class Worker:
    """A process that does jobs, one after another, and ends with the thread that started it.

    A later job finds imported what an earlier one needed: the fork server is kept between them.
    """

    def __init__(self, root: Path, outputs: Path, *, cluster: str = "") -> None:
        """Start in the project ``root``; cluster: address of the scheduler whose workers share in a search."""
        lib = root / "lib"
        paths = [str(lib)] * (lib / "quire").is_dir() + os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quire.flow.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "QUIRE_ROOT": str(root),
                "QUIRE_OUTPUTS": str(outputs),
                "QUIRE_CLUSTER": cluster,
            },
            text=True,
            preexec_fn=_end_with_parent_and_give_way,
        )

    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def work_on(self, job: Job, listen: Callable[[dict[str, Any]], None]) -> JobResult:
        """Have a job done, tell ``listen`` what happens meanwhile, and return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # its end of output says the same
            self._process.stdin.write(json.dumps(asdict(job)) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "job_ended":
                return event
            listen(event)
        return {"status": "failed", "exit_code": self._process.wait() or 1, "errors": {}}

    def close(self) -> None:
        """Let the process end; it has no job."""
        self._process.communicate()


class WorkerPool:
    """Workers that wait for their next job; one that waits too long ends, since it holds memory."""

    def __init__(self, longest_wait_s: float = 60) -> None:
        """Nothing starts before there is a job."""
        self._longest_wait_s = longest_wait_s
        self._lock = threading.Lock()
        self._idle: dict[Path, list[tuple[Worker, threading.Timer]]] = {}

    def work_on(self, job: Job, root: Path, outputs: Path, listen: Callable[[dict[str, Any]], None]) -> JobResult:
        """Have a job done by a worker of the project ``root``, a new one if none is idle."""
        job_worker = self._take(root) or Worker(root, outputs)
        result = job_worker.work_on(job, listen)
        if job_worker.is_up():
            self._put(root, job_worker)
        return result

    def close(self) -> None:
        """End all that are idle."""
        for root in list(self._idle):
            while job_worker := self._take(root):
                job_worker.close()

    def _take(self, root: Path) -> Worker | None:
        with self._lock:
            idle = self._idle.get(root, [])
            while idle:
                job_worker, timer = idle.pop()
                timer.cancel()
                if job_worker.is_up():
                    return job_worker
        return None

    def _put(self, root: Path, job_worker: Worker) -> None:
        timer = threading.Timer(self._longest_wait_s, self._drop, (root, job_worker))
        timer.daemon = True
        with self._lock:
            self._idle.setdefault(root, []).append((job_worker, timer))
        timer.start()

    def _drop(self, root: Path, job_worker: Worker) -> None:
        with self._lock:
            idle = self._idle.get(root, [])
            entries = [entry for entry in idle if entry[0] is not job_worker]
            is_idle = len(entries) < len(idle)
            self._idle[root] = entries
        if is_idle:
            job_worker.close()


_posts = WorkerPool()
"""Those of this Dask worker."""


def carry_out(job: Job, project: bytes, name: str) -> JobResult:
    """Do a job on the Dask worker that this is called on; ``name`` of the packed ``project`` is its folder's."""
    from distributed import get_worker, secede

    worker = get_worker()
    root = Path(worker.local_directory) / "quire" / name
    with _unpacking:  # a worker can have several jobs in hand
        if not root.is_dir():
            _unpack(project, root)

    def tell(event: dict[str, Any]) -> None:
        worker.log_event(EVENTS, {"worker": worker.address, "as_of": job.as_of, **event})

    if not job.shares:
        return _posts.work_on(job, root, root / "outputs", tell)
    secede()  # this thread only waits for the process, whose search wants it; it ends with the job, and its worker too
    job_worker = Worker(root, root / "outputs", cluster=worker.scheduler.address)
    result = job_worker.work_on(job, tell)
    job_worker.close()
    return result


def _unpack(project: bytes, root: Path) -> None:
    """Make the folder ``root`` of a packed project; it appears whole."""
    temp_folder = root.with_name(f".{root.name}.{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(project)) as archive:
        archive.extractall(temp_folder)
    os.replace(temp_folder, root)


def _end_with_parent_and_give_way() -> None:
    """Ask the kernel to end this process when its parent ends, whatever ended that, and to prefer others to it.

    Who waits for the work is on the same machine at times: a backfill follows its workers in date order, alone, and
    would come last to a core that several of them want.
    """
    os.nice(GIVE_WAY)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Run each job that stdin holds, as a line of JSON; print events, and how it ended, as lines of JSON too."""
    from quire.flow.context import Drivers
    from quire.flow.fork_server import ForkServerPool

    with ForkServerPool() as fork_servers:
        for line in sys.stdin:
            _run(Job(**json.loads(line)), Drivers(fork_servers=fork_servers))


def _run(job: Job, drivers: "Drivers") -> None:
    from quire.errors import QuireError
    from quire.flow.context import FOR_ANOTHER, Request
    from quire.flow.progress import print_json as tell
    from quire.flow.run import run

    os.environ["QUIRE_ALIAS"] = job.alias
    request = Request(
        job.params, job.workflow, tuple(job.stages), job.overrides, as_of=job.as_of, fresh=job.fresh, jobs=1,
        wait_s=-1, beside=True, cause=FOR_ANOTHER, publish=job.publish, trial=job.trial,
    )  # fmt: skip
    try:
        result = run(request, listen=tell, drivers=drivers)
    except QuireError as error:
        tell({"event": "job_ended", "status": "failed", "exit_code": error.exit_code, "errors": {"": str(error)}})
        return
    stages = result.record["stages"]
    errors = {name: stage["error"] for name, stage in stages.items() if stage.get("error")}
    tell(
        {
            "event": "job_ended",
            "status": result.record["status"],
            "run_id": result.folder.name,
            "exit_code": result.exit_code,
            "errors": errors,
        }
    )


if __name__ == "__main__":
    main()

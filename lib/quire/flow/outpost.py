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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EVENTS = "quire"
"""Dask's topic on which a worker tells what happens."""

_SHIPPED = (("notebooks", "*.ipynb"), ("params", "**/*.yaml"), ("lib/quire", "**/*"))


@dataclass(frozen=True)
class Job:
    """Stages of one workflow of one use case as of a date; ``alias`` is who is champion for them.

    shares: whether a search in them may have its fits done by the other workers too.
    """

    params: str
    workflow: str
    stages: tuple[str, ...]
    as_of: str
    alias: str
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fresh: bool = False
    shares: bool = False


_unpacking = threading.Lock()

Done = dict[str, Any]
"""How a job ended: status, run_id, exit_code, and errors by stage as run.json holds them."""


def pack(root: Path) -> bytes:
    """Return notebooks, params and lib of the project as a zip archive, the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, pattern in _SHIPPED:
            for path in sorted((root / folder).glob(pattern)):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes())
    return packed.getvalue()


def work_on(
    job: Job, root: Path, outputs: Path, listen: Callable[[dict[str, Any]], None], *, cluster: str = ""
) -> Done:
    """Do a job in a process of its own that ends with this one, and return how it ended.

    cluster: address of the scheduler whose workers share in a search.
    """
    lib = root / "lib"
    paths = [str(lib)] * (lib / "quire").is_dir() + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    process = subprocess.Popen(
        [sys.executable, "-m", "quire.flow.outpost"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "QUIRE_ROOT": str(root),
            "QUIRE_OUTPUTS": str(outputs),
            "QUIRE_ALIAS": job.alias,
            "QUIRE_CLUSTER": cluster,
        },
        text=True,
        preexec_fn=_end_with_parent,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as orders:
        orders.write(json.dumps(asdict(job)))
    done: Done = {}
    with process.stdout as told:
        for line in told:
            event = json.loads(line)
            if event["event"] == "job_ended":
                done = event
            else:
                listen(event)
    process.wait()
    return done or {"status": "failed", "exit_code": process.returncode or 1, "errors": {}}


def carry_out(job: Job, project: bytes, name: str) -> Done:
    """Do a job on the Dask worker that this is called on; ``name`` of the packed ``project`` is its folder's."""
    from distributed import get_worker, secede

    worker = get_worker()
    if job.shares:
        secede()  # this thread only waits for the process, whose search wants it
    root = Path(worker.local_directory) / "quire" / name
    with _unpacking:  # a worker can have several jobs in hand
        if not root.is_dir():
            _unpack(project, root)

    def tell(event: dict[str, Any]) -> None:
        worker.log_event(EVENTS, {"worker": worker.address, "as_of": job.as_of, **event})

    return work_on(job, root, root / "outputs", tell, cluster=worker.scheduler.address if job.shares else "")


def _unpack(project: bytes, root: Path) -> None:
    """Make the folder ``root`` of a packed project; it appears whole."""
    beside = root.with_name(f".{root.name}.{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(project)) as archive:
        archive.extractall(beside)
    os.replace(beside, root)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, whatever ended that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Run the job that stdin holds as JSON; print events, and at last how it ended, as lines of JSON."""
    from quire.errors import QuireError
    from quire.flow.context import FOR_ANOTHER, Request
    from quire.flow.progress import print_json as tell
    from quire.flow.run import run

    job = Job(**json.load(sys.stdin))
    request = Request(
        job.params, job.workflow, tuple(job.stages), job.overrides, as_of=job.as_of, fresh=job.fresh, jobs=1,
        wait_s=-1, beside=True, cause=FOR_ANOTHER,
    )  # fmt: skip
    try:
        result = run(request, listen=tell)
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

"""What leaves the run's folder: MLflow, the archive, alerts and figures; by a process of its own.

The process starts with the first notebook and imports its heavy libraries while notebooks compute, so that little is
left to do, and to wait for, at the end. It ends when the runner does.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from quire import config
from quire.config import Settings
from quire.errors import ArchiveError, QuireError
from quire.flow import delivery
from quire.flow.cache import Cache
from quire.flow.context import FOR_ANOTHER, Context
from quire.flow.delivery import send_figures as send_figures
from quire.flow.forked_process import ForkedProcess, Refused
from quire.flow.forkserver import stay_nice
from quire.flow.imports import skip_iri_grammar
from quire.flow.record import read_record
from quire.flow.remote_cache import stage_key, trace_name
from quire.flow.run_fork_server import PUBLISH, RunForkServer
from quire.io import pending_notes as notes

if TYPE_CHECKING:
    from quire.io.archive import Archive

Told = dict[str, Any]

PUBLISH_FAILED = "PublishFailed"
"""The kind of problem that stands for all: the process itself ended early."""


CATCH_UP = "The next run, or `quire publish`, catches it up."


class Publisher:
    """The runner's end: hears the events of a run and hands them to the process, all from a thread of its own."""

    def __init__(self, context: Context, fork_server: RunForkServer) -> None:
        """Nothing starts before there is something to publish."""
        self._context, self._fork_server = context, fork_server
        self._orders: SimpleQueue[Told | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._told: list[Told] = []

    def hear(self, event: dict[str, Any]) -> None:
        """Start with the first notebook, and pass on each stage that ended."""
        if event["event"] == "stage_started":
            self._start()
        elif event["event"] == "stage_ended" and self._context.settings.config.archive.url:
            self._start()
            self._orders.put({"do": "stage", "stage": event["stage"]})

    def finish(self) -> list[Told]:
        """Publish the ended run and return what went wrong, each as kind and message."""
        context, outputs = self._context, self._context.settings.outputs
        if context.record.content["status"] != "succeeded" or context.request.trial:
            self._start()  # a note is kept, also where nothing had to be computed for it
        if self._thread is None:
            notes.runs(outputs).remove(context.run_id)
            if any(delivery.left(outputs, but=context.run_id)):
                self._start()
        if self._thread is None:
            return []
        self._orders.put({"do": "end"})
        self._orders.put(None)
        self._thread.join()
        return self._told

    def _start(self) -> None:
        request = self._context.request
        if self._thread is None and (
            request.publish or request.cause == FOR_ANOTHER
        ):  # who waits has it by the archive
            self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        orders, orders_read_fd = os.pipe()[::-1]
        answers_read_fd, answers = os.pipe()
        log = self._context.folder / ".publish.log"
        with log.open("w") as errors:
            process = self._process([orders_read_fd, answers, errors.fileno()])
        os.close(orders_read_fd)
        os.close(answers)
        with suppress(BrokenPipeError), os.fdopen(orders, "w") as out:
            while (order := self._orders.get()) is not None:
                out.write(json.dumps(order) + "\n")
                out.flush()
        with os.fdopen(answers_read_fd) as answers_in:
            self._told = [json.loads(line) for line in answers_in if line.startswith("{")]
        code = process.wait()
        if code:
            last = (log.read_text("utf-8").strip().splitlines() or [f"exit code {code}"])[-1]
            self._told.append(
                {"kind": PUBLISH_FAILED, "message": f"The run could not be published: {last}. {CATCH_UP}"}
            )
        log.unlink()

    def _process(self, descriptors: list[int]) -> ForkedProcess | subprocess.Popen[bytes]:
        context = self._context
        arguments = ["quire.flow.publish", context.settings.name, str(context.folder)]
        server = self._fork_server.started()
        if server is not None:
            with suppress(Refused, OSError):
                return server.fork(PUBLISH, arguments, context.settings.root, descriptors)
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=descriptors[0],
            stdout=descriptors[1],
            stderr=descriptors[2],
            cwd=context.settings.root,
            env={**os.environ, **context.environment},
            start_new_session=True,  # Ctrl-C at the terminal is for the runner
        )


def main(name: str, folder: Path) -> None:
    """Publish the run in ``folder`` as the runner, at the other end of stdin, says; print what went wrong as JSON."""
    settings = config.load(name)
    if read_record(folder)["cause"] != FOR_ANOTHER:
        _warm_up(settings)
    remote = _archive_of(settings, stores=read_record(folder)["cause"] != FOR_ANOTHER)
    with notes.runs(settings.outputs).held(folder.name):  # or the next run would publish it too, if the runner died
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "end":
                for problem in _publish(settings, folder, remote):
                    print(json.dumps(problem), flush=True)
            elif remote is not None:
                _archive_stage(settings, folder, order["stage"], remote)


def _warm_up(settings: Settings) -> None:
    skip_iri_grammar()
    from quire.io import tracking

    with suppress(QuireError):
        tracking.open(settings).champion()


def _archive_of(settings: Settings, *, stores: bool) -> "Archive | None":
    from quire.io import archive

    return archive.open(settings, stores=stores)


def _archive_stage(settings: Settings, folder: Path, stage: str, there: "Archive") -> None:
    key = read_record(folder)["stages"][stage].get("key", "")
    traces = Cache(settings.outputs, settings.name).traces(stage, key) if key else []
    notes = {trace_name(trace): trace for trace in traces if trace["run_id"] == folder.name}
    # What does not arrive now is sent, or reported, when the run ends.
    with suppress(ArchiveError):
        there.save_stage(folder, stage_key(settings, stage, key), notes)


def _publish(settings: Settings, folder: Path, there: "Archive | None") -> Iterator[Told]:
    """Deliver what this run owes, and then what earlier ones left; do each part even if another fails."""
    run_id, record = folder.name, read_record(folder)
    if record["cause"] == FOR_ANOTHER:
        if there is not None:
            yield from _tried(lambda: there.save_run(folder))
        return
    reported = {""}
    for outcome in _deliver_all(delivery.Publication(settings, folder, record, there)):
        if outcome.message not in reported:
            reported.add(outcome.message)
            prefix = "" if outcome.run_id == run_id else f"Run {outcome.run_id} still owes {outcome.part}: "
            yield {"kind": outcome.kind, "message": f"{prefix}{outcome.message}"}
    if there is not None:
        yield from _tried(lambda: there.save_owed(but=run_id))
        yield from _tried(lambda: there.prune(datetime.now(UTC)))
        yield from _tried(lambda: there.prune_stores(datetime.now(UTC)))


def _deliver_all(run: delivery.Publication) -> Iterator[delivery.DeliveryResult]:
    """Deliver the run and its alert first, since people wait for that."""
    root, outputs = run.settings.root, run.settings.outputs
    failures = delivery.Failures()
    run_id = run.folder.name
    yield from delivery.publish(run, failures)
    yield from delivery.send_alerts(root, outputs, failures, only=run_id)
    yield from delivery.publish_others(root, outputs, failures, but=run_id)
    yield from delivery.send_alerts(root, outputs, failures, but=run_id)


def _tried(action: Callable[[], Any]) -> Iterator[Told]:
    outcome = delivery.attempt("", "", action)
    if outcome.message:
        yield {"kind": outcome.kind, "message": outcome.message}


if __name__ == "__main__":
    os.nice(10)  # to warm up can wait until a notebook leaves a core free
    stay_nice()
    main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # the run waits for the end, and taking MLflow down in good order takes a fifth of a second

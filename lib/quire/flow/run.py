"""A run: the stages of a workflow, side by side where their needs allow, and what they leave behind."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quire import config
from quire.config import Settings
from quire.errors import ArchiveError, Interrupted
from quire.flow import delivery, failure, libraries
from quire.flow.artifact_names import refuse_repeats
from quire.flow.cache import Cache
from quire.flow.checks import refuse_missing_files, refuse_paths_beside
from quire.flow.clone import Clone
from quire.flow.context import Context, Drivers, Listener, Request
from quire.flow.graph import build
from quire.flow.key import own_code
from quire.flow.lock import mark_dead_run, only_run
from quire.flow.parameters import resolve
from quire.flow.publish import PUBLISH_FAILED, Publisher
from quire.flow.record import Record, new_run_id
from quire.flow.remote_cache import RemoteCache
from quire.flow.run_fork_server import RunForkServer
from quire.flow.schedule import Schedule
from quire.flow.signals import ended_by_signal
from quire.flow.socket_dir import remove_left_behind
from quire.flow.source_graph import SourceGraph, package_root
from quire.io.permissions import proof
from quire.io.run_folder import SCHEMA


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    folder: Path
    record: Mapping[str, Any]
    archived: bool = True

    @property
    def failures(self) -> list[str]:
        """What failed, each as text for a person."""
        return [
            failure.explain(
                name, stage, params=self.record["params"], workflow=self.record["workflow"], folder=self.folder
            )
            for name, stage in self.record["stages"].items()
            if stage["status"] == "failed"
        ]

    @property
    def exit_code(self) -> int:
        """0 if every stage that should have run did, else the code of the first failure."""
        if self.record["status"] == "succeeded":
            return 0 if self.archived else ArchiveError.exit_code
        if self.record["status"] == "interrupted":
            return Interrupted.exit_code
        errors = [stage.get("error") for stage in self.record["stages"].values() if stage["status"] == "failed"]
        return failure.exit_code(errors[0] if errors else None)


def run(
    request: Request,
    *,
    root: Path | None = None,
    now: datetime | None = None,
    listen: Listener | None = None,
    drivers: Drivers | None = None,
) -> Result:
    """Run a workflow and return how it ended; a failed stage is a result, a mistake in what was asked raises.

    Everything that can be checked is checked before the first kernel starts: files, stages, notebooks, parameters.
    Raises Busy if another run of the same params is under way.
    """
    settings = config.load(request.params, root=root)
    now = now or datetime.now(UTC)
    context = prepare(settings, request, now, listen or (lambda event: None), drivers)
    name = "-".join([settings.name, as_file_name(context.as_of), *request.stages]) if request.beside else settings.name
    with only_run(settings.outputs, name, wait_s=request.wait_s) as holder:
        mark_dead_run(settings.outputs, holder)
        holder.write(context.run_id, now)
        with nullcontext() if request.beside else context.elsewhere.held(context.run_id, wait_s=request.wait_s):
            return _run(context)


def as_file_name(text: str) -> str:
    """Return the letters and digits of a text."""
    return "".join(c for c in text if c.isalnum())


def prepare(
    settings: Settings, request: Request, now: datetime, listen: Listener, drivers: Drivers | None = None
) -> Context:
    """Check all that was asked for and return the context of a run that has not started; nothing of it is on disk."""
    graph = build(settings, request.workflow, request.stages)
    parameters = resolve(settings, graph, request.overrides)
    refuse_repeats(graph)
    clone = Clone(settings.root, settings.outputs, bases=[package_root(), *(task.notebook for task in graph.values())])
    library = SourceGraph(package_root(), settings.outputs / "cache" / "facts.json", clone=clone)
    refuse_missing_files(graph, clone)
    for name, task in graph.items():
        refuse_paths_beside(task, own_code(task, parameters[name], library), clone)
    as_of = config.moment(request.as_of).isoformat() if request.as_of else ""
    outputs = settings.outputs
    installed = libraries.read(outputs / "cache" / "libraries.json")
    versions = installed.required
    run_id, token = new_run_id(now), secrets.token_hex(16)
    content = {
        "run_id": run_id,
        "params": settings.name,
        "workflow": request.workflow,
        "partial": bool(request.stages),
        "as_of": as_of or settings.config.as_of or "",
        "alias": settings.alias,
        "cause": request.cause,
        "user": settings.user,
        "publish": request.publish,
        "try": request.trial,
        "proof": proof(token),
        "commit": commit_of(settings.root) or settings.commit,
        "versions": {name: versions[name] for name in libraries.SHOWN if name in versions},
        "status": "running",
        "started_at": now.isoformat(),
        "finished_at": None,
        "seconds": None,
        "parameters": parameters,
        "stages": {name: {"status": "waiting", "needs": list(task.needs)} for name, task in graph.items()},
    }
    return Context(
        settings=settings,
        request=request,
        graph=graph,
        parameters=parameters,
        as_of=as_of,
        record=Record(outputs / "runs" / run_id, content),
        cache=Cache(outputs, settings.name),
        library=library,
        libraries=installed,
        listen=listen,
        elsewhere=RemoteCache(settings),
        drivers=drivers or Drivers(),
        token=token,
    )


def _run(context: Context) -> Result:
    started = time.monotonic()
    for part in ("notebooks", "reports", "artifacts"):
        (context.folder / part).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(context.settings.folder / SCHEMA, context.folder / SCHEMA)
    delivery.remember(context.record.content, context.settings)
    context.record.update()
    expected = {name: trace["seconds"] for name, task in context.graph.items() if (trace := context.cache.last(task))}
    context.emit("run_started", run_id=context.run_id, stages=list(context.graph), expected_s=expected)
    if context.elsewhere.news:
        context.emit("note", message=context.elsewhere.news)
    if context.elsewhere.trouble:
        context.warn(context.elsewhere.trouble)
    remove_left_behind()
    fork_server = RunForkServer(context)
    publisher = Publisher(context, fork_server)
    context = replace(context, listen=_both(context.listen, publisher.hear))
    schedule = Schedule(context, fork_server)
    try:
        with ended_by_signal(schedule.stop), context.elsewhere.stopped_when_lost(schedule.stop):
            schedule.run()
        return _finish(context, publisher, started)
    finally:
        schedule.close()
        fork_server.close()


def _finish(context: Context, publisher: Publisher, started: float) -> Result:
    seconds = round(time.monotonic() - started, 3)
    finished = datetime.fromisoformat(context.record.content["started_at"]) + timedelta(seconds=seconds)
    context.record.update(status=_status(context), finished_at=finished.isoformat(), seconds=seconds)
    _write_pages(context)
    problems = publisher.finish()
    for problem in problems:
        context.warn(problem["message"])
    elapsed_s = round(time.monotonic() - started, 3)
    index = str(context.folder / "index.html")
    context.emit("run_ended", status=context.record.content["status"], seconds=elapsed_s, index=index)
    # A publisher that ended early did not archive either.
    unsent = (ArchiveError.__name__, *([PUBLISH_FAILED] if context.settings.config.archive.url else []))
    archived = not any(problem["kind"] in unsent for problem in problems)
    return Result(context.folder, context.record.content, archived)


def _both(one: Listener, other: Listener) -> Listener:
    def listen(event: dict[str, Any]) -> None:
        one(event)
        other(event)

    return listen


def _write_pages(context: Context) -> None:
    """Write the index, and the reports that an earlier run did not get to."""
    from quire.flow.report import write_index, write_report

    try:
        for name, stage in context.record.stages.items():
            if stage.get("notebook") and not stage.get("report"):
                write_report(context, context.graph[name])
        write_index(context)
    except Exception as error:
        context.warn(f"The pages of the run could not be made: {type(error).__name__}: {error}")


def _status(context: Context) -> str:
    statuses = {stage["status"] for stage in context.record.stages.values()}
    if context.stopping.is_set():
        return "interrupted"
    return "failed" if "failed" in statuses else "succeeded"


def commit_of(root: Path) -> str:
    """Return the commit of the project, with ``-dirty`` if files differ from it; empty without git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip()

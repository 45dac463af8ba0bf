"""The workflow as a Prefect flow: its stages are tasks, its reports artifacts.

The runner decides what has to run, executes the notebooks and keeps what they leave, exactly as ``quire run`` does;
Prefect starts it, retries stages, and shows how it goes.
"""

import contextvars
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Before Prefect is imported: it sends no usage data anywhere.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State
from prefect.tasks import Task, exponential_backoff

from quire.errors import StageFailed
from quire.flow import failure
from quire.flow.context import Drivers, Request
from quire.flow.graph import Task as Stage
from quire.flow.progress import as_line
from quire.flow.run import Result, run

FIRST_WAIT_S = 1


@flow(name="quire", flow_run_name="{params} {workflow}")
def run_workflow(
    params: str = "params/demo",
    workflow: str = "train",
    stages: Sequence[str] = (),
    as_of: str = "",
    fresh: bool = False,
    jobs: int = 0,
    reports_url: str = "",
) -> str:
    """Run a workflow of a use case; return the run's folder, or fail with what failed, notebook and cell.

    stages, as_of, fresh, jobs: as for ``quire run``. reports_url: where outputs/runs is served, such as
    https://reports.example.com/runs; without, the links are those of files on the worker's machine.
    """
    request = Request(params, workflow, tuple(stages), as_of=as_of, fresh=fresh, jobs=jobs, wait_s=-1, cause="prefect")
    watch = Watch()
    result = run(request, listen=watch.listen, drivers=Drivers(carry=watch.carry))
    publish(result, reports_url)
    if result.exit_code:
        raise StageFailed("\n\n".join(result.failures) or f"The run {result.record['status']}: {result.folder}")
    return str(result.folder)


class Watch:
    """Makes a task of every stage of one run."""

    def __init__(self) -> None:
        """Remember the flow run that is under way: stages run in threads of their own, which do not know it."""
        self._context = contextvars.copy_context()
        self._log = get_run_logger()
        self._states: dict[str, State[Any]] = {}
        self._needs: dict[str, tuple[str, ...]] = {}

    def listen(self, event: dict[str, Any]) -> None:
        """Log an event of the run, and show stages that did not have to run as tasks that were completed at once."""
        line = as_line(event)
        if line:
            self._log.info(line)
        if event["event"] == "stage_ended" and event["status"] in ("reused", "skipped"):
            state = {"name": event["status"].capitalize(), "message": event.get("why")}
            self._run_task(event["stage"], (), lambda: Completed(**state))

    def carry(self, stage: Stage, attempt: Callable[[], None]) -> None:
        """Attempt a stage as a task with the retries that workflow.yaml allows; raise what the last attempt raised."""
        errors: list[Exception] = []

        def work() -> None:
            try:
                attempt()
            except Exception as error:
                errors.append(error)
                raise StageFailed(_text(stage, error)) from error

        retries = stage.options.retries
        state = self._run_task(
            stage.name,
            stage.needs,
            work,
            retries=retries,
            retry_delay_seconds=exponential_backoff(FIRST_WAIT_S) if retries else None,
            retry_condition_fn=lambda task, task_run, state: failure.is_worth_retrying(errors[-1]),
        )
        if not state.is_completed():
            raise errors[-1] if errors else StageFailed(f"Prefect ended the task: {state.name}: {state.message}")

    def _run_task(self, name: str, needs: Sequence[str], work: Callable[[], Any], **options: Any) -> State[Any]:
        def run_task() -> State[Any]:
            task = Task(fn=work, name=name, cache_policy=NO_CACHE, persist_result=False, **options)
            return task(return_state=True, wait_for=[self._states[need] for need in needs if need in self._states])

        # A context can be entered by one thread at a time, so each task gets a copy.
        self._states[name] = self._context.copy().run(run_task)
        return self._states[name]


def publish(result: Result, reports_url: str) -> None:
    """Make artifacts: a table of the run's stages, and a link to each report."""
    params, rows = result.record["params"], []
    for name, stage in result.record["stages"].items():
        report = stage.get("report")
        rows.append(f"| {name} | {stage['status']} | {stage.get('seconds') or 0:.1f} | {stage.get('why', '')} |")
        if report:
            link = _link(result.folder, report, reports_url)
            create_link_artifact(link=link, link_text=f"{name} of {params}", key=_key(params, name))
    index = "index.html"
    if (result.folder / index).is_file():
        link = _link(result.folder, index, reports_url)
        create_link_artifact(link=link, link_text=f"run {result.folder.name}", key=_key(params, "index"))
    table = ["| stage | status | seconds | why |", "|---|---|---|---|", *rows]
    text = f"Run {result.folder.name} {result.record['status']}.\n\n" + "\n".join(table)
    create_markdown_artifact(markdown=text, key=_key(params, "run"))


def _key(params: str, name: str) -> str:
    """Return a key as Prefect takes it: lower-case letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in f"{params}-{name}".lower())


def _link(folder: Path, path: str, reports_url: str) -> str:
    return f"{reports_url.rstrip('/')}/{folder.name}/{path}" if reports_url else (folder / path).resolve().as_uri()


def _text(stage: Stage, error: Exception) -> str:
    described = failure.describe(stage, error)
    cell = f", cell {described['cell']}" if described.get("cell") else ""
    return f"{described['notebook']}{cell}: {described['kind']}: {described['message']}"

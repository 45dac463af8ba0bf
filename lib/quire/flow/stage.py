"""One stage of a run: reuse what an earlier run holds, or execute the notebook and keep what it left."""

import itertools
import json
import os
import shutil
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quire.errors import StageFailed
from quire.flow import failure, files, wording
from quire.flow.cache import Trace
from quire.flow.context import Context
from quire.flow.graph import Task, above
from quire.flow.kernel_slot import KernelSlot
from quire.flow.key import Key, changed_meanwhile, explain_change, key_of, looked_at, outside, reach_of
from quire.flow.run_fork_server import cold_reason
from quire.io.artifacts import INPUTS, SUFFIXES, Stopped, read_signals, read_stop
from quire.io.permissions import doors
from quire.page.numbers import shortened

FIRST_TIME = "it has not run before"

_FIRST_WAIT_S = 1
_LONGEST_WAIT_S = 60


class StageRun:
    """What is needed to run one task of a run, once its needs have ended."""

    def __init__(self, context: Context, task: Task) -> None:
        """Compute the task's key; raises if the source or another state that it depends on is not there."""
        self.context, self.task = context, task
        values = context.own_values(task)
        self.reach = reach_of(task, values, context.library)
        self.key: Key = key_of(
            task, context.settings, values, context.library, context.libraries, reach=self.reach, needed=self._needed()
        )
        self.reads = self._state()
        self.threads = context.threads(task)
        self.cold = cold_reason(self.reach, context.libraries)
        self.why = ""

    def reuse(self) -> bool:
        """Take the result from an earlier run if nothing changed, and say why or why not."""
        context, task = self.context, self.task
        if context.request.fresh:
            self.why = "--fresh"
            return False
        trace = self.find()
        if trace is None and context.elsewhere.bring(context.cache, task, self.key, self._matches, context.warn):
            trace = self.find()
        if trace is None:
            self.why = self.reason()
            return False
        source = context.cache.runs / trace["run_id"]
        for part in (f"artifacts/{task.name}", f"notebooks/{task.name}.ipynb", f"reports/{task.name}.html"):
            if (source / part).exists():
                files.link(source / part, context.folder / part)
        words = wording.digest(task.notebook)
        renewed = words != trace.get("words") and self._renew()
        context.cache.hold(task, self.key, trace, context.run_id, words=words)
        context.record.update_stage(
            task.name,
            status="reused",
            seconds=0.0,
            why=f"unchanged since run {trace['made_by']}" + (", but for its text" if renewed else ""),
            made_by=trace["made_by"],
            key=self.key.digest,
            artifacts=[{k: artifact[k] for k in ("name", "sha256", "bytes")} for artifact in trace["artifacts"]],
            **self._papers(),
            **self._stop(),
        )
        return True

    def _renew(self) -> bool:
        """Show the text cells that were edited since in the reused notebook and report; whether that could be done."""
        executed = self.context.folder / "notebooks" / f"{self.task.name}.ipynb"
        if not executed.exists():
            return False
        wording.renew(executed, self.task.notebook, executed)
        self.context.record.update_stage(self.task.name, **self._papers())
        self.write_report()
        return True

    def execute(self, slot: KernelSlot) -> None:
        """Run the notebook in the slot's kernel, again after a failure as often as workflow.yaml allows."""
        started = time.monotonic()
        reason = f"{self.why}; {self.cold}" if self.cold else self.why
        cold = {"cold": self.cold} if self.cold else {}
        self.context.record.update_stage(self.task.name, status="running", why=reason, started_at=_now(), **cold)
        self.context.emit("stage_started", stage=self.task.name, why=reason)
        try:
            self._attempts(slot)
            values = self._keep(time.monotonic() - started)
        except Exception as error:
            status = "interrupted" if self.context.stopping.is_set() else "failed"
            values = {"status": status, "error": failure.describe(self.task, error)}
            if failure.is_full_disk(error):  # what nobody will read makes room to say so
                shutil.rmtree(self.context.artifacts(self.task.name), ignore_errors=True)
        seconds = round(time.monotonic() - started, 3)
        self.context.record.update_stage(self.task.name, seconds=seconds, **values, **self._papers())

    def write_report(self) -> None:
        """Make the notebook's report, while others compute; a failure leaves a warning, not a failed stage."""
        from quire.flow.report import write_report

        if not (self.context.folder / "notebooks" / f"{self.task.name}.ipynb").exists():
            return
        try:
            write_report(self.context, self.task)
        except Exception as error:
            self.context.warn(f"The report of {self.task.name} could not be made: {type(error).__name__}: {error}")

    def _attempts(self, slot: KernelSlot) -> None:
        if self.context.drivers.carry is None:
            self._retry(slot)
            return
        attempts = itertools.count()

        def attempt() -> None:
            if next(attempts):
                slot.renew()
            self._attempt(slot)

        self.context.drivers.carry(self.task, attempt)

    def _retry(self, slot: KernelSlot) -> None:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        def again(state: Any) -> None:
            message = str(failure.describe(self.task, state.outcome.exception())["message"])
            self.context.emit("stage_retried", stage=self.task.name, attempt=state.attempt_number, message=message)
            slot.renew()

        def pause(seconds: float) -> None:
            stopping.wait(seconds)

        stopping = self.context.stopping
        Retrying(
            stop=stop_after_attempt(self.task.options.retries + 1),
            wait=wait_exponential(_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
            retry=retry_if_exception(lambda error: failure.is_worth_retrying(error) and not stopping.is_set()),
            sleep=pause,
            before_sleep=again,
            reraise=True,
        )(self._attempt, slot)

    def _attempt(self, slot: KernelSlot) -> None:
        from quire.flow.kernels import Execution

        folder = self.context.artifacts(self.task.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.threads:
            self.context.record.update_stage(self.task.name, threads=self.threads)
        output = self.context.folder / "notebooks" / f"{self.task.name}.ipynb"
        partial = output.with_name(f".{output.stem}.partial.ipynb")
        limit = self.task.options.timeout_s
        alarm = threading.Timer(limit or 0, slot.kill)
        if limit:
            alarm.start()
        try:
            slot.kernel().execute(
                Execution(
                    notebook=self.task.notebook,
                    output=partial,
                    parameters=self.context.injected_values(self.task),
                    artifacts=folder,
                    cell_timeout_s=self.task.options.cell_timeout_s,
                    on_cell=lambda cell, of: self.context.emit("cell", stage=self.task.name, cell=cell, of=of),
                    threads=self.threads,
                )
            )
        except Stopped:
            pass
        except failure.CellFailed as error:
            if limit and alarm.finished.is_set() and not self.context.stopping.is_set():
                message = f"The stage took longer than {limit:g} s (timeout_s in workflow.yaml)."
                raise failure.TimedOut(message, error.cell, error.source) from None
            raise
        finally:
            alarm.cancel()
            _hand_on(partial, output)

    def _keep(self, seconds: float) -> dict[str, Any]:
        """Check and hash what the stage left, enter it in the cache, and return what run.json says of it."""
        context, task = self.context, self.task
        artifacts = files.list_artifacts(context.artifacts(task.name))
        self._refuse_repeats(artifacts)
        names = self._names_read()
        self._refuse_strangers(names)
        self._remember(artifacts, names, seconds)
        values: dict[str, Any] = {"status": "succeeded", "key": self.key.digest, "artifacts": artifacts}
        signals = [
            {**signal, "reason": shortened(signal["reason"], failure.MESSAGE_LIMIT)}
            for signal in read_signals(context.artifacts(task.name))
        ]
        return values | ({"signals": signals} if signals else {}) | self._stop()

    def _remember(self, artifacts: list[dict[str, Any]], names: list[str], seconds: float) -> None:
        """Enter the result in the cache, unless it is not known of which code and files it was made."""
        context, task = self.context, self.task
        reach = reach_of(task, context.own_values(task), context.library)
        changed_names = changed_meanwhile(self.reach, reach)
        if changed_names:
            context.warn(
                f"{', '.join(changed_names[:4])} changed while {task.name} ran, so it will run again next time."
            )
            return
        context.cache.add(
            task,
            self.key,
            run_id=context.run_id,
            artifacts=artifacts,
            inputs=self._inputs(names),
            reads=self._state() if task.options.reads else self.reads,
            written=reach.written,
            seconds=seconds,
            words=wording.digest(task.notebook),
        )

    def _refuse_repeats(self, artifacts: list[dict[str, Any]]) -> None:
        own_names = {artifact["name"] for artifact in artifacts if not artifact["name"].startswith("_")}
        for name, stage in self.context.record.stages.items():
            if self.context.graph[name].stage == self.task.stage:
                continue
            shared_names = sorted(own_names & {artifact["name"] for artifact in stage.get("artifacts", [])})
            if shared_names:
                raise StageFailed(
                    f"The stages {name} and {self.task.name} both save {shared_names[0]!r}; rename one of them."
                )

    def _names_read(self) -> list[str]:
        """Return the names that the notebook loaded or looked for."""
        path = self.context.artifacts(self.task.name) / INPUTS
        return sorted(set(path.read_text("utf-8").splitlines())) if path.exists() else []

    def _inputs(self, names: list[str]) -> dict[str, dict[str, str]]:
        """Return, for each name, the hashes of the artifacts that it stands for now, by their places."""
        allowed = above(self.context.graph, self.task.name)
        answers = doors(self.context.record.content)
        return {
            name: {"answer": answers[name]}
            if name in answers
            else {place: sha256 for other, place, sha256 in self._places(name) if other in allowed}
            for name in names
        }

    def _refuse_strangers(self, names: list[str]) -> None:
        """Raise StageFailed if the notebook read what may not be there in the next run."""
        allowed = {self.task.name, *above(self.context.graph, self.task.name)}
        for name in names:
            for other, _, _ in self._places(name):
                if other not in allowed:
                    raise StageFailed(
                        f"The stage {self.task.name} reads {name!r} of the stage {other}, which it does not need, "
                        f"so it may not be there yet. Add {other} to the needs of {self.task.name} in workflow.yaml."
                    )

    def _places(self, name: str) -> list[tuple[str, str, str]]:
        """Return stage, place and hash of each artifact of the run that ``name`` can stand for."""
        filenames = {f"{name}{suffix}" for suffix in SUFFIXES}
        return [
            (other, f"{other}/{artifact['name']}", artifact["sha256"])
            for other, stage in self.context.record.stages.items()
            for artifact in stage.get("artifacts", [])
            if artifact["name"] in filenames
        ]

    def _needed(self) -> dict[str, str]:
        """Return the hashes of all that the stages left which this one needs, by place."""
        stages = self.context.record.stages
        return {
            f"{name}/{artifact['name']}": artifact["sha256"]
            for name in sorted(above(self.context.graph, self.task.name))
            for artifact in stages[name].get("artifacts", [])
        }

    def _matches(self, trace: Trace) -> bool:
        hashes = trace.get("written", {})
        return (
            trace["reads"] == self.reads
            and trace["inputs"] == self._inputs(list(trace["inputs"]))
            and all(self.reach.written.get(name) == sha256 for name, sha256 in hashes.items())
        )

    def _state(self) -> dict[str, str]:
        """Return the fingerprints of the outside state that the task depends on, as they are now."""
        context = self.context
        others = (reach_of(task, {}, context.library) for name, task in context.graph.items() if name != self.task.name)
        names = outside(self.task, context.settings, self.reach, others)
        return {state: fingerprint(context, state) for state in names}

    def find(self) -> Trace | None:
        """Return where the result is that can be reused, or None."""
        trace = self.context.cache.find(self.task, self.key, self._matches)
        return None if trace and self._is_recut(trace) else trace

    def _is_recut(self, trace: Trace) -> bool:
        """Whether an edit left the code as it is, but its outputs without a place in the notebook."""
        executed = self.context.cache.runs / trace["run_id"] / "notebooks" / f"{self.task.name}.ipynb"
        is_edited = trace.get("words") != wording.digest(self.task.notebook)
        return is_edited and executed.exists() and wording.is_recut(executed, self.task.notebook)

    def reason(self) -> str:
        """Return why the stage must run: what changed since its last success."""
        last = self.context.cache.last(self.task)
        if last is None:
            return FIRST_TIME
        inputs = self._inputs(list(last["inputs"]))
        change = explain_change(last, self.key, inputs=inputs, reads=self.reads, written=self.reach.written)
        if not change and self._is_recut(last):
            return "its code is cut into other cells than before"
        return change or f"what run {last['run_id']} made is gone, or an older result was wanted"

    def looked_at(self) -> dict[str, list[str]]:
        """Return all that decides whether the result is reused, by kind."""
        last = self.context.cache.last(self.task)
        inputs = last["inputs"] if last else ()
        return looked_at(self.key, self.reach, self.context.libraries, inputs=inputs, reads=self.reads)

    def _papers(self) -> dict[str, str]:
        papers = {"notebook": f"notebooks/{self.task.name}.ipynb", "report": f"reports/{self.task.name}.html"}
        return {name: path for name, path in papers.items() if (self.context.folder / path).exists()}

    def _stop(self) -> dict[str, str]:
        reason = read_stop(self.context.artifacts(self.task.name))
        return {"stopped": shortened(reason, failure.MESSAGE_LIMIT)} if reason else {}


def fingerprint(context: Context, what: str) -> str:
    """Return the fingerprint of the source, or of another state outside the run."""
    from quire.io import fingerprint as of
    from quire.io import outside_state

    if what == "source":
        return of.source(context.settings, context.as_of)
    return outside_state.state(context.settings, what)


def _hand_on(partial: Path, output: Path) -> None:
    """Give an executed notebook its name if it is whole; what a full disk cut off is dropped."""
    with suppress(FileNotFoundError):
        try:
            json.loads(partial.read_bytes())
        except ValueError:
            partial.unlink()
        else:
            os.replace(partial, output)


def _now() -> str:
    return datetime.now(UTC).isoformat()

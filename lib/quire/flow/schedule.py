"""Which stage runs when: as soon as its needs have ended, as many side by side as there are jobs."""

import time
from queue import SimpleQueue
from typing import Any

from quire.errors import QuireError
from quire.flow import failure
from quire.flow.context import Context
from quire.flow.graph import Task
from quire.flow.imports import skip_iri_grammar, without_remote_files
from quire.flow.kernel_slot import KernelSlot
from quire.flow.run_fork_server import RunForkServer
from quire.flow.stage import StageRun

_GOOD = ("succeeded", "reused")


class Schedule:
    """Runs the tasks of one run in this thread; each notebook is executed in the thread of its slot."""

    def __init__(self, context: Context, fork_server: RunForkServer) -> None:
        """fork_server: where kernels are forked from."""
        self.context, self.jobs = context, context.jobs
        self._fork_server = fork_server
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._slots: dict[str, KernelSlot] = {}
        self._running: set[str] = set()
        self._problem: OSError | None = None

    def run(self) -> None:
        """Return when every task has ended and has its report; a failed one does not stop those that do not need it.

        Kernels may still be shutting down: see `close`. Raises OSError if the runner can write nothing down.
        """
        try:
            while True:
                self._skip()
                self._start()
                self._prepare()
                if not self._running:
                    break
                self._end(self._ended.get())
                if self._problem is not None:
                    self.stop()
                    raise self._problem
        finally:
            for name, slot in self._slots.items():
                if self._status(name) in ("waiting", "skipped", "reused", "interrupted"):
                    slot.drop()
            for slot in self._slots.values():
                slot.wait()

    def close(self) -> None:
        """Return when all kernels have shut down."""
        for slot in self._slots.values():
            slot.join()

    def stop(self) -> None:
        """End all kernels now; called by a signal, or from another thread."""
        self.context.stopping.set()
        for slot in list(self._slots.values()):
            slot.kill()

    def _status(self, name: str) -> str:
        return self.context.record.stages[name]["status"]

    def _waiting(self) -> list[Task]:
        return [task for name, task in self.context.graph.items() if self._status(name) == "waiting"]

    def _skip(self) -> None:
        """Mark the waiting tasks that cannot run: a need failed, was skipped or ended early."""
        for task in self._waiting():
            reason = next((reason for need in task.needs if (reason := self._hindrance(need))), None)
            if self.context.stopping.is_set():
                self._note(task, status="interrupted", why="the run was interrupted")
            elif reason:
                self._note(task, status="skipped", why=reason)

    def _hindrance(self, need: str) -> str:
        stage = self.context.record.stages[need]
        if stage.get("stopped"):
            return f"{need} ended early: {stage['stopped']}"
        if stage["status"] == "skipped":
            return stage["why"]
        return f"{need} {stage['status']}" if stage["status"] in ("failed", "interrupted") else ""

    def _start(self) -> None:
        """Reuse or start every task that is ready, until all jobs are taken."""
        progress = True
        while progress and not self.context.stopping.is_set():
            progress = False
            for task in self._waiting():
                if len(self._running) >= self.jobs:
                    return
                if all(self._status(need) in _GOOD for need in task.needs) and not self._any_stopped(task):
                    progress |= self._begin(task)
            self._skip()

    def _any_stopped(self, task: Task) -> bool:
        return any(self.context.record.stages[need].get("stopped") for need in task.needs)

    def _begin(self, task: Task) -> bool:
        """Reuse the result of a task, or start it; returns whether it has ended already."""
        started = time.monotonic()
        try:
            stage = StageRun(self.context, task)
            reused = stage.reuse()
        except QuireError as error:
            seconds = round(time.monotonic() - started, 3)
            self._note(task, status="failed", seconds=seconds, error=failure.describe(task, error))
            return True
        if reused:
            self._tell(task)
            return True
        slot = self._slots.get(task.name) or self._new_slot(task)
        self._running.add(task.name)
        self.context.record.update_stage(task.name, status="running")
        slot.give(lambda slot: self._work(stage, slot))
        return False

    def _work(self, stage: StageRun, slot: KernelSlot) -> None:
        try:
            stage.execute(slot)
        except OSError as error:  # not the notebook's, but what the runner writes down of it
            self._problem = error
        finally:
            self._ended.put(stage.task.name)
        if self._problem is None:
            stage.write_report()

    def _end(self, name: str) -> None:
        self._running.discard(name)
        self._tell(self.context.graph[name])

    def _prepare(self) -> None:
        """Start the kernels of the tasks that come next, while others compute."""
        spare = self.jobs - sum(1 for name in self._slots if self._status(name) == "waiting")
        for task in self._waiting():
            if spare <= 0 or self.context.stopping.is_set():
                return
            statuses = [self._status(need) for need in task.needs]
            if task.name not in self._slots and all(status in (*_GOOD, "running") for status in statuses):
                self._new_slot(task)
                spare -= 1

    def _new_slot(self, task: Task) -> KernelSlot:
        slot = KernelSlot(task.name, lambda: self._make_kernel(task.name))
        self._slots[task.name] = slot
        slot.start()
        return slot

    def _make_kernel(self, name: str) -> Any:
        settings = self.context.settings
        environment = {**self.context.environment, **self._fork_server.variables(name)}
        if self.context.drivers.kernel:
            return self.context.drivers.kernel(settings.root, environment)
        skip_iri_grammar()
        with without_remote_files():
            from quire.flow.kernels import Kernel
        from quire.flow import report

        report.warm_up(settings.outputs)
        return Kernel(settings.root, environment)

    def _note(self, task: Task, **values: Any) -> None:
        self.context.record.update_stage(task.name, **{"seconds": 0.0, **values})
        self._tell(task)

    def _tell(self, task: Task) -> None:
        stage = self.context.record.stages[task.name]
        keys = ("status", "seconds", "why", "stopped")
        self.context.emit("stage_ended", stage=task.name, **{name: stage[name] for name in keys if name in stage})

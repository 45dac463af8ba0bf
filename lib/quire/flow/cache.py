"""Results of stages by their keys: ``outputs/cache/<params>/<stage>/<key>.json`` says which run holds them."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quire.flow import files
from quire.flow.graph import Task
from quire.flow.key import Key
from quire.flow.record import write_whole

_KEPT = 100
"""Traces kept of one key: the same code on other inputs, or with another champion."""

Trace = dict[str, Any]
"""Which run holds a stage's result (run_id), and what it depended on: parts, inputs, reads; what it left: artifacts
with stamps, and files that it wrote elsewhere."""


class Cache:
    """The index of results of one params folder; the results themselves stay in the runs' folders."""

    def __init__(self, outputs: Path, params: str) -> None:
        """outputs: the folder with runs/ and cache/."""
        self.runs = outputs / "runs"
        self.folder = outputs / "cache" / params

    def find(self, task: Task, key: Key, matches: Callable[[Trace], bool]) -> Trace | None:
        """Return the newest trace under ``key`` that ``matches`` and whose artifacts are whole, or None."""
        traces = _read(self._path(task, key.digest)) or []
        return next((trace for trace in traces if matches(trace) and self._is_whole(task, trace)), None)

    def add(
        self,
        task: Task,
        key: Key,
        *,
        run_id: str,
        artifacts: list[dict[str, Any]],
        inputs: Mapping[str, Any],
        reads: Mapping[str, str],
        written: Mapping[str, str],
        seconds: float,
        words: str,
    ) -> None:
        """Remember that ``run_id`` made and holds the result of ``task``; words: digest of the notebook's text."""
        folder = self.runs / run_id / "artifacts" / task.name
        trace: Trace = {
            "run_id": run_id,
            "made_by": run_id,
            "seconds": round(seconds, 3),
            "words": words,
            "inputs": dict(inputs),
            "reads": dict(reads),
            "written": dict(written),
            "artifacts": [{**artifact, "stamp": files.stamp(folder / artifact["name"])} for artifact in artifacts],
        }
        self._put_first(task, key, trace)
        self._put_last(task, key, trace)

    def hold(self, task: Task, key: Key, trace: Trace, run_id: str, *, words: str) -> None:
        """Remember that ``run_id`` holds the result too, so that older runs may go."""
        entry = {**trace, "run_id": run_id, "words": words}
        self._put_first(task, key, entry)
        self._put_last(task, key, entry)

    def traces(self, stage: str, digest: str) -> list[Trace]:
        """Return what is known of a stage's results under a key, the newest first."""
        return _read(self.folder / stage / f"{digest}.json") or []

    def _put_first(self, task: Task, key: Key, trace: Trace) -> None:
        path = self._path(task, key.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        older = [old for old in _read(path) or [] if (old["inputs"], old["reads"]) != (trace["inputs"], trace["reads"])]
        write_whole(path, json.dumps([trace, *older][:_KEPT], indent=1))

    def _put_last(self, task: Task, key: Key, trace: Trace) -> None:
        write_whole(self._path(task, "last"), json.dumps({**trace, "parts": key.parts}, indent=1))

    def last(self, task: Task) -> Trace | None:
        """Return the trace of the last success of ``task``, or None."""
        return _read(self._path(task, "last"))

    def prune(self, kept: set[str]) -> None:
        """Forget results of runs that are not among ``kept``."""
        for path in self.folder.glob("*/*.json"):
            content = _read(path)
            if path.name == "last.json" or not content:
                continue
            traces = [trace for trace in content if trace["run_id"] in kept]
            if not traces:
                path.unlink()
            elif traces != content:
                write_whole(path, json.dumps(traces, indent=1))
        for folder in self.folder.glob("*"):
            if not any(folder.glob("*.json")):
                shutil.rmtree(folder)

    def _path(self, task: Task, name: str) -> Path:
        return self.folder / task.name / f"{name}.json"

    def _is_whole(self, task: Task, trace: Trace) -> bool:
        run = self.runs / trace["run_id"]
        folder = run / "artifacts" / task.name
        notebook = run / "notebooks" / f"{task.name}.ipynb"
        return notebook.is_file() and all(
            files.is_whole(folder / artifact["name"], sha256=artifact["sha256"], stamped=artifact["stamp"])
            for artifact in trace["artifacts"]
        )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None

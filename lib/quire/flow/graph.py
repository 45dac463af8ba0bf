"""The graph of a run: which stage runs after which, fan-out made explicit."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quire.config import Settings, Stage
from quire.errors import ConfigError, near


@dataclass(frozen=True)
class Task:
    """One run of one notebook: a stage, or one part of a stage that fans out."""

    name: str
    stage: str
    notebook: Path
    needs: tuple[str, ...]
    options: Stage
    part: Mapping[str, Any] = field(default_factory=dict)


_LONGEST_NAME = 120
"""Of a part, in bytes; a file's name may have 255, and those of a stage's files are longer than its own."""

Graph = dict[str, Task]
"""Tasks by name, each after those that it needs."""


def build(settings: Settings, workflow: str, only: Iterable[str] = ()) -> Graph:
    """Return the tasks of ``workflow`` in an order in which they can run.

    only: stages, or single parts of a fan-out, to bring up to date, with all that they need; all stages of the workflow
    if empty.
    Raises ConfigError for an unknown workflow or stage, for an empty workflow and for a notebook that is not there.
    """
    workflows = settings.workflow.workflows
    if workflow not in workflows:
        raise ConfigError(
            f"There is no workflow {workflow!r}; known: {', '.join(workflows)}.{near(workflow, workflows)}"
        )
    stages = settings.workflow.selected(workflow)
    if not stages:
        raise ConfigError(f"The workflow {workflow!r} has no stages; write their names in workflow.yaml.")
    parts = tuple(only)
    for name in (part.partition(".")[0] for part in parts):
        if name not in stages:
            raise ConfigError(
                f"--stages names {name!r}, which is no stage of the workflow {workflow!r}; "
                f"it has: {', '.join(stages)}.{near(name, stages)}"
            )
    stage_names = _with_needs(stages, [name.partition(".")[0] for name in parts]) if parts else set(stages)
    graph: Graph = {}
    for name in ordered(stages):
        if name in stage_names:
            graph |= _tasks(settings, name, stages[name], graph)
    return _with_parts(graph, parts)


def ordered(stages: Mapping[str, Stage]) -> list[str]:
    """Return the names so that each comes after its needs, otherwise in the order of the file."""
    order: list[str] = []
    while len(order) < len(stages):
        order.append(next(n for n, stage in stages.items() if n not in order and set(stage.needs) <= set(order)))
    return order


def above(graph: Graph, name: str) -> set[str]:
    """Return the names of all tasks that ``name`` needs, directly or through others."""
    names: set[str] = set()
    todo = list(graph[name].needs)
    while todo:
        need = todo.pop()
        if need not in names:
            names.add(need)
            todo += graph[need].needs
    return names


def width(graph: Graph) -> int:
    """Return how many tasks are ready together, if all take the same time; needs outside ``graph`` have ended."""
    depth: dict[str, int] = {}
    for name, task in graph.items():
        depth[name] = 1 + max((depth[need] for need in task.needs if need in depth), default=0)
    return max(Counter(depth.values()).values(), default=0)


def below(graph: Graph, name: str) -> set[str]:
    """Return the names of all tasks that need ``name``, directly or through others."""
    return {other for other in graph if name in above(graph, other)}


def beside(graph: Graph, name: str) -> Graph:
    """Return the tasks that ``name`` neither needs nor is needed by: they may run at the same time."""
    related = {name} | above(graph, name) | below(graph, name)
    return {other: task for other, task in graph.items() if other not in related}


def _with_parts(graph: Graph, only: Iterable[str]) -> Graph:
    """Return the graph without the parts of a fan-out that were not asked for, where some were."""
    parts = [name for name in only if "." in name]
    for name in parts:
        if name not in graph:
            raise ConfigError(f"--stages names {name!r}, which is no part of a stage.{near(name, graph)}")
    if not parts:
        return graph
    requested_names = {name for name, task in graph.items() if name in only or task.stage in only}
    needed_names = requested_names.union(*(above(graph, name) for name in requested_names))
    return {name: task for name, task in graph.items() if name in needed_names}


def _with_needs(stages: Mapping[str, Stage], only: Iterable[str]) -> set[str]:
    stage_names: set[str] = set()
    todo = list(only)
    while todo:
        name = todo.pop()
        if name not in stage_names:
            stage_names.add(name)
            todo += stages[name].needs
    return stage_names


def _tasks(settings: Settings, name: str, stage: Stage, graph: Graph) -> Graph:
    notebook = _notebook(settings, name, stage)
    needs = tuple(task.name for task in graph.values() if task.stage in stage.needs)
    parts = _parts(stage)
    return {
        task: Task(task, name, notebook, needs, stage, part)
        for task, part in zip(part_names(name, parts), parts, strict=True)
    }


def _notebook(settings: Settings, name: str, stage: Stage) -> Path:
    folder = settings.root / "notebooks"
    path = folder / f"{stage.notebook}.ipynb"
    if not path.is_file():
        names = sorted(path.stem for path in folder.glob("*.ipynb"))
        raise ConfigError(
            f"workflow.yaml: stage {name} runs {stage.notebook!r}, but {path} is not there; "
            f"notebooks/ holds: {', '.join(names) or 'none'}.{near(stage.notebook, names)}"
        )
    return path


def _parts(stage: Stage) -> list[dict[str, Any]]:
    """Return the parameters of each part of a fan-out: every combination of the values; one empty part without."""
    parts: list[dict[str, Any]] = [{}]
    for name, values in stage.for_each.items():
        parts = [{**part, name: value} for part in parts for value in values]
    return parts


def part_names(stage: str, parts: list[dict[str, Any]]) -> list[str]:
    """Return a different name for each part, such as ``train.region-north``, fit for a folder's name.

    Where several would have the same one, or one that some file systems take for the same, each gets a digest of its
    values behind it: that does not depend on the others, nor on their order.
    """
    names = [_part_name(stage, part) for part in parts]
    counts = Counter(map(_folded, names))
    return [
        name if counts[_folded(name)] == 1 and _cut(name) == name else f"{_cut(name)}-{_digest(part)}"
        for name, part in zip(names, parts, strict=True)
    ]


def _part_name(stage: str, part: Mapping[str, Any]) -> str:
    text = [f"{name}-{value}" for name, value in part.items()]
    return ".".join([stage, *("".join(c if c.isalnum() or c in "-_" else "_" for c in label) for label in text)])


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _digest(part: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:8]


def as_text(graph: Graph) -> str:
    """Return the graph as lines: each task, after an arrow what it needs."""
    width = max(len(name) for name in graph)
    return "\n".join(
        f"{task.name:<{width}}" + (f"  <- {', '.join(task.needs)}" if task.needs else "") for task in graph.values()
    )

"""What a stage's result depends on: if none of it changed, the result is reused; if some did, that is said.

The parts known when the stage is about to start (code, files, parameters, settings, libraries, what needed stages left)
make the key. What the notebook then read by name, and the outside state it left behind, are kept as a trace beside it
and compared when the key is met again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.config import ENVIRONMENT, Settings
from quire.flow.graph import Task
from quire.flow.libraries import Libraries
from quire.flow.notebook import notebook_facts
from quire.flow.parameters import kept_defaults
from quire.flow.source_facts import SourceFacts
from quire.flow.source_graph import Reach, SourceGraph
from quire.flow.syntax import UNKNOWN

OPTIONAL_SECTIONS = ("alerts", "archive", "serve")
"""Sections of config.yaml that count only for code which reads them as ``settings.config.<section>``."""

SOURCE_READER = "quire.data.source"
"""Code that reaches this module reads the source."""

_IGNORED_SECTIONS = ("title", "description", "cluster")

_UNCOUNTED = ("QUIRE_OUTPUTS", "QUIRE_ROOT", UNKNOWN)
"""Variables that say where things are on this machine, and those whose name is computed."""

Parts = dict[str, dict[str, Any]]
"""The parts of a key: kind -> name -> value or digest, so that two keys can be compared by name."""


@dataclass(frozen=True)
class Key:
    """The parts, and the digest of all."""

    parts: Parts

    @property
    def digest(self) -> str:
        """SHA-256 of the parts."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()


def reach_of(task: Task, values: Mapping[str, Any], library: SourceGraph) -> Reach:
    """Return what the notebook of a task reaches; the ``values`` of its parameters may name files and modules too."""
    folder = task.notebook.parent
    return library.reach(notebook_facts(task.notebook), folder=folder, texts=sorted(set(_texts(dict(values)))))


def own_code(task: Task, values: Mapping[str, Any], library: SourceGraph) -> tuple[SourceFacts, ...]:
    """Return the facts of a task's notebook and of the project's own modules that it reaches."""
    facts = notebook_facts(task.notebook)
    return library.own_code(facts, folder=task.notebook.parent, texts=sorted(set(_texts(dict(values)))))


def key_of(
    task: Task,
    settings: Settings,
    values: Mapping[str, Any],
    library: SourceGraph,
    libraries: Libraries,
    *,
    reach: Reach,
    needed: Mapping[str, str],
) -> Key:
    """Return the key of a task that is given the parameters ``values`` and reaches ``reach``.

    needed: hash of every file that the stages left which the task needs, by its place; it counts where the notebook may
    read them as files, not only by the names of artifacts.
    """
    imported = libraries.imported(name for facts in reach.own for name in facts.imports)
    parts: Parts = {
        "code": {task.notebook.name: reach.code},
        "parameters": {name: json.loads(json.dumps(value)) for name, value in values.items()}
        | kept_defaults(task.notebook, values),
        "source": reach.modules,
        "files": reach.files | _declared_files(task, library),
        "config": {
            name: _digest(value)
            for name, value in settings.raw["config"].items()
            if name not in _IGNORED_SECTIONS and (name not in OPTIONAL_SECTIONS or name in reach.attributes)
        },
        "schema": _flat(settings.raw["schema"]),
        "libraries": {**libraries.required, **imported},
        "environment": _environment(task, reach),
        "needs": dict(needed) if any(facts.walks for facts in reach.own) else {},
    }
    if "champion" in task.options.reads:
        parts["alias"] = {"alias": settings.alias}
    return Key(parts)


def outside(task: Task, settings: Settings, reach: Reach, others: Iterable[Reach]) -> tuple[str, ...]:
    """Return the outside state that a task depends on: what workflow.yaml says, and the source if its code reads it.

    others: what the other stages reach; only looked at if need be. Where no code shows who reads the source, the stages
    without needs are taken to.
    """
    stated = [name for name in task.options.reads if not name.startswith(ENVIRONMENT)]
    reads_source = _reads_source(reach) or (
        not task.needs
        and not _names_source(reach, settings)
        and not any(_reads_source(other) or _names_source(other, settings) for other in others)
    )
    return tuple(dict.fromkeys([*(["source"] if reads_source else []), *stated]))


def _reads_source(reach: Reach) -> bool:
    return SOURCE_READER in reach.modules or any("source" in facts.attributes for facts in reach.own)


def _names_source(reach: Reach, settings: Settings) -> bool:
    """Whether code names the source's file itself, to read it, which counts as a file does, or to make it."""
    name = Path(getattr(settings.config.source, "path", "")).name
    return bool(name) and any(name in text for facts in reach.own for text in (*facts.paths, *facts.written))


def _declared_files(task: Task, library: SourceGraph) -> dict[str, str]:
    clone = library.clone
    assert clone is not None
    paths = [path for pattern in task.options.files for path in clone.matching(pattern)]
    return {clone.name(path): library.digest(path) for path in paths}


def _environment(task: Task, reach: Reach) -> dict[str, str]:
    """Return short digests of the environment variables that workflow.yaml names or code asks for; of none ``unset``.

    Values are secrets at times: eight digits tell that one changed, and fit far too many values to tell which it is.
    """
    stated = [name.removeprefix(ENVIRONMENT) for name in task.options.reads if name.startswith(ENVIRONMENT)]
    read_variables = {name for facts in reach.own for name in facts.reads if name not in _UNCOUNTED}
    return {
        name: _digest(os.environ[name])[:8] if name in os.environ else "unset"
        for name in sorted({*stated, *read_variables})
    }


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for item in value.values() for text in _texts(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _texts(item))


def changed_meanwhile(before: Reach, after: Reach) -> list[str]:
    """Return the names of what code and files differ between two looks at what a notebook reaches."""
    names = _different(before.modules, after.modules) | _different(before.files, after.files)
    return sorted(names) or ([] if before.code == after.code else ["the notebook's code"])


def looked_at(
    key: Key, reach: Reach, libraries: Libraries, *, inputs: Iterable[str], reads: Iterable[str]
) -> dict[str, list[str]]:
    """Return all that decides whether a stage's result is reused, by kind.

    inputs: artifacts that it read by name when it ran last. reads: outside state.
    """
    parts = key.parts
    imported = libraries.named(name for facts in reach.own for name in facts.imports)
    versions = sorted(parts["libraries"], key=lambda name: (name != "python", name not in imported, name))
    artifacts = [*parts["needs"]] if parts["needs"] else sorted(inputs)
    names_by_kind = {
        "notebook": list(parts["code"]),
        "parameters": list(parts["parameters"]),
        "config.yaml": list(parts["config"]),
        "schema.yaml": list(parts["schema"]),
        "own modules": [name for name in parts["source"] if _is_path(name)],
        "files": sorted([*parts["files"], *reach.written]),
        "artifacts": artifacts,
        "outside": [*reads, *(f"{ENVIRONMENT}{name}" for name in parts["environment"]), *parts.get("alias", {})],
        "modules of quire": [name for name in parts["source"] if not _is_path(name)],
        "libraries": [f"{name} {parts['libraries'][name]}" for name in versions],
    }
    return {kind: names for kind, names in names_by_kind.items() if names}


def _is_path(module: str) -> bool:
    """Whether a source file is the project's own: those of `quire` have dotted names, or stand beside such modules."""
    return module.endswith((".py", ".so", ".pyd")) and not module.startswith("quire.")


def explain_change(
    old: Mapping[str, Any],
    key: Key,
    *,
    inputs: Mapping[str, Any],
    reads: Mapping[str, str],
    written: Mapping[str, str],
) -> str:
    """Return what differs from ``old``, the trace of the stage's last success, in words; empty if nothing does."""
    reasons = [
        _SAYS[kind](sorted(_different(old["parts"].get(kind, {}), now)), old["parts"].get(kind, {}), now)
        for kind, now in key.parts.items()
        if _different(old["parts"].get(kind, {}), now)
    ]
    reasons += [_say_input(name) for name in sorted(_different(old["inputs"], inputs))]
    reasons += [f"{name} changed" for name in sorted(_different(old["reads"], reads))]
    before = old.get("written", {})
    reasons += [f"{name}, which it writes, changed" for name in sorted(before) if written.get(name) != before[name]]
    return "; ".join(reasons)


def _say_input(name: str) -> str:
    """Say that an artifact changed, or what the run may change outside its folder (--no-publish, --try)."""
    return "the run publishes otherwise" if name.startswith("?") else f"artifact {name} changed"


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def _say_parameters(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)


def _say_libraries(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}" for name in names[:3]) + (
        f" and {len(names) - 3} more libraries" if len(names) > 3 else ""
    )


def _say_names(what: str) -> Callable[[list[str], Mapping[str, Any], Mapping[str, Any]], str]:
    def say(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
        return f"{what}: {', '.join(names[:_MOST_NAMES])}" + (" ..." if len(names) > _MOST_NAMES else "")

    return say


_MOST_NAMES = 4

_SAYS = {
    "code": lambda names, old, new: "the notebook's code changed",
    "parameters": _say_parameters,
    "source": _say_names("changed"),
    "files": _say_names("changed"),
    "config": _say_names("config.yaml changed"),
    "schema": _say_names("schema.yaml changed"),
    "libraries": _say_libraries,
    "environment": _say_names("environment variables changed"),
    "needs": _say_names("changed"),
    "alias": _say_parameters,
}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _flat(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest for each key of schema.yaml, and for each column."""
    rest = {name: _digest(value) for name, value in schema.items() if name != "columns"}
    columns = schema.get("columns", {})
    return {
        **rest,
        "order of columns": _digest(list(columns)),
        **{f"columns.{n}": _digest(c) for n, c in columns.items()},
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()

"""What a stage's result depends on: if none of it changed, the result is reused; if some did, that is said.

The parts known beforehand (code, parameters, source, settings, libraries) make the key. What the notebook then read by
name, and the outside state it left behind, are kept as a trace beside it and compared when the key is met again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.config import Settings
from quire.flow.graph import Task
from quire.flow.parameters import read_cells, source_of
from quire.flow.reach import Facts, Library, facts_of
from quire.flow.syntax import parse

OPTIONAL_SECTIONS = ("alerts", "archive", "serve")
"""Sections of config.yaml that count only for code which reads them as ``settings.config.<section>``."""

_IGNORED_SECTIONS = ("title", "description", "cluster")

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


def key_of(
    task: Task, settings: Settings, values: Mapping[str, Any], library: Library, versions: Mapping[str, str]
) -> Key:
    """Return the key of a task that is given the parameters ``values``."""
    facts = notebook_facts(task.notebook)
    source = library.reached(facts)
    attributes = {name for one in facts for name in one.attributes} | _attributes(library, source)
    parts: Parts = {
        "code": {task.notebook.name: hashlib.sha256("".join(one.digest for one in facts).encode()).hexdigest()},
        "parameters": {name: json.loads(json.dumps(value)) for name, value in values.items()},
        "source": source,
        "config": {
            name: _digest(value)
            for name, value in settings.raw["config"].items()
            if name not in _IGNORED_SECTIONS and (name not in OPTIONAL_SECTIONS or name in attributes)
        },
        "schema": _flat(settings.raw["schema"]),
        "libraries": dict(versions),
    }
    if "champion" in task.options.reads:
        parts["alias"] = {"alias": settings.alias}
    return Key(parts)


def outside(task: Task) -> tuple[str, ...]:
    """Return the outside state that a task depends on; a task that needs no other reads the source."""
    return tuple(dict.fromkeys([*([] if task.needs else ["source"]), *task.options.reads]))


def explain_change(old: Mapping[str, Any], key: Key, inputs: Mapping[str, Any], reads: Mapping[str, str]) -> str:
    """Return what differs from ``old``, the trace of the stage's last success, in words; empty if nothing does."""
    reasons = [
        _SAYS[kind](sorted(_different(old["parts"].get(kind, {}), now)), old["parts"].get(kind, {}), now)
        for kind, now in key.parts.items()
        if _different(old["parts"].get(kind, {}), now)
    ]
    reasons += [f"artifact {name} changed" for name in sorted(_different(old["inputs"], inputs))]
    reasons += [f"{name} changed" for name in sorted(_different(old["reads"], reads))]
    return "; ".join(reasons)


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def _say_parameters(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)


def _say_libraries(names: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}" for name in names[:3]) + (
        f" and {len(names) - 3} more libraries" if len(names) > 3 else ""
    )


_SAYS = {
    "code": lambda names, old, new: "the notebook's code changed",
    "parameters": _say_parameters,
    "source": lambda names, old, new: "changed: " + ", ".join(names[:4]) + (" ..." if len(names) > 4 else ""),
    "config": lambda names, old, new: f"config.yaml changed: {', '.join(names)}",
    "schema": lambda names, old, new: (
        f"schema.yaml changed: {', '.join(names[:4])}" + (" ..." if len(names) > 4 else "")
    ),
    "libraries": _say_libraries,
    "alias": _say_parameters,
}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def notebook_facts(notebook: Path) -> list[Facts]:
    """Return the facts of every code cell but the parameters cell, whose values count instead."""
    cells = [
        source_of(cell)
        for cell in read_cells(notebook)
        if cell.get("cell_type") == "code" and "parameters" not in cell.get("metadata", {}).get("tags", [])
    ]
    try:
        return [facts_of("\n\n".join(cells))]
    except SyntaxError:
        return [_facts_of_cell(cell) for cell in cells]


def _facts_of_cell(cell: str) -> Facts:
    """Return the facts of a cell that may hold what is not Python, such as a magic: then its text counts as it is."""
    try:
        return facts_of(cell)
    except SyntaxError:
        lines = [line for line in cell.splitlines() if _parses(line)]
        facts = facts_of("\n".join(lines)) if _parses("\n".join(lines)) else facts_of("import quire; quire")
        return Facts(hashlib.sha256(cell.encode()).hexdigest(), facts.uses, facts.texts, facts.attributes)


def _parses(text: str) -> bool:
    try:
        parse(text)
    except SyntaxError:
        return False
    return True


def _attributes(library: Library, source: Iterable[str]) -> set[str]:
    """Return all names that reached modules look up on something, those of the config room itself aside."""
    paths = [library.path_of(name) for name in source if not name.startswith("quire.config")]
    return {name for path in paths if path for name in library.facts(path).attributes}


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

"""Parameters: a notebook's ``parameters`` cell is its signature, checked before any kernel starts.

The cell is read as JSON and Python's syntax tree; nothing is imported or executed.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.config import Settings, check_value, line_of_params, wrong_names
from quire.config.params import ENTITIES
from quire.errors import ConfigError, near
from quire.flow.graph import Graph, Task
from quire.flow.notebook import read_cells, source_of, tags_of
from quire.flow.syntax import parse

SUPPLIED = ("params", "run_dir", "as_of")
"""Parameters that the runner gives; ``params`` and ``run_dir`` are required, ``as_of`` where the cell has it."""

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "tuple": (list, tuple),
    "dict": (dict,),
    "None": (type(None),),
}


@dataclass(frozen=True)
class Parameter:
    """A name of the ``parameters`` cell: its default and the plain types that it takes; no types means any."""

    name: str
    default: Any
    types: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` is of a type of the parameter; an int fits a float, None fits anything."""
        if value is None or not self.types:
            return True
        if isinstance(value, bool):
            return "bool" in self.types
        return isinstance(value, tuple(kind for name in self.types for kind in _TYPES[name]))


Signature = dict[str, Parameter]


def read_signature(notebook: Path) -> Signature:
    """Return the parameters of ``notebook``; raises ConfigError if the tag is missing or the cell is no signature."""
    cells = read_cells(notebook)
    tagged = [cell for cell in cells if "parameters" in tags_of(cell)]
    if len(tagged) != 1:
        count = "no cell" if not tagged else f"{len(tagged)} cells"
        raise ConfigError(
            f"{notebook}: {count} with the tag 'parameters'; expected one. Open the notebook in JupyterLab, "
            "select the cell with the parameters, and add the tag under Property Inspector > Cell tags."
        )
    source = source_of(tagged[0])
    try:
        tree = parse(source)
    except SyntaxError as error:
        raise ConfigError(f"{notebook}: the parameters cell is not valid Python: {error}") from None
    parameters = [_read_parameter(notebook, node) for node in tree.body if not _is_text(node)]
    return {parameter.name: parameter for parameter in parameters}


def parse_overrides(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return ``{stage: {name: value}}`` of texts such as ``train.estimator=linear``; values are read as YAML.

    Raises ConfigError for a text of another form.
    """
    from quire.config.yaml import Document

    overrides: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        stage, dot, parameter = name.strip().partition(".")
        if not (equals and dot and stage and parameter):
            raise ConfigError(f"-p {text!r}: write stage.name=value, such as -p train.estimator=linear.")
        raw = Document(Path(f"-p {name}"), f"value: {value.strip() or '~'}" if value.strip() else 'value: ""').raw
        overrides.setdefault(stage, {})[parameter] = raw["value"]
    return overrides


def resolve(
    settings: Settings, graph: Graph, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the parameters of every task that the runner injects: default < params.yaml < override.

    Those that it supplies are left out, and defaults that papermill could only inject as something else (a set, a
    tuple, a dictionary with numbers for keys): they stay as the notebook has them; see `kept_defaults`.
    Raises ConfigError with every mistake found: unknown stage, unknown name, wrong type, missing tag.
    """
    overrides = overrides or {}
    mistakes = _unknown_stages(settings, graph, overrides)
    resolved: dict[str, dict[str, Any]] = {}
    for task in graph.values():
        try:
            resolved[task.name] = _resolve_task(settings, task, overrides.get(task.stage, {}), mistakes)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return resolved


def _unknown_stages(settings: Settings, graph: Graph, overrides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    stages = list(settings.workflow.stages)
    path = settings.folder / "params.yaml"
    mistakes = [
        f"{path}: there is no stage {name!r}; known: {', '.join(stages)}.{near(name, stages)}"
        for name in settings.params
        if name not in stages
    ]
    part = list(dict.fromkeys(task.stage for task in graph.values()))
    mistakes += [
        f"-p {name}.{next(iter(values))}: {name!r} is no stage of this run; "
        f"it has: {', '.join(part)}.{near(name, part)}"
        for name, values in overrides.items()
        if name not in part
    ]
    return mistakes


def _resolve_task(settings: Settings, task: Task, overrides: Mapping[str, Any], mistakes: list[str]) -> dict[str, Any]:
    signature = read_signature(task.notebook)
    for name in ("params", "run_dir"):
        if name not in signature:
            raise ConfigError(f'{task.notebook}: the parameters cell lacks {name!r}; write {name} = "" in it.')
    values = {
        name: parameter.default
        for name, parameter in signature.items()
        if name not in SUPPLIED and can_inject(parameter.default)
    }
    raw = settings.raw["params"].get(task.stage) or {}
    layers = (
        (str(settings.folder / "params.yaml"), settings.params.get(task.stage, {}), raw),
        ("workflow.yaml, for_each", task.part, task.part),
        ("-p", overrides, overrides),
    )
    for location, layer, raw_layer in layers:
        for name, value in layer.items():
            mistake = _mistake(task, signature, location, name, value) or _change(
                task, signature, location, name, raw_layer.get(name)
            )
            mistakes += [mistake] if mistake else _wrong_names(settings, task, location, name, value)
            values[name] = value
    return values


def can_inject(value: Any) -> bool:
    """Whether papermill writes ``value`` into a notebook as it is; all else it turns into text."""
    if isinstance(value, list):
        return all(map(can_inject, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(can_inject, value.values()))
    return value is None or isinstance(value, bool | int | float | str)


def kept_defaults(notebook: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """Return as text the defaults that a run leaves as the notebook has them: those of no name in ``values``."""
    signature = read_signature(notebook)
    return {
        name: _as_text(parameter.default)
        for name, parameter in signature.items()
        if name not in values and name not in SUPPLIED
    }


def _as_text(value: Any) -> str:
    """Return a literal as text, the same for equal ones: a set has no order."""
    if isinstance(value, set):
        return f"{{{', '.join(sorted(map(_as_text, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_as_text(key)}: {_as_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_as_text, value))})"
    return repr(value)


def _change(task: Task, signature: Signature, where: str, name: str, written: Any) -> str:
    """Return what is wrong if a run could not give a value, as it is ``written``, as the notebook expects it."""
    default = signature[name].default
    location = f"{where}: {task.stage}.{name}"
    cell = f"the parameters cell of {task.notebook.name}"
    if isinstance(default, set | bytes | complex) or default is ...:
        kind = type(default).__name__
        return (
            f"{location} replaces {default!r} of {cell}, of type {kind}, which a run cannot give. "
            f"Write a list, a text or a number there, and make it a {kind} in a cell below."
        )
    keys = [key for value in (written, default) for key in _odd_keys(value)]
    if keys and name not in ENTITIES:
        return (
            f"{location} has, here or in {cell}, the key {keys[0]!r} of type {type(keys[0]).__name__}; "
            f"a run can give only texts as keys. "
            f"Write the text {str(keys[0])!r} in both, and turn it into another value in a cell below."
        )
    return ""


def _odd_keys(value: Any) -> list[Any]:
    """Return the keys that are no texts of a dictionary, and of those in it."""
    if isinstance(value, dict):
        own = [key for key in value if not isinstance(key, str)]
        return own + [key for item in value.values() for key in _odd_keys(item)]
    return [key for item in value for key in _odd_keys(item)] if isinstance(value, list | tuple) else []


def _mistake(task: Task, signature: Signature, where: str, name: str, value: Any) -> str:
    if name in SUPPLIED:
        return f"{where}: {task.stage}.{name} is given by the runner; leave it out."
    if name not in signature:
        names = [parameter for parameter in signature if parameter not in SUPPLIED]
        return (
            f"{where}: {task.stage}.{name} is not a parameter of {task.notebook.name}; "
            f"it has: {', '.join(names) or 'none'}.{near(name, names)}"
        )
    if not signature[name].accepts(value):
        expected = " or ".join(signature[name].types)
        return f"{where}: {task.stage}.{name} is {value!r}, of type {type(value).__name__}; expected {expected}."
    try:
        check_value(name, value, where=f"{where}{' ' if where == '-p' else ': '}{task.stage}.{name}")
    except ConfigError as error:
        return str(error)
    return ""


def _wrong_names(settings: Settings, task: Task, where: str, name: str, value: Any) -> list[str]:
    """Return the mistakes in names of estimators, metrics and columns, each with where it was written."""
    code = "\n".join(source_of(cell) for cell in read_cells(task.notebook) if cell.get("cell_type") == "code")
    mistakes = []
    for keys, wrong in wrong_names(name, value, settings.schema, code):
        origin = where
        if where == "-p":
            origin = f"-p {task.stage}.{name}={_short(value)}"
        elif where.endswith("params.yaml"):
            origin = f"{where}:{line_of_params(settings, (task.stage, name, *keys))}"
        mistakes.append(f"{origin}: {'.'.join((task.stage, name, *keys))} is {wrong}")
    return mistakes


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _read_parameter(notebook: Path, node: ast.stmt) -> Parameter:
    location = f"{notebook}: the parameters cell, line {node.lineno}"
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        name, value, annotation = node.targets[0].id, node.value, None
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        name, value, annotation = node.target.id, node.value, node.annotation
    else:
        raise ConfigError(f"{location}: {ast.unparse(node)!r} is no parameter; write name = value  # unit, choices.")
    try:
        default = ast.literal_eval(value)
    except ValueError:
        raise ConfigError(f"{location}: {name} = {ast.unparse(value)} is no plain value; write a literal.") from None
    return Parameter(name, default, _types(annotation, default))


def _types(annotation: ast.expr | None, default: Any) -> tuple[str, ...]:
    """Return the plain types that the annotation names, else that of the default; unknown annotations take anything."""
    if annotation is None:
        kind = type(default).__name__
        return (kind,) if default is not None and kind in _TYPES else ()
    names = [name for part in _options(annotation) if (name := _plain_name(part))]
    return tuple(names) if all(name in _TYPES for name in names) else ()


def _options(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*_options(annotation.left), *_options(annotation.right)]
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Optional"):
        return [*_options(annotation.slice), ast.Constant(None)]
    return [annotation]


def _plain_name(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Subscript):
        return _plain_name(annotation.value)
    return ast.unparse(annotation).removeprefix("typing.").replace("List", "list").replace("Dict", "dict")

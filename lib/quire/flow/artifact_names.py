"""What notebooks save, as far as their code says it: two stages that save one name are found before any kernel."""

import ast
from collections.abc import Iterator

from quire.errors import ConfigError
from quire.flow.graph import Graph, Task
from quire.flow.notebook import python_of, read_cells, source_of
from quire.flow.syntax import parse

_WRITERS = ("save", "writing")
_RUN = "run"


def refuse_repeats(graph: Graph) -> None:
    """Raise ConfigError if the notebooks of two stages save the same name, written out as ``run.save("name", ...)``.

    Names that are computed are compared when the stage has run.
    """
    makers: dict[str, Task] = {}
    for task in graph.values():
        for name in saved_names(task):
            other = makers.setdefault(name, task)
            if other.stage != task.stage:
                raise ConfigError(
                    f"The stages {other.stage} ({other.notebook.name}) and {task.stage} ({task.notebook.name}) both "
                    f"save {name!r}, so nobody could tell which one {_RUN}.load({name!r}) means; rename one of them."
                )


def saved_names(task: Task) -> list[str]:
    """Return the names that the task's notebook saves in so many words, those with a leading underscore aside."""
    names: list[str] = []
    for cell in read_cells(task.notebook):
        if cell.get("cell_type") == "code":
            names += _names(python_of(source_of(cell)))
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _names(source: str) -> Iterator[str]:
    try:
        tree = parse(source)
    except SyntaxError:  # a mistake that the kernel will tell of
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _writes(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _writes(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _WRITERS
        and isinstance(function.value, ast.Name)
        and function.value.id == _RUN
    )

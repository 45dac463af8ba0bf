"""The import arrows of the rooms, and that heavy tools have one door each."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

LIB = Path(__file__).parents[1] / "lib" / "quire"
ORDER = ["redaction", "errors", "config", "page", "io", "data", "model", "serve", "monitor", "report"]
MAY_IMPORT = {room: set(ORDER[: ORDER.index(room) + 1]) for room in ORDER} | {
    "flow": {"redaction", "errors", "config", "page", "io", "flow"},
    "cli": {*ORDER, "flow", "cli"},
}
HANDED_ON = {"artifacts": "io", "database": "io", "notify": "io", "tracking": "io"}
DOORS = {
    "mlflow": "io",
    "boto3": "io",
    "sqlalchemy": "io",
    "alembic": "io",
    "whylogs": "data",
    "great_expectations": "data",
    "papermill": "flow",
    "fastapi": "serve",
}
LIGHT = ["quire", "quire.cli", "quire.config", "quire.io.artifacts", "quire.flow", "quire.model"]
HEAVY = {*DOORS, "pandas", "numpy", "sklearn", "matplotlib", "seaborn", "nbconvert", "jinja2", "pyarrow", "httpx"}


def modules():
    return sorted(path for path in LIB.rglob("*.py") if "migrations" not in path.parts)


def imports(path):
    """Names of all modules that a file imports, those for type checkers aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unchecked = {id(child) for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in unchecked:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "quire":
            yield from (f"quire.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(path):
    return path.relative_to(LIB).parts[0].removesuffix(".py")


each = pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIB)))


@each
def test_a_room_imports_only_rooms_to_its_left(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for name in imports(path):
        match = re.match(r"quire\.(\w+)", name)
        if match:
            assert HANDED_ON.get(match[1], match[1]) in MAY_IMPORT[room], f"imports {name}"


@pytest.mark.parametrize("tool", DOORS)
def test_a_heavy_tool_is_imported_in_one_room(tool):
    rooms = {room_of(path) for path in modules() for name in imports(path) if name.split(".")[0] == tool}
    assert rooms <= {DOORS[tool]}


@pytest.mark.parametrize("name", LIGHT)
def test_importing_is_light(name):
    code = f"import sys, {name}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_of_a_room_is_there():
    code = "\n".join(
        [
            "import quire",
            "for room in quire.__all__:",
            "    module = getattr(quire, room)",
            "    for name in getattr(module, '__all__', []):",
            "        getattr(module, name)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

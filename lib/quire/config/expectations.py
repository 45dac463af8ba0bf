"""What Great Expectations has, read off its files: importing it takes seconds, and a mistake is to be told at once."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

_BASES = {
    "BatchExpectation": (),
    "QueryExpectation": (),
    "UnexpectedRowsExpectation": (),
    "ColumnAggregateExpectation": ("column", "row_condition"),
    "ColumnMapExpectation": ("column", "mostly", "row_condition"),
    "ColumnPairMapExpectation": ("column_A", "column_B", "mostly", "row_condition"),
    "MulticolumnMapExpectation": ("column_list", "mostly", "row_condition", "ignore_row_if"),
}
"""The arguments that expectations inherit, those aside that say nothing of the data."""

_ASIDE = ("library_metadata", "condition_parser", "windows")


@cache
def expectation_types() -> tuple[str, ...]:
    """Return the types that Great Expectations has, by the names of its files; none if it is not installed."""
    folder = _folder()
    return tuple(sorted(path.stem for path in folder.glob("*expect*.py"))) if folder else ()


@cache
def expectation_arguments(kind: str) -> tuple[str, ...]:
    """Return the names of the arguments that an expectation takes, sorted; none if that is not known."""
    folder = _folder()
    if folder is None or kind not in expectation_types():
        return ()
    name = kind.replace("_", "")
    for node in ast.parse((folder / f"{kind}.py").read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.lower() == name:
            inherited = [_BASES.get(getattr(base, "id", "")) for base in node.bases]
            if None in inherited:
                return ()
            return tuple(sorted({*_fields(node), *(argument for names in inherited for argument in names or ())}))
    return ()


def _fields(node: ast.ClassDef) -> list[str]:
    annotated = [
        field for field in node.body if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    own = [field for field in annotated if not ast.unparse(field.annotation).startswith("ClassVar")]
    names = [field.target.id for field in own if isinstance(field.target, ast.Name)]
    return [name for name in names if name not in _ASIDE and not name.startswith("_")]


def _folder() -> Path | None:
    spec = importlib.util.find_spec("great_expectations")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "expectations" / "core"

"""Which files code may read or write, as far as its text says it."""

import ast
import re
from dataclasses import dataclass

from quire.flow.syntax import UNKNOWN, dotted, is_text, last_name, literal

_LONGEST_PATTERN = 200
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|%(?:\(\w+\))?[-+ #\d.]*[a-zA-Z]")

_ARTIFACT_API = ("load", "scan", "path", "has", "load_each", "path_each", "save", "writing", "signal")
"""Methods of a run whose argument is the name of an artifact, not a path."""

_JOINS = ("join", "joinpath", "Path", "PurePath", "PosixPath")
_WRITERS = ("savefig", "write_text", "write_bytes", "imsave", "mkdir", "makedirs", "touch")


@dataclass(frozen=True)
class NamedPaths:
    """What may be paths in code, as glob patterns: what is computed in them stands as ``*``.

    read: of files and folders that it may read. opened: those among them that are handed to a function as they stand.
    written: those that it writes. roots: folders that it adds to ``sys.path``. leaves_folder: whether the run's folder
    is used for more than files of the stage itself.
    """

    read: set[str]
    opened: set[str]
    written: set[str]
    roots: set[str]
    leaves_folder: bool


def paths_in(tree: ast.Module) -> NamedPaths:
    """Return what may be paths in code."""
    finder = _Finder()
    finder.visit(tree)
    return NamedPaths(finder.read, finder.opened, finder.written, finder.roots, finder.leaves_folder)


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.roots: set[str] = set()
        self._handed: set[str] = set()
        self._named: dict[str, str] = {}
        self._combined: set[str] = set()
        self.leaves_folder = False

    @property
    def opened(self) -> set[str]:
        """Texts that are an argument of a call by themselves, directly or by the name that they were given."""
        names = self._handed & self._named.keys() - self._combined
        return (self._handed & self.read) | {self._named[name] for name in names}

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._add(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._add(self._pattern(node))

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._add(self._pattern(node))

    def visit_Name(self, node: ast.Name) -> None:
        self.leaves_folder |= node.id == "run_dir"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.leaves_folder |= node.attr == "folder"
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        if not isinstance(node.slice, ast.Constant):  # a key or a column is no path
            self.visit(node.slice)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(dotted(target) == "sys.path" for target in node.targets):
            self._collect(node.value, self.roots)
            return
        if is_text(node.value):
            self._named |= {target.id: literal(node.value) for target in node.targets if isinstance(target, ast.Name)}
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if dotted(node.target) == "sys.path":
            self._collect(node.value, self.roots)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name, owner = last_name(node.func), dotted(node.func).rpartition(".")[0]
        if owner == "sys.path" or name == "addsitedir":
            self._collect(ast.Tuple(node.args, ast.Load()), self.roots)
        elif owner == "run" and name in _ARTIFACT_API:
            for argument in [*node.args[1:], *(keyword.value for keyword in node.keywords)]:
                self.visit(argument)
        elif owner == "artifacts" and name == "open":
            for argument in node.args:
                if not (isinstance(argument, ast.Name) and argument.id == "run_dir"):
                    self.visit(argument)
        elif _writes(node, name):
            self._collect(ast.Tuple([node.func, *node.args], ast.Load()), self.written)
        elif name in _JOINS or (name == "format" and isinstance(node.func, ast.Attribute)):
            if len(node.args) == 1 and name != "joinpath":
                self._hand(node.args)
            self._add(self._pattern(node))
        else:
            self._hand([*node.args, *(keyword.value for keyword in node.keywords)])
            self.generic_visit(node)

    def _hand(self, arguments: list[ast.expr]) -> None:
        self._handed |= {literal(argument) for argument in arguments if is_text(argument)}
        self._handed |= {argument.id for argument in arguments if isinstance(argument, ast.Name)}

    def _collect(self, node: ast.AST, target: set[str]) -> None:
        """Add the patterns below ``node`` to ``target`` instead of to what is read."""
        inner = _Finder()
        inner.visit(node)
        target |= inner.read | inner.roots
        self.written |= inner.written
        self.leaves_folder |= inner.leaves_folder

    def _pattern(self, node: ast.AST) -> str:
        """Return the glob pattern of an expression; what is inside of a computed part is looked at by itself."""
        if is_text(node):
            return literal(node)
        if isinstance(node, ast.JoinedStr):
            return _concatenated([self._pattern(value) for value in node.values])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _concatenated([self._pattern(node.left), self._pattern(node.right)])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            prefix = UNKNOWN if dotted(node.left) == "run.folder" else self._pattern(node.left)
            return f"{prefix}/{self._pattern(node.right)}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and is_text(node.left):
            self.visit(node.right)
            return _PLACEHOLDER.sub(UNKNOWN, literal(node.left))
        if isinstance(node, ast.Call) and last_name(node.func) in _JOINS:
            return "/".join(self._pattern(part) for part in [*_path_owner(node), *node.args])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            for argument in node.args:
                self.visit(argument)
            return _PLACEHOLDER.sub(UNKNOWN, self._pattern(node.func.value))
        if isinstance(node, ast.Name):
            self._combined.add(node.id)
        if isinstance(node, ast.BinOp):
            self.generic_visit(node)
        else:
            self.visit(node)
        return UNKNOWN

    def _add(self, pattern: str) -> None:
        while pattern.startswith(f"{UNKNOWN}/") and not pattern.startswith("*/.."):
            pattern = pattern[2:]
        is_short = 0 < len(pattern) <= _LONGEST_PATTERN and pattern.isprintable()
        if is_short and re.search(r"\w", pattern):
            self.read.add(pattern)


def _path_owner(node: ast.Call) -> list[ast.expr]:
    """Return what ``joinpath`` is called on; nothing for a function."""
    return [node.func.value] if isinstance(node.func, ast.Attribute) and node.func.attr == "joinpath" else []


def _concatenated(parts: list[str]) -> str:
    text = ""
    for part in parts:
        text += part[1:] if part.startswith(UNKNOWN) and text.endswith(UNKNOWN) else part
    return text


def _writes(node: ast.Call, name: str) -> bool:
    """Whether a call writes to the paths among its arguments, or to the one that it is called on."""
    if name == "open":
        mode = next((literal(k.value) for k in node.keywords if k.arg == "mode"), "")
        position = 0 if isinstance(node.func, ast.Attribute) and dotted(node.func) != "io.open" else 1
        if not mode and len(node.args) > position:
            mode = literal(node.args[position])
        return mode[:1] in ("w", "x")
    return name in _WRITERS or (name.startswith("to_") and isinstance(node.func, ast.Attribute))

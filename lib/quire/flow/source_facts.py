"""What a piece of Python says of itself, read from its syntax tree: what it imports, which files its text names, which
environment variables it reads and sets. Nothing is imported or executed.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from quire.flow.named_paths import paths_in
from quire.flow.syntax import chain, is_text, last_name, literal, parse
from quire.flow.variables import variables_in

PACKAGE = "quire"

_PATH_LIKE = re.compile(r"[\w.\-/]{1,100}")
_IMPORTERS = ("import_module", "__import__", "find_spec", "run_module")
_DYNAMIC = {"__getattr__", "import_module", "__import__", "iter_modules", "walk_packages", "attach", "attach_stub"}
_WALKERS = {
    "reads", "outputs", "parent", "parents", "dirname", "with_name", "with_stem", "with_suffix", "cwd", "getcwd",
    "chdir", "walk", "rglob", "glob", "iglob", "iterdir", "listdir", "scandir", "system", "popen", "subprocess",
    "eval", "exec", "vars", "getattr", "__dict__",
}  # fmt: skip
"""Names by which a notebook could come to another stage's folder without naming an artifact."""


@dataclass(frozen=True)
class SourceFacts:
    """What matters of one source.

    digest: of its code. uses: dotted names that lead to modules; those of relative imports begin with dots. texts: its
    path-like texts. attributes: names looked up on something. imports: modules of other packages (``a.b`` or, for
    ``from a.b import c``, ``a.b:c``). paths: files and folders that it may read, as glob patterns. opened: those among
    them that are handed to a function as they stand. written: patterns of those that it writes. roots: folders that it
    adds to ``sys.path``. reads: environment variables it asks for. sets: those it sets, ``*`` for one whose name is
    computed. dynamic: whether it can hand on modules that it does not name. walks: whether it can reach the files of a
    run other than by the names of artifacts.
    """

    digest: str
    uses: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    dynamic: bool = False
    walks: bool = False


def read_source_facts(source: str) -> SourceFacts:
    """Return the facts of Python ``source``; comments, layout and docstrings do not matter. Raises SyntaxError."""
    tree = _without_type_checking(parse(source))
    docstrings = _drop_docstrings(tree)
    names, paths = _Names(), paths_in(tree)
    names.visit(tree)
    reads, sets = variables_in(tree)
    nodes = list(ast.walk(tree))
    texts = {literal(node) for node in nodes if is_text(node)} - docstrings
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    words = attributes | {node.id for node in nodes if isinstance(node, ast.Name)}
    words |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.alias)}
    return SourceFacts(
        digest=hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        uses=tuple(sorted(names.uses)),
        texts=tuple(sorted(text for text in texts if _PATH_LIKE.fullmatch(text))),
        attributes=tuple(sorted(attributes)),
        imports=tuple(dict.fromkeys(name for node in nodes for name in _imports(node))),
        paths=tuple(sorted(paths.read)),
        opened=tuple(sorted(paths.opened)),
        written=tuple(sorted(paths.written)),
        roots=tuple(sorted(paths.roots)),
        reads=tuple(sorted(reads)),
        sets=tuple(sorted(sets)),
        dynamic=bool(words & _DYNAMIC),
        walks=bool(words & _WALKERS) or paths.leaves_folder or any(_leads_to_runs(text) for text in texts),
    )


def imported_names(source: str) -> dict[str, tuple[str, str]]:
    """Return, by name, the module that a ``from`` import of ``source`` takes it from, and its name there."""
    nodes = [node for node in parse(source).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: (_origin(node), alias.name) for node in nodes for alias in node.names}


def joined(origin: str, name: str) -> str:
    """Return the dotted name of ``name`` in the module ``origin``, which may be dots only."""
    return origin + name if origin.endswith(".") else f"{origin}.{name}"


class _Names(ast.NodeVisitor):
    """Collects the dotted names that lead to modules."""

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.uses: set[str] = set()

    def visit_Module(self, node: ast.Module) -> None:
        for child in ast.walk(node):
            if isinstance(child, ast.Import):
                self._bind_import(child)
            elif isinstance(child, ast.ImportFrom):
                self._bind_from(child)
        self.generic_visit(node)

    def _bind_import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.uses.add(alias.name)
            self.bound[alias.asname or top] = alias.name if alias.asname else top

    def _bind_from(self, node: ast.ImportFrom) -> None:
        origin = _origin(node)
        self.uses.add(origin)
        for alias in node.names:
            self.uses.add(joined(origin, alias.name))
            self.bound[alias.asname or alias.name] = joined(origin, alias.name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        base, parts = chain(node)
        if isinstance(base, ast.Name) and base.id in self.bound:
            self.uses.add(".".join([self.bound[base.id], *parts]))
        else:
            self.visit(base)

    def visit_Name(self, node: ast.Name) -> None:
        """Take a room that is used as a value, not for one of its names, as a whole."""
        if node.id in self.bound and isinstance(node.ctx, ast.Load):
            self.uses.add(f"{self.bound[node.id]}.*")

    def visit_Call(self, node: ast.Call) -> None:
        if last_name(node.func) in _IMPORTERS and node.args and is_text(node.args[0]):
            self.uses.add(literal(node.args[0]).replace(":", "."))
        self.generic_visit(node)


def _leads_to_runs(text: str) -> bool:
    """Whether a text can be part of a path to what other stages left."""
    return "outputs" in text.lower() or "artifacts/" in text or ".." in text.split("/") or "*" in text.split("/")[0]


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        names = [f"{node.module}:{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Call) and last_name(node.func) in _IMPORTERS[:2] and node.args and is_text(node.args[0]):
        names = [literal(node.args[0])]
    else:
        return
    excluded_names = {PACKAGE, "", *sys.stdlib_module_names}
    yield from (name for name in names if re.split(r"[.:]", name)[0] not in excluded_names)


def _origin(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")


def _without_type_checking(tree: ast.Module) -> ast.Module:
    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            self.generic_visit(node)
            is_check = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return (node.orelse or ast.Pass()) if is_check else node

    return Drop().visit(tree)


def _drop_docstrings(tree: ast.Module) -> set[str]:
    """Take out all docstrings in place; return what they said."""
    dropped: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and is_text(first.value):
                dropped.add(literal(first.value))
                node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return dropped

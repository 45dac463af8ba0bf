"""Which source files of `quire` a piece of code can reach, found from its syntax tree without importing anything.

A room hands names on lazily: ``model.judge`` reaches ``quire/model/gate.py`` because ``quire/model/__init__.pyi`` says
so. What those modules import is followed in turn. Folders and files of a room that are no modules (templates, SQL,
migrations) count for the modules that name them.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quire.flow.record import write_whole
from quire.flow.syntax import parse

PACKAGE = "quire"
_PATH_LIKE = re.compile(r"[\w.\-/]{1,100}")


@dataclass(frozen=True)
class Facts:
    """What matters of one source: a digest of its code, the names of the package that it uses, its path-like texts, its
    attributes, and what it imports from elsewhere (``a.b`` or, for ``from a.b import c``, ``a.b:c``)."""

    digest: str
    uses: tuple[str, ...]
    texts: tuple[str, ...]
    attributes: tuple[str, ...]
    imports: tuple[str, ...] = ()


def facts_of(source: str, *, package: str = "") -> Facts:
    """Return the facts of Python ``source``; comments, layout and docstrings do not matter to the digest.

    package: the package that relative imports are relative to.
    """
    tree = _without_type_checking(parse(source))
    docstrings = _drop_docstrings(tree)
    names = _Names(package)
    names.visit(tree)
    nodes = list(ast.walk(tree))
    texts = {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } - docstrings
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return Facts(
        digest=hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        uses=tuple(sorted(names.uses)),
        texts=tuple(sorted(text for text in texts if _PATH_LIKE.fullmatch(text))),
        attributes=tuple(sorted(attributes)),
        imports=tuple(dict.fromkeys(name for node in nodes for name in _imports(node))),
    )


class Library:
    """The source files of the package, their facts remembered between runs by size and time of change."""

    def __init__(self, root: Path, memory: Path | None = None) -> None:
        """root: the folder of the package; memory: a JSON file to remember facts in."""
        self.root = root
        self._memory = memory
        self._known: dict[str, list] = _read_json(memory)
        self._changed = False
        self._stubs: dict[Path, dict[str, tuple[str, str]]] = {}

    def reached(self, facts: Iterable[Facts]) -> dict[str, str]:
        """Return the digest of every source file that code with these ``facts`` can reach, by dotted name or path."""
        found: dict[str, str] = {}
        todo = [path for one in facts for path in self._targets(one)]
        while todo:
            path = todo.pop()
            name = self._name(path)
            if name in found:
                continue
            mine = self.facts(path)
            found[name] = mine.digest
            found |= self._data_files(path, mine)
            todo += self._targets(mine)
            todo += self._packages_of(path)
        self._remember()
        return dict(sorted(found.items()))

    def facts(self, path: Path) -> Facts:
        """Return the facts of one module, from memory if the file did not change."""
        stat = path.stat()
        known = self._known.get(str(path))
        if known and known[:2] == [stat.st_mtime_ns, stat.st_size]:
            return Facts(known[2], *(tuple(names) for names in known[3:]))
        package = self._name(path) if path.name == "__init__.py" else self._name(path).rpartition(".")[0]
        facts = facts_of(path.read_text(encoding="utf-8"), package=package)
        self._known[str(path)] = [
            stat.st_mtime_ns, stat.st_size, facts.digest, list(facts.uses), list(facts.texts), list(facts.attributes),
            list(facts.imports),
        ]  # fmt: skip
        self._changed = True
        return facts

    def imports(self, facts: Iterable[Facts]) -> list[str]:
        """Return what code with these ``facts``, and the source that it can reach, import from other packages."""
        facts = list(facts)
        paths = [self.path_of(name) for name in self.reached(facts)]
        all_facts = [*facts, *(self.facts(path) for path in paths if path)]
        return list(dict.fromkeys(name for one in all_facts for name in one.imports))

    def path_of(self, name: str) -> Path | None:
        """Return the file of a module by its dotted name, or None."""
        base = self.root.joinpath(*name.split(".")[1:])
        return next(
            (p for p in (base.with_suffix(".py"), base / "__init__.py") if name != PACKAGE and p.is_file()), None
        )

    def _targets(self, facts: Facts) -> list[Path]:
        dotted = [text for text in facts.texts if text.startswith(f"{PACKAGE}.")]
        return [path for name in (*facts.uses, *dotted) for path in self._resolve(name)]

    def _resolve(self, dotted: str) -> list[Path]:
        """Return the files that a dotted name leads to: one module, or all of a package that is used as a whole."""
        if dotted.partition(".")[0] != PACKAGE:
            return []
        folder, parts = self.root, dotted.split(".")[1:]
        for index, part in enumerate(parts):
            module, name = self._stub(folder).get(part, ("", ""))
            path = self.path_of(module) if module else None
            if path and path.name != "__init__.py":
                return [path]
            if path and path.parent != folder:
                return self._resolve(".".join([module, name, *parts[index + 1 :]]))
            if (folder / part / "__init__.py").is_file():
                folder = folder / part
            elif (folder / f"{part}.py").is_file():
                return [folder / f"{part}.py"]
            elif part == "*" or folder != self.root:
                return sorted(folder.rglob("*.py"))
            else:
                return []
        return [folder / "__init__.py"] if folder != self.root else []

    def _stub(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Return, by name, the module that a package's ``.pyi`` says it comes from and its name there."""
        if folder not in self._stubs:
            path = folder / "__init__.pyi"
            package = ".".join([PACKAGE, *folder.relative_to(self.root).parts])
            self._stubs[folder] = _stub_names(path.read_text(encoding="utf-8"), package) if path.is_file() else {}
        return self._stubs[folder]

    def _packages_of(self, path: Path) -> list[Path]:
        """Return the ``__init__`` files that importing ``path`` executes."""
        folders = [folder for folder in path.parents if folder.is_relative_to(self.root)]
        return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]

    def _data_files(self, path: Path, facts: Facts) -> dict[str, str]:
        """Return digests of the files beside a module that are no modules and that it names."""
        named = {part for text in facts.texts for part in text.split("/")}
        found: dict[str, str] = {}
        for item in _non_modules(path.parent):
            if item.name in named:
                files = [item] if item.is_file() else sorted(f for f in item.rglob("*") if f.is_file())
                for file in files:
                    if "__pycache__" not in file.parts:
                        found[str(file.relative_to(self.root))] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def _name(self, path: Path) -> str:
        relative = path.relative_to(self.root).with_suffix("")
        parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
        return ".".join([PACKAGE, *parts])

    def _remember(self) -> None:
        if self._memory and self._changed:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._memory, json.dumps(self._known))
            self._changed = False


class _Names(ast.NodeVisitor):
    """Collects the dotted names below the package that a syntax tree uses."""

    def __init__(self, package: str) -> None:
        self.package = package
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
            if alias.name.partition(".")[0] == PACKAGE:
                self.uses.add(alias.name)
                self.bound[alias.asname or PACKAGE] = alias.name if alias.asname else PACKAGE

    def _bind_from(self, node: ast.ImportFrom) -> None:
        origin = _origin(node, self.package)
        if origin.partition(".")[0] != PACKAGE:
            return
        self.uses.add(origin)
        for alias in node.names:
            self.uses.add(f"{origin}.{alias.name}")
            self.bound[alias.asname or alias.name] = f"{origin}.{alias.name}"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            parts.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name) and base.id in self.bound:
            self.uses.add(".".join([self.bound[base.id], *reversed(parts)]))
        else:
            self.visit(base)

    def visit_Name(self, node: ast.Name) -> None:
        """Take a room that is used as a value, not for one of its names, as a whole."""
        if node.id in self.bound and isinstance(node.ctx, ast.Load):
            self.uses.add(f"{self.bound[node.id]}.*")


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        names = [f"{node.module}:{alias.name}" for alias in node.names]
    else:
        return []
    elsewhere = {PACKAGE, *sys.stdlib_module_names}
    return [name for name in names if re.split(r"[.:]", name)[0] not in elsewhere]


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _stub_names(text: str, package: str) -> dict[str, tuple[str, str]]:
    nodes = [node for node in parse(text).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: (_origin(node, package), alias.name) for node in nodes for alias in node.names}


def _without_type_checking(tree: ast.Module) -> ast.Module:
    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            self.generic_visit(node)
            is_check = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return (node.orelse or ast.Pass()) if is_check else node

    return Drop().visit(tree)


def _drop_docstrings(tree: ast.Module) -> set[str]:
    """Empty all docstrings in place; return what they said."""
    dropped: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                dropped.add(first.value.value)
                first.value = ast.Constant("")
    return dropped


def _non_modules(folder: Path) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        if item.name.startswith((".", "__")) or item.suffix in (".py", ".pyi", ".pyc"):
            continue
        if item.is_file() or not (item / "__init__.py").is_file():
            yield item


def _read_json(path: Path | None) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (FileNotFoundError, ValueError):
        return {}


def package_root() -> Path:
    """Return the folder of the installed package, found without importing more of it."""
    return Path(__file__).resolve().parents[1]


def digest(value: Mapping[str, object]) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()

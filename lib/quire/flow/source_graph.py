"""Which files a notebook can reach, found from syntax trees without importing anything: modules of `quire`, modules of
the project's own, and data files that the text names.

A room of `quire` hands names on lazily: ``model.judge`` reaches ``quire/model/gate.py`` because
``quire/model/__init__.pyi`` says so. What modules import is followed in turn, whichever package they are of. Folders
and files of a room that are no modules (templates, SQL, migrations) count for the modules that name them.
"""

import hashlib
import importlib.machinery
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quire.flow.clone import Clone
from quire.flow.memory import Memory
from quire.flow.source_facts import PACKAGE, SourceFacts, imported_names, read_source_facts

_MAKERS = ("source_facts", "named_paths", "syntax", "variables")
"""Modules beside this one that facts come from; what is remembered of files holds as long as they are the same."""

_SUFFIXES = (".py", *importlib.machinery.EXTENSION_SUFFIXES)


@dataclass(frozen=True)
class Reach:
    """What code can reach.

    code: digest of the code itself. modules: digest of each source file, by dotted name (`quire`) or path below the
    project. files: digest of each data file that it may read, by path. written: the same for those that it writes.
    facts: of the code itself and of all modules. own: the same without those of `quire`. tops: first names of the
    project's own modules among them. attributes: all names that reached code looks up on something, the config room of
    `quire` itself aside.
    """

    code: str
    modules: dict[str, str]
    files: dict[str, str]
    written: dict[str, str]
    facts: tuple[SourceFacts, ...]
    own: tuple[SourceFacts, ...]
    tops: frozenset[str]
    attributes: frozenset[str]

    @property
    def imports(self) -> list[str]:
        """What is imported of other packages: neither of `quire` nor of the project."""
        names = dict.fromkeys(name for facts in self.facts for name in facts.imports)
        return [name for name in names if top_of(name) not in self.tops]


def top_of(name: str) -> str:
    """Return the first part of a dotted name."""
    return re.split(r"[.:]", name)[0]


class SourceGraph:
    """Source files and what is known of them, remembered between runs by size and times of change."""

    def __init__(self, package: Path, memory: Path | None = None, *, clone: Clone | None = None) -> None:
        """package: the folder of `quire`. memory: a JSON file to remember facts in. clone: the project's files."""
        self.root, self.clone = package, clone
        version = " ".join(_content_digest(Path(__file__).with_name(f"{name}.py")) for name in _MAKERS)
        self._facts = Memory(memory, version=version)
        self._contents = Memory(memory and memory.with_name("contents.json"), version="1")
        self._stubs: dict[Path, dict[str, tuple[str, str]]] = {}
        self._next: dict[tuple[Path, str], list[Path]] = {}
        self._usual_roots = [*([clone.root, clone.root / "lib"] if clone else []), *_import_folders()]

    def reach(self, facts: Iterable[SourceFacts], *, folder: Path | None = None, texts: Iterable[str] = ()) -> Reach:
        """Return what code with these ``facts`` can reach.

        folder: where the code lies, such as the notebook's. texts: further texts that may be paths or names of modules,
        such as the values of parameters.
        """
        reach = _Search(self, folder, [*facts, _facts_of_texts(texts)]).reach()
        self._facts.write()
        self._contents.write()
        return reach

    def own_code(
        self, facts: Iterable[SourceFacts], *, folder: Path, texts: Iterable[str] = ()
    ) -> tuple[SourceFacts, ...]:
        """Return the ``facts``, and those of the project's own modules that code with them can reach."""
        return _Search(self, folder, [*facts, _facts_of_texts(texts)], enters_package=False).reach().own

    def reached(self, facts: Iterable[SourceFacts], *, folder: Path | None = None) -> dict[str, str]:
        """Return the digest of every module that code with these ``facts`` can reach, by its name."""
        return self.reach(facts, folder=folder).modules

    def imports(self, facts: Iterable[SourceFacts]) -> list[str]:
        """Return what code with these ``facts``, and the source that it can reach, import from other packages."""
        return self.reach(facts).imports

    def facts(self, path: Path) -> SourceFacts:
        """Return the facts of one module, from memory if the file did not change; of no Python, only its digest."""
        values = self._facts.of(path, lambda: asdict(self._read(path)))
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return SourceFacts(**plain)

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content, from memory if the file did not change."""
        return self._contents.of(path, lambda: {"sha256": _content_digest(path)})["sha256"]

    def is_own(self, path: Path) -> bool:
        """Whether a module is not of `quire`."""
        return not path.is_relative_to(self.root)

    def name(self, path: Path) -> str:
        """Return the name of a module: dotted in `quire`, else its path below the project."""
        if self.is_own(path):
            return self.clone.name(path) if self.clone else str(path)
        relative = path.relative_to(self.root).with_suffix("")
        parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
        return ".".join([PACKAGE, *parts])

    def targets(self, name: str, beside: Path | None, roots: Sequence[Path]) -> list[Path]:
        """Return the modules that a dotted name leads to, wherever they lie: it is not known which would come first.

        beside: the folder of the code that uses the name. roots: folders that are searched besides the usual ones.
        """
        level = len(name) - len(name.lstrip("."))
        parts = name[level:].split(".") if name[level:] else []
        if level:
            return self._below(_above(beside, level - 1), parts) if beside else []
        if not parts or not parts[0].isidentifier():
            return []
        if parts[0] == PACKAGE:
            return self._below(self.root.parent, parts)
        return [path for root in dict.fromkeys([*roots, *self._usual_roots]) for path in self._below(root, parts)]

    def has(self, top: str, roots: Sequence[Path]) -> bool:
        """Whether some folder in which modules are looked for holds one, or a folder, of this name."""
        if not top.isidentifier():
            return False
        return any(_module(root / top) or (root / top).is_dir() for root in (*roots, *self._usual_roots))

    def inner_targets(self, facts: SourceFacts, beside: Path) -> list[Path]:
        """Return the modules of `quire` that one in the folder ``beside`` names; the same as long as it is."""
        key = (beside, facts.digest)
        if key not in self._next:
            names = [name for name in names_of(facts) if name.startswith((f"{PACKAGE}.", "."))]
            paths = (path for name in names for path in self.targets(name, beside, ()))
            self._next[key] = [path for path in dict.fromkeys(paths) if not self.is_own(path)]
        return self._next[key]

    def _read(self, path: Path) -> SourceFacts:
        try:
            facts = read_source_facts(path.read_text(encoding="utf-8")) if path.suffix == ".py" else None
        except (SyntaxError, ValueError):  # whoever imports it will be told
            facts = None
        if facts is None or self.is_own(path):
            return facts or SourceFacts(_content_digest(path))
        uses = tuple(name for name in facts.uses if name.startswith((f"{PACKAGE}.", ".")))
        return replace(facts, uses=uses, paths=(), opened=(), written=(), roots=(), reads=(), sets=())

    def _below(self, folder: Path, parts: list[str]) -> list[Path]:
        """Return the files of a dotted name below a folder: one module, or all of a package that is used as a whole."""
        start = folder
        for index, part in enumerate(parts):
            origin, name = self._stub(folder).get(part, ("", ""))
            module = self._module_of(origin, folder) if origin else None
            if module and module.name != "__init__.py":
                return [module]
            if module and module.parent != folder:
                return self._below(module.parent, [name, *parts[index + 1 :]])
            module = _module(folder / part)
            if module and module.name != "__init__.py":
                return [module]
            if module or (part != "*" and (folder / part).is_dir()):
                folder = folder / part
            elif part == "*" or self._hands_on(folder):
                return sorted(path for path in folder.rglob("*") if path.name.endswith(_SUFFIXES))
            else:
                break
        init = folder / "__init__.py"
        return [init] if folder not in (start, self.root) and init.is_file() else []

    def _hands_on(self, folder: Path) -> bool:
        """Whether a package may hand on names of modules that its ``__init__`` does not import."""
        init = folder / "__init__.py"
        is_package = folder != self.root and init.is_file()
        return is_package and (bool(self._stub(folder)) or self.facts(init).dynamic)

    def _stub(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Return, by name, the module that a package's ``.pyi`` says it comes from and its name there."""
        if folder not in self._stubs:
            path = folder / "__init__.pyi"
            self._stubs[folder] = imported_names(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return self._stubs[folder]

    def _module_of(self, origin: str, folder: Path) -> Path | None:
        """Return the file of a module that a stub in ``folder`` names; None for the package of the stub itself."""
        level = len(origin) - len(origin.lstrip("."))
        parts = origin[level:].split(".") if origin[level:] else []
        if not parts or (not level and parts == [PACKAGE]):
            return None
        base = _above(folder, level - 1) if level else self.root.parent
        return _module(base.joinpath(*parts))

    def data_files(self, path: Path, facts: SourceFacts) -> dict[str, str]:
        """Return digests of the files beside a module of `quire` that are no modules and that it names."""
        text_parts = {part for text in facts.texts for part in text.split("/")}
        digests: dict[str, str] = {}
        for item in _non_modules(path.parent):
            if item.name in text_parts:
                files = [item] if item.is_file() else sorted(f for f in item.rglob("*") if f.is_file())
                for file in files:
                    if "__pycache__" not in file.parts:
                        digests[str(file.relative_to(self.root))] = self.digest(file)
        return digests


class _Search:
    """Follows code from module to module."""

    def __init__(
        self, library: SourceGraph, folder: Path | None, facts: list[SourceFacts], *, enters_package: bool = True
    ) -> None:
        """folder: that of the code with these facts. enters_package: whether modules of `quire` are looked at."""
        self._library, self._enters_package = library, enters_package
        self._starts = [path for path in (folder, library.clone and library.clone.root) if path]
        self._roots = [folder] if folder else []
        self._modules: dict[Path, SourceFacts] = {}
        self._data: dict[str, str] = {}
        self._code: list[tuple[SourceFacts, Path | None]] = [(code_facts, folder) for code_facts in facts]
        self._near: dict[tuple[str, int], bool] = {}
        self._tops: set[str] = set()

    def reach(self) -> Reach:
        """Return all that is found."""
        library = self._library
        files: dict[Path, None] = {}
        todo = list(self._code)
        while todo:
            roots = len(self._roots)
            for facts, folder in todo:
                self._add_roots(facts, folder)
            if len(self._roots) > roots:  # names met before may lead there too
                todo = [*self._code, *self._folders(self._modules)]
            file_paths = self._named((facts.paths, folder) for facts, folder in todo)
            files |= dict.fromkeys(file_paths)
            paths = [path for facts, folder in todo for path in self._targets(facts, folder)]
            paths += [path for path in file_paths if path.suffix == ".py"]  # such as those of %run
            todo = [(facts, path.parent) for path in dict.fromkeys(paths) for facts in self._enter(path)]
        own = {path: facts for path, facts in self._modules.items() if library.is_own(path)}
        code_facts = [facts for facts, _ in self._code]
        outer = [facts for path, facts in self._modules.items() if not path.is_relative_to(library.root / "config")]
        written_files = self._named((facts.written, folder) for facts, folder in [*self._code, *self._folders(own)])
        return Reach(
            code=hashlib.sha256("".join(facts.digest for facts in code_facts).encode()).hexdigest(),
            modules=dict(sorted(({library.name(p): f.digest for p, f in self._modules.items()} | self._data).items())),
            files={library.name(path): library.digest(path) for path in files if path not in self._modules},
            written={library.name(path): library.digest(path) for path in written_files},
            facts=(*code_facts, *self._modules.values()),
            own=(*code_facts, *own.values()),
            tops=frozenset(self._tops),
            attributes=frozenset(name for facts in [*code_facts, *outer] for name in facts.attributes),
        )

    def _enter(self, path: Path) -> Iterator[SourceFacts]:
        """Note a module and the packages that importing it executes; yield the facts of those that are new."""
        packages = []
        for folder in path.parents:
            if not (folder / "__init__.py").is_file():
                break
            packages.append(folder / "__init__.py")
        for module in (path, *packages):
            if module not in self._modules:
                facts = self._modules[module] = self._library.facts(module)
                if not self._library.is_own(module):
                    self._data |= self._library.data_files(module, facts)
                yield facts

    def _targets(self, facts: SourceFacts, folder: Path | None) -> Iterator[Path]:
        """Yield the modules that code in a folder names."""
        library = self._library
        if folder and not library.is_own(folder):
            yield from library.inner_targets(facts, folder)
            return
        for name in names_of(facts):
            if name.startswith(".") or self._is_near(top_of(name)):
                modules = library.targets(name, folder, self._roots)
                if any(map(library.is_own, modules)):
                    self._tops.add(top_of(name))
                yield from modules

    @staticmethod
    def _folders(modules: Mapping[Path, SourceFacts]) -> list[tuple[SourceFacts, Path | None]]:
        return [(facts, path.parent) for path, facts in modules.items()]

    def _is_near(self, top: str) -> bool:
        """Whether a first name is that of `quire` or can be that of a module of the project's own."""
        key = (top, len(self._roots))
        if key not in self._near:
            self._near[key] = self._enters_package if top == PACKAGE else self._library.has(top, self._roots)
        return self._near[key]

    def _named(self, patterns: Iterable[tuple[Sequence[str], Path | None]]) -> list[Path]:
        """Return the files that patterns stand for, each seen from the folder of its code and from the project's."""
        clone = self._library.clone
        groups = [(names, folder) for names, folder in patterns if names]
        starts = dict.fromkeys([*self._starts, *(folder for _, folder in groups if folder)])
        return clone.named([name for names, _ in groups for name in names], starts) if clone and groups else []

    def _add_roots(self, facts: SourceFacts, beside: Path | None) -> None:
        clone = self._library.clone
        if clone and facts.roots:
            folders = clone.folders(facts.roots, dict.fromkeys([*self._starts, *filter(None, [beside])]))
            self._roots += [path for path in folders if path not in self._roots]


def names_of(facts: SourceFacts) -> list[str]:
    """Return the dotted names that may lead to modules: of imports, and of texts such as ``package.module``."""
    dotted = [text for text in facts.texts if "." in text.strip(".") and "/" not in text and text[0] != "."]
    return list(dict.fromkeys((*facts.uses, *dotted)))


def _module(path: Path) -> Path | None:
    """Return the file of the module or package at ``path``, which has no suffix, or None."""
    stem = str(path)
    options = (*(stem + suffix for suffix in _SUFFIXES), os.path.join(stem, "__init__.py"))
    return next((Path(option) for option in options if os.path.isfile(option)), None)


def _above(folder: Path, levels: int) -> Path:
    for _ in range(levels):
        folder = folder.parent
    return folder


def _facts_of_texts(texts: Iterable[str]) -> SourceFacts:
    """Return the facts of texts that are not in code: each may be a path, or a name such as ``package.module:name``."""
    texts = tuple(texts)
    dotted = tuple(text for text in texts if re.fullmatch(r"[^\W\d]\w*([.:][^\W\d]\w*)+", text))
    return SourceFacts("", texts=tuple(text.replace(":", ".") for text in dotted), imports=dotted, paths=texts)


def _non_modules(folder: Path) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        if item.name.startswith((".", "__")) or item.suffix in (".py", ".pyi", ".pyc"):
            continue
        if item.is_file() or not (item / "__init__.py").is_file():
            yield item


def _import_folders() -> list[Path]:
    """Return the folders, besides those of installed libraries, in which kernels look for modules."""
    paths = sysconfig.get_paths()
    installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed |= {os.path.dirname(sys.executable), os.path.join(paths["platstdlib"], "lib-dynload")}
    entries = [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    folders = [Path(entry) for entry in entries if entry and entry not in installed]
    return [path for path in folders if path.is_dir() and path.name not in ("site-packages", "dist-packages")]


def _content_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def package_root() -> Path:
    """Return the folder of the installed package, found without importing more of it."""
    return Path(__file__).resolve().parents[1]

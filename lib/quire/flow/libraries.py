"""Versions of the libraries that a run uses, found without importing any of them."""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from quire.flow.record import write_whole

DISTRIBUTION = "quire"
_INFO = re.compile(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")

SHOWN = ("python", "papermill", "pandas", "numpy", "scikit-learn", "mlflow", "whylogs", "great-expectations")
"""Those that run.json names; the cache's key holds all."""


@dataclass(frozen=True)
class Libraries:
    """What is installed here.

    required: versions of Python and of every library that `quire` requires, directly or through others. installed:
    folders with the metadata of each distribution, by its name. modules: distributions by the name that is imported.
    requires: names of the distributions that each one needs.
    """

    required: Mapping[str, str]
    installed: Mapping[str, Path]
    modules: Mapping[str, list[str]]
    requires: Mapping[str, list[str]]

    def imported(self, names: Iterable[str]) -> dict[str, str]:
        """Return the versions of the distributions that hold the modules ``names``, and of all that they require."""
        closure = _closure(self.named(names), self.requires, self.installed) - {DISTRIBUTION}
        return {name: _version(self.installed[name]) for name in closure if name not in self.required}

    def named(self, names: Iterable[str]) -> set[str]:
        """Return the distributions that hold the modules ``names``."""
        tops = {re.split(r"[.:]", name)[0] for name in names}
        return {name for top in tops for name in self.modules.get(top, [_normal(top)])}

    def hold(self, module: str) -> bool:
        """Whether an installed distribution holds a module of this name; one installed from a clone does not."""
        folders = [self.installed[name].parent for name in self.modules.get(module, ()) if name in self.installed]
        return any((folder / module).exists() or (folder / f"{module}.py").exists() for folder in folders)


def read(memory: Path) -> Libraries:
    """Return what is installed.

    Which modules a distribution holds, and what it requires, takes a while to read, so it is remembered in the JSON
    file ``memory`` until something is installed or removed; listing the installed ones is one look at each folder.
    """
    installed = _installed()
    listing = hashlib.sha256(json.dumps(sorted(map(str, installed.values()))).encode()).hexdigest()
    index = _remembered(memory, listing)
    if index is None:
        index = {"listing": listing, **_described(installed)}
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_whole(memory, json.dumps(index))
    start = [DISTRIBUTION] if DISTRIBUTION in installed else list(installed)  # not installed: whatever is there counts
    required = sorted(_closure(start, index["requires"], installed) - {DISTRIBUTION})
    versions = {name: _version_in_name(installed[name]) for name in required}
    return Libraries({"python": platform.python_version()} | versions, installed, index["modules"], index["requires"])


def _installed() -> dict[str, Path]:
    """Return the folder of metadata of each distribution, by its name; the first on the path counts."""
    installed: dict[str, Path] = {}
    for folder in dict.fromkeys([*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path]):
        if folder and os.path.isdir(folder):
            for path in sorted(Path(folder).iterdir()):
                match = _INFO.fullmatch(path.name)
                if match:
                    installed.setdefault(_normal(match[1]), path)
    return installed


def _remembered(memory: Path, listing: str) -> dict[str, Any] | None:
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if content.get("listing") == listing and "modules" in content else None


def _described(installed: Mapping[str, Path]) -> dict[str, Any]:
    """Return which distributions hold a module, by its name, and what each distribution requires."""
    modules: dict[str, list[str]] = {}
    requires: dict[str, list[str]] = {}
    for name, path in installed.items():
        distribution = metadata.Distribution.at(path)
        requires[name] = _requires(distribution)
        for module in _modules(distribution) or [name.replace("-", "_")]:
            modules.setdefault(module, []).append(name)
    return {"modules": modules, "requires": requires}


def _modules(distribution: metadata.Distribution) -> list[str]:
    """Return the names by which the modules of a distribution are imported."""
    names = (distribution.read_text("top_level.txt") or "").split()
    if names:
        return [name.replace("/", ".").partition(".")[0] for name in names]
    files = [file for file in distribution.files or () if len(file.parts) > 1 or file.suffix in (".py", ".so", ".pyd")]
    tops = dict.fromkeys(file.parts[0].partition(".")[0] for file in files if not _INFO.fullmatch(file.parts[0]))
    return [top for top in tops if top.isidentifier()]


def _requires(distribution: metadata.Distribution) -> list[str]:
    """Return what a distribution requires here, extras aside."""
    from packaging.requirements import InvalidRequirement, Requirement

    names = []
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # an old distribution's own way to write it
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.append(_normal(requirement.name))
    return names


def _closure(start: Iterable[str], requires: Mapping[str, list[str]], installed: Mapping[str, Path]) -> set[str]:
    """Return the installed distributions among ``start`` and all that they require."""
    names: set[str] = set()
    todo = [name for name in start if name in installed]
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo += [need for need in requires.get(name, ()) if need in installed]
    return names


def _version(path: Path) -> str:
    """Return the version that a distribution's metadata say, which its folder's name may not follow."""
    try:
        return metadata.Distribution.at(path).version or _version_in_name(path)
    except KeyError:  # metadata without a version
        return _version_in_name(path)


def _version_in_name(path: Path) -> str:
    match = _INFO.fullmatch(path.name)
    return match[2] if match else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

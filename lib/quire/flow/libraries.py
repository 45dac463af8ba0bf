"""Versions of the libraries that a run uses, found without importing any of them."""

import hashlib
import json
import platform
import re
import sysconfig
from importlib import metadata
from pathlib import Path

from quire.flow.record import write_whole

DISTRIBUTION = "quire"
_INFO = re.compile(r"(.+?)-([^-]+)\.dist-info")


def versions(memory: Path) -> dict[str, str]:
    """Return the version of Python and of every library that `quire` requires, directly or through others.

    Reading what each requires takes a while, so it is remembered in the JSON file ``memory`` until something is
    installed or removed; listing the installed ones is one look at a folder.
    """
    installed = _installed()
    listing = hashlib.sha256(json.dumps(installed, sort_keys=True).encode()).hexdigest()
    needed = _remembered(memory, listing)
    if needed is None:
        needed = sorted(_closure(DISTRIBUTION, installed))
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_whole(memory, json.dumps({"listing": listing, "needed": needed}))
    return {"python": platform.python_version()} | {name: installed[name] for name in needed if name != DISTRIBUTION}


def _installed() -> dict[str, str]:
    folders = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    names = [
        match for folder in sorted(folders) for path in Path(folder).iterdir() if (match := _INFO.fullmatch(path.name))
    ]
    return {_normal(match[1]): match[2] for match in names}


def _remembered(memory: Path, listing: str) -> list[str] | None:
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content["needed"] if content.get("listing") == listing else None


def _closure(start: str, installed: dict[str, str]) -> set[str]:
    """Return the installed distributions that ``start`` requires; all installed ones if it is not installed itself."""
    if start not in installed:
        return set(installed)
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [need for need in _requires(name) if need in installed]
    return found


def _requires(name: str) -> list[str]:
    """Return what a distribution requires here, extras aside."""
    from packaging.requirements import Requirement

    requirements = [Requirement(text) for text in metadata.requires(name) or ()]
    return [_normal(one.name) for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


SHOWN = ("python", "papermill", "pandas", "numpy", "scikit-learn", "mlflow", "whylogs", "great-expectations")
"""Those that run.json names; the cache's key holds all."""

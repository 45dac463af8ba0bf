"""The files that a stage left: their hashes, whether they are still whole, and links to them from another run."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def list_artifacts(folder: Path) -> list[dict[str, Any]]:
    """Return name, sha256 and bytes of each file and folder that a stage saved, hidden ones aside, sorted by name."""
    if not folder.is_dir():
        return []
    items = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    return [{"name": item.name, "sha256": hash_item(item), "bytes": size_of(item)} for item in items]


def hash_item(item: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files below a folder."""
    if item.is_file():
        return _hash_file(item)
    total = hashlib.sha256()
    for file in _files(item):
        total.update(f"{file.relative_to(item).as_posix()}\0{_hash_file(file)}\n".encode())
    return total.hexdigest()


def size_of(item: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(item))


def stamp(item: Path) -> str:
    """Return a digest of sizes and times of change: as long as it is the same, so is the content."""
    lines = [f"{file.name}:{(s := file.stat()).st_size}:{s.st_mtime_ns}" for file in _files(item)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def is_whole(item: Path, *, sha256: str, stamped: str) -> bool:
    """Whether ``item`` is there and holds what it held; it is only read if size or time of change differ."""
    if not item.exists():
        return False
    return stamp(item) == stamped or hash_item(item) == sha256


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same file or folder as ``source`` without using more disk, or copy where links cannot be.

    Artifacts are never changed in place, so that a link stays as good as a copy.
    """
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for item in source.iterdir():
            link(item, target / item.name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _files(item: Path) -> Iterator[Path]:
    if item.is_file():
        yield item
        return
    yield from sorted(file for file in item.rglob("*") if file.is_file())


def _hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

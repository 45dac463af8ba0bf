"""Which files of the project a text can name: a path as it stands in code, a glob, a folder with all that it holds."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_MADE_BY_QUIRE = ("runs", "cache", "scratch")
_WILD = "*?["


class Clone:
    """The files below the project's folder, those aside that Quire itself makes or that git and Python keep."""

    def __init__(self, root: Path, outputs: Path, *, bases: Iterable[Path] = ()) -> None:
        """root: the project's folder. bases: files and folders whose folders are only begun from, never read whole."""
        self.root, self.outputs = root, outputs
        self._bases = [root, outputs, root / "params", root / "notebooks", *bases]

    def name(self, path: Path) -> str:
        """Return a file's name in keys: relative to the project where it lies below it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def named(self, patterns: Iterable[str], starts: Iterable[Path]) -> list[Path]:
        """Return the files that ``patterns`` stand for, seen from each of the folders ``starts`` or from one they name.

        A folder stands for all files below it, but for one in which Quire's own files or the notebooks lie.
        """
        patterns = list(dict.fromkeys(patterns))
        files: dict[Path, None] = {}
        folders = list(dict.fromkeys(starts))
        for start in folders:  # grows while it is gone through
            for path in (path for pattern in patterns for path in self._matches(start, pattern)):
                if path.is_dir():
                    if path not in folders and self._is_below(path):
                        folders.append(path)
                    files |= dict.fromkeys(self._whole(path))
                elif path.is_file() and not self._is_made_here(path):
                    files[path] = None
        return sorted(files)

    def folders(self, patterns: Iterable[str], starts: Iterable[Path]) -> list[Path]:
        """Return the folders that ``patterns`` stand for."""
        starts = list(starts)
        paths = (path for start in starts for pattern in patterns for path in self._matches(start, pattern))
        return list(dict.fromkeys(path for path in paths if path.is_dir()))

    def matching(self, pattern: str) -> list[Path]:
        """Return the files that a glob, relative to the project, stands for; a folder stands for all below it."""
        paths = [Path(os.path.normpath(path)) for path in glob.glob(str(self.root / pattern), recursive=True)]
        return sorted({file for path in paths for file in (_files(path) if path.is_dir() else [path])})

    def _matches(self, start: Path, pattern: str) -> Iterator[Path]:
        expanded_pattern = os.path.expanduser(pattern)
        if "\0" in expanded_pattern or len(expanded_pattern) > 1000:
            return
        whole = os.path.normpath(start / expanded_pattern)
        if not any(sign in expanded_pattern for sign in _WILD):
            if os.path.lexists(whole):
                yield Path(whole)
        elif self._is_below(Path(os.path.normpath(start / _fixed(expanded_pattern)))):
            yield from (
                Path(os.path.normpath(path)) for path in glob.iglob(str(start / expanded_pattern), recursive=True)
            )

    def _whole(self, folder: Path) -> list[Path]:
        if not self._is_below(folder) or any(base.is_relative_to(folder) for base in self._bases):
            return []
        return [path for path in _files(folder) if not self._is_made_here(path)]

    def _is_below(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def _is_made_here(self, path: Path) -> bool:
        """Whether a file changes by what Quire does, so that its change says nothing, or is no data of the project."""
        if path.is_relative_to(self.outputs):
            parts = path.relative_to(self.outputs).parts
            return parts[0] in _MADE_BY_QUIRE or ".db" in parts[0] or parts[-1].startswith(".")
        relative = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return "__pycache__" in relative.parts or any(part in (".git", ".venv") for part in relative.parts)


def _fixed(pattern: str) -> str:
    """Return the folders of a pattern before its first wildcard."""
    parts = pattern.split("/")
    wild = next(index for index, part in enumerate(parts) if any(sign in part for sign in _WILD))
    return "/".join(parts[:wild]) or ("/" if pattern.startswith("/") else ".")


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder, hidden ones aside, also behind links to folders, each folder once."""
    files, visited = [], set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        folders[:] = [] if real in visited else [n for n in folders if not n.startswith(".") and n != "__pycache__"]
        if real not in visited:
            files += [Path(top, name) for name in names if not name.startswith(".") and not name.endswith(".pyc")]
        visited.add(real)
    return [file for file in files if file.is_file()]

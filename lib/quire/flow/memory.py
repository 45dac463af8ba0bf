"""What was learned of files, kept between runs as long as they do not change."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quire.flow.record import write_whole

_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again within one tick of the clock: what it holds is not remembered."""


class Memory:
    """Values by file, in a JSON file; each holds while size and times of change of its file are the same."""

    def __init__(self, path: Path | None, *, version: str) -> None:
        """path: nothing is kept without one. version: of how values are made; those of another one are forgotten."""
        self._path, self._version = path, version
        self._values: dict[str, list[Any]] = _read(path, version)
        self._changed = False

    def of(self, file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``make`` returns, a dictionary of plain values, or returned when the file was as it is now."""
        stat = file.stat()
        stamp = [stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size]
        entry = self._values.get(str(file))
        if entry and entry[0] == stamp:
            return entry[1]
        value = make()
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
            self._values[str(file)] = [stamp, value]
            self._changed = True
        return value

    def write(self) -> None:
        """Write the values down if there are new ones."""
        if self._path and self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps({"version": self._version, "values": self._values}))
            self._changed = False


def _read(path: Path | None, version: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (FileNotFoundError, ValueError):
        return {}
    return content["values"] if content.get("version") == version else {}

"""What has yet to reach others: a JSON file for each run or alert below ``outputs/.owed``, until all of it arrived."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from quire.io.archive_format import is_run_name


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and rename, so that a reader sees the old file or the new one."""
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        with partial_path.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Notes:
    """Texts by name in a folder; a name is that of a run or an alert, and never a path."""

    folder: Path

    def names(self) -> list[str]:
        """Return the names of the notes, in the order in which they were written or postponed last."""
        entries = []
        for path in self.folder.glob("[!.]*.json"):
            with suppress(FileNotFoundError):  # it has just arrived
                entries.append((path.stat().st_mtime_ns, path.stem))
        return [name for _, name in sorted(entries) if is_run_name(name)]

    def read(self, name: str) -> str | None:
        """Return the text of a note, or None if there is none."""
        try:
            return self._path(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Write a note whole; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(name), text)

    def remove(self, name: str) -> None:
        """Forget a note, since all of it has arrived."""
        self._path(name).unlink(missing_ok=True)

    def postpone(self, name: str) -> None:
        """Make a note the last of `names`."""
        with suppress(FileNotFoundError):
            os.utime(self._path(name))

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Keep other processes from delivering what the note says while the block runs; False if one is at it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            if not self._path(name).exists():  # then nobody needs the lock again
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def runs(outputs: Path) -> Notes:
    """Return the notes of what runs owe, by their ids."""
    return Notes(outputs / ".owed")


def alerts(outputs: Path) -> Notes:
    """Return the outbox: alerts with the channels that have yet to take them, by their ids."""
    return Notes(outputs / ".owed" / "alerts")

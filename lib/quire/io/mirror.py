"""The stores that live in ``outputs/``, mirrored in the archive: MLflow's SQLite with its files, and the database.

A machine that starts with nothing then knows the champion, the history and the predictions of the one before it. ::

    stores/_stores.json        what is whole: path below outputs/ -> SHA-256, size, where outputs/ was; written last
    stores/<SHA-256>           the content

SQLite is copied by its own backup, which waits for nobody and is whole. The list is replaced only over the version that
this machine saw last: of two machines that wrote at once, the second is told, and nothing is lost. Stores on a server
(``tracking.uri``, ``database``) are not mirrored: they do not live on the machine.
"""

import json
import os
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from quire.config import Settings
from quire.errors import ArchiveError
from quire.io import storage
from quire.io.archive_format import MirrorList, as_json, parse, place_below
from quire.io.storage import Conflict, Missing, Store
from quire.io.tracking_store import store_path

LIST = "stores/_stores.json"
UNNAMED_FOR = timedelta(days=1)
"""How long content stays that no list names: somebody may just now be sending or reading it."""


def open(settings: Settings) -> "Mirror | None":
    """Return the mirror of the stores in outputs/; None without an archive, or where both stores are on servers."""
    config, outputs = settings.config.archive, settings.outputs
    paths = [store_path(uri) for uri in (settings.tracking_uri, settings.database_url)]
    databases = tuple(path.relative_to(outputs).as_posix() for path in paths if path and path.is_relative_to(outputs))
    if not config.url or not databases:
        return None
    tracking = paths[0]
    folders = ("mlartifacts",) if tracking and tracking.is_relative_to(outputs) else ()
    return Mirror(storage.open(config.url, config.endpoint_url), outputs, databases, folders)


@dataclass(frozen=True)
class Mirror:
    """SQLite files and folders below ``outputs``, by relative path, and their mirror in ``store``."""

    store: Store
    outputs: Path
    databases: tuple[str, ...]
    folders: tuple[str, ...] = ()

    def save(self, run_id: str) -> int:
        """Mirror what changed since the last time, and return how many files were sent.

        run_id: the run that changed it, for people. Raises ArchiveError if the mirror is not what is here, and says
        which machine was faster where one was.
        """
        with self._alone(), tempfile.TemporaryDirectory() as scratch:
            state, marks = self._seen(), self._marks()
            if state.get("marks") == marks:
                return 0
            # The databases first: what they name is on disk by then, so that the copy names nothing that it lacks.
            places = self._copies(Path(scratch)) | self._files()
            files = self._described(places, state, marks)
            database_hashes = {name: files[name]["sha256"] for name in self.databases if name in files}
            if not files:
                return 0
            # Stores that are on a server for this machine may be mirrored by another one.
            files |= {path: file for path, file in state.get("files", {}).items() if not self._is_ours(path)}
            if state.get("files") == files and state["ours"] == database_hashes:
                self._remember(state["tag"], files, database_hashes, marks)
                return 0
            remote_hashes = {file["sha256"] for file in state.get("files", {}).values()}
            new = {files[path]["sha256"]: place for path, place in places.items() if path in files}
            new = {sha256: place for sha256, place in new.items() if sha256 not in remote_hashes}
            self._send(new)
            content = {"machine": socket.gethostname(), "run_id": run_id, "files": files}
            tag = self._write_list(content, state.get("tag"))
            self._remember(tag, files, database_hashes, marks)
            return len(new)

    def bring(self) -> list[str]:
        """Make the stores here those of the archive if another machine wrote them since; return the files that came.

        Raises ArchiveError where both sides changed: then nothing is touched.
        """
        with self._alone():
            try:
                text, item = self.store.read_tagged(LIST)
            except Missing:
                return []
            state = self._seen()
            if item.tag == state.get("tag"):
                return []
            remote_list = as_json(parse(MirrorList, text, where=self.store.url(LIST)))
            if self._changed(state):
                raise ArchiveError(self._parted(remote_list))
            came = self._fetch(remote_list)
            with self._fetched_databases(remote_list) as databases:
                # All is on this machine now. From here on a crash must not look like a change of its own.
                self._remember("", {}, {}, {}, bringing=True)
                for name, path in databases.items():
                    self._take(name, path)
            came += sorted(databases)
            # What came names files of this machine, so it is not, byte for byte, what the archive holds.
            self._remember(item.tag, remote_list["files"], self._hashes_of_databases(), self._marks())
            return came

    def prune(self, now: datetime) -> int:
        """Remove content that the list no longer names; return how many objects."""
        try:
            remote_list = parse(MirrorList, self.store.read(LIST), where=self.store.url(LIST))
        except Missing:
            return 0
        hashes = {file.sha256 for file in remote_list.files.values()}
        old = [item.key for item in self.store.items("stores/") if item.modified_at < now - UNNAMED_FOR]
        stale_keys = [key for key in old if key != LIST and key.removeprefix("stores/") not in hashes]
        self.store.delete(stale_keys)
        return len(stale_keys)

    def _is_ours(self, path: str) -> bool:
        return path in self.databases or path.startswith(tuple(f"{folder}/" for folder in self.folders))

    def _alone(self) -> Any:
        from filelock import FileLock

        self._memory.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self._memory}.lock")

    @property
    def _memory(self) -> Path:
        return self.outputs / ".archive" / "stores.json"

    def _seen(self) -> dict[str, Any]:
        """Return what this machine and the archive last agreed on; {} if they never did."""
        try:
            state = json.loads(self._memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("url") == self.store.url() else {}

    def _remember(self, tag: str, files: Any, ours: Any, marks: Any, *, bringing: bool = False) -> None:
        """Note what the archive holds, the hashes of the databases here that are the same, and how their files look."""
        state = {
            "url": self.store.url(),
            "tag": tag,
            "files": files,
            "ours": ours,
            "marks": marks,
            "bringing": bringing,
        }
        partial_path = self._memory.with_suffix(".partial")
        partial_path.write_text(json.dumps(state), encoding="utf-8")
        os.replace(partial_path, self._memory)

    def _marks(self) -> dict[str, list[int]]:
        """Return size and time of change of every file, those that SQLite keeps beside its own included."""
        logs = {f"{name}-wal": self.outputs / f"{name}-wal" for name in self.databases}
        places = {name: self.outputs / name for name in self.databases} | logs | self._files()
        marks = {}
        for path, place in places.items():
            with suppress(FileNotFoundError):
                stat = place.stat()
                if stat.st_size:
                    marks[path] = [stat.st_size, stat.st_mtime_ns]
        return marks

    def _files(self) -> dict[str, Path]:
        paths = [path for folder in self.folders for path in (self.outputs / folder).rglob("*") if path.is_file()]
        return {path.relative_to(self.outputs).as_posix(): path for path in sorted(paths)}

    def _copies(self, scratch: Path) -> dict[str, Path]:
        """Return a copy of each database that is here."""
        names = [name for name in self.databases if (self.outputs / name).is_file()]
        copies = {name: scratch / f"{number}.db" for number, name in enumerate(names)}
        for name, copy in copies.items():
            _copy(self.outputs / name, copy)
        return copies

    def _changed(self, seen: dict[str, Any]) -> bool:
        """Whether a database is here that is not the one which this machine and the archive agreed on."""
        if seen.get("bringing") or seen.get("marks") == self._marks():
            return False
        return any(seen.get("ours", {}).get(name) != sha256 for name, sha256 in self._hashes_of_databases().items())

    def _hashes_of_databases(self) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as scratch:
            return {name: storage.file_sha256(copy) for name, copy in self._copies(Path(scratch)).items()}

    def _described(self, places: dict[str, Path], seen: dict[str, Any], marks: Any) -> dict[str, dict[str, Any]]:
        """Return hash and size of each file; one that did not change since the last time is not read again."""
        files: dict[str, dict[str, Any]] = {}
        before = seen.get("marks", {})
        for path, place in places.items():
            unchanged = path in before and before[path] == marks.get(path)
            if unchanged and path in seen["files"] and path not in self.databases:
                files[path] = seen["files"][path]
                continue
            with suppress(FileNotFoundError):  # removed just now
                files[path] = {"sha256": storage.file_sha256(place), "bytes": place.stat().st_size}
                if path in self.databases:
                    files[path]["outputs"] = str(self.outputs)
        return files

    def _send(self, new: dict[str, Path]) -> None:
        results = storage.each(lambda sha256: self.store.put(new[sha256], f"stores/{sha256}", sha256), new)
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            raise ArchiveError(
                f"{len(failed)} of {len(new)} files of the tracking store and the database did not reach "
                f"{self.store.url('stores')}: {failed[0]} They are whole here; the next `quire run` sends them."
            )

    def _write_list(self, content: dict[str, Any], tag: str | None) -> str:
        text = json.dumps(content, indent=1).encode()
        parse(MirrorList, text, where="The list of the stores' files here")  # or nobody could read it
        try:
            return self.store.write(LIST, text, tag=tag) if tag else self.store.write(LIST, text, absent=True)
        except Conflict:
            remote_text, item = self.store.read_tagged(LIST)
            if remote_text == text:  # the answer to our own write was lost and the call repeated
                return item.tag
            remote_list = parse(MirrorList, remote_text, where=self.store.url(LIST))
            raise ArchiveError(self._parted(as_json(remote_list))) from None

    def _fetch(self, there: dict[str, Any]) -> list[str]:
        """Bring what is not here of the folders; return the paths."""

        def bring(path: str) -> bool:
            file, target = there["files"][path], place_below(self.outputs, path)
            if target.is_file() and not target.is_symlink() and storage.file_sha256(target) == file["sha256"]:
                return False
            self.store.get(f"stores/{file['sha256']}", target, file["sha256"], size_bytes=file["bytes"])
            return True

        paths = [path for path in there["files"] if self._is_ours(path) and path not in self.databases]
        results = storage.each(bring, paths)
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            raise ArchiveError(f"{len(failed)} of {len(paths)} files of the stores did not come: {failed[0]}")
        return [path for path, came in results if came]

    @contextmanager
    def _fetched_databases(self, there: dict[str, Any]) -> Iterator[dict[str, Path]]:
        """Yield the databases that differ from those here, each as a file beside its place."""
        local_hashes = self._hashes_of_databases()
        hashes = {name: there["files"][name]["sha256"] for name in self.databases if name in there["files"]}
        hashes = {name: sha256 for name, sha256 in hashes.items() if local_hashes.get(name) != sha256}
        paths = {name: (self.outputs / name).with_name(f".{Path(name).name}.{os.getpid()}.brought") for name in hashes}
        try:
            for name, path in paths.items():
                file = there["files"][name]
                self.store.get(f"stores/{hashes[name]}", path, hashes[name], size_bytes=file["bytes"])
                try:
                    _move_paths(path, Path(file.get("outputs") or self.outputs).as_uri(), self.outputs.as_uri())
                except sqlite3.Error as error:
                    raise ArchiveError(
                        f"{self.store.url(f'stores/{hashes[name]}')} is no database that Quire made: {error}. It was "
                        f"tampered with or damaged; remove {self.store.url(LIST)} to begin the stores anew."
                    ) from error
            yield paths
        finally:
            for path in paths.values():
                path.unlink(missing_ok=True)

    def _take(self, name: str, beside: Path) -> None:
        place = self.outputs / name
        if place.exists():
            _copy(beside, place)  # in a transaction: whoever has it open sees the old or the new content
            return
        for suffix in ("-wal", "-shm", "-journal"):  # of a database that was moved away: SQLite would apply it
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        os.replace(beside, place)

    def _parted(self, there: dict[str, Any]) -> str:
        return (
            f"The tracking store and the database in {self.outputs} and those in {self.store.url('stores')} went "
            f"different ways: run {there['run_id']} on {there['machine']} wrote the archive's. Machines that run at "
            "the same time need an MLflow server and PostgreSQL (tracking.uri and database in config.yaml). To go on "
            f"with the archive's, move {' and '.join(self.databases)} away from here; to go on with those here, "
            f"remove {self.store.url(LIST)}."
        )


def _copy(source: Path, target: Path) -> None:
    """Copy a SQLite database whole, whoever writes to it meanwhile; the target is replaced in a transaction."""
    with closing(sqlite3.connect(source, timeout=60)) as old, closing(sqlite3.connect(target, timeout=60)) as new:
        old.backup(new)


def _move_paths(database: Path, old: str, new: str) -> None:
    """Rewrite the file:// addresses below ``old``: MLflow's tables hold whole ones."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA trusted_schema = OFF")  # its views and triggers reach nothing outside
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in (table.replace('"', '""') for table in tables if old != new):
            columns = [(row[1], row[2].upper()) for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in (name.replace('"', '""') for name, kind in columns if "CHAR" in kind or "TEXT" in kind):
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE substr("{column}", 1, ?) = ?',
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )

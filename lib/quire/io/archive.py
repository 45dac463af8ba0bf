"""The archive: runs mirrored below an ``s3://`` URL, file by file, so that they open there as they do here.

::

    runs/<run_id>/...              the run's files, by their own names
    runs/<run_id>/_archive.json    what is whole: path -> SHA-256 and size; written last, and all that a reader trusts
    runs/<run_id>/_versions/...    files that changed since that was written, by their SHA-256, until the run has ended
    stages/<key>/<name>.json       which run holds a result of a stage, by its cache key and what it was made of
    stores/...                     the tracking store and the database, see `mirror`
    leases/<params>.json           who runs these params now

No object that the manifest names is ever overwritten by other content, so that what was whole stays so wherever a
machine dies. What could not be sent is owed, with the notes of its stages (`archive_pending`), and the next run sends
it. Content that the archive holds under another name is copied there instead of being sent again. What comes from the
archive is parsed by `archive_format`.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from quire.config import Settings
from quire.errors import ArchiveError, ArtifactError, near
from quire.io import mirror, storage
from quire.io.archive_format import (
    ArchivedFile,
    Malformed,
    Manifest,
    RunHeader,
    StageNote,
    as_json,
    is_run_name,
    parse,
    place_below,
    run_name,
)
from quire.io.archive_pending import Pending
from quire.io.mirror import Mirror
from quire.io.storage import Missing, Store, Unreachable

MANIFEST = "_archive.json"
RECORD = "run.json"

VERSIONS = "_versions"
"""Folder of a run for content whose path still belongs to what the manifest names."""

RECENT = 5
"""Runs whose content is looked at for something that need not be sent again."""


@dataclass(frozen=True)
class UploadStats:
    """What one saving did: files sent, copied within the archive, and already there; bytes sent."""

    sent: int
    copied: int
    kept: int
    sent_bytes: int


def open(settings: Settings, *, stores: bool = False) -> "Archive | None":
    """Return the archive that config.yaml names, or None where it names none; nothing is asked of the server yet.

    stores: mirror the tracking store and the database of this machine too.
    """
    config = settings.config.archive
    if not config.url:
        return None
    mirrored = mirror.open(settings) if stores else None
    return Archive(storage.open(config.url, config.endpoint_url), settings.outputs, config.keep_days, mirrored)


@dataclass
class Archive:
    """Runs in a store, and what is remembered of them in ``outputs/.archive/``."""

    store: Store
    outputs: Path
    keep_days: int | None = None
    stores: Mirror | None = None
    _held: dict[str, dict[str, str]] = field(default_factory=dict)
    _named: dict[str, dict[str, ArchivedFile]] = field(default_factory=dict)
    _hashes: dict[tuple[str, int, int], ArchivedFile] = field(default_factory=dict)
    _places: dict[str, str] | None = None
    _unreachable: Unreachable | None = None

    def save_stage(self, run_folder: Path, key: str = "", notes: Mapping[str, Any] | None = None) -> UploadStats:
        """Send what the run holds so far, now that a stage has ended, well or not.

        key: under which another machine finds the ``notes``, by name, with `find_stage`, beside those of others under
        the same key; "" if the stage is not to be reused. Raises ArchiveError if anything was not sent; the run is then
        owed. A server that did not answer is not asked again before the end of the run, so that it does not hold up
        every stage.
        """
        self._pending.add(run_folder.name, {f"stages/{key}/{name}.json": note for name, note in (notes or {}).items()})
        if self._unreachable:
            raise self._unreachable
        try:
            transfer = self._save(run_folder)
            self._send_notes(run_folder.name)
        except Unreachable as error:
            self._unreachable = error
            raise
        return transfer

    def save_run(self, run_folder: Path) -> UploadStats:
        """Send every file of an ended run that the archive lacks; raises ArchiveError if the run is still owed."""
        self._pending.add(run_folder.name, {})
        try:
            transfer = self._save(run_folder)
            if any(file.key for file in self._named[run_folder.name].values()):
                # The manifest names versions now, so their own paths are free.
                self._save(run_folder)
            self._drop_versions(run_folder.name)
            self._send_notes(run_folder.name)
        except Unreachable as error:
            self._unreachable = error
            raise
        self._pending.remove(run_folder.name)
        return transfer

    def save_stores(self, run_id: str) -> None:
        """Mirror what ``run_id`` left in the tracking store and the database; raises ArchiveError.

        Nothing is done after the server did not answer: the run itself reports that, and the next one mirrors.
        """
        if self.stores and not self._unreachable:
            self.stores.save(run_id)

    def owed(self) -> list[str]:
        """Return the runs that are here but not, or not wholly, in the archive, oldest first."""
        return [run_id for run_id in self._pending.run_ids() if (self._runs / run_id).is_dir()]

    def save_owed(self, *, but: str = "") -> list[str]:
        """Send what earlier runs owe and return which; ``but`` is the run under way. Raises ArchiveError."""
        run_ids = [run_id for run_id in self.owed() if run_id != but]
        if run_ids and self._unreachable:
            raise self._unreachable
        for run_id in run_ids:
            self.save_run(self._runs / run_id)
        return run_ids

    def runs(self) -> list[str]:
        """Return the runs that the archive holds, oldest first."""
        return sorted(name for name in self.store.folders("runs") if is_run_name(name))

    def files(self, run_id: str) -> dict[str, ArchivedFile]:
        """Return the files of an archived run by path.

        Raises ArtifactError if there is no such run, and ArchiveError if its manifest is not what Quire writes.
        """
        key = f"runs/{run_name(run_id)}/{MANIFEST}"
        try:
            return parse(Manifest, self.store.read(key), where=self.store.url(key)).files
        except Missing:
            run_ids = self.runs()
            newest = ", ".join(run_ids[-3:]) or "none"
            raise ArtifactError(
                f"The archive {self.store.url()} holds no run {run_id!r}; the newest: {newest}.{near(run_id, run_ids)}"
            ) from None

    def read_json(self, run_id: str, path: str) -> Any:
        """Return a JSON file of an archived run, such as ``run.json``; raises ArtifactError or ArchiveError."""
        file = self.files(run_id).get(path)
        key = f"runs/{run_id}/{file.key or path if file else path}"
        try:
            return json.loads(self.store.read(key))
        except (ValueError, RecursionError) as error:
            raise Malformed(f"{self.store.url(key)} is not JSON: {error}. It was tampered with or damaged.") from None

    def find_stage(self, key: str) -> list[dict[str, Any]]:
        """Return the notes that a stage was archived with under ``key``, the newest first.

        What is not a note, or did not come, is left out: it costs that result and no other. Raises Unreachable.
        """
        items = sorted(self.store.items(f"stages/{key}/"), key=lambda item: item.modified_at, reverse=True)

        def read(item: storage.Item) -> dict[str, Any]:
            return as_json(parse(StageNote, self.store.read(item.key), where=self.store.url(item.key)))

        notes = [note for _, note in storage.each(read, items)]
        for note in notes:
            if isinstance(note, Unreachable):
                raise note
        return [note for note in notes if isinstance(note, dict)]

    def fetch_run(self, run_id: str, *, below: Iterable[str] = ("",)) -> Path:
        """Bring an archived run back to ``outputs/runs/`` and return its folder; what is here already is not sent.

        below: only paths that start with one of these, such as ``artifacts/train/``. The record ``run.json`` comes
        last, so that a run that has one is whole. Raises ArchiveError if a file did not come.
        """
        files = self.files(run_id)
        folder = self._runs / run_id
        starts = tuple(below)
        paths = sorted(path for path in files if path.startswith(starts) and path != RECORD)
        results = storage.each(lambda path: self._bring(run_id, path, files[path]), paths)
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            kind = Unreachable if all(isinstance(error, Unreachable) for error in failed) else ArchiveError
            raise kind(f"{len(failed)} of {len(paths)} files of run {run_id} did not come: {failed[0]}")
        if RECORD in files and RECORD.startswith(starts):
            self._bring(run_id, RECORD, files[RECORD])
        return folder

    def prune(self, now: datetime) -> list[str]:
        """Remove runs that ended in the archive more than ``keep_days`` ago; return which.

        The newest run of each params stays, however old it is.
        """
        if self.keep_days is None or self._unreachable:
            return []
        oldest = now - timedelta(days=self.keep_days)
        keys: dict[str, list[str]] = {}
        last_modified: dict[str, datetime] = {}
        for item in self.store.items("runs/"):
            run_id = item.key.split("/")[1]
            keys.setdefault(run_id, []).append(item.key)
            last_modified[run_id] = max(last_modified.get(run_id, item.modified_at), item.modified_at)
        old = [run_id for run_id in sorted(keys) if last_modified[run_id] < oldest]
        newest = {params: run_id for run_id, params in self._params(sorted(keys)).items()} if old else {}
        expired_ids = [run_id for run_id in old if run_id not in newest.values()]
        for run_id in expired_ids:
            # The manifest goes first: without it nothing of the run is trusted any longer.
            manifest = f"runs/{run_id}/{MANIFEST}"
            self.store.delete([manifest])
            self.store.delete(key for key in keys[run_id] if key != manifest)
        self.store.delete(item.key for item in self.store.items("stages/") if item.modified_at < oldest)
        return expired_ids

    def prune_stores(self, now: datetime) -> int:
        """Remove content of the stores that is no longer named; return how many objects."""
        return self.stores.prune(now) if self.stores and not self._unreachable else 0

    @property
    def _runs(self) -> Path:
        return self.outputs / "runs"

    @property
    def _pending(self) -> Pending:
        return Pending(self.outputs / ".archive" / "owed")

    def _send_notes(self, run_id: str) -> None:
        """Let others find what the run made; after the stores, which hold the model version that a stage registered."""
        notes = self._pending.notes(run_id)
        if notes and self.stores:
            self.stores.save(run_id)
        for key, note in notes.items():
            self.store.write(key, json.dumps(note).encode())
        if notes:
            self._pending.drop_notes(run_id)

    def _save(self, folder: Path) -> UploadStats:
        """Send what the archive lacks of the run, and then the manifest, which names all of it."""
        run_id = folder.name
        self._learn(run_id)
        results = storage.each(lambda path: self._send(folder, path), _paths(folder))
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            kind = Unreachable if all(isinstance(error, Unreachable) for error in failed) else ArchiveError
            raise kind(
                f"{len(failed)} of {len(results)} files of run {run_id} did not reach {self.store.url()}: {failed[0]} "
                "The run is whole here; the next `quire run` sends what is owed."
            )
        files = {path: file for path, (_, file) in results}  # type: ignore[misc]
        entries = {path: file.model_dump(exclude_defaults=True) for path, file in files.items()}
        content = json.dumps({"run_id": run_id, "files": entries}, indent=1).encode()
        parse(Manifest, content, where=f"The list of the files of {folder}")  # or nobody could read it
        del self._named[run_id]  # whether it arrives or not: then it is read again
        self.store.write(f"runs/{run_id}/{MANIFEST}", content)
        self._named[run_id] = files
        statuses = [result for _, (result, _) in results]  # type: ignore[misc]
        size = sum(file.size_bytes for _, (result, file) in results if result == "sent")  # type: ignore[misc]
        return UploadStats(statuses.count("sent"), statuses.count("copied"), statuses.count("kept"), size)

    def _drop_versions(self, run_id: str) -> None:
        versions = [path for path in self._held[run_id] if path.startswith(f"{VERSIONS}/")]
        if versions:
            self.store.delete(f"runs/{run_id}/{path}" for path in versions)
        for path in versions:
            del self._held[run_id][path]

    def _learn(self, run_id: str) -> None:
        """Find out once what the archive holds of this run, even without a manifest, and of the newest others."""
        if run_id not in self._held:
            start = len(f"runs/{run_id}/")
            keys = [item.key for item in self.store.items(f"runs/{run_id}/")]
            hashes = storage.each(self.store.sha256, keys)
            self._held[run_id] = {key[start:]: sha256 for key, sha256 in hashes if isinstance(sha256, str)}
        if run_id not in self._named:
            self._named[run_id] = self._files_if_any(run_id)
        if self._places is None:
            self._places = {
                file.sha256: f"runs/{other}/{file.key or path}"
                for other in self.runs()[-RECENT:]
                for path, file in self._files_if_any(other).items()
            }

    def _files_if_any(self, run_id: str) -> dict[str, ArchivedFile]:
        """Return the files that a manifest names, and none where there is no manifest that can be read."""
        try:
            return self.files(run_id)
        except (ArtifactError, Malformed):
            return {}

    def _send(self, folder: Path, path: str) -> tuple[str, ArchivedFile]:
        """Make sure that the archive holds the file; return how ("kept", "copied" or "sent") and what.

        It goes to its own path, unless the manifest still names that for other content.
        """
        file, hashes, run_id = self._hashed(folder / path), self._held[folder.name], folder.name
        entry = self._named[run_id].get(path)
        if entry and not entry.key and entry.sha256 != file.sha256:
            file = file.model_copy(update={"key": f"{VERSIONS}/{file.sha256}/{Path(path).name}"})
        own = file.key or path
        if hashes.get(own) == file.sha256:
            return "kept", file
        key, origin = f"runs/{run_id}/{own}", (self._places or {}).get(file.sha256)
        if version := next((name for name in dict(hashes) if name.startswith(f"{VERSIONS}/{file.sha256}/")), ""):
            origin = f"runs/{run_id}/{version}"
        status = "copied" if origin and origin != key and self.store.copy(origin, key, file.sha256) else "sent"
        if status == "sent":
            self.store.put(folder / path, key, file.sha256)
        hashes[own] = file.sha256
        return status, file

    def _hashed(self, path: Path) -> ArchivedFile:
        """Return what the file holds; one that did not change since is not read again."""
        stat = path.stat()
        mark = (str(path), stat.st_mtime_ns, stat.st_ino)
        if mark not in self._hashes:
            self._hashes[mark] = ArchivedFile(sha256=storage.file_sha256(path), size_bytes=stat.st_size)
        return self._hashes[mark]

    def _bring(self, run_id: str, path: str, file: ArchivedFile) -> None:
        target = place_below(self._runs, f"{run_id}/{path}")
        if target.is_file() and not target.is_symlink() and storage.file_sha256(target) == file.sha256:
            return
        key = f"runs/{run_id}/{file.key or path}"

        def check(record: Path) -> None:
            header = parse(RunHeader, record.read_bytes(), where=self.store.url(key))
            if header.run_id not in ("", run_id):
                raise Malformed(f"{self.store.url(key)} is the record of {header.run_id}. It was tampered with.")

        self.store.get(key, target, file.sha256, size_bytes=file.size_bytes, check=check if path == RECORD else None)

    def _params(self, run_ids: list[str]) -> dict[str, str]:
        """Return the name of the params of each run that has a record; raises ArchiveError if one did not come."""

        def read(run_id: str) -> str | None:
            key = f"runs/{run_id}/{RECORD}"
            try:
                return parse(RunHeader, self.store.read(key), where=self.store.url(key)).params
            except (Missing, Malformed):
                return None

        results = storage.each(read, run_ids)
        for _, params in results:
            if isinstance(params, ArchiveError):
                raise params
        return {run_id: params for run_id, params in results if isinstance(params, str)}


def _paths(folder: Path) -> list[str]:
    """Return the paths of a run's files, sorted, without what is being written just now."""
    paths = []
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(directory, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(paths)

"""The archive: runs mirrored below an ``s3://`` URL, file by file, so that they open there as they do here.

::

    runs/<run_id>/...              the run's files, by their own names
    runs/<run_id>/_archive.json    what is whole: path -> SHA-256 and size; written last, and all that a reader trusts
    stages/<key>/<name>.json       which run holds a result of a stage, by its cache key and what it was made of
    stores/...                     the tracking store and the database, see `mirror`
    leases/<params>.json           who runs these params now

What could not be sent is owed: a file in ``outputs/.archive/owed/`` remembers the run, and the next run sends it.
Content that the archive holds under another name is copied there instead of being sent again.
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
from quire.io.mirror import Mirror
from quire.io.storage import Missing, Store, Unreachable

MANIFEST = "_archive.json"

RECENT = 5
"""Runs whose content is looked at for something that need not be sent again."""


@dataclass(frozen=True)
class Found:
    """A file of an archived run."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Sent:
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
    _hashes: dict[tuple[str, int, int], Found] = field(default_factory=dict)
    _places: dict[str, str] | None = None
    _unreachable: Unreachable | None = None

    def save_stage(self, run_folder: Path, key: str = "", notes: Mapping[str, Any] | None = None) -> Sent:
        """Send what the run holds so far, now that a stage has ended, well or not.

        key: under which another machine finds the ``notes``, by name, with `find_stage`, beside those of others under
        the same key; "" if the stage is not to be reused. Raises ArchiveError if anything was not sent; the run is then
        owed. A server that did not answer is not asked again before the end of the run, so that it does not hold up
        every stage.
        """
        if self._unreachable:
            raise self._unreachable
        try:
            sent = self._save(run_folder, ended=False)
            # Before the note: whoever finds the stage must find the model version that it registered.
            if self.stores:
                self.stores.save(run_folder.name)
            for name, note in (notes or {}).items():
                self.store.write(f"stages/{key}/{name}.json", json.dumps(note).encode())
        except Unreachable as error:
            self._unreachable = error
            raise
        return sent

    def save_run(self, run_folder: Path) -> Sent:
        """Send every file of an ended run that the archive lacks; raises ArchiveError if the run is still owed."""
        try:
            return self._save(run_folder, ended=True)
        except Unreachable as error:
            self._unreachable = error
            raise

    def save_stores(self, run_id: str) -> None:
        """Mirror what ``run_id`` left in the tracking store and the database; raises ArchiveError.

        Nothing is done after the server did not answer: the run itself reports that, and the next one mirrors.
        """
        if self.stores and not self._unreachable:
            self.stores.save(run_id)

    def owed(self) -> list[str]:
        """Return the runs that are here but not, or not wholly, in the archive, oldest first."""
        if not self._owed_folder.is_dir():
            return []
        return sorted(path.name for path in self._owed_folder.iterdir() if (self._runs / path.name).is_dir())

    def save_owed(self, *, but: str = "") -> list[str]:
        """Send what earlier runs owe and return which; ``but`` is the run under way. Raises ArchiveError."""
        owed = [run_id for run_id in self.owed() if run_id != but]
        if owed and self._unreachable:
            raise self._unreachable
        for run_id in owed:
            self.save_run(self._runs / run_id)
        return owed

    def runs(self) -> list[str]:
        """Return the runs that the archive holds, oldest first."""
        return sorted(self.store.folders("runs"))

    def files(self, run_id: str) -> dict[str, Found]:
        """Return the files of an archived run by path; raises ArtifactError if there is no such run."""
        try:
            manifest = self.read_json(run_id, MANIFEST)
        except Missing:
            known = self.runs()
            newest = ", ".join(known[-3:]) or "none"
            raise ArtifactError(
                f"The archive {self.store.url()} holds no run {run_id!r}; the newest: {newest}.{near(run_id, known)}"
            ) from None
        return {path: Found(**found) for path, found in manifest["files"].items()}

    def read_json(self, run_id: str, path: str) -> Any:
        """Return a JSON file of an archived run, such as ``run.json``; raises Missing."""
        return json.loads(self.store.read(f"runs/{run_id}/{path}"))

    def find_stage(self, key: str) -> list[Any]:
        """Return the notes that a stage was archived with under ``key``, the newest first."""
        items = sorted(self.store.items(f"stages/{key}/"), key=lambda item: item.modified_at, reverse=True)
        read = [content for _, content in storage.each(self.store.read, [item.key for item in items])]
        for error in read:
            if isinstance(error, ArchiveError) and not isinstance(error, Missing):
                raise error
        return [json.loads(content) for content in read if isinstance(content, bytes)]

    def fetch_run(self, run_id: str, *, below: Iterable[str] = ("",)) -> Path:
        """Bring an archived run back to ``outputs/runs/`` and return its folder; what is here already is not sent.

        below: only paths that start with one of these, such as ``artifacts/train/``. The record ``run.json`` comes
        last, so that a run that has one is whole. Raises ArchiveError if a file did not come.
        """
        files = self.files(run_id)
        folder = self._runs / run_id
        starts = tuple(below)
        wanted = sorted(path for path in files if path.startswith(starts) and path != "run.json")
        results = storage.each(lambda path: self._bring(run_id, path, files[path], folder), wanted)
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            raise ArchiveError(f"{len(failed)} of {len(wanted)} files of run {run_id} did not come: {failed[0]}")
        if "run.json" in files and "run.json".startswith(starts):
            self._bring(run_id, "run.json", files["run.json"], folder)
        return folder

    def prune(self, now: datetime) -> list[str]:
        """Remove runs that ended in the archive more than ``keep_days`` ago; return which.

        The newest run of each params stays, however old it is.
        """
        if self.keep_days is None or self._unreachable:
            return []
        oldest = now - timedelta(days=self.keep_days)
        keys: dict[str, list[str]] = {}
        written: dict[str, datetime] = {}
        for item in self.store.items("runs/"):
            run_id = item.key.split("/")[1]
            keys.setdefault(run_id, []).append(item.key)
            written[run_id] = max(written.get(run_id, item.modified_at), item.modified_at)
        old = [run_id for run_id in sorted(keys) if written[run_id] < oldest]
        newest = {params: run_id for run_id, params in self._params(sorted(keys)).items()} if old else {}
        gone = [run_id for run_id in old if run_id not in newest.values()]
        for run_id in gone:
            # The manifest goes first: without it nothing of the run is trusted any longer.
            manifest = f"runs/{run_id}/{MANIFEST}"
            self.store.delete([manifest])
            self.store.delete(key for key in keys[run_id] if key != manifest)
        self.store.delete(item.key for item in self.store.items("stages/") if item.modified_at < oldest)
        return gone

    def prune_stores(self, now: datetime) -> int:
        """Remove content of the stores that is no longer named; return how many objects."""
        return self.stores.prune(now) if self.stores and not self._unreachable else 0

    @property
    def _runs(self) -> Path:
        return self.outputs / "runs"

    @property
    def _owed_folder(self) -> Path:
        return self.outputs / ".archive" / "owed"

    def _save(self, folder: Path, *, ended: bool) -> Sent:
        run_id = folder.name
        owed = self._owed_folder / run_id
        owed.parent.mkdir(parents=True, exist_ok=True)
        owed.touch()
        self._learn(run_id)
        results = storage.each(lambda path: self._send(folder, path), _paths(folder))
        failed = [result for _, result in results if isinstance(result, ArchiveError)]
        if failed:
            raise ArchiveError(
                f"{len(failed)} of {len(results)} files of run {run_id} did not reach {self.store.url()}: {failed[0]} "
                "The run is whole here; the next `quire run` sends what is owed."
            )
        files = {path: file for path, (_, file) in results}  # type: ignore[misc]
        manifest = {"run_id": run_id, "files": {path: vars(file) for path, file in files.items()}}
        self.store.write(f"runs/{run_id}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
        if ended:
            owed.unlink(missing_ok=True)
        how = [result for _, (result, _) in results]  # type: ignore[misc]
        size = sum(file.size_bytes for _, (result, file) in results if result == "sent")  # type: ignore[misc]
        return Sent(how.count("sent"), how.count("copied"), how.count("kept"), size)

    def _learn(self, run_id: str) -> None:
        """Find out once what the archive holds of this run, even without a manifest, and of the newest others."""
        if run_id not in self._held:
            keys = [item.key for item in self.store.items(f"runs/{run_id}/")]
            start = len(f"runs/{run_id}/")
            hashes = storage.each(self.store.sha256, keys)
            self._held[run_id] = {key[start:]: sha256 for key, sha256 in hashes if isinstance(sha256, str)}
        if self._places is None:
            self._places = {}
            for other in self.runs()[-RECENT:]:
                try:
                    files = self.files(other)
                except ArtifactError:
                    continue
                self._places |= {file.sha256: f"runs/{other}/{path}" for path, file in files.items()}

    def _send(self, folder: Path, path: str) -> tuple[str, Found]:
        """Make sure that the archive holds the file; return how ("kept", "copied" or "sent") and what."""
        file = self._found(folder / path)
        held = self._held[folder.name]
        if held.get(path) == file.sha256:
            return "kept", file
        key = f"runs/{folder.name}/{path}"
        place = (self._places or {}).get(file.sha256)
        how = "copied" if place and place != key and self.store.copy(place, key, file.sha256) else "sent"
        if how == "sent":
            self.store.put(folder / path, key, file.sha256)
        held[path] = file.sha256
        return how, file

    def _found(self, path: Path) -> Found:
        """Return what the file holds; one that did not change since is not read again."""
        stat = path.stat()
        mark = (str(path), stat.st_mtime_ns, stat.st_ino)
        if mark not in self._hashes:
            self._hashes[mark] = Found(storage.file_sha256(path), stat.st_size)
        return self._hashes[mark]

    def _bring(self, run_id: str, path: str, file: Found, folder: Path) -> None:
        target = folder / path
        if not (target.is_file() and storage.file_sha256(target) == file.sha256):
            self.store.get(f"runs/{run_id}/{path}", target, file.sha256)

    def _params(self, run_ids: list[str]) -> dict[str, str]:
        """Return the name of the params of each run that has a record."""

        def read(run_id: str) -> str | None:
            try:
                return self.read_json(run_id, "run.json").get("params", "")
            except Missing:
                return None

        found = storage.each(read, run_ids)
        return {run_id: params for run_id, params in found if isinstance(params, str)}


def _paths(folder: Path) -> list[str]:
    """Return the paths of a run's files, sorted, without what is being written just now."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)

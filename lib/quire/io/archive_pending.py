"""What the archive is still owed: a file for each run in ``outputs/.archive/owed/``, with the notes of its stages."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.io.archive_format import is_run_name


@dataclass(frozen=True)
class Pending:
    """The runs of this machine that the archive lacks, wholly or in part."""

    folder: Path

    def run_ids(self) -> list[str]:
        """Return the runs that are owed, the oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if is_run_name(path.name))

    def add(self, run_id: str, notes: Mapping[str, Any]) -> None:
        """Remember that the run is owed, and ``notes`` by their keys beside those that it owes already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if notes or not (self.folder / run_id).exists():
            self._write(run_id, {**self.notes(run_id), **notes})

    def notes(self, run_id: str) -> dict[str, Any]:
        """Return the notes that the run owes, by their keys."""
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads((self.folder / run_id).read_text(encoding="utf-8")))
        return {}

    def drop_notes(self, run_id: str) -> None:
        """Forget the notes of a run, since they have arrived; it is owed as before."""
        self._write(run_id, {})

    def remove(self, run_id: str) -> None:
        """Forget a run, since all of it has arrived."""
        (self.folder / run_id).unlink(missing_ok=True)

    def _write(self, run_id: str, notes: Mapping[str, Any]) -> None:
        partial_path = self.folder / f".{run_id}.partial"
        partial_path.write_text(json.dumps(notes), encoding="utf-8")
        os.replace(partial_path, self.folder / run_id)

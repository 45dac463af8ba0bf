"""run.json: what a run did, written whole after every change."""

import json
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quire.io.pending_notes import write_whole as write_whole
from quire.io.run_folder import read_record as read_record


def new_run_id(now: datetime) -> str:
    """Return a name for a run that sorts by time: UTC to the millisecond, then four random hex digits."""
    at = now.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}-{secrets.token_hex(2)}"


class Record:
    """run.json of one run, safe to change from several threads."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        """Hold ``content`` as the run.json of ``folder``; it is written by the first change."""
        self.folder = folder
        self.content = content
        self._lock = threading.RLock()

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """What is known of each stage."""
        return self.content["stages"]

    def update(self, **values: Any) -> None:
        """Set values of the run and write."""
        with self._lock:
            self.content.update(values)
            self._write()

    def update_stage(self, name: str, **values: Any) -> None:
        """Set values of a stage and write."""
        with self._lock:
            self.stages.setdefault(name, {}).update(values)
            self._write()

    def _write(self) -> None:
        write_whole(self.folder / "run.json", json.dumps(self.content, indent=2) + "\n")

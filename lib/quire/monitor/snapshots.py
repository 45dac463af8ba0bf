"""The finished runs whose monitoring page can be shown, and those pages, kept compressed in memory."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

PAGE = "reports/monitor.html"
KEPT = 8
"""Pages held in memory; the oldest goes first."""


@dataclass(frozen=True)
class Snapshot:
    """One run: what run.json and the monitor stage's answer say."""

    run_id: str
    folder: Path
    as_of: str
    finished_at: str
    status: str
    headline: str


@dataclass
class Snapshots:
    """The runs of one use case below ``outputs``/runs, newest first, read anew when a run was added."""

    outputs: Path
    params: str
    _pages: dict[tuple[Path, int], bytes] = field(default_factory=dict, repr=False)
    _runs: dict[Path, tuple[int, Snapshot | None]] = field(default_factory=dict, repr=False)

    def all(self) -> list[Snapshot]:
        """Return the runs with a monitoring page, the newest first."""
        found = (self._read(path) for path in sorted((self.outputs / "runs").glob("*/run.json"), reverse=True))
        return [one for one in found if one is not None]

    def find(self, run_id: str) -> Snapshot | None:
        """Return one run, or None; any other text than a run's id finds nothing."""
        return next((one for one in self.all() if one.run_id == run_id), None)

    def page(self, snapshot: Snapshot, *, latest: bool, live: bool) -> bytes:
        """Return the run's monitoring page with the dashboard's links on top, as gzip."""
        path = snapshot.folder / PAGE
        key = (path / f"{latest}{live}", path.stat().st_mtime_ns)
        if key not in self._pages:
            while len(self._pages) >= KEPT:
                self._pages.pop(next(iter(self._pages)))
            html = with_links(path.read_text(encoding="utf-8"), snapshot, latest=latest, live=live)
            self._pages[key] = gzip.compress(html.encode(), 6)
        return self._pages[key]

    def file(self, snapshot: Snapshot, name: str) -> Path | None:
        """Return a report or the index of a run; None for anything else: artifacts hold data."""
        path = (snapshot.folder / name).resolve()
        folder = snapshot.folder.resolve()
        allowed = path.parent == folder / "reports" or path == folder / "index.html"
        return path if allowed and path.suffix == ".html" and path.is_file() else None

    def _read(self, path: Path) -> Snapshot | None:
        changed = path.stat().st_mtime_ns
        known = self._runs.get(path)
        if known is None or known[0] != changed:
            self._runs[path] = known = (changed, self._parse(path))
        return known[1]

    def _parse(self, path: Path) -> Snapshot | None:
        record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        folder = path.parent
        if record.get("params") != self.params or not (folder / PAGE).is_file():
            return None
        answer_path = folder / "artifacts" / "monitor" / "_answer.json"
        told = json.loads(answer_path.read_text(encoding="utf-8")) if answer_path.is_file() else {}
        return Snapshot(
            folder.name,
            folder,
            str(record.get("as_of") or ""),
            str(record.get("finished_at") or ""),
            str(told.get("status", "neutral")),
            str(told.get("headline", "")),
        )


def with_links(html: str, snapshot: Snapshot, *, latest: bool, live: bool) -> str:
    """Return a report with the dashboard's links at the top; its own links then start from the run's folder."""
    html = html.replace('href="../', f'href="/runs/{escape(snapshot.run_id)}/')
    links = [("Latest", "/", latest), ("Earlier runs", "/runs", False)] + ([("Live", "/live/", False)] if live else [])
    nav = "".join(
        f'<a href="{address}"{" aria-current=page" if here else ""}>{escape(name)}</a>' for name, address, here in links
    )
    start = html.index(">", html.index("<body")) + 1
    return f'{html[:start]}<nav class="tabs quire-tabs" aria-label="Dashboard">{nav}</nav>{html[start:]}'

"""The runs of a use case as the dashboard shows them, and their monitoring pages, kept compressed in memory."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from quire.errors import ArtifactError
from quire.io import run_folder
from quire.page.numbers import shortened

PAGE = "reports/monitor.html"
STAGE = "monitor"
KEPT = 8
"""Pages held in memory; the oldest goes first."""

FAILED = ("failed", "interrupted")


@dataclass(frozen=True)
class RunPage:
    """One run: what run.json, ingest's manifest and the monitor stage's answer say.

    as_of: the logical time of the data, empty for data without a time. made: when the run started. run_status: how the
    run ended, or ``running``. stage: where it failed or was interrupted, and reason: why. status, headline: what
    monitoring found.
    """

    run_id: str
    folder: Path
    as_of: str
    made: str
    finished_at: str
    run_status: str
    partial: bool
    stage: str
    reason: str
    status: str
    headline: str
    is_monitored: bool

    @property
    def has_page(self) -> bool:
        """Whether there is a monitoring page to show."""
        return self.is_monitored and (self.folder / PAGE).is_file()

    @property
    def has_failed(self) -> bool:
        """Whether the run failed or was interrupted."""
        return self.run_status in FAILED

    def age_s(self, now: datetime) -> float | None:
        """Return how many seconds ago the run ended, or started where no end is known; None if neither is."""
        text = self.finished_at or self.made
        if not text:
            return None
        at = datetime.fromisoformat(text)
        return max(0.0, (now - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds())


@dataclass
class RunPages:
    """The runs of one use case below ``outputs``/runs, newest first, read anew when a run was added."""

    outputs: Path
    params: str
    _pages: dict[tuple[str, int, str], bytes] = field(default_factory=dict, repr=False)
    _runs: dict[Path, tuple[int, RunPage | None]] = field(default_factory=dict, repr=False)

    def runs(self) -> list[RunPage]:
        """Return all runs, failed ones too, the newest first."""
        return [run for folder in run_folder.folders(self.outputs) if (run := self._read(folder)) is not None]

    def all(self) -> list[RunPage]:
        """Return the runs with a monitoring page, the newest first."""
        return [run for run in self.runs() if run.has_page]

    def failure(self) -> RunPage | None:
        """Return the newest run if it failed or was interrupted; None if it went well, or there is none.

        One that still runs is not waited for, and that a few stages went well mends nothing.
        """
        finished_runs = (
            run for run in self.runs() if run.has_failed or (run.run_status == "succeeded" and not run.partial)
        )
        newest = next(finished_runs, None)
        return newest if newest is not None and newest.has_failed else None

    def find(self, run_id: str) -> RunPage | None:
        """Return one run, or None; any other text than a run's id finds nothing."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def page(self, snapshot: RunPage, *, latest: bool, live: bool, notice: str = "") -> bytes:
        """Return the run's monitoring page with the dashboard's links and ``notice``, an HTML, on top, as gzip."""
        path = snapshot.folder / PAGE
        key = (str(path), path.stat().st_mtime_ns, f"{latest}{live}{notice}")
        if key not in self._pages:
            while len(self._pages) >= KEPT:
                self._pages.pop(next(iter(self._pages)))
            html = with_links(path.read_text(encoding="utf-8"), snapshot, latest=latest, live=live, notice=notice)
            self._pages[key] = gzip.compress(html.encode(), 6)
        return self._pages[key]

    def file(self, snapshot: RunPage, name: str) -> Path | None:
        """Return a report or the index of a run; None for anything else: artifacts hold data."""
        try:
            path, folder = (snapshot.folder / name).resolve(), snapshot.folder.resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name with a null byte
            return None
        allowed = path.parent == folder / "reports" or path == folder / "index.html"
        return path if allowed and path.suffix == ".html" and path.is_file() else None

    def _read(self, folder: Path) -> RunPage | None:
        try:
            mtime_ns = (folder / run_folder.RECORD).stat().st_mtime_ns
        except OSError:
            return None
        entry = self._runs.get(folder)
        if entry is None or entry[0] != mtime_ns:
            self._runs[folder] = entry = (mtime_ns, self._parse(folder))
        return entry[1]

    def _parse(self, folder: Path) -> RunPage | None:
        try:
            record = run_folder.read_record(folder)
        except ArtifactError:
            return None
        if record["params"] != self.params or record.get("try"):
            return None
        answer = run_folder.read_answers(folder).get(STAGE, {})
        stage, reason = _failed_stage(record)
        return RunPage(
            run_id=folder.name,
            folder=folder,
            as_of=run_folder.data_as_of(folder, record),
            made=str(record.get("started_at") or record.get("finished_at") or ""),
            finished_at=str(record.get("finished_at") or ""),
            run_status=record["status"],
            partial=record["partial"],
            stage=stage,
            reason=reason,
            status=str(answer.get("status", "neutral")),
            headline=str(answer.get("headline", "")),
            is_monitored=record["stages"].get(STAGE, {}).get("status", "succeeded") in ("succeeded", "reused"),
        )


def _failed_stage(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the first stage that failed or was interrupted, and what its error says."""
    for name, stage in record["stages"].items():
        if stage["status"] in FAILED and stage["status"] == record["status"]:
            return name, shortened(str((stage.get("error") or {}).get("message") or ""), 200)
    return "", ""


def with_links(html: str, snapshot: RunPage, *, latest: bool, live: bool, notice: str = "") -> str:
    """Return a report with the dashboard's links at the top; its own links then start from the run's folder.

    notice: HTML to stand below the links.
    """
    html = html.replace('href="../', f'href="/runs/{escape(snapshot.run_id)}/')
    links = [("Latest", "/", latest), ("All runs", "/runs", False)] + ([("Live", "/live/", False)] if live else [])
    nav = "".join(
        f'<a href="{address}"{" aria-current=page" if is_current else ""}>{escape(name)}</a>'
        for name, address, is_current in links
    )
    body = html.find("<body")
    start = html.find(">", body) + 1 if body >= 0 else 0
    return f'{html[:start]}<nav class="tabs quire-tabs" aria-label="Dashboard">{nav}</nav>{notice}{html[start:]}'

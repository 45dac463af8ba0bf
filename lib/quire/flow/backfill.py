"""A workflow as of a series of dates: what would have been known, trained and alerted at each of them.

The runs go in date order under an alias of their own, so that the champion at a date is the last one promoted before
it and the live alias never moves. A date whose run succeeded is not run again.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire import config
from quire.config import Settings
from quire.errors import ConfigError
from quire.flow import history
from quire.flow.cluster import job_executor, prefetch
from quire.flow.context import Drivers, Listener, Request
from quire.flow.fork_server import ForkServerPool
from quire.flow.record import write_whole
from quire.flow.run import Result, run

if TYPE_CHECKING:
    from quire.page.dates import Date

ALIAS = "backfill"


def dates(start: str, end: str, every: str) -> list[datetime]:
    """Return the points in time from ``start`` to ``end``, both included, ``every`` length of time, in UTC.

    Raises ConfigError if there are none.
    """
    first, last, step = config.moment(start), config.moment(end), config.duration(every)
    if first > last:
        raise ConfigError(f"--from {start} is after --to {end}; write the earlier date first.")
    if not step:
        raise ConfigError(f"--every {every} is no time at all; write such as '7d'.")
    return [first + step * number for number in range((last - first) // step + 1)]


def backfill(
    request: Request,
    points: list[datetime],
    *,
    alias: str = ALIAS,
    root: Path | None = None,
    listen: Listener | None = None,
    jobs: int = 1,
    cluster: str = "",
) -> Iterator[Result]:
    """Run the workflow as of each point, oldest first; yield each result, and stop after one that did not succeed.

    Points that were done before, under the same alias and workflow, are left out. With ``jobs`` above 1, or the address
    of a Dask ``cluster``, the stages that read no outside state are done ahead, several points side by side; what comes
    of it is the same.
    """
    spread = jobs > 1 or bool(cluster)
    if spread and request.fresh:
        raise ConfigError("--fresh runs every stage in its turn: leave out --jobs and --cluster, or --fresh.")
    with _alias(alias), ExitStack() as stack:
        settings = config.load(request.params, root=root)
        series = _series(settings.outputs, settings.name, request.workflow, alias)
        finished_dates = {as_of for as_of, record in series.items() if record["status"] == "succeeded"}
        points = [point for point in points if point.isoformat() not in finished_dates or request.fresh]
        wait = None
        if points and spread:
            executor = stack.enter_context(job_executor(settings, cluster, jobs, listen or (lambda event: None)))
            wait = stack.enter_context(prefetch(request, points, executor, alias=alias, root=root))
        drivers = Drivers(fork_servers=stack.enter_context(ForkServerPool()))
        for point in points:
            if wait:
                wait(point)
            dated_request = replace(request, as_of=point.isoformat(), cause=f"backfill {alias}")
            result = run(dated_request, root=root, listen=listen, drivers=drivers)
            yield result
            if result.record["status"] != "succeeded":
                return


def write_page(settings: Settings, points: list[datetime], workflow: str, *, every: str, alias: str = ALIAS) -> Path:
    """Write the page with the metrics of all dates, ``outputs/backfill-<params>-<alias>.html``, and return where."""
    from quire import page

    html = page.backfill(
        _dates(settings, points, workflow, alias),
        title=settings.config.title or settings.name,
        params=settings.name,
        every=every,
        alias=alias,
    )
    path = settings.outputs / f"backfill-{settings.name}-{alias}.html"
    write_whole(path, html)
    return path


def _dates(settings: Settings, points: list[datetime], workflow: str, alias: str) -> list["Date"]:
    """Return what the page shows of each point: its newest run, and who was champion after it."""
    from quire.page.dates import Date

    newest = _series(settings.outputs, settings.name, workflow, alias)
    entries, champion = [], ""
    for point in points:
        record = newest.get(point.isoformat())
        if record is None:
            entries.append(Date(as_of=point.isoformat()))
            continue
        folder = settings.outputs / "runs" / record["run_id"]
        champion = _promoted(folder) or champion
        entries.append(
            Date(
                as_of=point.isoformat(),
                run_id=record["run_id"],
                status=record["status"],
                seconds=record["seconds"],
                metrics=history.metrics(folder),
                champion=champion,
                link=f"runs/{record['run_id']}/index.html",
            )
        )
    return entries


def _promoted(folder: Path) -> str:
    """Return the version that the run in ``folder`` promoted, or an empty text."""
    for path in folder.glob("artifacts/*/verdict.json"):
        verdict = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(verdict, dict) and verdict.get("promoted"):
            return str(verdict.get("version") or "")
    return ""


def _series(outputs: Path, params: str, workflow: str, alias: str) -> dict[str, dict[str, Any]]:
    """Return the newest whole run of each date, by date; one that succeeded goes before others."""
    newest: dict[str, dict[str, Any]] = {}
    for record in history.runs(outputs, params=params):
        is_part = record.get("alias") == alias and record["workflow"] == workflow and not record.get("partial")
        if not is_part or not record["as_of"] or record["status"] == "running":
            continue
        best_record = newest.setdefault(record["as_of"], record)
        if best_record["status"] != "succeeded" and record["status"] == "succeeded":
            newest[record["as_of"]] = record
    return newest


@contextmanager
def _alias(alias: str) -> Iterator[None]:
    """Judge against, and move, ``alias`` while the block runs; settings and kernels read it from the environment."""
    before = os.environ.get("QUIRE_ALIAS")
    os.environ["QUIRE_ALIAS"] = alias
    try:
        yield
    finally:
        if before is None:
            del os.environ["QUIRE_ALIAS"]
        else:
            os.environ["QUIRE_ALIAS"] = before

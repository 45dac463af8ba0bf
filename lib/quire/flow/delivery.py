"""What a run owes to others, from before it starts until it arrived: MLflow, figures, an alert, the archive.

Each part is taken off the note in ``outputs/.owed`` when it arrived. What a publisher that died, or a server that did
not answer, left there is delivered by the next run of any use case, or by ``quire publish``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire import config
from quire.config import Settings
from quire.errors import ArchiveError, ConfigError, QuireError, ServiceError, near
from quire.flow.context import FOR_ANOTHER
from quire.flow.lock import mark_dead, runs_under_way
from quire.flow.record import read_record
from quire.io import pending_notes

if TYPE_CHECKING:
    from quire.io.archive import Archive
    from quire.io.notify import AlertLog, OwedAlert

RECORD = "run.json"

BY = "alert by "
"""What the part of an alert is called that a channel has yet to take."""


@dataclass(frozen=True)
class DeliveryResult:
    """What became of one part that a run owes; ``kind`` and ``message`` are empty if it arrived.

    was_tried: False if the service was not asked, since it had not answered for others.
    """

    run_id: str
    part: str
    kind: str = ""
    message: str = ""
    was_tried: bool = True


class Failures:
    """What failed just now, by use case and part: after two in a row the service is taken to be away, and left alone.

    What failed goes to the end of the queue, see `_in_turn`.
    """

    PATIENCE = 2

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[DeliveryResult]] = {}

    def away(self, use_case: str, part: str) -> DeliveryResult | None:
        """Return the last failure of a service that is not to be asked again, or None."""
        row = self._rows.get((use_case, part), [])
        return replace(row[-1], was_tried=False) if len(row) >= self.PATIENCE else None

    def note(self, use_case: str, outcome: DeliveryResult) -> None:
        """Count a failure, or end the row."""
        row = self._rows.setdefault((use_case, outcome.part), [])
        row[:] = [*row, outcome] if outcome.message else []


@dataclass(frozen=True)
class Publication:
    """An ended run, and what it is published with; late: whether by another one than its own runner."""

    settings: Settings
    folder: Path
    record: Mapping[str, Any]
    archive: "Archive | None"
    late: bool = False

    @property
    def at(self) -> datetime | None:
        """When the run ended, or else started, if that is not just now."""
        moment = self.record.get("finished_at") or self.record.get("started_at")
        return datetime.fromisoformat(moment) if self.late and moment else None


def owes(record: Mapping[str, Any], settings: Settings) -> list[str]:
    """Return what a run owes: nothing with --no-publish or for another run, and less as an experiment."""
    if not record.get("publish", True) or record["cause"] == FOR_ANOTHER:
        return []
    return [name for name, part in PARTS.items() if part.is_owed(record, settings)]


def remember(record: Mapping[str, Any], settings: Settings) -> None:
    """Note all that a run that is about to start owes."""
    if parts := owes(record, settings):
        _write(settings.outputs, record["run_id"], parts)


def parts_of(outputs: Path, run_id: str) -> list[str]:
    """Return what a run still owes by its note; every part where that cannot be read, since a repeat harms none."""
    text = pending_notes.runs(outputs).read(run_id)
    if text is None:
        return []
    try:
        return [name for name in json.loads(text)["parts"] if name in PARTS]
    except (ValueError, KeyError, TypeError, RecursionError):
        return list(PARTS)


def left(outputs: Path, *, but: str = "") -> tuple[list[str], list[str]]:
    """Return the runs other than ``but`` that owe something, those under way aside, and the alerts in the outbox."""
    names = [name for name in pending_notes.runs(outputs).names() if name != but]
    under_way = runs_under_way(outputs) if names else set()
    return [name for name in names if name not in under_way], pending_notes.alerts(outputs).names()


def publish(run: Publication, failures: Failures) -> Iterator[DeliveryResult]:
    """Deliver each part that the run owes, even if another fails, and take off what arrived."""
    outputs, run_id, name = run.settings.outputs, run.folder.name, run.settings.name
    possible = owes(run.record, run.settings)
    parts = [part for part in parts_of(outputs, run_id) if part in possible]
    for part in list(parts):
        outage = failures.away(name, part)
        outcome = outage or attempt(run_id, part, lambda: PARTS[part].deliver(run))  # noqa: B023 - called at once
        failures.note(name, outcome)
        if not outcome.message:
            parts.remove(part)
            _write(outputs, run_id, parts)
        yield replace(outcome, run_id=run_id)


def _write(outputs: Path, run_id: str, parts: list[str]) -> None:
    if parts:
        pending_notes.runs(outputs).write(run_id, json.dumps({"parts": parts}))
    else:
        pending_notes.runs(outputs).remove(run_id)


def publish_others(
    root: Path, outputs: Path, failures: Failures, *, only: str = "", but: str = ""
) -> Iterator[DeliveryResult]:
    """Publish the runs that still owe something, the one that was tried longest ago first.

    Their alerts go to the outbox, see `send_alerts`. A run whose process is alive is left alone; one whose process died
    is marked so first. only: this run; but: not it.
    """
    archives: dict[str, Archive | None] = {}
    notes = pending_notes.runs(outputs)

    def publish_other(run_id: str) -> Iterator[DeliveryResult]:
        with notes.held(run_id) as is_free:
            if is_free and only in ("", run_id):
                yield from _publish_other(root, outputs, run_id, failures, archives)

    yield from _in_turn(notes, left(outputs, but=but)[0], publish_other)


def _in_turn(
    notes: pending_notes.Notes, names: list[str], deliver: Callable[[str], Iterator[DeliveryResult]]
) -> Iterator[DeliveryResult]:
    """Deliver one note after another; what was tried and failed comes last the next time, so it keeps nothing back."""
    failed = []
    for name in names:
        outcomes = list(deliver(name))
        yield from outcomes
        failed += [name] if any(outcome.message and outcome.was_tried for outcome in outcomes) else []
    for name in failed:
        notes.postpone(name)


def _publish_other(
    root: Path,
    outputs: Path,
    run_id: str,
    failures: Failures,
    archives: "dict[str, Archive | None]",
) -> Iterator[DeliveryResult]:
    from quire.io import archive

    folder = outputs / "runs" / run_id
    if not (folder / RECORD).exists():  # it was removed, or died before anything of it was written
        pending_notes.runs(outputs).remove(run_id)
        return
    try:
        mark_dead(folder)
        record = read_record(folder)
        settings = _settings(root, record["params"])
        if settings.name not in archives:
            archives[settings.name] = archive.open(settings, stores=True)
    except QuireError as error:
        yield DeliveryResult(run_id, "all", type(error).__name__, str(error))
        return
    yield from publish(Publication(settings, folder, record, archives[settings.name], late=True), failures)


def send_alerts(
    root: Path, outputs: Path, failures: Failures, *, only: str = "", but: str = ""
) -> Iterator[DeliveryResult]:
    """Send what is left in the outbox, of all runs, only of one, or of all but one."""
    from quire.io import notify

    outbox = pending_notes.alerts(outputs)

    def send(name: str) -> Iterator[DeliveryResult]:
        try:
            item = notify.waiting(outbox, name)
            if item is not None and only in ("", item.run_id) and (not but or but != item.run_id):
                yield from _send_alert(_settings(root, item.use_case), item, failures)
        except QuireError as error:
            yield DeliveryResult(name, "alert", type(error).__name__, str(error))

    yield from _in_turn(outbox, outbox.names(), send)


def _send_alert(settings: Settings, item: "OwedAlert", failures: Failures) -> Iterator[DeliveryResult]:
    """Try each channel that is not away."""
    from quire.io import notify

    run_id, name = item.run_id or item.alert.id, settings.name
    outages = {channel: failure for channel in item.channels if (failure := failures.away(name, f"{BY}{channel}"))}
    yield from (replace(failure, run_id=run_id) for failure in outages.values())
    for delivery in notify.deliver(item.alert.id, settings, lambda: _database(settings), skip=outages):
        message = f"Not delivered by {delivery.channel}: {delivery.detail}" if delivery.status == "failed" else ""
        outcome = DeliveryResult(run_id, f"{BY}{delivery.channel}", ServiceError.__name__ if message else "", message)
        failures.note(name, outcome)
        yield outcome


def attempt(run_id: str, part: str, action: Callable[[], Any]) -> DeliveryResult:
    """Return what became of a part, whatever it raises."""
    try:
        action()
    except QuireError as error:
        kind = ArchiveError if isinstance(error, ArchiveError) else type(error)
        return DeliveryResult(run_id, part, kind.__name__, str(error))
    except Exception as error:
        return DeliveryResult(run_id, part, type(error).__name__, f"{type(error).__name__}: {error}")
    return DeliveryResult(run_id, part)


def _settings(root: Path, name: str) -> Settings:
    """Return the settings of a use case that a file names; raises ConfigError unless it is one of this project."""
    names = config.use_cases(root)
    if name not in names:
        raise ConfigError(f"Use case {name!r} is not below {root / 'params'}; known: {names}.{near(name, names)}")
    return config.load(name, root=root)


def _database(settings: Settings) -> "AlertLog":
    from quire.io import database

    return database.open(settings.database_url)


def _track(run: Publication) -> None:
    from quire.io import tracking

    tracking.open(run.settings).log_run(run.record, run.folder)


def _send_figures(run: Publication) -> None:
    failed = [delivery for delivery in send_figures(run.settings, run.record, at=run.at) if delivery.status == "failed"]
    if failed:
        raise ServiceError(f"Not delivered by {failed[0].channel}: {failed[0].detail}")


def send_figures(settings: Settings, record: Mapping[str, Any], *, at: datetime | None = None) -> list[Any]:
    """Tell CloudWatch, if it is a channel, whether the run succeeded and how long it took; return the deliveries.

    at: when the run ended, if it is published later; see `quire.io.notify.measure`.
    """
    from quire.io import notify

    figures = {"RunSucceeded": float(record["status"] == "succeeded"), "RunSeconds": float(record.get("seconds") or 0)}
    return notify.measure(figures, settings, workflow=record["workflow"], at=at)


def _queue_alert(run: Publication) -> None:
    """Put the alert of a run that failed or died into the outbox; `send_alerts` sends it."""
    from quire.io import notify

    record, name = run.record, run.settings.name
    failed = [stage for stage, content in record["stages"].items() if content["status"] == "failed"]
    if record["status"] == "failed":
        verb, stages, body = "failed", failed, _explained(run, failed)
    elif "died_in" in record:
        verb, stages, body = "died", record["died_in"] or ["no stage"], _death(run)
    else:
        return
    index = run.folder / "index.html"
    alert = notify.Alert(
        kind="run_failed",
        title=f"{name}: {record['workflow']} {verb} in {', '.join(stages)}",
        body=body,
        severity="critical",
        cause=" ".join(["run_failed", name, *(["died"] if verb == "died" else []), *stages]),
        link=str(index if index.exists() else run.folder),  # a run that died wrote none
        at=run.at if run.at and record.get("finished_at") else datetime.now(UTC),
    )
    notify.queue(alert, run.settings, lambda: _database(run.settings), run_id=run.folder.name)


def _explained(run: Publication, failed: list[str]) -> str:
    from quire.flow.failure import explain

    stages, about = run.record["stages"], {"params": run.settings.name, "workflow": run.record["workflow"]}
    return "\n\n".join(explain(name, stages[name], folder=run.folder, **about) for name in failed)


def _death(run: Publication) -> str:
    command = f"quire run params/{run.settings.name} --workflow {run.record['workflow']}"
    return (
        f"The process of run {run.folder.name} ended without a word, as by kill -9, for lack of memory or by a power "
        f"cut. What had ended is kept; `{command}` goes on from there."
    )


def _archive(run: Publication) -> None:
    if run.archive is not None:
        run.archive.save_run(run.folder)


def _mirror(run: Publication) -> None:
    if run.archive is not None:
        run.archive.save_stores(run.folder.name)


@dataclass(frozen=True)
class OwedPart:
    """A part of what runs owe: which do, by record and settings, and how it is delivered."""

    deliver: Callable[[Publication], None]
    is_owed: Callable[[Mapping[str, Any], Settings], bool] = lambda record, settings: True


def _is_no_experiment(record: Mapping[str, Any], settings: Settings) -> bool:
    """Nobody is alerted by an experiment, nor by CloudWatch's alarms."""
    return not record.get("try")


def _is_archived(record: Mapping[str, Any], settings: Settings) -> bool:
    return bool(settings.config.archive.url)


PARTS: dict[str, OwedPart] = {
    "tracking": OwedPart(_track),
    "figures": OwedPart(_send_figures, _is_no_experiment),
    "alert": OwedPart(_queue_alert, _is_no_experiment),
    "archive": OwedPart(_archive, _is_archived),
    "stores": OwedPart(_mirror, _is_archived),
}
"""What a run may owe, in the order in which it is delivered."""

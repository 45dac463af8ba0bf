"""What follows a signal: a stage said ``run.signal("retrain", reason)``, and workflow.yaml says what that means."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quire import config
from quire.config import Reaction, Settings
from quire.flow import history
from quire.flow.context import Drivers, Listener, Request
from quire.flow.run import Result, run


def run_and_react(
    request: Request,
    *,
    root: Path | None = None,
    now: datetime | None = None,
    listen: Listener | None = None,
    drivers: Drivers | None = None,
) -> Iterator[Result]:
    """Run a workflow, then the workflows that its stages' signals ask for; yield each result as it ends.

    drivers: those of the first run; what follows is done here.
    A run that a signal started does not react in turn, so that two workflows never call each other for ever; nor does
    an experiment.
    """
    result = run(request, root=root, now=now, listen=listen, drivers=drivers)
    yield result
    settings = config.load(request.params, root=root)
    for name, reason, reaction in _reactions(settings, result.record):
        cause = f"signal {name}"
        at = now or datetime.now(UTC)
        last = _last(settings, cause, reaction, at)
        if listen:
            listen({"event": "signal", "name": name, "reason": reason, "workflow": reaction.workflow, "last": last})
        if not last:
            follow_up = replace(request, workflow=reaction.workflow, stages=(), overrides={}, fresh=False, cause=cause)
            yield run(follow_up, root=root, now=now, listen=listen)


def _reactions(settings: Settings, record: Any) -> list[tuple[str, str, Reaction]]:
    """Return each signal that was given in this run and that workflow.yaml has an answer to, once per workflow."""
    reactions: dict[str, tuple[str, str, Reaction]] = {}
    if record["cause"].startswith("signal ") or record.get("try"):
        return []
    for name, stage in record["stages"].items():
        options = settings.workflow.stages.get(name.partition(".")[0])
        for signal in stage.get("signals", []):
            reaction = options.on_signal.get(signal["name"]) if options else None
            if reaction:
                reactions.setdefault(reaction.workflow, (signal["name"], signal["reason"], reaction))
    return list(reactions.values())


def _last(settings: Settings, cause: str, reaction: Reaction, now: datetime) -> str:
    """Return the run that followed the same signal within the period, or an empty text."""
    since = now - config.duration(reaction.at_most_every)
    for record in history.runs(settings.outputs, params=settings.name):
        if datetime.fromisoformat(record["started_at"]) <= since:
            break
        if record.get("cause") == cause and record["workflow"] == reaction.workflow:
            return str(record["run_id"])
    return ""

"""What a run would do now, and why, without doing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from quire import config
from quire.errors import DataError
from quire.flow import history
from quire.flow.context import Context, Request
from quire.flow.graph import above
from quire.flow.run import prepare
from quire.flow.stage import StageRun


@dataclass(frozen=True)
class StageForecast:
    """What would become of a stage now.

    reason: what changed since its last success. looked_at: names of all that decides it, by kind. cold: why its kernel
    would not be forked from a warm process; empty if it would.
    """

    reason: str
    looked_at: Mapping[str, list[str]] = field(default_factory=dict)
    cold: str = ""


def changes_since(request: Request, *, root: Path | None = None) -> dict[str, str]:
    """Return for each stage what changed since its last success, ``nothing changed`` if it would be reused."""
    return {name: outlook.reason for name, outlook in stage_forecasts(request, root=root).items()}


def stage_forecasts(request: Request, *, root: Path | None = None) -> dict[str, StageForecast]:
    """Return for each stage what would become of it now.

    A stage below one that runs may still be reused if that leaves the same artifacts as before; it is said so.
    """
    settings = config.load(request.params, root=root)
    context = prepare(settings, replace(request, fresh=False), datetime.now(UTC), lambda event: None)
    last = next(history.runs(settings.outputs, params=settings.name), None)
    plan: dict[str, StageForecast] = {}
    for name, task in context.graph.items():
        waiting = sorted(need for need in above(context.graph, name) if plan[need].reason != _SAME)
        try:
            stage = StageRun(context, task)
        except DataError as error:  # another stage may be about to make the source
            plan[name] = StageForecast(_depends(waiting) if waiting else str(error))
            continue
        plan[name] = StageForecast(_reason(context, stage, waiting, last), stage.looked_at(), stage.cold)
    return plan


_SAME = "nothing changed; it would be reused."


def _reason(context: Context, stage: StageRun, waiting: list[str], last: dict | None) -> str:
    """Return what changed, and let the stages below see what the stage left."""
    name = stage.task.name
    trace = stage.find()
    if trace is not None:
        context.record.content["stages"][name]["artifacts"] = trace["artifacts"]
        return _SAME
    _borrow(context, name, last)
    reason = stage.reason()
    return _depends(waiting) if waiting and reason.startswith("what run") else reason


def _depends(waiting: list[str]) -> str:
    return f"it depends on what {', '.join(waiting)} will leave"


def _borrow(context: Context, name: str, last: dict | None) -> None:
    """Let the stages below see what a stage left last time, as long as it has not run again."""
    stage = (last or {}).get("stages", {}).get(name, {})
    context.record.content["stages"][name]["artifacts"] = stage.get("artifacts", [])

"""What a run would do now, and why, without doing it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from quire import config
from quire.flow import history
from quire.flow.context import Context, Request
from quire.flow.graph import above
from quire.flow.run import prepare
from quire.flow.stage import StageRun


def changes_since(request: Request, *, root: Path | None = None) -> dict[str, str]:
    """Return for each stage what changed since its last success, ``nothing changed`` if it would be reused.

    A stage below one that runs may still be reused if that leaves the same artifacts as before; it is said so.
    """
    settings = config.load(request.params, root=root)
    context = prepare(settings, replace(request, fresh=False), datetime.now(UTC), lambda event: None)
    last = next(history.runs(settings.outputs, params=settings.name), None)
    found: dict[str, str] = {}
    for name, task in context.graph.items():
        waiting = [need for need in above(context.graph, name) if found[need] != _SAME]
        stage = StageRun(context, task)
        trace = stage.find()
        if trace is not None:
            found[name] = _SAME
            context.record.content["stages"][name]["artifacts"] = trace["artifacts"]
            continue
        _borrow(context, name, last)
        reason = stage.reason()
        if waiting and reason.startswith("what run"):
            reason = f"it depends on what {', '.join(sorted(waiting))} will leave"
        found[name] = reason
    return found


_SAME = "nothing changed; it would be reused."


def _borrow(context: Context, name: str, last: dict | None) -> None:
    """Let the stages below see what a stage left last time, as long as it has not run again."""
    stage = (last or {}).get("stages", {}).get(name, {})
    context.record.content["stages"][name]["artifacts"] = stage.get("artifacts", [])

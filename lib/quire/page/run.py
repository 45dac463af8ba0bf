"""The index page of a run: what it found first, then metrics against the last run, then how it went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quire.page.rendering import render
from quire.page.svg import natural_width, themed

HIGHER = (
    "r2",
    "roc_auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_macro",
    "f1_weighted",
    "precision",
    "recall",
)
LOWER = ("mae", "rmse", "mse", "mape", "log_loss", "brier", "max_error", "median_absolute_error")

TONES = {"succeeded": "good", "reused": "good", "skipped": "neutral", "failed": "bad", "interrupted": "warn"}
ICONS = {"good": "✓", "warn": "!", "bad": "✕", "neutral": "–"}
ORDER = ("bad", "warn", "good", "neutral")
MOST_TILES = 4


@dataclass(frozen=True)
class Change:
    """A metric now and in the last run."""

    stage: str
    name: str
    now: float
    before: float | None
    tone: str

    @property
    def difference(self) -> float | None:
        """Now less before; None where there is nothing to compare with."""
        return None if self.before is None else self.now - self.before


def run_index(
    record: Mapping[str, Any],
    *,
    answers: Mapping[str, Mapping[str, Any]],
    charts: Mapping[str, str] | None = None,
    graph: str = "",
    title: str = "",
    last: Mapping[str, Any] | None = None,
) -> str:
    """Return the index page of a run as HTML.

    record: run.json. answers: by stage, what `run.answer` saved (status, headline, facts, metrics).
    charts: by stage, the text of ``_chart.svg``. graph: the workflow as SVG.
    title: the use case's title. last: the run before, as {"run_id", "answers"}; its page is looked for beside this one.
    """
    stages = {name: _stage(name, stage, answers.get(name)) for name, stage in record["stages"].items()}
    changes = _changes(stages, answers, (last or {}).get("answers") or {})
    return render(
        "run",
        title=title or record["params"],
        record=record,
        verdict=_verdict(record, stages),
        stages=stages,
        charts={name: _markup(themed(svg)) for name, svg in (charts or {}).items()},
        graph=_markup(themed(graph, title="The stages and what they need")) if graph else "",
        graph_width=natural_width(graph),
        changes=changes,
        tiles=_tiles(changes),
        last=last,
        seconds=_seconds(record),
    )


def _stage(name: str, stage: Mapping[str, Any], answer: Mapping[str, Any] | None) -> dict[str, Any]:
    tone = TONES.get(stage["status"], "neutral")
    if answer and tone == "good":
        tone = answer["status"]
    headline = (answer or {}).get("headline") or stage.get("stopped") or ""
    error = stage.get("error")
    if stage["status"] == "failed":
        headline = _first_line(error) or "It failed."
    return {
        "name": name,
        "tone": tone,
        "icon": ICONS[tone],
        "headline": headline or stage.get("why") or stage["status"],
        "facts": (answer or {}).get("facts") or [],
        "status": stage["status"],
        "status_tone": TONES.get(stage["status"], "neutral"),
        "seconds": stage.get("seconds"),
        "why": stage.get("why") or stage.get("stopped") or "",
        "notebook": stage.get("notebook"),
        "report": stage.get("report"),
        "error": error,
    }


def _verdict(record: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the run's tone and sentence: that of the stage that is worst off, or that all is well."""
    if record["status"] == "interrupted":
        return {"tone": "warn", "icon": "!", "text": "The run was interrupted; `quire run` goes on from what is whole."}
    failed = [stage for stage in stages.values() if stage["status"] == "failed"]
    if failed:
        return {"tone": "bad", "icon": "✕", "text": f"{failed[0]['name'].capitalize()} failed: {failed[0]['headline']}"}
    told = [stage for stage in stages.values() if stage["tone"] in ("bad", "warn")]
    if told:
        worst = min(told, key=lambda stage: ORDER.index(stage["tone"]))
        more = f" And {len(told) - 1} more below." if len(told) > 1 else ""
        return {"tone": worst["tone"], "icon": worst["icon"], "text": f"{worst['headline']}{more}"}
    count = len(stages)
    text = "The stage ended well." if count == 1 else f"All {count} stages ended well."
    reused = sum(stage["status"] == "reused" for stage in stages.values())
    skipped = [name for name, stage in stages.items() if stage["status"] == "skipped"]
    if skipped:
        text = f"{count - len(skipped)} of {count} stages ran; {', '.join(skipped)} had nothing to do."
    elif reused == count:
        text = "Nothing changed since the last run; every stage was reused."
    return {"tone": "good", "icon": "✓", "text": text}


def _changes(stages: Iterable[str], answers: Mapping[str, Any], before: Mapping[str, Any]) -> list[Change]:
    return [
        Change(stage, name, value, known, _tone(name, value, known))
        for stage in stages
        for name, value in ((answers.get(stage) or {}).get("metrics") or {}).items()
        for known in [((before.get(stage) or {}).get("metrics") or {}).get(name)]
    ]


def _tiles(changes: Iterable[Change]) -> list[Change]:
    """Return the few metrics that say how good the model is: of later stages first, scores before mere errors.

    An error alone, such as monitoring's, means little to a reader who does not know the unit.
    """
    told = [change for change in changes if _short(change.name) in HIGHER + LOWER]
    stages = list(dict.fromkeys(change.stage for change in reversed(told)))
    scored = {change.stage for change in told if _short(change.name) in HIGHER}
    return sorted(told, key=lambda change: (change.stage not in scored, stages.index(change.stage)))[:MOST_TILES]


def _short(name: str) -> str:
    return name.rpartition(".")[2].removeprefix("test_").removeprefix("cv_")


def _tone(name: str, now: float, before: float | None) -> str:
    """Return good or bad where a metric's direction is known and it moved by more than a thousandth, else neutral."""
    short = _short(name)
    if before is None or abs(now - before) <= 1e-3 * max(abs(now), abs(before)) or short not in HIGHER + LOWER:
        return "neutral"
    return "good" if (now > before) == (short in HIGHER) else "bad"


def _first_line(error: Any) -> str:
    if isinstance(error, Mapping):
        text = error.get("message") or error.get("evalue") or error.get("text") or error.get("ename") or ""
    else:
        text = error or ""
    return str(text).strip().splitlines()[0] if str(text).strip() else ""


def _seconds(record: Mapping[str, Any]) -> float | None:
    from datetime import datetime

    if not record.get("finished_at"):
        return None
    return (
        datetime.fromisoformat(record["finished_at"]) - datetime.fromisoformat(record["started_at"])
    ).total_seconds()


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)

"""The index page of a run: what it found first, then metrics against the last run, then how it went."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quire.page.numbers import shortened
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
MOST_FACTS = 3
"""Facts of a stage that ended well; of any other all are shown."""

TEXT_LIMIT = 5_000
"""Characters of what a stage says on the page."""

BRIEF_LIMIT = 400
"""Characters of it in the banner."""


@dataclass(frozen=True)
class MetricChange:
    """A metric now and in the last run."""

    stage: str
    name: str
    now: float
    before: float | None
    tone: str
    stage_tone: str = "good"

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
    as_of: str | None = None,
    last: Mapping[str, Any] | None = None,
) -> str:
    """Return the index page of a run as HTML.

    record: run.json. answers: by stage, what `run.answer` saved (status, headline, facts, metrics).
    charts: by stage, the text of ``_chart.svg``. graph: the workflow as SVG.
    title: the use case's title. as_of: the logical time of its data, empty for none; by default what was asked for.
    last: the run before, as {"run_id", "answers"}; its page is looked for beside this one.
    """
    stages = {name: _stage(name, stage, answers.get(name)) for name, stage in record["stages"].items()}
    changes = _changes(stages, answers, (last or {}).get("answers") or {})
    verdict = _verdict(record, stages)
    return render(
        "run",
        title=title or record["params"],
        record=record,
        verdict=verdict,
        chip_tone=_chip_tone(record["status"], verdict["tone"]),
        as_of=record.get("as_of") if as_of is None else as_of,
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
        headline = _failure(error, headline)
    facts = (answer or {}).get("facts") or []
    return {
        "name": name,
        "tone": tone,
        "icon": ICONS[tone],
        "headline": shortened(headline or stage.get("why") or stage["status"], TEXT_LIMIT),
        "brief": _brief(headline),
        "facts": facts[:MOST_FACTS] if tone in ("good", "neutral") else facts,
        "status": stage["status"],
        "status_tone": TONES.get(stage["status"], "neutral"),
        "seconds": stage.get("seconds"),
        "why": shortened(stage.get("why") or stage.get("stopped") or "", TEXT_LIMIT // 5),
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
        return {"tone": "bad", "icon": "✕", "text": f"{failed[0]['name'].capitalize()} failed: {failed[0]['brief']}"}
    flagged_stages = [stage for stage in stages.values() if stage["tone"] in ("bad", "warn")]
    if flagged_stages:
        worst = min(flagged_stages, key=lambda stage: ORDER.index(stage["tone"]))
        others = [stage["name"].replace("_", " ") for stage in flagged_stages if stage is not worst]
        more = f" {_listed(others).capitalize()} need{'s' * (len(others) == 1)} a look too." if others else ""
        return {
            "tone": worst["tone"],
            "icon": worst["icon"],
            "text": f"{shortened(worst['headline'], BRIEF_LIMIT)}{more}",
        }
    count = len(stages)
    text = "The stage ended well." if count == 1 else f"All {count} stages ended well."
    reused = sum(stage["status"] == "reused" for stage in stages.values())
    skipped = [name for name, stage in stages.items() if stage["status"] == "skipped"]
    if skipped:
        text = f"{count - len(skipped)} of {count} stages ran; {', '.join(skipped)} had nothing to do."
    elif reused == count:
        text = "Nothing changed since the last run; every stage was reused."
    return {"tone": "good", "icon": "✓", "text": text}


def _changes(
    stages: Mapping[str, Mapping[str, Any]], answers: Mapping[str, Any], before: Mapping[str, Any]
) -> list[MetricChange]:
    return [
        MetricChange(stage, name, value, previous_value, _tone(name, value, previous_value), about["tone"])
        for stage, about in stages.items()
        for name, value in ((answers.get(stage) or {}).get("metrics") or {}).items()
        for previous_value in [((before.get(stage) or {}).get("metrics") or {}).get(name)]
    ]


def _tiles(changes: Iterable[MetricChange]) -> list[MetricChange]:
    """Return the few metrics that say how good the model is: of later stages first, scores before mere errors.

    An error alone means little to a reader who does not know the unit; where its stage alerts, it is what counts.
    """
    key_changes = [change for change in changes if _short(change.name) in HIGHER + LOWER]
    stages = list(dict.fromkeys(change.stage for change in reversed(key_changes)))
    scored = {change.stage for change in key_changes if _short(change.name) in HIGHER}

    def rank(change: MetricChange) -> tuple[int, bool, int]:
        urgency = min(ORDER.index(change.stage_tone), ORDER.index("good"))
        return urgency, change.stage not in scored, stages.index(change.stage)

    return sorted(key_changes, key=rank)[:MOST_TILES]


def _short(name: str) -> str:
    return name.rpartition(".")[2].removeprefix("test_").removeprefix("cv_")


def _tone(name: str, now: float, before: float | None) -> str:
    """Return good or bad where a metric's direction is known and it moved by more than a thousandth, else neutral."""
    short = _short(name)
    if before is None or abs(now - before) <= 1e-3 * max(abs(now), abs(before)) or short not in HIGHER + LOWER:
        return "neutral"
    return "good" if (now > before) == (short in HIGHER) else "bad"


def _failure(error: Any, answer: str) -> str:
    """Return why a stage failed: its own answer if it came to one, else the whole message of its error."""
    message = str(error.get("message") or "") if isinstance(error, Mapping) else str(error or "")
    return answer or message.strip() or "It failed, and no message says why."


def _brief(text: str) -> str:
    """Return the first line of a text, with what follows it where it only announces that."""
    first, _, rest = text.strip().partition("\n")
    return shortened(f"{first} {' '.join(rest.split())}" if first.endswith(":") else first, BRIEF_LIMIT)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _chip_tone(status: str, verdict: str) -> str:
    """Return the tone of the run's status: that it ended well is no good news beside a bad finding."""
    tone = TONES.get(status, "neutral")
    return tone if tone != "good" or verdict == "good" else "neutral"


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

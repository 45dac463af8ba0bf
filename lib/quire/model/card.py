"""The model card's part that only the evaluation can write: how well the model does, where, and where not."""

from quire.model.evaluation import Evaluation
from quire.model.verdict import Verdict

WORST = 5


def complete_card(card: str, evaluation: Evaluation, verdict: Verdict) -> str:
    """Return the card, Markdown as training wrote it, with the evaluation on held-out rows and the verdict.

    Source of the headings: Mitchell et al. (2019), Model Cards for Model Reporting.
    """
    window = evaluation.window
    period = f" from {window['start'][:10]} to {window['end'][:10]}" if window else ", drawn at random"
    lines = [
        card.rstrip(),
        "",
        "## Metrics (held-out test rows)",
        "",
        f"{evaluation.rows:,} rows{period}; 95 % intervals by {evaluation.resampling.resamples} draws of a "
        f"{evaluation.resampling.unit}.",
        "",
        *_metrics(evaluation),
        "",
        "## Where it errs most",
        "",
        *_segments(evaluation),
        "",
        "## Decision",
        "",
        verdict.headline,
        "",
        *(f"- {reason.text}" for reason in verdict.reasons),
    ]
    if evaluation.threshold is not None:
        lines += ["", f"The positive class is predicted from a probability of {evaluation.threshold:.3f} on."]
    return "\n".join(lines) + "\n"


def _metrics(evaluation: Evaluation) -> list[str]:
    others = [score for score in (evaluation.champion, evaluation.baseline) if score is not None]
    head = ["metric", "model", "95 % interval", *(score.name for score in others)]
    rows = [
        [
            name,
            _figure(interval.value),
            f"{interval.low:.4g} to {interval.high:.4g}" if interval.is_known else "none",
            *(_figure(other.test[name].value) for other in others),
        ]
        for name, interval in evaluation.candidate.test.items()
    ]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _figure(value: float) -> str:
    return f"{value:.4g}" if value == value else "not defined"


def _segments(evaluation: Evaluation) -> list[str]:
    frame = evaluation.segments
    if frame.empty:
        return ["No segments were compared."]
    worst = frame.sort_values("candidate", ascending=False, kind="stable").head(WORST)
    return [
        f"- {row.column} {row.segment}: {row.metric} {row.candidate:.4g} ({row.rows:,} rows)"
        for row in worst.itertuples()
    ]

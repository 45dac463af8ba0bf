"""The gate: whether the candidate may replace the champion, with reasons in words."""

from dataclasses import dataclass
from typing import Any, Literal

from quire.config import Gate
from quire.model.bootstrap import Interval
from quire.model.evaluation import Evaluation
from quire.model.metrics import check_metric

WHERE = "params.yaml: evaluate.gate"


@dataclass(frozen=True)
class Reason:
    """One rule of the gate: whether it holds, and why in words. ``note`` is a remark that decides nothing."""

    rule: str
    holds: bool
    text: str
    note: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate passed the gate, whether it is to be promoted now, and why.

    passed without promote: a person is asked (approval: manual), or it is the champion already (same).
    """

    passed: bool
    promote: bool
    same: bool
    headline: str
    reasons: tuple[Reason, ...]

    @property
    def status(self) -> Literal["good", "neutral", "warn"]:
        """How the answer is shown: good, neutral or warn."""
        return "good" if self.promote or self.same else "neutral" if self.passed else "warn"

    def record(self, *, promoted: bool, version: str = "", held_back: str = "") -> dict[str, Any]:
        """Return what the artifact ``verdict`` says: also what became of it, and the champion's version now.

        held_back: why nothing is promoted whatever the gate says: ``by hand``, ``--no-publish``, ``--try``.
        """
        return {
            "promote": self.promote,
            "passed": self.passed,
            "same": self.same,
            "promoted": promoted,
            "version": version,
            "held_back": held_back,
            "headline": self.headline,
            "reasons": [vars(reason) for reason in self.reasons],
        }


def judge(evaluation: Evaluation, gate: Gate) -> Verdict:
    """Return whether the candidate may replace the champion.

    It must beat the baseline for sure, keep every floor and ceiling, gain at least ``min_gain`` over the champion, and
    lose in no segment for sure more than ``max_segment_loss``. Without a champion to compare with, the others decide.
    Raises ConfigError if the gate names a metric that the task does not have.
    """
    metric = check_metric(gate.metric, evaluation.task, where=f"{WHERE}.metric")
    if evaluation.same:
        text = f"The candidate is the champion (version {evaluation.champion_version}): same rows, same parameters."
        return Verdict(True, False, True, text, (Reason("same", True, text),))
    reasons = [
        _beats_baseline(evaluation, metric),
        *_limits(evaluation, gate),
        *_against_champion(evaluation, metric, gate),
        *(Reason("note", True, note, note=True) for note in evaluation.notes),
    ]
    broken = [reason for reason in reasons if not reason.holds]
    passed = not broken
    promote = passed and gate.approval == "automatic"
    return Verdict(passed, promote, False, _headline(evaluation, metric, broken), tuple(reasons))


def _beats_baseline(evaluation: Evaluation, metric: str) -> Reason:
    gain = evaluation.over_baseline[metric]
    own, base = evaluation.candidate.test[metric], evaluation.baseline.test[metric]
    compared = f"{metric} {own.value:.4g} against {base.value:.4g} ({evaluation.baseline.name})"
    if gain.low > 0:
        return Reason("baseline", True, f"It beats the naive baseline: {compared}.")
    how = "is no better than" if not gain.value > 0 else "does not beat beyond chance"
    return Reason("baseline", False, f"It {how} the naive baseline: {compared}, gain {_range(gain)}.")


def _limits(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    reasons = []
    for kind, limits in (("floor", gate.floor), ("ceiling", gate.ceiling)):
        for name, limit in limits.items():
            check_metric(name, evaluation.task, where=f"a metric in {WHERE}.{kind}")
            value = evaluation.candidate.test[name].value
            holds = value >= limit if kind == "floor" else value <= limit
            word = "reaches" if kind == "floor" else "keeps below"
            verb = f"{word} the {kind}" if holds else f"misses the {kind}"
            reasons.append(Reason(kind, holds, f"{name} {value:.4g} {verb} of {limit:g}."))
    return reasons


def _against_champion(evaluation: Evaluation, metric: str, gate: Gate) -> list[Reason]:
    if evaluation.over_champion is None:
        text = evaluation.problem or "There is no champion yet."
        return [Reason("champion", True, f"{text} Baseline, floors and ceilings decide.", note=True)]
    gain = evaluation.over_champion[metric]
    against = f"version {evaluation.champion_version} by {metric}" if evaluation.champion_version else f"by {metric}"
    needed = f", at least {gate.min_gain:g} is asked" if gate.min_gain else ""
    if gain.value >= gate.min_gain:
        sure = "for sure" if gain.low > gate.min_gain else "within chance"
        reason = Reason("champion", True, f"It is at least as good as the champion, {against} {_range(gain)}, {sure}.")
    elif gain.high < gate.min_gain:
        reason = Reason("champion", False, f"It is worse than the champion for sure, {against} {_range(gain)}{needed}.")
    else:
        text = f"It gains too little over the champion, {against} {_range(gain)}{needed}, but within chance"
        stands = gate.undecided == "promote"
        reason = Reason("champion", stands, f"{text}: the {'newer model' if stands else 'champion'} stands.")
    return [reason, *_segments(evaluation, gate)]


def _segments(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    """Return a reason for each segment that loses too much for sure, or one that says that none does."""
    if gate.max_segment_loss is None:
        return []
    frame = evaluation.segments
    judged = frame[(frame["rows"] >= gate.min_segment_rows) & (frame["why"] != "time")]
    lost = judged[(judged["loss"] > gate.max_segment_loss) & (judged["loss_low"] > 0)]
    if lost.empty:
        text = f"In none of {len(judged)} segments does its error exceed the champion's by {gate.max_segment_loss:.0%}."
        return [Reason("segment", True, text)]
    return [
        Reason(
            "segment",
            False,
            f"Where {row.column} is {row.segment} ({row.rows:,} rows) its {row.metric} is {row.loss:.0%} above the "
            f"champion's ({row.candidate:.3g} against {row.champion:.3g}); {gate.max_segment_loss:.0%} is allowed.",
        )
        for row in lost.itertuples()
    ]


def _headline(evaluation: Evaluation, metric: str, broken: list[Reason]) -> str:
    if broken:
        more = f" {len(broken) - 1} more reason(s) below." if len(broken) > 1 else ""
        return f"The gate refuses the candidate. {broken[0].text}{more}"
    own = evaluation.candidate.test[metric]
    figure = f"{metric} {own.value:.3f}, 95 % interval {own.low:.3f} to {own.high:.3f}"
    if evaluation.over_champion is None:
        return f"The candidate passes the gate with {figure}, and beats {evaluation.baseline.name}."
    gain = evaluation.over_champion[metric]
    version = f"version {evaluation.champion_version}" if evaluation.champion_version else "the champion"
    return f"The candidate passes the gate with {figure}; gain over {version} {_range(gain)}."


def _range(gain: Interval) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"

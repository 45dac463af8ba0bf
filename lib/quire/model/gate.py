"""The gate: whether the candidate may replace the champion, with reasons in words."""

from collections.abc import Mapping
from typing import Any

from quire.config import Gate
from quire.model.bootstrap import Interval
from quire.model.evaluation import Evaluation
from quire.model.evidence import enough_rows, rules_kept
from quire.model.metrics import check_metric
from quire.model.verdict import Reason, Verdict

WHERE = "params.yaml: evaluate.gate"

ERRORS = ("mae", "rmse", "log_loss", "brier")
"""Errors that a model should make smaller whatever it is chosen by."""


def judge(evaluation: Evaluation, gate: Gate, quality: Mapping[str, Any] | None = None) -> Verdict:
    """Return whether the candidate may replace the champion.

    There must be enough test rows, and the data must keep its own rules. The candidate must beat the baseline for sure,
    keep every floor and ceiling, gain at least ``min_gain`` over the champion, and lose in no segment for sure more
    than ``max_segment_loss``. Without a champion, the others decide. quality: the artifact of that name, as validation
    saved it; None where no validation was part of the run.
    Raises ConfigError if the gate names a metric that the task does not have.
    """
    metric = check_metric(gate.metric, evaluation.task, where=f"{WHERE}.metric")
    if evaluation.same or evaluation.predicts_same:
        text = _same(evaluation)
        return Verdict(True, False, True, text, (Reason("same", True, text),))
    evidence = [*enough_rows(evaluation, gate), *rules_kept(quality, gate)]
    reasons = [
        *(reason for reason in evidence if not reason.holds),
        _beats_baseline(evaluation, metric),
        *_limits(evaluation, gate),
        *_against_champion(evaluation, metric, gate),
        *(reason for reason in evidence if reason.holds),
        *(
            Reason("note", True, note, note=True)
            for note in (*evaluation.notes, *_worse_than_baseline(evaluation, metric))
        ),
    ]
    failures = [reason for reason in reasons if not reason.holds]
    has_passed = not failures
    asks = gate.approval == "manual" or (bool(evaluation.problem) and gate.incomparable == "ask")
    return Verdict(has_passed, has_passed and not asks, False, _headline(evaluation, metric, failures), tuple(reasons))


def _same(evaluation: Evaluation) -> str:
    champion = (
        f"the champion (version {evaluation.champion_version})" if evaluation.champion_version else "the champion"
    )
    if evaluation.same:
        return f"The candidate is {champion}: same rows, same parameters."
    return (
        f"The candidate predicts the same as {champion} on all {evaluation.rows:,} test rows: there is nothing to gain."
    )


def _beats_baseline(evaluation: Evaluation, metric: str) -> Reason:
    gain = evaluation.over_baseline[metric]
    if not gain.is_known:
        text = f"It cannot be compared with the naive baseline ({evaluation.baseline.name})"
        return Reason("baseline", False, f"{text}: {_why_unknown(evaluation, metric, gain)}.")
    own, base = evaluation.candidate.test[metric], evaluation.baseline.test[metric]
    compared = f"{metric} {own.value:.4g} against {base.value:.4g} ({evaluation.baseline.name})"
    if gain.low > 0:
        return Reason("baseline", True, f"It beats the naive baseline: {compared}{_left_out(gain)}.")
    phrase = "is no better than" if not gain.value > 0 else "does not beat beyond chance"
    return Reason(
        "baseline", False, f"It {phrase} the naive baseline: {compared}, gain {_range(gain)}{_left_out(gain)}."
    )


def _worse_than_baseline(evaluation: Evaluation, metric: str) -> list[str]:
    """Return for each error that the gate does not go by whether it is for sure larger than the baseline's."""
    worse = [name for name in ERRORS if name != metric and name in evaluation.over_baseline]
    worse = [name for name in worse if evaluation.over_baseline[name].high < 0]
    own, base = evaluation.candidate.test, evaluation.baseline.test
    return [
        f"Its {name} of {own[name].value:.4g} is for sure larger than the naive baseline's, {base[name].value:.4g}."
        for name in worse
    ]


def _why_unknown(evaluation: Evaluation, metric: str, found: Interval) -> str:
    if metric in evaluation.undefined:
        return f"{metric} cannot be computed on the test rows, {evaluation.undefined[metric]}"
    if found.undefined:
        return f"{metric} cannot be computed in {found.undefined:,} of {found.draws:,} draws, so it has no interval"
    return f"{metric} cannot be computed"


def _left_out(gain: Interval) -> str:
    return f"; the interval leaves out {gain.undefined:,} of {gain.draws:,} draws, undefined" if gain.undefined else ""


def _limits(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    reasons = []
    for kind, limits in (("floor", gate.floor), ("ceiling", gate.ceiling)):
        for name, limit in limits.items():
            check_metric(name, evaluation.task, where=f"a metric in {WHERE}.{kind}")
            interval = evaluation.candidate.test[name]
            if interval.value != interval.value:
                reason = _why_unknown(evaluation, name, interval)
                reasons.append(Reason(kind, False, f"The {kind} of {limit:g} cannot be judged: {reason}."))
                continue
            holds = interval.value >= limit if kind == "floor" else interval.value <= limit
            word = "reaches" if kind == "floor" else "keeps below"
            verb = f"{word} the {kind}" if holds else f"misses the {kind}"
            reasons.append(Reason(kind, holds, f"{name} {interval.value:.4g} {verb} of {limit:g}."))
    return reasons


def _against_champion(evaluation: Evaluation, metric: str, gate: Gate) -> list[Reason]:
    if evaluation.problem:
        return [_incomparable(evaluation, gate)]
    if evaluation.over_champion is None:
        return [Reason("champion", True, "There is no champion yet. The other rules decide.", note=True)]
    return [_gains(evaluation, metric, evaluation.over_champion[metric], gate), *_segments(evaluation, gate)]


def _incomparable(evaluation: Evaluation, gate: Gate) -> Reason:
    consequence = {
        "ask": "A person decides: `quire promote`",
        "keep": "The champion stands",
        "promote": "The other rules decide",
    }[gate.incomparable]
    text = f"{evaluation.problem} {consequence} (gate.incomparable: {gate.incomparable})."
    return Reason("champion", gate.incomparable != "keep", text, note=gate.incomparable != "keep")


def _gains(evaluation: Evaluation, metric: str, gain: Interval, gate: Gate) -> Reason:
    against = f"version {evaluation.champion_version} by {metric}" if evaluation.champion_version else f"by {metric}"
    against = f"{against} {_range(gain)}{_left_out(gain)}"
    requirement = f", at least {gate.min_gain:g} is asked" if gate.min_gain else ""
    if gain.is_known and gain.value >= gate.min_gain and not _is_equal(evaluation, metric):
        sure = "for sure" if gain.low > gate.min_gain else "within chance"
        return Reason("champion", True, f"It is better than the champion, {against}, {sure}.")
    if gain.high < gate.min_gain:
        phrase = "worse than the champion for sure" if gain.high < 0 else "better than the champion by too little"
        return Reason("champion", False, f"It is {phrase}, {against}{requirement}.")
    stands = gate.undecided == "promote"
    consequence = f"the {'newer model' if stands else 'champion'} stands (gate.undecided: {gate.undecided})"
    if not gain.is_known:
        reason = _why_unknown(evaluation, metric, gain)
        return Reason(
            "champion", stands, f"Whether it gains over the champion cannot be said: {reason}; {consequence}."
        )
    if _is_equal(evaluation, metric):
        return Reason("champion", stands, f"Its score is that of the champion, {against}: no gain; {consequence}.")
    return Reason(
        "champion",
        stands,
        f"It gains too little over the champion, {against}{requirement}, within chance: {consequence}.",
    )


def _is_equal(evaluation: Evaluation, metric: str) -> bool:
    """Whether candidate and champion have the same score in the four digits that are shown of it."""
    assert evaluation.champion is not None
    own, other = (score.test[metric].value for score in (evaluation.candidate, evaluation.champion))
    return f"{own:.4g}" == f"{other:.4g}"


def _segments(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    """Return a reason for each segment that loses too much for sure, or one that says that none does."""
    if gate.max_segment_loss is None:
        return []
    frame = evaluation.segments
    segments = frame[(frame["rows"] >= gate.min_segment_rows) & (frame["why"] != "time")]
    losses = segments[(segments["loss"] > gate.max_segment_loss) & (segments["loss_low"] > 0)]
    if losses.empty:
        text = (
            f"In none of {len(segments)} segments does its error exceed the champion's by {gate.max_segment_loss:.0%}."
        )
        return [Reason("segment", True, text)]
    return [
        Reason(
            "segment",
            False,
            f"Where {row.column} is {row.segment} ({row.rows:,} rows) its {row.metric} is {row.loss:.0%} above the "
            f"champion's ({row.candidate:.3g} against {row.champion:.3g}); {gate.max_segment_loss:.0%} is allowed.",
        )
        for row in losses.itertuples()
    ]


def _headline(evaluation: Evaluation, metric: str, broken: list[Reason]) -> str:
    if broken:
        more = f" {len(broken) - 1} more reason(s) below." if len(broken) > 1 else ""
        return f"The gate refuses the candidate. {broken[0].text}{more}"
    own = evaluation.candidate.test[metric]
    figure = f"{metric} {own.value:.3f}, 95 % interval {own.low:.3f} to {own.high:.3f}"
    if evaluation.over_champion is None:
        text = f"The candidate passes the gate with {figure}, and beats {evaluation.baseline.name}."
        return f"{text} {evaluation.problem}".rstrip()
    gain = evaluation.over_champion[metric]
    version = f"version {evaluation.champion_version}" if evaluation.champion_version else "the champion"
    return f"The candidate passes the gate with {figure}; gain over {version} {_range(gain)}."


def _range(gain: Interval) -> str:
    """Return the gain with its interval, to four decimals, or three digits where it is smaller than these show."""
    form = "+.4f" if max(abs(gain.low), abs(gain.high)) >= 0.001 else "+.3g"
    return f"{gain.value:{form}} [{gain.low:{form}}, {gain.high:{form}}]" if gain.is_known else f"{gain.value:+.4g}"

"""The candidate against the champion and against a naive baseline, on the same held-out rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.errors import DataError
from quire.model.baseline import baseline_outcomes
from quire.model.bootstrap import Interval, Resampling, gains, intervals, metric_draws, resampling
from quire.model.calibration import calibration_error
from quire.model.importance import permuted_importance
from quire.model.metrics import Outcomes, measure, outcomes, undefined_metrics
from quire.model.own_rows import OwnRows
from quire.model.predictions import decision_threshold
from quire.model.search import few_threads
from quire.model.segments import compare_segments, segment_labels

AUTOMATIC_SEGMENTS = 2


@dataclass(frozen=True)
class Score:
    """What one contender achieved on the test rows: each metric with its interval, and the predictions behind it."""

    name: str
    test: dict[str, Interval]
    outcomes: Outcomes


@dataclass(frozen=True)
class Evaluation:
    """What was found on the test rows.

    metric: the first of the task that the test rows define. undefined: the metrics that they do not define, with why.
    over_baseline, over_champion: by how much the candidate is better, above zero whatever the metric, with intervals of
    paired draws; over_champion is None without a champion, or with one that cannot be judged (problem says why).
    same: whether candidate and champion are one model; predicts_same: whether they predict the same for every row.
    segments: as `compare_segments` says, and ``why``: declared in the schema, important, or time. importance: feature,
    importance (how much ``importance_metric`` gets worse when the feature is shuffled) and std over the shuffles,
    highest first. threshold: of a binary task. times: of the rows. class_rows: test rows by class, of a classification.
    """

    task: str
    metric: str
    window: dict[str, str] | None
    resampling: Resampling
    candidate: Score
    champion: Score | None
    baseline: Score
    champion_version: str
    problem: str
    notes: tuple[str, ...]
    same: bool
    predicts_same: bool
    undefined: dict[str, str]
    class_rows: dict[str, int]
    over_baseline: dict[str, Interval]
    over_champion: dict[str, Interval] | None
    segments: pd.DataFrame
    importance: pd.DataFrame
    importance_metric: str
    threshold: float | None
    times: pd.Series | None

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error of a classification."""
        return None if self.task == "regression" else calibration_error(self.candidate.outcomes)

    @property
    def rows(self) -> int:
        """How many test rows there were."""
        return len(self.candidate.outcomes.truth)

    def record(self) -> dict[str, Any]:
        """Return what the artifact ``evaluation`` says of it; numbers that cannot be computed are null."""
        return {
            "task": self.task,
            "metric": self.metric,
            "rows": self.rows,
            "window": self.window,
            "interval": {"level": 0.95, "resamples": self.resampling.resamples, "drawn": self.resampling.unit},
            "candidate": _record(self.candidate),
            "champion": None if self.champion is None else _record(self.champion) | {"version": self.champion_version},
            "baseline": _record(self.baseline),
            "over_baseline": _numbers(self.over_baseline),
            "over_champion": None if self.over_champion is None else _numbers(self.over_champion),
            "problem": self.problem,
            "notes": list(self.notes),
            "same": self.same,
            "predicts_same": self.predicts_same,
            "undefined": self.undefined,
            "class_rows": self.class_rows,
            "threshold": self.threshold,
            "calibration_error": self.calibration_error,
        }


def evaluate(
    candidate: Any,
    champion: Any | None,
    train: pd.DataFrame,
    test: pd.DataFrame,
    schema: Schema,
    *,
    champion_rows: OwnRows | None = None,
    version: str = "",
    resamples: int = 400,
    seed: int = 0,
) -> Evaluation:
    """Return how the candidate does on ``test`` beside the champion and a naive baseline, which knows ``train``.

    candidate, champion: fitted pipelines. champion_rows: the test rows as the champion's own schema has them; by
    default ``test``. version: the champion's in the registry. resamples: draws of the bootstrap behind every interval.
    The same arguments give the same figures to the last digit. What the test rows do not define is NaN there, and said.
    Raises ModelError if the candidate does not fit the schema, DataError for test rows without a target.
    """
    test = test.reset_index(drop=True)
    _check_test(test, schema)
    times = test[schema.timestamp] if schema.timestamp else None
    bootstrap = resampling(times, len(test), resamples=resamples, seed=seed)
    own_rows = champion_rows or OwnRows(test, schema)
    problem = own_rows.why_not(champion) if champion is not None else ""
    naive, baseline_name = baseline_outcomes(train, test, schema)
    with few_threads(len(test)):
        own = _measure(outcomes(candidate, test, schema), bootstrap)
        other = None if champion is None or problem else _measure(own_rows.outcomes(champion, test, schema), bootstrap)
        base = _measure(naive, bootstrap)
        metric = _first_defined(own, base)
        importance, importance_metric = permuted_importance(candidate, test, schema, metric=metric, seed=seed)
        segments = _segments(own.outcomes, other.outcomes if other else None, test, schema, importance, bootstrap)
    undefined = undefined_metrics(own.outcomes)
    return Evaluation(
        task=schema.task,
        metric=metric,
        window=_window(times),
        resampling=bootstrap,
        candidate=own.score("candidate"),
        champion=other.score("champion") if other else None,
        baseline=base.score(baseline_name),
        champion_version=version,
        problem=problem,
        notes=(*_notes(champion, times), *_class_notes(own, other), *_undefined_notes(undefined)),
        same=_same(candidate, champion),
        predicts_same=other is not None and predict_the_same(own.outcomes, other.outcomes),
        undefined=undefined,
        class_rows=_class_rows(own.outcomes),
        over_baseline=gains(own.values, own.draws, base.values, base.draws),
        over_champion=gains(own.values, own.draws, other.values, other.draws) if other else None,
        segments=segments,
        importance=importance,
        importance_metric=importance_metric,
        threshold=decision_threshold(candidate) if schema.task == "binary" else None,
        times=times,
    )


def predict_the_same(one: Outcomes, other: Outcomes) -> bool:
    """Return whether two models predict the same for every row, but for what rounding leaves."""
    if one.classes != other.classes or not np.allclose(one.prediction, other.prediction, rtol=1e-9, atol=0):
        return False
    if one.probability is None or other.probability is None:
        return one.probability is other.probability
    return bool(np.allclose(one.probability, other.probability, rtol=1e-9, atol=1e-12))


@dataclass(frozen=True)
class _Measured:
    outcomes: Outcomes
    values: dict[str, float]
    draws: dict[str, np.ndarray]

    def score(self, name: str) -> Score:
        return Score(name, intervals(self.values, self.draws), self.outcomes)


def _measure(found: Outcomes, how: Resampling) -> _Measured:
    return _Measured(found, measure(found), metric_draws(found, how))


def _segments(
    found: Outcomes,
    other: Outcomes | None,
    test: pd.DataFrame,
    schema: Schema,
    importance: pd.DataFrame,
    how: Resampling,
) -> pd.DataFrame:
    """Return the segments that the schema names, then those of the most important other features, then time."""
    features = [name for name in importance["feature"] if name in schema.columns and name not in schema.segments]
    reasons = dict.fromkeys(schema.segments, "declared") | dict.fromkeys(features[:AUTOMATIC_SEGMENTS], "important")
    if schema.timestamp:
        reasons.setdefault(schema.timestamp, "time")
    labels = segment_labels(test, schema, tuple(reasons))
    frame = compare_segments(found, other, labels, how)
    return frame.assign(why=frame["column"].map(reasons))


def _check_test(test: pd.DataFrame, schema: Schema) -> None:
    target = test[schema.target]
    if target.isna().any():
        raise DataError(
            f"{schema.target} is missing in {int(target.isna().sum())} of {len(test)} rows of test. "
            "Say on_missing: drop for it in schema.yaml."
        )
    if not len(target):
        raise DataError("test has no rows. Lengthen ingest.test or raise ingest.test_share in params.yaml.")


def _first_defined(*contenders: _Measured) -> str:
    """Return the first metric of the task that all contenders have; an error of single rows always is one."""
    names = list(contenders[0].values)
    return next(name for name in names if all(np.isfinite(contender.values[name]) for contender in contenders))


def _class_rows(found: Outcomes) -> dict[str, int]:
    return {name: int((found.truth == at).sum()) for at, name in enumerate(found.classes)}


def _class_notes(own: _Measured, other: _Measured | None) -> list[str]:
    """Return for candidate and champion which classes of the test rows they have never learned."""
    notes = []
    for role, model in (("candidate", own), ("champion", other)):
        if model is None or model.outcomes.probability is None:
            continue
        rows = np.bincount(model.outcomes.truth, minlength=len(model.outcomes.classes))
        unseen = (rows > 0) & ~model.outcomes.probability.any(axis=0)
        notes += [
            f"The {role} has never learned the class {model.outcomes.classes[at]!r}, which {rows[at]:,} test rows have."
            for at in np.flatnonzero(unseen)
        ]
    return notes


def _undefined_notes(undefined: dict[str, str]) -> list[str]:
    names_by_reason: dict[str, list[str]] = {}
    for name, reason in undefined.items():
        names_by_reason.setdefault(reason, []).append(name)
    return [
        f"{' and '.join(names)} cannot be computed on the test rows: {reason}."
        for reason, names in names_by_reason.items()
    ]


def _same(candidate: Any, champion: Any | None) -> bool:
    fingerprint = getattr(candidate, "fingerprint_", "")
    return bool(fingerprint) and fingerprint == getattr(champion, "fingerprint_", "")


def _notes(champion: Any | None, times: pd.Series | None) -> tuple[str, ...]:
    trained_until = getattr(champion, "trained_until_", "")
    if times is None or not trained_until:
        return ()
    until = pd.Timestamp(trained_until)
    if until < times.min():
        return ()
    return (
        f"The champion learned from rows up to {until:%Y-%m-%d}; the test window began on {times.min():%Y-%m-%d}: it "
        "has seen part of the answers, so the comparison favours it.",
    )


def _window(times: pd.Series | None) -> dict[str, str] | None:
    return None if times is None else {"start": times.min().isoformat(), "end": times.max().isoformat()}


def _numbers(values: dict[str, Interval]) -> dict[str, Any]:
    return {name: value.as_json() for name, value in values.items()}


def _record(score: Score) -> dict[str, Any]:
    undefined = {name: interval.undefined for name, interval in score.test.items() if interval.undefined}
    draws = {"undefined_draws": undefined} if undefined else {}
    return {"name": score.name, "test": _numbers(score.test), **draws}

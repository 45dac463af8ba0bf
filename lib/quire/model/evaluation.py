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
from quire.model.features import model_input
from quire.model.importance import permuted_importance
from quire.model.metrics import METRICS, Outcomes, measure, outcomes
from quire.model.predictions import decision_threshold, misfit
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

    over_baseline, over_champion: by how much the candidate is better, above zero whatever the metric, with intervals of
    paired draws; over_champion is None without a champion, or with one that does not fit the schema (problem says why).
    same: whether candidate and champion are one model. segments: as `compare_segments` says, and ``why``: declared in
    the schema, important, or time. importance: feature, importance (how much the task's first metric gets worse when
    the feature is shuffled) and std over the shuffles, highest first. threshold: of a binary task. times: of the rows.
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
    over_baseline: dict[str, Interval]
    over_champion: dict[str, Interval] | None
    segments: pd.DataFrame
    importance: pd.DataFrame
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
    version: str = "",
    resamples: int = 400,
    seed: int = 0,
) -> Evaluation:
    """Return how the candidate does on ``test`` beside the champion and a naive baseline, which knows ``train``.

    candidate, champion: fitted pipelines. version: the champion's in the registry. resamples: draws of the bootstrap
    behind every interval. The same arguments give the same figures to the last digit.
    Raises ModelError if the candidate does not fit the schema, DataError for a test window that judges nothing.
    """
    test = test.reset_index(drop=True)
    _check_test(test, schema)
    times = test[schema.timestamp] if schema.timestamp else None
    how = resampling(times, len(test), resamples=resamples, seed=seed)
    problem = misfit(champion, model_input(test, schema), schema) if champion is not None else ""
    naive, baseline_name = baseline_outcomes(train, test, schema)
    with few_threads(len(test)):
        own = _measure(outcomes(candidate, test, schema), how)
        other = None if champion is None or problem else _measure(outcomes(champion, test, schema), how)
        base = _measure(naive, how)
        importance = permuted_importance(candidate, test, schema, seed=seed)
        segments = _segments(own.outcomes, other.outcomes if other else None, test, schema, importance, how)
    return Evaluation(
        task=schema.task,
        metric=METRICS[schema.task][0],
        window=_window(times),
        resampling=how,
        candidate=own.score("candidate"),
        champion=other.score("champion") if other else None,
        baseline=base.score(baseline_name),
        champion_version=version,
        problem=f"The champion does not fit schema.yaml: {problem}" if problem else "",
        notes=_notes(champion, times),
        same=_same(candidate, champion),
        over_baseline=gains(own.values, own.draws, base.values, base.draws),
        over_champion=gains(own.values, own.draws, other.values, other.draws) if other else None,
        segments=segments,
        importance=importance,
        threshold=decision_threshold(candidate) if schema.task == "binary" else None,
        times=times,
    )


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
    why = dict.fromkeys(schema.segments, "declared") | dict.fromkeys(features[:AUTOMATIC_SEGMENTS], "important")
    if schema.timestamp:
        why.setdefault(schema.timestamp, "time")
    labels = segment_labels(test, schema, tuple(why))
    frame = compare_segments(found, other, labels, how)
    return frame.assign(why=frame["column"].map(why))


def _check_test(test: pd.DataFrame, schema: Schema) -> None:
    target = test[schema.target]
    if target.isna().any():
        raise DataError(
            f"{schema.target} is missing in {int(target.isna().sum())} of {len(test)} rows of test. "
            "Say on_missing: drop for it in schema.yaml."
        )
    if target.nunique() < 2:
        raise DataError(
            f"{schema.target} takes {target.nunique()} value(s) in the {len(test)} rows of test; nothing can be told "
            "apart. Lengthen ingest.test or raise ingest.test_share in params.yaml."
        )


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
    return {"name": score.name, "test": _numbers(score.test)}

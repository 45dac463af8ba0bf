"""Hyperparameter search: the estimator's defaults first, then values drawn at random, judged on the same folds."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterSampler
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_info, threadpool_limits

from quire.config import Schema, Search
from quire.errors import ModelError
from quire.model.estimators import build_pipeline, search_space
from quire.model.features import columns_with_gaps, known_categories
from quire.model.folds import Fold
from quire.model.metrics import HIGHER_IS_BETTER, METRICS, compare, measure, undefined_for
from quire.model.predictions import predict_input
from quire.model.workers import on_workers

STEP = "model__"

SMALL = 50_000
"""Up to so many rows an estimator works in one thread."""


@dataclass(frozen=True)
class SearchProblem:
    """What is to be learned: the features X, the target y, the folds to judge on and the metric to go by."""

    schema: Schema
    X: pd.DataFrame
    y: np.ndarray
    kind: str
    folds: list[Fold]
    scoring: str
    seed: int
    cluster: str = ""
    """Address of the Dask scheduler whose workers do the fits; empty: this process."""


def search_best(names: tuple[str, ...], problem: SearchProblem, search: Search) -> tuple[Pipeline, pd.DataFrame]:
    """Return the chosen pipeline, unfitted, and a row for each trial, the best score first.

    Columns: trial (counted from 1, in the order tried; each estimator starts with its default), estimator,
    ``param_<name>``, each metric of the task and ``<metric>_std`` over the folds that define it, seconds
    (to fit a fold, mean), rank and chosen. An estimator's default is kept unless another setting beats it beyond
    chance, see `choose`. Raises ModelError where no trial has the metric that is
    searched for.
    """
    categories = known_categories(problem.X, problem.schema)
    sign = 1 if HIGHER_IS_BETTER[problem.scoring] else -1
    judging = _judging(problem)
    frames: list[pd.DataFrame] = []
    winners: list[tuple[float, Pipeline, int]] = []
    for name in names:
        pipeline = build_pipeline(
            name, problem.schema, categories, kind=problem.kind, gaps=columns_with_gaps(problem.X), seed=problem.seed
        )
        results = _try(pipeline, problem, search_space(name, problem.kind, search.space), search.trials)
        scores = sign * _by_fold(results, problem.scoring)[:, judging]
        at = choose(scores)
        best = clone(pipeline).set_params(**results["params"][at])
        winners.append((_means(scores)[at], best, sum(len(frame) for frame in frames) + at))
        frames.append(_rows(name, results, problem.schema.task))
    trials = pd.concat(frames, ignore_index=True)
    score, pipeline, best_index = max(winners, key=lambda winner: winner[0])
    if not np.isfinite(score):
        raise ModelError(
            f"No trial of {', '.join(names)} has a {problem.scoring}: what they predict is no finite number. Look for "
            "extreme values among the features, or choose another estimator in train.estimator."
        )
    trials.insert(0, "trial", range(1, len(trials) + 1))
    trials["chosen"] = trials.index == best_index
    best_first = trials.sort_values(problem.scoring, ascending=sign < 0, kind="stable", ignore_index=True)
    return pipeline, best_first.assign(rank=range(1, len(trials) + 1))


def choose(scores: np.ndarray) -> int:
    """Return which setting to take: the best on average, if it beats the first beyond chance, else the first.

    scores: shape (settings, folds), higher is better; the first setting is the default. Beyond chance: the mean
    difference over the folds exceeds its standard error. The best of many settings is in part the luckiest. A setting
    without a finite score in every fold is not taken while another has one.
    Source: Breiman et al. (1984), Classification and Regression Trees, the one-standard-error rule, on paired folds.
    """
    means = _means(scores)
    best = int(means.argmax())
    if not np.isfinite(means[0]):
        return best
    difference = scores[best] - scores[0]
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return best if difference.mean() > error else 0


def _means(scores: np.ndarray) -> np.ndarray:
    """Return the mean of each setting over the folds, -inf for one without a finite score in every fold."""
    return np.where(np.isfinite(scores).all(axis=1), scores.mean(axis=1), -np.inf)


def _judging(problem: SearchProblem) -> list[int]:
    """Return the folds on which the metric of the search is defined; raises ModelError for none, with why."""
    reasons = [undefined_for(problem.y[judge], problem.y[learn], problem.schema) for learn, judge in problem.folds]
    judging = [fold for fold, undefined in enumerate(reasons) if problem.scoring not in undefined]
    if not judging:
        raise ModelError(
            f"{problem.scoring} cannot be computed in any of the {len(reasons)} folds of the search; in the first "
            f"{reasons[0][problem.scoring]}. Choose another metric in train.search.scoring, or bring more rows."
        )
    return judging


def draw_settings(pipeline: Pipeline, space: dict[str, list[Any]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Return at most ``trials`` different settings: the pipeline's own where the space has them, then random ones."""
    accepted = {name: values for name, values in space.items() if name in pipeline[-1].get_params()}
    own = {name: pipeline[-1].get_params()[name] for name in accepted}
    # A value that params.yaml does not list is not tried, not even the default.
    first = {name: own[name] if own[name] in values else values[0] for name, values in accepted.items()}
    possible = int(np.prod([len(values) for values in accepted.values()], dtype=object)) if accepted else 1
    samples = ParameterSampler(accepted, min(trials, possible), random_state=seed) if accepted else [{}]
    settings = [first, *(sample for sample in samples if sample != first)]
    return settings[:trials]


@contextlib.contextmanager
def few_threads(rows: int) -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread where there are few rows.

    Measured on 13,000 rows and two cores: one thread is as fast as two where both cores are free, and three times as
    fast where another stage keeps one of them busy.
    """
    with threadpool_limits(count_threads(rows)):
        yield


def count_threads(rows: int) -> int:
    """Return in how many threads an estimator is to work on so many rows."""
    return 1 if rows <= SMALL else max((pool["num_threads"] for pool in threadpool_info()), default=1)


def _try(pipeline: Pipeline, problem: SearchProblem, space: dict[str, list[Any]], trials: int) -> dict[str, Any]:
    """Return scikit-learn's ``cv_results_`` of the settings that are tried."""
    settings = draw_settings(pipeline, space, trials, problem.seed)
    grid = [{f"{STEP}{key}": [value] for key, value in setting.items()} for setting in settings]
    threads = count_threads(len(problem.X))
    scoring = _Score(problem.schema, threads)
    search = GridSearchCV(
        _Threaded(pipeline.steps, threads), grid, scoring=scoring, refit=False, cv=problem.folds, error_score="raise"
    )
    with on_workers(problem.cluster), warnings.catch_warnings():
        # A metric that a fold does not define: it is left out of the means, and said.
        warnings.filterwarnings("ignore", message="One or more of the test scores are non-finite")
        return search.fit(problem.X, problem.y).cv_results_


class _Threaded(Pipeline):
    """A pipeline that is fitted in so many threads wherever that is: sums differ in the last digits with more."""

    def __init__(self, steps: list[tuple[str, Any]], threads: int) -> None:
        super().__init__(steps)
        self.threads = threads

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "_Threaded":
        """Fit it."""
        with threadpool_limits(self.threads):
            return super().fit(X, y)


def _by_fold(results: dict[str, Any], metric: str) -> np.ndarray:
    folds = sum(name.startswith("split") and name.endswith(f"_test_{metric}") for name in results)
    return np.column_stack([results[f"split{fold}_test_{metric}"] for fold in range(folds)])


def _rows(name: str, results: dict[str, Any], task: str) -> pd.DataFrame:
    params = pd.DataFrame(results["params"]).rename(columns=lambda key: f"param_{key.removeprefix(STEP)}")
    columns = {"estimator": [name] * len(params), **params}
    for metric in METRICS[task]:
        means, deviations = results[f"mean_test_{metric}"], results[f"std_test_{metric}"]
        scores = _by_fold(results, metric)
        defined = np.isfinite(scores).any(axis=0)
        if defined.any() and not defined.all():
            means, deviations = scores[:, defined].mean(axis=1), scores[:, defined].std(axis=1)
        columns |= {metric: means, f"{metric}_std": deviations}
    return pd.DataFrame({**columns, "seconds": results["mean_fit_time"]})


@dataclass(frozen=True)
class _Score:
    """All metrics of the task at once, as GridSearchCV calls for them."""

    schema: Schema
    threads: int

    def __call__(self, pipeline: Pipeline, X: pd.DataFrame, y: np.ndarray) -> dict[str, float]:
        with threadpool_limits(self.threads):
            return measure(compare(y, predict_input(pipeline, X, self.schema), self.schema))

"""What is monitored: the champion's reference, and the recent rows with what was predicted and what happened."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema, duration
from quire.data import Profiles, profile_periods, read_profiles
from quire.errors import ArtifactError, ModelError
from quire.io import frames, tracking
from quire.io.artifacts import Run
from quire.io.row_keys import occurrences
from quire.model import own_rows, predict
from quire.monitor.feedback_stats import fill_actual

PROFILES = "profiles.bin"
"""The name of the training profiles among the champion's files."""

RECENT = "recent.bin"
"""The name of the recent periods' profiles among the run's artifacts."""

OUTCOMES = "outcomes.parquet"
"""The name of the rows of its test window, with predictions, among the champion's files."""

MOST_TEST_ROWS = 100_000

_REPEAT = "__repeat"


@dataclass(frozen=True)
class WatchedModel:
    """The model whose predictions are watched, and what was recorded when it was made.

    test: rows of the test window on which it was judged, with ``prediction`` and ``actual``.
    """

    version: str
    trained: Profiles
    evaluation: dict[str, Any]
    test: pd.DataFrame

    @property
    def since(self) -> datetime | None:
        """The end of its training data; None without a timestamp."""
        return self.trained.periods[-1].end if self.trained.periods else None


@dataclass(frozen=True)
class MonitoringInput:
    """Everything that a run's monitoring looks at.

    rows: recent rows, those of the test window and the current ones, with ``prediction``, ``actual`` (missing where
    not yet known) and ``window`` (test, current). profiles: of the same rows, per period.
    """

    champion: WatchedModel
    rows: pd.DataFrame
    profiles: Profiles
    period: str
    end: datetime | None

    @cached_property
    def current(self) -> pd.DataFrame:
        """The rows that this run predicted."""
        return self.rows[self.rows["window"] == "current"]


def read_input(run: Run, period: str = "7d", *, seed: int = 0) -> MonitoringInput:
    """Return what there is to monitor in ``run``; by hand with no champion yet, of the run's candidate.

    The champion predicts the test window again, so that its errors can be followed week by week up to now; of a very
    large one, a random part of the rows. Raises ModelError without a champion, ArtifactError without its profiles.
    """
    schema = run.settings.schema
    current, predictions = run.load("current"), run.load("predictions")
    registry = tracking.open(run.settings)
    model, version = _model(run, registry, str(predictions["model_version"].iloc[0]))
    files = registry.files(model)
    test = sample(run.load("test"), MOST_TEST_ROWS, np.random.default_rng(seed))
    own = own_rows(files, test, run.settings, run.as_of)
    predicted = predict(registry.load(model), own.frame, own.schema)
    test = test.rename(columns={schema.target: "actual"}).assign(window="test", **predicted)
    path = files / OUTCOMES
    champion = WatchedModel(
        version,
        read_profiles(files / PROFILES),
        _evaluation(run, files, version),
        _judged_on(path, schema, seed, otherwise=test),
    )
    now = join_outcomes(current, predictions, run.load("labels"), schema).assign(window="current")
    now = fill_actual(now, run, schema)
    rows = pd.concat([test, now], ignore_index=True)
    end = current_end(current, schema, run.as_of)
    return MonitoringInput(champion, rows, profile_recent(rows, schema, period, end), period, end)


def join_outcomes(rows: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return ``rows`` with the columns of ``predictions``, and ``actual`` (the target; missing where not yet known).

    Rows are matched by the schema's key, those that repeat one by their order; without a key all by their order.
    """
    key = list(schema.key)
    columns = [name for name in predictions if schema.is_predicted(name)]
    rows = rows.drop(columns=[schema.target, *columns], errors="ignore")
    if not key:
        _check_length(rows, predictions, labels)
        result = pd.concat([rows.reset_index(drop=True), predictions[columns].reset_index(drop=True)], axis=1)
        return result.assign(actual=labels[schema.target].to_numpy())
    if schema.keeps_repeats:
        rows, predictions, labels = (
            frame.assign(**{_REPEAT: occurrences(frame, key)}) for frame in (rows, predictions, labels)
        )
        key.append(_REPEAT)
    result = rows.merge(predictions[[*key, *columns]].drop_duplicates(key, keep="last"), on=key, how="left")
    actuals = labels[[*key, schema.target]].drop_duplicates(key, keep="last")
    result = result.merge(actuals.rename(columns={schema.target: "actual"}), on=key, how="left")
    return result.drop(columns=_REPEAT, errors="ignore")


def profile_recent(rows: pd.DataFrame, schema: Schema, period: str, end: datetime | None) -> Profiles:
    """Return the profiles of recent rows per period up to ``end``: features, predictions, and the target where known.

    Without a timestamp only the current rows are profiled: the test rows are a sample of the same time.
    """
    if schema.timestamp is None:
        rows = rows[rows["window"] == "current"]
    frame = rows.drop(columns="window").rename(columns={"actual": schema.target})
    return profile_periods(frame, schema, period, end=end)


def current_end(current: pd.DataFrame, schema: Schema, as_of: datetime | None) -> datetime | None:
    """Return the end of the current window: ``as_of``, else just after the last row; None without a timestamp."""
    if schema.timestamp is None:
        return None
    if as_of is not None:
        return as_of
    step = pd.Timedelta(duration(schema.frequency)) if schema.frequency else pd.Timedelta(seconds=1)
    return (current[schema.timestamp].max() + step).floor("s").to_pydatetime()


def _model(run: Run, registry: tracking.Registry, version: str) -> tuple[Any, str]:
    """Return the model that made the predictions and its version; the run's candidate where none is registered."""
    if version.isdigit():
        return registry.version(version), version
    champion = registry.champion()
    if champion is not None:
        return champion, champion.version
    if not run.has("candidate"):
        name = run.settings.name
        raise ModelError(f"{name} has no champion to monitor. Train one first: `quire run params/{name}`.")
    return run.load("candidate"), "candidate"


def _evaluation(run: Run, files: Path, version: str) -> dict[str, Any]:
    path = files / "evaluation.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return run.load("evaluation") if version == "candidate" and run.has("evaluation") else {}


def sample(rows: pd.DataFrame, most: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``rows``, or at most ``most`` of them: a random part, in the same order."""
    if len(rows) <= most:
        return rows
    return rows.iloc[np.sort(rng.choice(len(rows), most, replace=False))].reset_index(drop=True)


def _judged_on(kept: Path, schema: Schema, seed: int, *, otherwise: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the champion was judged on; a later run's test window is another one.

    ``otherwise`` where they were not kept, or lack a feature that schema.yaml has got since.
    """
    if not kept.is_file() or not set(schema.features) <= set(frames.ParquetFrame(kept).columns):
        return otherwise
    rows = sample(pd.read_parquet(kept), MOST_TEST_ROWS, np.random.default_rng(seed))
    return rows.rename(columns={schema.target: "actual"}).assign(window="test")


def _check_length(rows: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame) -> None:
    if not len(rows) == len(predictions) == len(labels):
        raise ArtifactError(
            f"Without a key in schema.yaml rows are matched by their order, but there are {len(rows)} rows, "
            f"{len(predictions)} predictions and {len(labels)} labels. Give one column the role key."
        )

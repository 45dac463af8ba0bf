"""What tests of the archive and of the registry share."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quire import artifacts, config
from quire.io import tracking

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch):
    """Let botocore try again at once."""
    import botocore.retries.standard as retries

    monkeypatch.setattr(retries.ExponentialBackoff, "delay_amount", lambda self, context: 0)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "QUIRE_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    return config.load("demo", root=ROOT)


class Clock:
    """A minute passes each time it is asked."""

    def __init__(self):
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self):
        self.at += timedelta(minutes=1)
        return self.at


@pytest.fixture
def registry(settings, tracking_store):
    settings.outputs.mkdir(exist_ok=True)
    shutil.copy(tracking_store, settings.outputs / "mlflow.db")
    return tracking.open(settings, now=Clock())


def run_of(settings, run_id="20260301T000000000-aaaa", stage="train"):
    return artifacts.open_stage(settings, str(settings.outputs / "runs" / run_id / "artifacts" / stage), "2026-03-01")


def fitted(slope=1.0):
    X = pd.DataFrame({"temp": np.arange(20.0), "hum": np.arange(20.0) % 3})
    return make_pipeline(StandardScaler(), Ridge()).fit(X, X["temp"] * slope), X


def log(registry, slope=1.0, run=None, **options):
    pipeline, X = fitted(slope)
    defaults = {"params": {"estimator": "linear", "alpha": 1.0}, "metrics": {"r2": 0.5}}
    return registry.log_candidate(
        run or run_of(registry.settings), pipeline, input_example=X.head(3), **defaults | options
    )

"""A project whose database commands may change."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quire import config
from quire.io import database

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the shipped params, and outputs of its own."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    monkeypatch.setenv("QUIRE_ROOT", str(tmp_path))
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    for name in ("QUIRE_DATABASE_URL", "QUIRE_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def db(project):
    """The project's database, empty."""
    return database.open(config.load("demo", root=project).database_url)


@pytest.fixture
def prediction():
    """A function that makes a row of the table prediction."""

    def make(name, key=None, at=None, model="demo", **more):
        at = at or datetime.now(UTC)
        return {
            "id": name, "model_name": model, "model_version": "1", "row_key": key or name, "as_of": at,
            "source": "service", "predicted_at": at, "value": 1.0,
        } | more  # fmt: skip

    return make

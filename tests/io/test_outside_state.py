"""Fingerprints of the registry and the database: SQLite files, PostgreSQL, and servers that answer oddly."""

import base64
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr
from tests.conftest import serving
from tests.io.conftest import log

from quire import config
from quire.errors import ServiceError
from quire.io import database, outside_state

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "QUIRE_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path))
    return config.load("demo", root=ROOT)


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request, settings):
    """The settings with a database, and the database."""
    if request.param == "postgresql":
        url = SecretStr(request.getfixturevalue("postgresql").new())
        settings = replace(settings, config=settings.config.model_copy(update={"database": url}))
    opened = database.open(settings.database_url)
    yield settings, opened
    opened.close()


def test_the_state_of_the_database_follows_predictions_and_feedback_apart(stored):
    settings, opened = stored
    rows = pd.DataFrame({"station": ["a", "b"], "prediction": [1.0, 2.0]})
    given = {"model_name": "demo", "model_version": "1", "as_of": NOW, "key": ["station"]}
    seen = [(outside_state.state(settings, "predictions"), outside_state.state(settings, "feedback"))]
    opened.save_predictions(rows, now=NOW, **given)
    seen.append((outside_state.state(settings, "predictions"), outside_state.state(settings, "feedback")))
    opened.save_predictions(rows, now=NOW + timedelta(hours=1), **given)  # known already: nothing new
    seen.append((outside_state.state(settings, "predictions"), outside_state.state(settings, "feedback")))
    ident = opened.prediction_ids("demo", ["a"])["a"]
    opened.save_feedback([{"prediction_id": ident, "actual": 3.0}], source="api", now=NOW)
    seen.append((outside_state.state(settings, "predictions"), outside_state.state(settings, "feedback")))
    opened.forget("b")
    seen.append((outside_state.state(settings, "predictions"), outside_state.state(settings, "feedback")))
    predictions, feedback = zip(*seen, strict=True)
    assert predictions[1] not in (predictions[0], predictions[4])
    assert predictions[1] == predictions[2] == predictions[3]
    assert feedback[0] == feedback[1] == feedback[2] != feedback[3]


def test_a_store_that_is_no_database_is_told(settings):
    (settings.outputs / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(ServiceError, match=r"mlflow\.db cannot be read: file is not a database"):
        outside_state.state(settings, "champion")


class Registry:
    """An MLflow server as far as one request goes: says what it was asked, and answers as it is told."""

    def __init__(self):
        self.status, self.body, self.asked = "200 OK", b"", {}

    def __call__(self, environ, start):
        self.asked = {"query": environ["QUERY_STRING"], "auth": environ.get("HTTP_AUTHORIZATION", "")}
        start(self.status, [("Content-Type", "application/json"), ("Content-Length", str(len(self.body)))])
        return [self.body]


@pytest.fixture
def server(settings, monkeypatch):
    app = Registry()
    with serving(app) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("//", "//me:pass%20word@") + "/")
        yield app


def test_a_server_is_asked_for_the_alias_with_the_credentials_of_its_address(settings, server, monkeypatch):
    server.body = b'{"model_version": {"version": "7", "run_id": "abc"}}'
    assert outside_state.state(settings, "champion") == "7 abc"
    assert server.asked["query"] == "name=demo&alias=champion"
    assert base64.b64decode(server.asked["auth"].removeprefix("Basic ")).decode() == "me:pass word"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("QUIRE_ALIAS", "backfill")
    outside_state.state(settings, "champion")
    assert server.asked == {"query": "name=demo&alias=backfill", "auth": "Bearer secret"}


def test_a_server_that_knows_no_champion_and_one_that_is_broken_are_told_apart(settings, server):
    server.status, server.body = "404 NOT FOUND", b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}'
    assert outside_state.state(settings, "champion") == outside_state.NOTHING
    server.status, server.body = "500 INTERNAL SERVER ERROR", b"no room left"
    with pytest.raises(ServiceError, match="answers 500 when asked for the champion: no room left") as caught:
        outside_state.state(settings, "champion")
    assert "word" not in str(caught.value)


def test_the_fingerprint_of_the_champion_follows_the_alias_without_mlflow(registry):
    assert outside_state.state(registry.settings, "champion") == "none"
    first = registry.promote(log(registry, 1), reason="")
    one = outside_state.state(registry.settings, "champion")
    registry.promote(log(registry, 2), reason="")
    two = outside_state.state(registry.settings, "champion")
    registry.rollback()
    assert one == f"1 {first.run_id}"
    assert one != two
    assert outside_state.state(registry.settings, "champion") == one
    code = (
        "import sys; from quire import config; from quire.io import outside_state; "
        "print(outside_state.state(config.load('demo'), 'champion')); "
        "print('mlflow' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == [one, "False"]


def test_the_fingerprint_of_a_table_follows_its_rows(settings):
    assert outside_state.state(settings, "feedback") == "none"
    settings.outputs.mkdir(exist_ok=True)
    with sqlite3.connect(settings.outputs / "quire.db") as connection:
        connection.execute("CREATE TABLE feedback (id TEXT PRIMARY KEY, actual REAL, received_at TEXT)")
    seen = {outside_state.state(settings, "feedback")}
    for statement in (
        "INSERT INTO feedback VALUES ('a', 1, '2026-01-01')",
        "INSERT INTO feedback VALUES ('b', 1, '2026-01-01')",
        "UPDATE feedback SET actual = 2, received_at = '2026-01-02' WHERE id = 'a'",
    ):
        with sqlite3.connect(settings.outputs / "quire.db") as connection:
            connection.execute(statement)
        seen.add(outside_state.state(settings, "feedback"))
    assert len(seen) == 4


def test_an_unknown_kind_of_state_is_named(settings):
    with pytest.raises(ValueError, match="Did you mean 'champion'"):
        outside_state.state(settings, "champions")

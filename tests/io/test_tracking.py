"""The registry and its aliases, on real SQLite stores and on MLflow's own server."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from tests.io.conftest import fitted, log, run_of

from quire.errors import ModelError
from quire.io import outside_state, tracking

ROOT = Path(__file__).parents[2]


def test_a_store_that_was_never_made_has_no_champion_and_is_not_made_by_asking(settings):
    registry = tracking.open(settings)
    assert registry.champion() is None
    assert registry.versions() == []
    assert registry.history() == []
    assert not (registry.settings.outputs / "mlflow.db").exists()


def test_promoting_moves_the_alias_and_keeps_what_the_evaluation_found(registry, tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    version = registry.promote(
        log(registry),
        reason="better",
        run=run_of(registry.settings),
        metrics={"r2": 0.6},
        files={"evaluation.json": tmp_path / "evaluation.json"},
    )
    assert version == registry.champion()
    assert version.version == "1"
    assert version.metrics == {"r2": 0.5, "test_r2": 0.6}
    assert version.tags["quire.run_id"] == "20260301T000000000-aaaa"
    assert version.aliases == ("champion",)
    assert (registry.files(version) / "evaluation.json").is_file()
    card = registry.client.get_model_version("demo", "1").description
    assert card.startswith("# Hourly bike rentals")
    assert "`temp`, `hum`" in card


def test_promoting_the_same_candidate_again_changes_nothing(registry):
    candidate = log(registry)
    first = registry.promote(candidate, reason="better")
    assert registry.promote(candidate, reason="again") == first
    assert [event.reason for event in registry.history()] == ["better"]
    assert len(registry.versions()) == 1


def test_rollback_goes_back_step_by_step_and_history_says_so(registry):
    for slope in (1, 2, 3):
        registry.promote(log(registry, slope), reason=f"slope {slope}")
    assert registry.rollback().version == "2"
    assert registry.rollback(reason="still bad").version == "1"
    assert registry.champion().version == "1"
    with pytest.raises(ModelError, match="no earlier champion"):
        registry.rollback()
    history = registry.history()
    assert [(event.kind, event.version) for event in history] == [
        ("promote", "1"), ("promote", "2"), ("promote", "3"), ("rollback", "2"), ("rollback", "1"),
    ]  # fmt: skip
    assert history[-1].reason == "still bad"


def test_history_that_did_not_keep_who_moved_the_alias_is_read_and_so_is_that_of_later_versions(registry):
    registry.promote(log(registry), reason="better", run=run_of(registry.settings))
    old = {"alias": "champion", "version": "1", "kind": "promote", "reason": "old", "run_id": "", "as_of": ""}
    for day, event in (("01", old), ("02", old | {"by": "ann", "moon": "full"})):
        key = f"{tracking.EVENT}2020-01-{day}T00:00:00.000000Z"
        registry.client.set_registered_model_tag(registry.name, key, json.dumps(event))
    history = registry.history()
    assert [(event.reason, event.by) for event in history] == [("old", ""), ("old", "ann"), ("better", tracking.GATE)]
    assert history[-1].command == f"quire run params/{registry.settings.name}"


def test_after_a_rollback_the_next_promotion_is_what_the_next_rollback_undoes(registry):
    for slope in (1, 2):
        registry.promote(log(registry, slope), reason="")
    registry.rollback()
    registry.promote(log(registry, 3), reason="")
    assert registry.rollback().version == "1"


def test_aliases_do_not_touch_each_other(registry):
    first = registry.promote(log(registry, 1), reason="")
    second = registry.promote(log(registry, 2), reason="", alias="backfill")
    assert registry.champion().version == first.version
    assert registry.champion("backfill").version == second.version
    assert [event.version for event in registry.history("backfill")] == [second.version]


def test_a_version_can_be_promoted_by_number_and_an_unknown_one_names_those_there_are(registry):
    registry.promote(log(registry, 1), reason="")
    registry.promote(log(registry, 2), reason="")
    assert registry.promote(registry.version(1), reason="chosen").version == "1"
    with pytest.raises(ModelError, match="no version 7; it has: 2, 1"):
        registry.version(7)


@pytest.fixture
def server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path / 'server.db'}",
        "--artifacts-destination",
        str(tmp_path / "served"),
    ]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=log_file, stderr=log_file, start_new_session=True
        )
    try:
        while True:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            try:
                urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait()


@pytest.mark.slow
def test_all_of_it_works_against_a_server(settings, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    registry = tracking.open(settings)
    assert registry.champion() is None
    assert outside_state.state(settings, "champion") == "none"
    candidate = log(registry, trials=pd.DataFrame({"param_alpha": [1.0], "r2": [0.5]}))
    version = registry.promote(candidate, reason="better", run=run_of(settings))
    registry.promote(log(registry, 2), reason="better yet")
    back = registry.rollback()
    assert replace(back, tags={}) == replace(version, tags={}, aliases=("champion",))
    pipeline, X = fitted()
    np.testing.assert_array_equal(registry.load(registry.champion()).predict(X), pipeline.predict(X))
    assert (registry.files(version) / "schema.json").is_file()
    assert outside_state.state(settings, "champion") == f"1 {version.run_id}"
    assert not (settings.outputs / "mlflow.db").exists()
    schema = json.loads((registry.files(version) / "schema.json").read_text())
    assert schema["task"] == "regression"

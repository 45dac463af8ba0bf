"""Runs, the registry and its aliases, on real SQLite stores and on MLflow's own server."""

import json
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quire import artifacts, config
from quire.errors import ModelError, ServiceError
from quire.io import outside, tracking

ROOT = Path(__file__).parents[2]


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
    settings.outputs.mkdir()
    shutil.copy(tracking_store, settings.outputs / "mlflow.db")
    return tracking.open(settings, now=Clock())


def run_of(settings, run_id="20260301T000000000-aaaa", stage="train"):
    return artifacts.open(settings, str(settings.outputs / "runs" / run_id / "artifacts" / stage), "2026-03-01")


def fitted(slope=1.0):
    X = pd.DataFrame({"temp": np.arange(20.0), "hum": np.arange(20.0) % 3})
    return make_pipeline(StandardScaler(), Ridge()).fit(X, X["temp"] * slope), X


def log(registry, slope=1.0, run=None, **options):
    pipeline, X = fitted(slope)
    defaults = {"params": {"estimator": "linear", "alpha": 1.0}, "metrics": {"r2": 0.5}}
    return registry.log_candidate(
        run or run_of(registry.settings), pipeline, input_example=X.head(3), **defaults | options
    )


def test_a_store_that_was_never_made_has_no_champion_and_is_not_made_by_asking(settings):
    registry = tracking.open(settings)
    assert registry.champion() is None
    assert registry.versions() == []
    assert registry.history() == []
    assert not (registry.settings.outputs / "mlflow.db").exists()


def test_a_candidate_is_logged_with_all_that_belongs_to_it(registry, tmp_path):
    (tmp_path / "profiles.bin").write_bytes(b"profiles")
    from matplotlib.figure import Figure

    trials = pd.DataFrame({"param_alpha": [0.1, 1.0], "r2": [0.4, 0.5], "seconds": [0.1, 0.2]})
    candidate = log(
        registry,
        trials=trials,
        dataset={"fingerprint": "ab" * 32, "source": {"where": "A file"}, "windows": {"train": {"rows": 3}}},
        figures={"learning": Figure()},
        files={"profiles.bin": tmp_path / "profiles.bin"},
        metrics={"r2": 0.5, "mae": float("nan")},
        tags={"team": "bikes"},
    )
    client = registry.client
    run = client.get_run(candidate["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"estimator": "linear", "alpha": "1.0"}
    assert run.data.metrics == {"r2": 0.5}
    assert run.data.tags["team"] == "bikes"
    assert run.data.tags["quire.fingerprint"] == "ab" * 32
    dataset = run.inputs.dataset_inputs[0].dataset
    assert dataset.digest == "ab" * 16
    assert json.loads(dataset.source) == {"tags": {"source": "A file"}}
    assert json.loads(dataset.profile) == {"windows": {"train": {"rows": 3}}}
    assert [one.path for one in client.list_artifacts(candidate["run_id"], "figures")] == ["figures/learning.png"]
    nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{candidate['run_id']}'")
    assert sorted(one.data.params["alpha"] for one in nested) == ["0.1", "1.0"]
    assert sorted(one.data.metrics["r2"] for one in nested) == [0.4, 0.5]
    files = {path.name for path in registry.files(candidate).iterdir()}
    assert files == {"profiles.bin", "schema.json", "model_card.md"}
    model = client.get_logged_model(candidate["model_uri"].removeprefix("models:/"))
    assert {one.key: one.value for one in model.metrics} == {"r2": 0.5}


def test_the_model_is_also_an_artifact_of_the_stage(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    pipeline, X = fitted()
    for place in (run.path("model"), candidate, candidate["model_uri"]):
        np.testing.assert_array_equal(registry.load(place).predict(X), pipeline.predict(X))


def test_by_hand_a_candidate_is_saved_but_not_logged_and_cannot_be_promoted(settings):
    registry = tracking.open(settings)
    run = artifacts.open(registry.settings)
    assert log(registry, run=run) == {"run_id": None, "model_uri": None}
    assert (run.folder / "model" / "MLmodel").is_file()
    assert not (registry.settings.outputs / "mlflow.db").exists()
    with pytest.raises(ModelError, match="By hand no alias moves"):
        registry.promote({"run_id": None, "model_uri": None}, reason="", run=run)


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


def test_rollback_goes_back_step_by_step_and_history_says_who_was_champion_when(registry):
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
    assert registry.champion_at(history[1].at) == "2"
    assert registry.champion_at(history[0].at - timedelta(seconds=1)) is None


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


def test_a_candidate_that_the_store_does_not_know_is_logged_anew_from_the_run(registry, monkeypatch):
    run = run_of(registry.settings)
    candidate = log(registry, run=run) | {"params": {"estimator": "linear"}, "metrics": {"r2": 0.5}}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registry.settings.outputs / 'other.db'}")
    other = tracking.open(registry.settings)
    version = other.promote(candidate, reason="better", run=run)
    pipeline, X = fitted()
    np.testing.assert_array_equal(other.load(version).predict(X), pipeline.predict(X))
    assert version.metrics == {"r2": 0.5}
    assert version.run_id != candidate["run_id"]
    assert (other.files(version) / "model_card.md").is_file()


def test_a_candidate_whose_files_are_gone_is_logged_anew(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    shutil.rmtree(registry.settings.outputs / "mlartifacts")
    version = registry.promote(candidate, reason="better", run=run)
    assert registry.load(version) is not None


def test_a_candidate_that_nobody_has_is_refused(registry):
    log(registry)
    with pytest.raises(ModelError, match="does not know the candidate m-gone"):
        registry.promote({"run_id": "gone", "model_uri": "models:/m-gone"}, reason="")


def test_a_candidate_whose_logging_fails_is_a_failed_run(registry):
    with pytest.raises(ServiceError, match="a%b"):
        log(registry, params={"a%b": 1})
    found = registry.client.search_runs([registry.client.get_experiment_by_name("demo").experiment_id])
    assert [one.info.status for one in found] == ["FAILED"]


def workflow_record(run_id, status="succeeded"):
    stages = {"train": {"status": "succeeded", "seconds": 1.5}, "evaluate": {"status": "succeeded", "seconds": 0.5}}
    return {
        "run_id": run_id,
        "params": "demo",
        "workflow": "train",
        "as_of": "2026-03-01",
        "status": status,
        "stages": stages,
    }


def test_a_workflow_run_is_the_parent_of_what_its_stages_logged(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    folder = run.folder.parents[1]
    (folder / "reports").mkdir()
    (folder / "reports" / "train.html").write_text("<p>report")
    (folder / "index.html").write_text("<p>index")
    run.save("_answer", {"status": "good", "headline": "", "facts": [], "metrics": {"r2": 0.5}})
    parent = registry.log_run(workflow_record(run.run_id), folder)
    client = registry.client
    assert client.get_run(candidate["run_id"]).data.tags["mlflow.parentRunId"] == parent
    logged = client.get_run(parent)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics == {"train.seconds": 1.5, "evaluate.seconds": 0.5, "train.r2": 0.5}
    assert [one.path for one in client.list_artifacts(parent, "reports")] == ["reports/train.html"]
    assert "index.html" in [one.path for one in client.list_artifacts(parent)]


def test_logging_a_run_again_brings_the_same_parent_up_to_date(registry):
    run = run_of(registry.settings)
    run.folder.mkdir(parents=True)
    first = registry.log_run(workflow_record(run.run_id, "failed"), run.folder.parents[1])
    assert registry.client.get_run(first).info.status == "FAILED"
    assert registry.log_run(workflow_record(run.run_id), run.folder.parents[1]) == first
    assert registry.client.get_run(first).info.status == "FINISHED"


def open_store(uri, barrier, results):
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ["QUIRE_OUTPUTS"] = str(Path(uri.removeprefix("sqlite:///")).parent)
    registry = tracking.open(config.load("demo", root=ROOT))
    barrier.wait()
    try:
        run = registry.client.create_run(tracking_experiment(registry))
        results.put(("ok", run.info.run_id))
    except Exception as error:
        results.put(("failed", repr(error)))


def tracking_experiment(registry):
    from quire.io.tracking_store import experiment_id

    return experiment_id(registry.client, registry.settings)


def test_several_processes_may_open_a_fresh_store_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    uri = f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}"
    processes = [context.Process(target=open_store, args=(uri, barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [status for status, _ in answers] == ["ok"] * 4, answers
    with sqlite3.connect(tmp_path / "outputs" / "mlflow.db") as store:
        assert store.execute("SELECT count(*) FROM experiments WHERE name = 'demo'").fetchone() == (1,)
        assert store.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    assert not list((tmp_path / "outputs").glob("*.partial"))


def test_the_fingerprint_of_the_champion_follows_the_alias_without_mlflow(registry):
    assert outside.state(registry.settings, "champion") == "none"
    first = registry.promote(log(registry, 1), reason="")
    one = outside.state(registry.settings, "champion")
    registry.promote(log(registry, 2), reason="")
    two = outside.state(registry.settings, "champion")
    registry.rollback()
    assert one == f"1 {first.run_id}"
    assert one != two
    assert outside.state(registry.settings, "champion") == one
    code = (
        "import sys; from quire import config; from quire.io import outside; "
        "print(outside.state(config.load('demo'), 'champion')); "
        "print('mlflow' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == [one, "False"]


def test_the_fingerprint_of_a_table_follows_its_rows(settings):
    assert outside.state(settings, "feedback") == "none"
    settings.outputs.mkdir()
    with sqlite3.connect(settings.outputs / "quire.db") as connection:
        connection.execute("CREATE TABLE feedback (id TEXT PRIMARY KEY, actual REAL, received_at TEXT)")
    seen = {outside.state(settings, "feedback")}
    for statement in (
        "INSERT INTO feedback VALUES ('a', 1, '2026-01-01')",
        "INSERT INTO feedback VALUES ('b', 1, '2026-01-01')",
        "UPDATE feedback SET actual = 2, received_at = '2026-01-02' WHERE id = 'a'",
    ):
        with sqlite3.connect(settings.outputs / "quire.db") as connection:
            connection.execute(statement)
        seen.add(outside.state(settings, "feedback"))
    assert len(seen) == 4


def test_an_unknown_kind_of_state_is_named(settings):
    with pytest.raises(ValueError, match="Did you mean 'champion'"):
        outside.state(settings, "champions")


def test_a_server_that_does_not_answer_is_said_at_once(settings, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    for ask in (lambda: tracking.open(settings).versions(), lambda: outside.state(settings, "champion")):
        with pytest.raises(ServiceError, match="No MLflow server answers") as caught:
            ask()
        assert "secret" not in str(caught.value)


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
    assert outside.state(settings, "champion") == "none"
    candidate = log(registry, trials=pd.DataFrame({"param_alpha": [1.0], "r2": [0.5]}))
    version = registry.promote(candidate, reason="better", run=run_of(settings))
    registry.promote(log(registry, 2), reason="better yet")
    assert registry.rollback() == replace(version, aliases=("champion",))
    pipeline, X = fitted()
    np.testing.assert_array_equal(registry.load(registry.champion()).predict(X), pipeline.predict(X))
    assert (registry.files(version) / "schema.json").is_file()
    assert outside.state(settings, "champion") == f"1 {version.run_id}"
    assert not (settings.outputs / "mlflow.db").exists()
    schema = json.loads((registry.files(version) / "schema.json").read_text())
    assert schema["task"] == "regression"

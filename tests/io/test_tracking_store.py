"""The connection to MLflow: a fresh store that several open, and a server that is not there."""

import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from quire import config
from quire.errors import ServiceError
from quire.io import outside_state, tracking

ROOT = Path(__file__).parents[2]


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


def test_a_server_that_does_not_answer_is_said_at_once(settings, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    for ask in (lambda: tracking.open(settings).versions(), lambda: outside_state.state(settings, "champion")):
        with pytest.raises(ServiceError, match="No MLflow server answers") as caught:
            ask()
        assert "secret" not in str(caught.value)

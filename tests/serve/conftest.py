"""A small use case with a promoted model, made once by the functions that the notebooks call."""

import dataclasses
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from quire import artifacts, config, data, model, tracking
from quire.config import Serve
from quire.io import database
from quire.serve import traffic
from quire.serve.app import make_app

ROOT = Path(__file__).parents[2]
HOURS = 3000


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    """The snapshot of a short demo, and its settings; the database and the registry are in a folder of its own."""
    root = tmp_path_factory.mktemp("use-case")
    shutil.copytree(ROOT / "params", root / "params")
    path = root / "params" / "demo" / "config.yaml"
    text = path.read_text("utf-8").replace("hours: 17520", f"hours: {HOURS}")
    path.write_text(text + "database: ${TEST_DATABASE:-}\nserve: {refresh_s: 0.3, log_timeout_s: 2.0}\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUIRE_OUTPUTS", str(root / "outputs"))
        settings = config.load("demo", root=root)
        return settings, data.ingest(settings, current="7d", test="14d")


@pytest.fixture(scope="session")
def pipelines(snapshot):
    """A fitted pipeline by the name of its estimator."""
    settings, ingested = snapshot
    search = config.Search(trials=1, folds=2)
    names = ("linear", "random_forest", "hist_gradient_boosting")
    return {name: model.fit_candidate(ingested.train, settings.schema, name, search).pipeline for name in names}


@pytest.fixture(scope="session")
def empty_store(snapshot, tmp_path_factory):
    """MLflow's store without a model, made once: making one takes seconds."""
    outputs = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUIRE_OUTPUTS", str(outputs))
        assert tracking.open(snapshot[0]).client.search_registered_models() == []
    return outputs


@pytest.fixture
def settings(snapshot, empty_store, tmp_path, monkeypatch):
    """The use case with outputs of this test's own."""
    shutil.copytree(empty_store, tmp_path / "outputs")
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    return snapshot[0]


@pytest.fixture
def open_run(settings):
    """A function that opens the run of a stage, or one by hand."""

    def open_it(stage="train"):
        folder = settings.outputs / "runs" / "20260301T120000000-abcd" / "artifacts" / stage
        return artifacts.open_stage(settings, str(folder)) if stage else artifacts.open(settings)

    return open_it


@pytest.fixture
def promote(settings, snapshot, open_run):
    """A function that logs a fitted pipeline and makes it champion (or another alias); returns the version."""

    numbers = itertools.count()

    def do(pipeline, alias=None):
        registry, run = tracking.open(settings), open_run()
        train = snapshot[1].train
        reference = run.save("reference", model.describe_reference(train, settings.schema))
        candidate = registry.log_candidate(
            run,
            pipeline,
            params={"number": next(numbers)},
            metrics={"r2": 0.9},
            input_example=model.model_input(train.tail(5), settings.schema),
            files={"reference.json": reference},
        )
        return registry.promote(
            {**candidate, "params": {}, "metrics": {"r2": 0.9}}, reason="test", run=run, alias=alias
        )

    return do


class Server:
    """``quire serve`` as a process of its own."""

    def __init__(self, settings, port, log, **environment):
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self._settings, self._log, self._environment = settings, log, environment
        self.start()

    def start(self, *options):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "MLFLOW_"))}
        own = {"QUIRE_ROOT": str(self._settings.root), "QUIRE_OUTPUTS": str(self._settings.outputs)}
        command = [sys.executable, "-m", "quire", "serve", "demo", "--port", str(self.port), *options]
        self.process = subprocess.Popen(
            command, cwd=self._settings.root, env=kept | own | self._environment, stderr=self._log.open("ab")
        )
        self.wait_for("/health/ready", 200)

    def get(self, path):
        """Status and JSON of an answer."""
        try:
            answer = httpx.get(self.url + path, timeout=10)
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json()

    def wait_for(self, path, status, *, holds=lambda content: True, timeout_s=120):
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            found, content = self.get(path)
            if found == status and holds(content):
                return content
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"{path} did not come to {status}:\n{self._log.read_text()[-3000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


@pytest.fixture
def start_server(settings, tmp_path):
    """A function that starts ``quire serve`` on the test's outputs; what it started ends with the test."""
    started = []

    def start(**environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started.append(Server(settings, port, tmp_path / "serve.log", **environment))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def requests(snapshot):
    """Bodies of requests, and what really happened."""
    settings, ingested = snapshot
    return traffic.bodies(ingested.test, settings.schema)


@pytest.fixture
def serve(settings, pipelines, promote):
    """A function that starts the application with settings of the section serve; ``champion=None`` for no model."""
    clients = []

    def start(champion="linear", **section):
        if champion:
            promote(pipelines[champion])
        config = settings.config.model_copy(
            update={"serve": Serve(**{"refresh_s": 0.2, "access_log": False} | section)}
        )
        client = TestClient(make_app(dataclasses.replace(settings, config=config)))
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def row(requests):
    return json.loads(requests[0][0])


@pytest.fixture
def kept(settings):
    return lambda **options: database.open(settings.database_url).predictions("demo", **options)

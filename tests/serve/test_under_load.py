"""The service as processes under load: killed, swapped, its database stopped; nothing acknowledged is lost."""

import asyncio
import os
import signal
import threading

import pytest

from quire.io import database
from quire.serve import traffic

pytestmark = pytest.mark.slow


class Load(threading.Thread):
    """Requests in the background until `finish`; ``traffic`` holds what was acknowledged."""

    def __init__(self, url, requests, connections=8, seconds=120.0):
        super().__init__(daemon=True)
        self._arguments = url, [body for body, _ in requests]
        self._options = {"connections": connections, "seconds": seconds, "keep_ids": True}
        self._loop, self.traffic = asyncio.new_event_loop(), None
        self.start()

    def run(self):
        self.traffic = self._loop.run_until_complete(traffic.load(*self._arguments, **self._options))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, settings):
    if request.param == "sqlite":
        return f"sqlite:///{settings.outputs / 'quire.db'}"
    return request.getfixturevalue("postgresql").new()


def kept_ids(url):
    return set(database.open(url).predictions("demo")["id"])


def test_nothing_acknowledged_is_lost_to_kill_9(url, start_server, promote, pipelines, requests):
    promote(pipelines["linear"])
    server = start_server(TEST_DATABASE=url)
    acknowledged = []
    for round_ in range(2):
        load = Load(server.url, requests, seconds=3.0)
        load.join(1.5 + 0.4 * round_)
        server.kill()
        load.join()
        acknowledged += load.traffic.ids
        server.start()
    assert len(acknowledged) > 50
    assert set(acknowledged) <= kept_ids(url)


def test_no_request_fails_while_champions_are_swapped(start_server, promote, pipelines, requests):
    promote(pipelines["linear"])
    server = start_server()
    load = Load(server.url, requests, seconds=20.0)
    for number, name in enumerate(["hist_gradient_boosting", "linear", "random_forest"], start=2):
        promote(pipelines[name])
        server.wait_for("/health", 200, holds=lambda content, want=str(number): content["model"]["version"] == want)
    load.join()
    assert load.traffic.answered > 50
    assert load.traffic.failed == 0, load.traffic.statuses


def test_sigterm_answers_what_was_accepted(start_server, promote, pipelines, requests, settings):
    promote(pipelines["linear"])
    server = start_server()
    load = Load(server.url, requests, seconds=3.0)
    load.join(1.5)
    assert server.stop() in (0, -signal.SIGTERM)
    load.join()
    assert set(load.traffic.statuses) <= {"200", "gone"}
    assert set(load.traffic.ids) <= kept_ids(settings.database_url)


def test_a_database_that_stops_is_refused_with_503_and_comes_back(
    postgresql, start_server, promote, pipelines, requests
):
    promote(pipelines["linear"])
    url = postgresql.new()
    server = start_server(TEST_DATABASE=url)
    body = requests[0][0]
    postgresql.stop()
    try:
        answer = post(server, body)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        server.wait_for("/health/ready", 503)
    finally:
        postgresql.start()
    server.wait_for("/health/ready", 200)
    assert post(server, body).json()["prediction_id"] in kept_ids(url)


def test_a_database_that_hangs_is_refused_with_503_without_growing(
    postgresql, start_server, promote, pipelines, requests
):
    promote(pipelines["linear"])
    server = start_server(TEST_DATABASE=postgresql.new())
    post(server, requests[0][0])
    before = memory(server)
    pids = postgresql.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        load = Load(server.url, requests, connections=32, seconds=6.0)
        load.join()
        assert load.traffic.answered == 0
        assert set(load.traffic.statuses) == {"503"}
        assert memory(server) < before + 50_000_000
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    server.wait_for("/health/ready", 200)
    assert post(server, requests[0][0]).status_code == 200


def test_workers_share_figures_limits_and_swaps(start_server, promote, pipelines, requests):
    promote(pipelines["linear"])
    server = start_server()
    server.stop()
    server.start("--workers", "2")
    load = Load(server.url, requests, connections=16, seconds=4.0)
    load.join()
    assert load.traffic.failed == 0
    import httpx

    text = httpx.get(f"{server.url}/metrics").text
    assert f'quire_predictions_total{{source="service",version="1"}} {load.traffic.answered}.0' in text
    assert 'quire_model{name="demo",version="1"} 2.0' in text


def post(server, body):
    import httpx

    return httpx.post(f"{server.url}/predict", content=body, timeout=30)


def memory(server):
    """Bytes that the process holds in memory."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

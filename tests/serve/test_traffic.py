"""Traffic: what it sends, at which rate, and what it says of the answers. The service is a small HTTP server here."""

import asyncio
import itertools
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from quire.config import Schema
from quire.errors import ServiceError
from quire.serve import traffic
from quire.serve.traffic import Connection, Traffic


class Answering(BaseHTTPRequestHandler):
    """Gives each prediction an id; refuses the word "bad", and breaks the connection at the word "gone"."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, json.loads(body), dict(self.headers), time.monotonic()))
        if b"gone" in body:
            self.close_connection = True
            return
        answer = json.dumps({"prediction_id": f"id{len(self.server.seen)}"}).encode()
        self.send_response(422 if b"bad" in body else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.seen, server.daemon_threads = [], True
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def simulate(url, rows, **options):
    options = {"per_second": 200, "delay_s": 0.01, "share": 1.0, "rng": random.Random(0)} | options
    return asyncio.run(traffic.simulate(url, rows, **options))


def test_a_row_becomes_a_body_without_what_is_missing_and_without_the_target():
    schema = Schema.model_validate(
        {
            "task": "regression",
            "columns": {
                "id": {"type": "integer", "role": "key"},
                "at": {"type": "datetime"},
                "open": {"type": "boolean"},
                "size": {"type": "number", "nullable": True},
                "price": {"type": "number", "role": "target"},
            },
        }
    )
    frame = pd.DataFrame(
        {"id": [1, 2], "at": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True), "size": [1.5, None]}
        | {"open": pd.array([True, False], dtype="boolean"), "price": [10.0, None]}
    )
    (first, actual), (second, unknown) = traffic.bodies(frame, schema)
    assert json.loads(first) == {"id": 1.0, "at": "2026-01-01T00:00:00+00:00", "open": "true", "size": 1.5}
    assert json.loads(second) == {"id": 2.0, "at": "2026-01-02T00:00:00+00:00", "open": "false"}
    assert (actual, unknown) == (10.0, None)


def test_feedback_follows_the_prediction_and_names_it(service):
    done = simulate(service.url, [(b'{"x": 1}', 5.0), (b'{"x": 2}', None)], key="secret")
    predicted = [body for path, body, _, _ in service.seen if path == "/predict"]
    told = [body for path, body, _, _ in service.seen if path == "/feedback"]
    assert predicted == [{"x": 1}, {"x": 2}]
    assert [one["actual"] for one in told] == [5.0]
    assert told[0]["prediction_id"].startswith("id")
    assert (done.answered, done.failed, dict(done.feedback)) == (2, 0, {"200": 1})
    assert {headers["X-API-Key"] for _, _, headers, _ in service.seen} == {"secret"}


def test_a_share_of_the_predictions_gets_feedback(service):
    done = simulate(service.url, [(b"{}", 1.0)] * 100, share=0.3, per_second=2_000)
    assert 15 <= done.feedback["200"] <= 45
    assert done.answered == 100


def test_a_refusal_and_a_lost_connection_are_counted_and_it_goes_on(service):
    done = simulate(service.url, [(b'"bad"', 1.0), (b'"gone"', 1.0), (b'"good"', 1.0)])
    assert dict(done.statuses) == {"422": 1, "gone": 1, "200": 1}
    assert done.feedback.total() == 1


def test_nobody_there_is_counted_too():
    done = simulate("http://127.0.0.1:9", [(b"{}", 1.0)])
    assert (done.answered, done.statuses["gone"]) == (0, 1)
    assert done.latency_ms(0.5) != done.latency_ms(0.5)


def test_a_load_test_keeps_its_connections_busy_and_remembers_ids(service):
    done = asyncio.run(traffic.load(service.url, [b'{"x": 1}', b'{"x": 2}'], connections=3, seconds=0.4, keep_ids=True))
    assert done.answered == len(done.ids) == len(set(done.ids)) == len(service.seen) >= 6
    assert done.per_second == pytest.approx(done.answered / done.seconds)
    assert {json.dumps(body) for _, body, _, _ in service.seen} == {'{"x": 1}', '{"x": 2}'}


@pytest.mark.parametrize("url", ["localhost:8000", "https://127.0.0.1:8000", "http://"])
def test_an_address_that_is_none_is_refused_with_the_form_it_has(url):
    with pytest.raises(ServiceError, match="write http://HOST:PORT"):
        Connection(url)


def test_quantiles_are_in_milliseconds():
    made = Traffic(latencies=[one / 1000 for one in range(1, 101)])
    assert [made.latency_ms(at) for at in (0, 0.5, 0.99, 1)] == [1, 51, 100, 100]


def test_rows_run_as_long_as_there_are_any(service):
    rows = itertools.islice(itertools.cycle([(b"{}", None)]), 25)
    assert simulate(service.url, rows, per_second=5_000).answered == 25

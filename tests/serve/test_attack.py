"""`quire serve`, as people start it, under attack from the network: no failure, no second answer, no growth.

QUIRE_ATTACK_REQUESTS is how many malformed requests are sent; benchmarks/attack.py sends more than the suite does.
"""

import collections
import hashlib
import json
import os
import random
import socket
import threading
from pathlib import Path

import httpx
import pytest
from tests.serve.test_fuzz import KEY, anything
from tests.serve.test_limits import LARGE, statuses
from tests.serve.test_under_load import memory

REQUESTS = int(os.environ.get("QUIRE_ATTACK_REQUESTS", "150"))
GROWTH_BYTES = 100_000_000
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(NEXT)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLING = {
    "length, then chunked": LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + NEXT,
    "chunked, then length": CHUNKED + LENGTH + b"\r\n0\r\n\r\n" + NEXT,
    "two lengths": b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + NEXT,
    "two lengths in one": b"Content-Length: 0, %d\r\n\r\n" % len(NEXT) + NEXT,
    "length with plus": b"Content-Length: +0\r\n\r\n" + NEXT,
    "negative length": b"Content-Length: -1\r\n\r\n" + NEXT,
    "length in hex": b"Content-Length: 0x0\r\n\r\n" + NEXT,
    "length with a space before the colon": b"Content-Length : 0\r\n\r\n" + NEXT,
    "folded length": b"X: 1\r\n Content-Length: 0\r\n" + LENGTH[:-2] + b"0\r\n\r\n" + NEXT,
    "chunked twice": CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + NEXT,
    "chunked misspelt": b"Transfer-Encoding: xchunked\r\n" + LENGTH + b"\r\n" + NEXT,
    "chunked with a tab": b"Transfer-Encoding:\tchunked\r\n" + LENGTH + b"\r\n0\r\n\r\n" + NEXT,
    "null byte in a name": b"Content\0-Length: 0\r\n" + LENGTH + b"\r\n" + NEXT,
    "bare line feeds": b"X: 1\n" + LENGTH + b"\n" + NEXT,
    "bare carriage return": b"X: 1\rContent-Length: 0\r\n" + LENGTH + b"\r\n" + NEXT,
    "negative chunk": CHUNKED + b"\r\n-1\r\n" + NEXT,
    "endless chunk size": CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n" + NEXT,
    "chunk size that wraps": CHUNKED + b"\r\n10000000000000000\r\n" + NEXT,
    "upgrade to HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n" + NEXT,
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request, start_server, promote, pipelines):
    """A service on SQLite without a key, and one on PostgreSQL with one."""
    promote(pipelines["linear"])
    if request.param == "sqlite":
        return start_server()
    keys = f"ann:{hashlib.sha256(KEY.encode()).hexdigest()}"
    return start_server(TEST_DATABASE=request.getfixturevalue("postgresql").new(), QUIRE_API_KEYS=keys)


def processor_s(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(port, method, address, headers, body):
    """Send a request byte by byte as it was made up; return the status, 0 if the connection was closed instead."""
    present = {"host": "127.0.0.1", "x-api-key": KEY, "content-length": str(len(body))} | headers
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in present.items())
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(
                b"%b %b HTTP/1.1\r\n%bconnection: close\r\n\r\n%b" % (method.encode(), address, lines, body)
            )
            while b"\r\n" not in received and (more := connection.recv(65_536)):
                received += more
        except ConnectionError:
            pass
    return int(received[9:12] or b"0")


@pytest.mark.slow
def test_no_malformed_request_fails_and_none_stops_the_others(server, row, record_property):
    rng, answers, failed = random.Random(REQUESTS), collections.Counter(), []
    before, used = memory(server), processor_s(server)
    for _ in range(REQUESTS):
        request = anything(row, rng)
        status = send(server.port, *request)
        answers[status] += 1
        if status >= 500:
            failed.append((status, *request[:3], request[3][:300]))
    growth = memory(server) - before
    kinds = ", ".join(f"{count} {status}" for status, count in answers.most_common(4))
    record_property("figure", f"{REQUESTS:,} requests ({kinds}), {len(failed)} failed, RSS {growth / 1e6:+.0f} MB, "
                    f"{processor_s(server) - used:.1f} s of processor")  # fmt: skip
    assert failed == []
    assert growth < GROWTH_BYTES
    assert answers[422] + answers[200] > REQUESTS / 5  # they came as far as the contract
    assert httpx.post(f"{server.url}/predict", json=row, headers={"x-api-key": KEY}).status_code == 200
    assert server.get("/health/ready")[0] == 200


@pytest.mark.slow
def test_no_raw_bytes_are_answered_twice_or_stop_the_server(server, row, record_property):
    before, used = memory(server), processor_s(server)
    smuggled = {}
    for name, rest in SMUGGLING.items():
        received = exchange(server.port, HEAD + b"X-API-Key: " + KEY.encode() + b"\r\n" + rest)
        if received.count(b"HTTP/1.1 ") > 1 or any(code in received for code in (b" 404 ", b" 500 ")):
            smuggled[name] = received[:400]
    large = {name: statuses(server.port, head) for name, head in LARGE.items()}
    endless = statuses(server.port, HEAD + b"X: " + b"a" * 100_000_000)
    body = exchange(server.port, HEAD + b"Content-Length: 100000000\r\n\r\n" + b"1" * 10_000_000)
    growth, seconds = memory(server) - before, processor_s(server) - used
    record_property("figure", f"{len(SMUGGLING) + len(LARGE) + 2} kinds, RSS {growth / 1e6:+.0f} MB, "
                    f"{seconds:.1f} s of processor")  # fmt: skip
    assert smuggled == {}
    assert {name: codes for name, codes in large.items() if codes not in ([431], [])} == {}
    assert endless in ([431], [])
    assert body[9:12] in (b"413", b"401", b"")
    assert growth < GROWTH_BYTES
    assert seconds < 3
    assert server.get("/health/ready")[0] == 200


def exchange(port, data):
    """Send bytes and return what comes until the server closes or says nothing more."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(data)
            while more := connection.recv(65_536):
                received += more
                connection.settimeout(1)
        except (TimeoutError, ConnectionError):
            pass
    return received


@pytest.mark.slow
@pytest.mark.parametrize("held", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\n{"], ids=["idle", "head", "body"])
def test_who_holds_connections_is_let_go_and_keeps_nobody_out(
    start_server, promote, pipelines, row, record_property, held
):
    if not os.environ.get("QUIRE_ATTACK_SLOW"):
        pytest.skip("takes the 10 and 30 seconds that a client has: benchmarks/attack.py sets QUIRE_ATTACK_SLOW")
    promote(pipelines["linear"])
    server = start_server()
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=90) for _ in range(300)]
    for connection in connections:
        connection.sendall(held)
    answered = httpx.post(f"{server.url}/predict", json=row, timeout=60).status_code
    closed, waiting = [], threading.Barrier(len(connections) + 1)

    def wait(connection):
        waiting.wait()
        while connection.recv(4_096):
            pass
        closed.append(connection)

    threads = [threading.Thread(target=wait, args=(connection,), daemon=True) for connection in connections]
    for thread in threads:
        thread.start()
    waiting.wait()
    for thread in threads:
        thread.join(60)
    record_property("figure", f"{len(closed)} of {len(connections)} closed by the server")
    assert answered == 200
    assert len(closed) == len(connections)


def test_the_requests_are_of_every_kind(row):
    rng = random.Random(1)
    made = [anything(row, rng) for _ in range(500)]
    assert len({json.dumps([method, address.decode("latin-1")]) for method, address, _, _ in made}) > 50

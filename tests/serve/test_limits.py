"""What a client may take of a server: bytes and seconds of a request, and connections; others are served meanwhile."""

import asyncio
import resource
import socket
import threading
import time
from contextlib import suppress
from functools import partial

import pytest
import uvicorn

from quire.serve.limits import LimitedProtocol, Limits, raise_open_files, server_options

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
WHOLE = POST + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def count_bytes(scope, receive, send):
    """An application that answers with the length of the body."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    body = b"%d" % length
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def start():
    """A function that starts a server with limits, and keeps idle connections for some seconds; returns its port."""
    servers = []

    def start_it(app=count_bytes, idle_s=5, **limits):
        protocol = partial(LimitedProtocol, limits=Limits(**{"connections": 100} | limits))
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(200)
        options = {"lifespan": "off", "log_level": "critical", "timeout_keep_alive": idle_s, "http": protocol}
        server = uvicorn.Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return listening.getsockname()[1]

    yield start_it
    for server, thread in servers:
        server.should_exit = server.force_exit = True
        thread.join(10)


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(30)
    return connection


def statuses(port, *parts, answers=1):
    """Send bytes, and return the statuses of so many answers, or of all until the server closes the connection."""
    received = b""
    with connect(port) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            while received.count(b"HTTP/1.1 ") < answers or not received.endswith((b"\n", b"2", b"0")):
                more = connection.recv(65_536)
                if not more:
                    break
                received += more
        except ConnectionError:
            pass
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


LARGE = {
    "header": POST + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "header without end": POST + b"X-A: " + b"a" * 300_000,
    "name of a header": POST + b"a" * 70_000 + b": 1\r\n\r\n",
    "address": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "query": b"GET /?" + b"a=1&" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "address without end": b"GET /" + b"a" * 300_000,
    "many headers": POST + b"".join(b"x-%d: a\r\n" % number for number in range(5_000)) + b"\r\n",
    "cookies": POST + b"Cookie: a=1\r\n" * 6_000 + b"\r\n",
}


@pytest.mark.parametrize("head", LARGE)
def test_a_head_that_is_too_large_is_refused_with_431(start, head):
    port = start()
    assert statuses(port, LARGE[head]) in ([431], [])  # an answer to a client that still sends may be lost
    assert statuses(port, LARGE[head][:80_000])[:1] in ([431], [])
    assert statuses(port, WHOLE) == [200]


@pytest.mark.parametrize("size", [1_000, 16_000, 60_000])
def test_a_head_below_the_limit_is_taken_also_behind_another_request(start, size):
    request = POST + b"Content-Length: 50000\r\nX-A: " + b"a" * size + b"\r\n\r\n" + b"x" * 50_000
    assert statuses(start(), request * 4, answers=4) == [200] * 4


def test_a_large_head_behind_another_request_is_refused_too(start):
    assert 200 not in statuses(start(), WHOLE + LARGE["header"] + WHOLE, answers=3)[1:]


@pytest.mark.parametrize(
    "body",
    [
        b"2;" + b"a" * 200_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX-A: " + b"a" * 200_000,
        b"2\r\n{}\r\n0\r\n" + b"X-A: a\r\n" * 20_000,
    ],
    ids=["extension", "trailer", "trailers"],
)
def test_what_comes_with_a_body_is_limited_as_its_head_is(start, body):
    assert 200 not in statuses(start(), CHUNKED + body)


def test_a_body_of_one_byte_to_a_chunk_is_taken(start):
    assert statuses(start(), CHUNKED + b"1\r\n0\r\n" * 50_000 + b"0\r\n\r\n") == [200]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 408),
        (POST, 408),
        (b"\r\n", 408),
        (POST + b"Content-Length: 10\r\n\r\n{", 408),
        (CHUNKED + b"5\r\nab", 408),
    ],
    ids=["nothing", "half a head", "blank lines", "half a body", "half a chunk"],
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(start, sent, status):
    assert statuses(start(head_s=0.3, body_s=0.3), sent) == [status]


@pytest.mark.parametrize("begun", [POST + b"Content-Length: 9\r\n\r\n{", CHUNKED + b"5\r\nab", CHUNKED + b"x"])
def test_a_request_that_was_answered_before_its_end_has_no_second_answer(start, begun):
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"0"})

    assert statuses(start(answer, body_s=0.3), begun, answers=2) in ([413], [400])


@pytest.mark.parametrize("sent", [b"POST / HT", b"\r\n", POST + b"Content-Length: 9\r\n\r\n{"])
def test_so_is_one_that_follows_another(start, sent):
    with connect(start(head_s=0.3, body_s=0.3)) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
        connection.sendall(sent)
        received = b""
        while more := connection.recv(4_096):
            received += more
    assert received.startswith(b"HTTP/1.1 408")


def test_a_slow_sender_gains_no_time_by_sending_a_little(start):
    with connect(start(head_s=0.5)) as connection:
        connection.sendall(POST)
        sent = 0
        with suppress(ConnectionError):
            while sent < 500:
                connection.sendall(b"a")
                sent += 1
                time.sleep(0.05)
    assert sent < 500


def test_an_answered_connection_that_is_idle_is_kept_for_the_next_request(start):
    with connect(start(head_s=0.3, body_s=0.3)) as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
            time.sleep(1)


@pytest.mark.parametrize("requests", [1, 3])
def test_an_answered_connection_that_stays_idle_is_closed_without_a_word(start, requests):
    with connect(start(idle_s=1, head_s=0.3)) as connection:
        for _ in range(requests):
            connection.sendall(WHOLE)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
            time.sleep(0.4)
        assert connection.recv(4_096) == b""


@pytest.mark.parametrize("sent", [b"POST / HT", b"\r\n", POST + b"Content-Length: 9\r\n\r\n{"])
def test_who_was_idle_for_long_gains_no_time_for_the_next_request(start, sent):
    with connect(start(idle_s=3_600, head_s=0.3, body_s=0.3)) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
        time.sleep(1)  # the clock for an idle connection runs by now
        connection.sendall(sent)
        assert connection.recv(4_096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("behind", [b"", WHOLE, WHOLE * 3, POST])
def test_no_time_is_counted_while_a_request_is_being_answered(start, behind):
    async def slow(scope, receive, send):
        await asyncio.sleep(1)
        await count_bytes(scope, receive, send)

    with connect(start(slow, idle_s=1, head_s=0.2, body_s=0.2)) as connection:
        connection.sendall(WHOLE + behind)
        received = b""
        while more := connection.recv(4_096):  # until it is idle for too long, or the half of a head is given up
            received += more
    answers = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert answers == [200] * (1 + behind.count(WHOLE)) + [408] * (behind == POST)


@pytest.mark.parametrize(
    "held", [b"", POST, POST + b"Content-Length: 10\r\n\r\n{"], ids=["idle", "half a head", "half a body"]
)
def test_who_holds_all_connections_keeps_nobody_out(start, held):
    port = start(connections=5)
    connections = [connect(port) for _ in range(12)]
    for connection in connections:
        connection.sendall(held)
    assert [statuses(port, WHOLE) for _ in range(3)] == [[200]] * 3
    # The first ones had to go, and were told so.
    assert connections[0].recv(4_096).startswith(b"HTTP/1.1 503")
    for connection in connections:
        connection.close()


def test_where_all_connections_are_being_answered_a_new_one_is_told_to_come_again(start):
    free = threading.Event()

    async def slow(scope, receive, send):
        while not free.is_set():
            await asyncio.sleep(0.01)
        await count_bytes(scope, receive, send)

    port = start(slow, connections=3)
    busy = [connect(port) for _ in range(3)]
    for connection in busy:
        connection.sendall(WHOLE)
    with connect(port) as connection:
        answer = connection.recv(4_096)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5" in answer
    assert b"nosniff" in answer
    free.set()
    assert [connection.recv(4_096)[:12] for connection in busy] == [b"HTTP/1.1 200"] * 3


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert raise_open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_leave_files_for_the_rest(monkeypatch):
    monkeypatch.setattr("quire.serve.limits.raise_open_files", lambda: 120)
    assert server_options(1_000)["http"].keywords["limits"].connections == 28

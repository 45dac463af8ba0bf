"""How much one client may take of a server: bytes and seconds of a request, connections, open files.

uvicorn hands a request on once its head is complete, and waits for that as long as the client likes, for any number of
bytes. `LimitedProtocol` is its parser with an end to both; service and dashboard are served through it.
"""

import asyncio
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from quire.serve.sites import SAFE_HEADERS

SLICE = 16_384
"""Bytes that are parsed before the limits are looked at again."""

CHUNK_OVERHEAD = 8
"""Bytes of chunk sizes and line ends that are let pass for each byte of a body."""

SPARE_FILES = 64
"""Files that are left for the database, the logs and the model when connections are counted."""

FOREVER = float("inf")
TICK_S = 0.001
"""Timers of event loops are no finer."""


@dataclass(frozen=True)
class Limits:
    """head_bytes: of request line, headers and trailers. head_s, body_s: until they have come. connections: at once."""

    connections: int
    head_bytes: int = 65_536
    headers: int = 256
    head_s: float = 10.0
    body_s: float = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """A connection that is ended when its client breaks a limit.

    It lies on the path of every request; calling the parent class by its name takes less time than ``super``, and
    setting a timer for each request takes more time than all else here. So a connection has one timer, which looks when
    it ends how long the client has let the server wait; uvicorn's own for idle connections is not used.

    Where there are as many connections as there may be, the one that has let the server wait for the longest makes room
    for a new one; if all of them are being answered, the new one is turned away.
    """

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits, self._most_headers = limits, limits.headers
        self._in_head, self._is_over, self._requests = True, False, 0
        # What came of this request besides its body; each byte of a body pays for the framing of its chunk.
        self._unpaid, self._most_unmeasured = 0, limits.head_bytes - SLICE
        # In the middle of a request: its head or body is to come within ``patience``. Else the client may be idle.
        self._is_midway, self._waiting_since, self._patience = True, time.monotonic(), limits.head_s
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ends = 0.0
        self._refusal: tuple[int, str] = (400, "This is no HTTP request.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._end(503, "There are too many connections; try again in some seconds.")
            return
        self._wait(self._limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as the limits allow."""
        if len(data) > SLICE:
            for start in range(0, len(data), SLICE):
                if self.transport.is_closing():
                    return
                self.data_received(data[start : start + SLICE])
            return
        before, was_in_head = self._requests, self._in_head
        self._unpaid += len(data)
        HttpToolsProtocol.data_received(self, data)
        cycle = self.cycle
        if self._requests == before or cycle is None:
            self._check(is_new=not self._is_midway or (was_in_head and not self._in_head))
            return
        self._unpaid = 0  # the next request, if any, began somewhere in these bytes
        if self.scope is not cycle.scope or len(self.headers) > self._most_headers:
            self._check(is_new=True)
            return
        # Nothing of a next request has come.
        self._is_midway = False
        if cycle.response_complete:
            self._wait(self.timeout_keep_alive)
        else:
            self._patience = FOREVER

    def _check(self, *, is_new: bool) -> None:
        """Hold the client in the middle of a request to its limits. is_new: another part is awaited from now on."""
        if self._is_over or self.transport.is_closing():
            return
        if self._unpaid > self._limits.head_bytes or len(self.headers or ()) > self._most_headers:
            self._refuse_size()
        elif is_new:
            self._is_midway = True
            self._wait(self._limits.head_s if self._in_head else self._limits.body_s)

    def on_headers_complete(self) -> None:
        """Hand the request on, unless its head is too large."""
        # What was counted lacks at most the slice in which the head began.
        is_large = self._unpaid > self._most_unmeasured and self._head_size() > self._limits.head_bytes
        if is_large or len(self.headers) > self._most_headers:
            self._refusal = 431, self._too_large()
            raise ValueError  # ends the parser, which has `send_400_response` called
        self._in_head = False
        HttpToolsProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        unpaid = self._unpaid - (1 + CHUNK_OVERHEAD) * len(body)
        self._unpaid = unpaid if unpaid > 0 else 0
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """Note that the next head is awaited."""
        HttpToolsProtocol.on_message_complete(self)
        self._in_head = True
        self._requests += 1

    def on_response_complete(self) -> None:
        """Begin with the next request if it has come, as uvicorn does, or wait for it."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not self._is_midway:
            self._wait(self.timeout_keep_alive)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on; from here on it is the websocket's."""
        self._is_over = True
        self._stop_timer()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser gave up on."""
        self._end(*self._refusal)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_size(self) -> None:
        if self._in_head:
            self._end(431, self._too_large())
        else:
            self._end(400, "The chunks of the body are badly made.")

    def _too_large(self) -> str:
        return f"A request may have {self._limits.head_bytes} bytes of headers, and {self._limits.headers} of them."

    def _wait(self, seconds: float) -> None:
        """Wait for the client from now on, for so long at most."""
        self._waiting_since = now = time.monotonic()
        self._patience = seconds
        if self._timer is None or now + seconds < self._timer_ends:
            self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer_ends = time.monotonic() + seconds
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Look whether the client is late."""
        self._timer = None
        if self._is_over:
            return
        left = self._waiting_since + self._patience - time.monotonic()
        if TICK_S < left < FOREVER:
            self._set_timer(left)
        elif left <= TICK_S:
            self._late()

    def _late(self) -> None:
        if not self._is_midway:
            self.transport.close()
        elif self._in_head and self._is_answering():
            self._wait(self._limits.head_s)  # it may wait for the answer first
        elif self._in_head:
            self._end(408, f"The head of the request did not come within {self._limits.head_s:g} seconds.")
        else:
            self._end(408, f"The body of the request did not come within {self._limits.body_s:g} seconds.")

    def _end(self, status: int, reason: str) -> None:
        """Say why, if no answer was begun, and close the connection."""
        self._stop_timer()
        # What is said now would be taken for the answer to an earlier request that has none yet, or for a second one.
        is_next = not (self._is_answering() if self._in_head else self.pipeline or self.cycle.response_started)
        if is_next and not self.transport.is_closing():
            self.transport.write(_answer(status, reason))
        self.transport.close()

    def _make_room(self) -> bool:
        """End the connection that has let the server wait for longest; False if there is none."""
        waiting = [
            connection
            for connection in self.connections
            if isinstance(connection, LimitedProtocol) and connection is not self and connection.is_waiting
        ]
        if not waiting:
            return False
        # One that was answered before is worth more than one that never came to a request.
        longest = min(waiting, key=lambda connection: (connection._requests > 0, connection._waiting_since))
        self.connections.discard(longest)
        if longest._requests:
            longest.transport.close()
        else:
            longest._end(503, "There are too many connections; this one waited for too long.")
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether the client is to send something, and nobody waits for an answer."""
        return not self._is_answering() or not self._in_head

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def server_options(max_connections: int) -> dict[str, Any]:
    """Return options of uvicorn that put the limits in force; the soft limit of open files is raised for it."""
    limits = Limits(connections=max(1, min(max_connections, (raise_open_files() - SPARE_FILES) // 2)))
    # uvicorn believes whatever is on the loopback who the client is; `trusting` believes those who are named.
    return {"http": partial(LimitedProtocol, limits=limits), "proxy_headers": False, "server_header": False}


def raise_open_files() -> int:
    """Raise the soft limit of this process's open files to the hard one; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1_048_576)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return hard


def trusting(app: Callable[..., Any], proxies: tuple[str, ...]) -> Any:
    """Return an ASGI application to which a request has the client and scheme that one of ``proxies`` says."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    return ProxyHeadersMiddleware(app, trusted_hosts=list(proxies)) if proxies else app


def _answer(status: int, reason: str) -> bytes:
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    headers += [(b"connection", b"close"), *([(b"retry-after", b"5")] if status == 503 else []), *SAFE_HEADERS]
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n" + body

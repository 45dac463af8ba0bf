"""A proxy on loopback before moto that breaks connections as networks do: what WSGI cannot show, sockets can."""

import random
import socket
import socketserver
import struct
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

KINDS = ("503", "reset", "no answer", "half body", "lost answer", "half upload")


class Faults:
    """What goes wrong next: the kinds in ``queue`` first, and then each kind at random, at the given rate."""

    def __init__(self, rate=0.0, seed=0, methods=("GET", "PUT", "HEAD", "POST")):
        self.rate, self.queue, self.methods, self.seen = rate, [], methods, []
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def next(self, method):
        with self._lock:
            kind = ""
            if method in self.methods:
                kind = self.queue.pop(0) if self.queue else ""
                if not kind and self._dice.random() < self.rate:
                    kind = self._dice.choice(KINDS)
            self.seen.append((method, kind))
            return kind

    @property
    def count(self):
        return sum(bool(kind) for _, kind in self.seen)


def _read_message(stream):
    """Return the head of an HTTP message, its headers in lower case, and its body as far as its length is known."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b"", {}
        head += line
    lines = head.decode("latin-1").split("\r\n")[1:]
    return head, {
        name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines if line)
    }


def _body(stream, headers):
    if "chunked" not in headers.get("transfer-encoding", ""):
        return stream.read(int(headers.get("content-length", 0)))
    body = b""
    while True:
        line = stream.readline()
        body += line + (chunk := stream.read(int(line.split(b";")[0], 16) + 2))
        if chunk == b"\r\n":
            return body


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        head, headers = _read_message(self.rfile)
        if not head:
            return
        method = head.split(b" ")[0].decode()
        kind = self.server.faults.next(method)
        if "100-continue" in headers.get("expect", ""):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if kind == "half upload" and int(headers.get("content-length", 0)) > 1:
            self.rfile.read(int(headers["content-length"]) // 2)
            return self._reset()
        body = _body(self.rfile, headers)
        if kind == "503":
            text = b"<Error><Code>SlowDown</Code><Message>x</Message></Error>"
            self.wfile.write(b"HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            return None
        if kind in ("reset", "no answer"):
            return self._reset() if kind == "reset" else None
        with socket.create_connection(self.server.upstream) as upstream:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
            upstream.sendall(b"\r\n".join([*lines[:-2], b"Connection: close", b"", b""]) + body)
            with upstream.makefile("rb") as answer:
                content = answer.read()
        if kind == "lost answer":
            return self._reset()
        if kind == "half body":
            start = content.index(b"\r\n\r\n") + 4
            content = content[: start + (len(content) - start) // 2]
        self.wfile.write(content)
        return None

    def _reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


@contextmanager
def faulty(url, faults):
    """Serve ``url`` with ``faults`` on loopback, a connection for each request; yields the address."""
    parts = urlsplit(url)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.faults, server.upstream = faults, (parts.hostname, parts.port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

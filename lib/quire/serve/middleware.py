"""What stands before every request: its id, its site, the API key, the rate, the size, and one line of log."""

import fcntl
import hashlib
import hmac
import logging
import mmap
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import orjson
from starlette.requests import ClientDisconnect, cookie_parser

from quire.serve.ids import random_ids
from quire.serve.sites import SAFE_HEADERS, Sites, with_safe

OPEN = ("/", "/openapi.json", "/health", "/health/live", "/health/ready", "/feedback-form")
"""Paths that need no key: health is for load balancers; the forms of the page check the key themselves."""

COOKIE = "quire_key"
FAILED = "The service failed; its log says why."
GONE = 499
"""The status that is counted for a client that left before it had sent everything."""

WRONG_KEYS_PER_S, WRONG_KEYS_BURST = 5.0, 50
"""Unknown keys that one address may try; requests with a good key from the same address are not slowed."""

LOG = logging.getLogger("quire.serve.access")


class Keys:
    """API keys by the name of their holder, known by their SHA-256 only. Keys are long and random, so it is enough."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def holder(self, key: str) -> str | None:
        """Return whose key it is, or None; takes the same time whichever it is."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        holder = None
        for name, key_hash in self._hashes.items():
            if hmac.compare_digest(digest, key_hash):
                holder = name
        return holder


class Rate:
    """A limit per client that holds across the workers which share ``file``; None as file for one worker.

    Generic cell rate algorithm (ITU-T I.371): a client's next request is due 1/rate after its last one, and may come
    ``burst`` requests early. A client's time stands in one of `SLOTS` places, found by a hash of its name.
    """

    SLOTS = 65_536

    def __init__(self, per_second: float, burst: int, file: str | None = None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._slack = burst * self._interval
        self._shared = file is not None
        self._file: BinaryIO = open(file, "r+b") if file else tempfile.TemporaryFile()  # noqa: SIM115 - held for life
        self._file.truncate(self.SLOTS * 8)
        self._times = memoryview(mmap.mmap(self._file.fileno(), self.SLOTS * 8)).cast("d")

    def wait(self, client: str, now: float) -> float:
        """Return 0 if a request may pass, else the seconds until one may. now: seconds since 1970."""
        if not self._interval:
            return 0.0
        slot = _slot(client) % self.SLOTS
        if not self._shared:
            return self._take(slot, now)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 8, slot * 8)
        try:
            return self._take(slot, now)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 8, slot * 8)

    def _take(self, slot: int, now: float) -> float:
        due = max(self._times[slot], now)
        early = due - now - self._slack + self._interval
        if early > 1e-9:
            return early
        self._times[slot] = due + self._interval
        return 0.0


@lru_cache(maxsize=4096)
def _slot(client: str) -> int:
    return int.from_bytes(hashlib.blake2b(client.encode(), digest_size=4).digest())


class RequestMiddleware:
    """ASGI middleware. measured: called with path, status and seconds of each request."""

    def __init__(
        self,
        app: Any,
        *,
        keys: Keys,
        rate: Rate,
        max_body_bytes: int,
        access_log: bool,
        measured: Callable[[str, int, float], None],
        sites: Sites | None = None,
        wrong_keys: Rate | None = None,
    ) -> None:
        self._app, self._keys, self._rate, self._sites = app, keys, rate, sites or Sites()
        self._has_keys = bool(keys)
        self._wrong_keys = wrong_keys or Rate(WRONG_KEYS_PER_S, WRONG_KEYS_BURST)
        self._ids = random_ids()
        self._max_body_bytes, self._access_log, self._measured = max_body_bytes, access_log, measured

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets here
            await receive()
            await send({"type": "websocket.close", "code": 4404})
            return
        started, headers = time.perf_counter(), dict(scope["headers"])
        request_id = _request_id(headers, self._ids)
        client = scope["client"][0] if scope.get("client") else "unknown"
        status, holder, has_begun = 500, "", False
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_on(message: Any) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                message["headers"] = [*with_safe(message["headers"]), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            refusal, holder = self._refusal(scope, headers, client)
            if refusal:
                refusal_status, reason, more = refusal
                await send_json(send_on, refusal_status, {"error": reason, "request_id": request_id}, more)
            else:
                await self._app(scope, receive, send_on)
        except ClientDisconnect:
            status = GONE
        except Exception:
            LOG.exception("request %s failed", request_id)
            if not has_begun:
                await send_json(send_on, 500, {"error": FAILED, "request_id": request_id})
        finally:
            seconds = time.perf_counter() - started
            self._measured(scope["path"] if "endpoint" in scope else "other", status, seconds)
            if self._access_log:
                line = {"request_id": request_id, "method": scope["method"], "path": scope["path"][:200]}
                line |= {
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "client": holder or client,
                    "address": client,
                }
                LOG.info("request", extra={"fields": line})

    def _refusal(
        self, scope: Any, headers: Mapping[bytes, bytes], client: str
    ) -> tuple[tuple[int, str, dict[str, str]] | None, str]:
        """Return status, reason and headers of a refusal, or None; and whose key was sent."""
        foreign = self._sites.refusal(scope, headers)
        if foreign:
            return (*foreign, {}), ""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return (413, f"A body may have {self._max_body_bytes} bytes; this one has {int(length)}.", {}), ""
        holder = None
        if self._has_keys:
            key = sent_key(headers)
            holder = self._keys.holder(key) if key else None
            if key and holder is None:
                seconds = self._wrong_keys.wait(client, time.time())
                if seconds:
                    return (429, "Too many unknown API keys.", _retry_after(seconds)), ""
            if holder is None and scope["path"] not in OPEN and scope["method"] != "OPTIONS":
                reason = "An API key is needed: send it as X-API-Key, or as Authorization: Bearer KEY."
                return (401, reason, {"www-authenticate": "Bearer"}), ""
        if not scope["path"].startswith("/health"):
            seconds = self._rate.wait(holder or client, time.time())
            if seconds:
                return (429, "Too many requests.", _retry_after(seconds)), holder or ""
        return None, holder or ""


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, round(seconds + 0.5)))}


def sent_key(headers: Mapping[bytes, bytes]) -> str:
    """Return the key that a request carries: X-API-Key, Authorization: Bearer, or the page's cookie; else empty."""
    own = headers.get(b"x-api-key", b"").decode("latin-1")
    kind, _, bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if own or kind.lower() == "bearer":
        return own or bearer.strip()
    return cookie_parser(headers[b"cookie"].decode("latin-1")).get(COOKIE, "") if b"cookie" in headers else ""


def _request_id(headers: Mapping[bytes, bytes], ids: Iterator[str]) -> str:
    header = headers.get(b"x-request-id")
    return header.decode() if header and re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", header) else next(ids)


async def send_json(send: Any, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send an answer in JSON."""
    body = orjson.dumps(content)
    pairs = [*SAFE_HEADERS, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if headers:
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

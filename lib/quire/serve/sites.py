"""Which sites may use a server: the names it is reached by, whose pages may send it something, and its safe headers.

A page of another site can make a browser send requests to this machine, and a name that its owner points to the
loopback (DNS rebinding) makes that page one of this site. Both are known by the headers Host and Origin.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
LOOPBACK = (*LOOPBACK_ADDRESSES, "localhost")

SAFE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
"""Of every answer that does not set them itself."""

READS = ("GET", "HEAD", "OPTIONS")
BY_ANY_PAGE = ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded")
"""What a page may send to another site without that site being asked first."""

Refusal = tuple[int, str]


class Sites:
    """The names of a server and the origins whose pages may use it.

    names: hosts that requests may name, without port; empty for any. public: those of them under which a proxy may
    offer the server at another port or scheme. origins: of other pages that may send something, such as
    https://app.example.
    """

    def __init__(
        self, names: Collection[str] = (), public: Collection[str] = (), origins: Collection[str] = ()
    ) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in (*names, *public)) if names else frozenset()
        self._public = frozenset(name.lower().rstrip(".") for name in public)
        self._origins = frozenset(origins)

    def refusal(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Return status and reason for which a request is refused, or None."""
        host = headers.get(b"host")
        if host is None or (self._names and not self._is_known(host)):
            refusal = self._host_refusal(scope, host)
            if refusal:
                return refusal
        origin = headers.get(b"origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in READS):
            return None
        if self._may_send(origin.decode("latin-1"), (host or b"").decode("latin-1")):
            return None
        kind = headers.get(b"content-type", b"text/plain").decode("latin-1").partition(";")[0].strip().lower()
        if scope["type"] == "http" and scope["path"] in ("/predict", "/feedback") and kind in BY_ANY_PAGE:
            return 415, "A page of another site sent this, and not as application/json."
        return 403, "This was sent by a page of another site, which cors_origins of serve in config.yaml does not name."

    def _host_refusal(self, scope: Mapping[str, Any], host: bytes | None) -> Refusal | None:
        if host is None:
            old = scope.get("http_version", "1.0") == "1.0"
            return None if old and not self._names else (400, "The header Host is missing.")
        return 421, (
            "This server is not known by the name in the header Host. If the name is one of its own, "
            "add it to hosts of serve in config.yaml."
        )

    def _is_known(self, host: bytes) -> bool:
        name = _name(host.decode("latin-1"))
        return name in self._names or _is_loopback(name)

    def _may_send(self, origin: str, host: str) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        scheme, _, place = origin.partition("://")
        if scheme not in ("http", "https") or not place:
            return False
        return place.lower() == host.lower() or _name(place) in self._public


class SiteCheck:
    """ASGI middleware: answers what `Sites` refuses, and paths that are no text, and adds safe headers if lacking."""

    def __init__(self, app: Any, sites: Sites) -> None:
        self._app, self._sites = app, sites

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._sites.refusal(scope, dict(scope["headers"])) or path_refusal(scope)
        if refusal is None:
            await self._app(scope, receive, safe_send(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": refusal[1][:120]})
        else:
            await _answer(safe_send(send), *refusal)


def sites_of(host: str, hosts: Collection[str], origins: Collection[str], *, behind_proxy: bool) -> Sites:
    """Return the sites of a server that listens on ``host``.

    On the loopback it is known by the names of the loopback and by ``hosts``, elsewhere by ``hosts``. Where that is
    empty by any, and also behind a proxy, which asks who it is.
    """
    on_loopback = host in LOOPBACK or _is_loopback(host)
    names = (*LOOPBACK, host, *hosts) if hosts or (on_loopback and not behind_proxy) else ()
    return Sites(names, hosts, origins)


def path_refusal(scope: Mapping[str, Any]) -> Refusal | None:
    """Return the refusal of a path that holds no text or control characters, which no file and no page has."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    if b"%" not in raw:
        return None
    try:
        is_text = not re.search(r"[\x00-\x1f\x7f]", unquote_to_bytes(raw).decode())
    except UnicodeDecodeError:
        is_text = False
    return None if is_text else (400, "The path of the address is no text in UTF-8.")


def with_safe(
    sent: Iterable[tuple[bytes, bytes]], headers: tuple[tuple[bytes, bytes], ...] = SAFE_HEADERS
) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with those of ``headers`` that it lacks."""
    pairs = list(sent)
    if pairs[: len(headers)] == [*headers]:
        return pairs
    present = dict(pairs)
    return [*pairs, *(pair for pair in headers if pair[0] not in present)]


def safe_send(send: Any, headers: tuple[tuple[bytes, bytes], ...] = SAFE_HEADERS) -> Any:
    """Return ``send`` with the headers added that an answer lacks."""

    async def send_safely(message: Any) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message = {**message, "headers": with_safe(message.get("headers", ()), headers)}
        await send(message)

    return send_safely


@lru_cache(maxsize=1024)
def _name(host: str) -> str:
    """Return the name in a header Host, or of an origin after its scheme, without its port."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]@/?#\s]+))(?::\d*)?", host)
    return (match[1] or match[2]).lower().rstrip(".") if match else ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _answer(send: Any, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    pairs = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

"""The live page: Voila in a process of its own, started with the dashboard and reached only through it.

Voila's port is on the loopback, where every user of the machine could reach it, so it asks for a secret that this
process alone knows; it lies in Voila's configuration, in a folder of ours, and not on a command line that all may read.

The page's policy is wider than that of a report, for widgets need Voila's scripts, style sheets and a websocket to the
kernel: all of this host. Of the scripts in the page itself only those of Voila's template run, known by a nonce, so
markup in what a cell shows cannot act; nothing is fetched from or sent to another host.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx
    from starlette.requests import Request
    from starlette.responses import Response

PARTS = "/live/voila/"
"""Below it are Voila's scripts and style sheets: the same for everybody, so asked of it once and then kept."""

MOST_PARTS = 500
"""Parts that are kept; a page has about 150, of together 10 MB."""

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-encoding", "content-length", "host"}
NOT_ASKED = HOP_BY_HOP | {"cookie", "accept-encoding", "authorization"}
"""Headers of a request that Voila does not get: those of the dashboard's own door among them."""

NOT_ANSWERED = HOP_BY_HOP | {"set-cookie", "content-security-policy"}
"""Headers of an answer that the browser does not get: a cookie would open Voila's own port."""

BODY_BYTES = 1_048_576
"""Of a request; Voila's own are some hundred bytes."""

LARGE = f"A request to the live page may have a body of {BODY_BYTES} bytes.\n"
FULL = "All places on the live page are taken. The latest page is at /; please try /live again in some minutes.\n"
NOT_YET = "The live page is warming up; please try again in some seconds. The latest page is at /.\n"


@dataclass
class Live:
    """Voila over one notebook, behind ``/live``.

    notebook: the one that is shown; params: the use case, put in place of the notebook's own. dashboards: the folder of
    Voila's configuration and template. viewers: how many may watch at once. environment: of the kernels.
    """

    notebook: Path
    params: str
    dashboards: Path
    environment: Mapping[str, str]
    viewers: int = 10
    _watching: int = field(default=0, init=False)
    _scratch: Path | None = field(default=None, init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _client: "httpx.AsyncClient | None" = field(default=None, init=False)
    _port: int = field(default=0, init=False)
    _parts: "dict[tuple[str, bytes], Response]" = field(default_factory=dict, init=False, repr=False)
    _secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), init=False, repr=False)
    _nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24), init=False, repr=False)

    def start(self) -> None:
        """Start Voila on a free port of the loopback."""
        import httpx

        self._scratch = Path(tempfile.mkdtemp(prefix="quire-live-"))
        notebook_path = self._scratch / "monitor.ipynb"
        notebook_path.write_text(
            json.dumps(with_params(json.loads(self.notebook.read_text("utf-8")), self.params)), "utf-8"
        )
        settings = json.loads((self.dashboards / "voila.json").read_text("utf-8"))
        settings.setdefault("Voila", {})["token"] = self._secret
        settings.setdefault("VoilaConfiguration", {})["resources"] = {"nonce": self._nonce}
        (self._scratch / "voila.json").write_text(json.dumps(settings), "utf-8")
        self._port = _free_port()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "voila",
                str(notebook_path),
                f"--port={self._port}",
                "--base_url=/live/",
                "--no-browser",
            ],
            cwd=self._scratch,
            env={
                **self.environment,
                "JUPYTER_PATH": str(self.dashboards),
                "QUIRE_LIVE": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # A proxy of the environment is for the way out, not for a process on this machine.
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", timeout=120, trust_env=False, headers=self._authorization
        )

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"token {self._secret}"}

    @property
    def _headers(self) -> dict[str, str]:
        """Headers of every answer; the referrer stays within this host, or a browser would hide the page's origin."""
        return {
            "Content-Security-Policy": "default-src 'none'; connect-src 'self'; "
            f"script-src 'self' 'nonce-{self._nonce}'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; font-src 'self' data:; "
            "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }

    async def stop(self) -> None:
        """End Voila with its kernels, and remove what was made for it."""
        if self._client:
            await self._client.aclose()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a request or a websocket on to Voila."""
        if scope["type"] == "websocket":
            await self._watch(scope, receive, send)
        elif scope["type"] == "http":
            await self._forward(scope, receive, send)

    async def _forward(self, scope: Any, receive: Any, send: Any) -> None:
        import httpx
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response, StreamingResponse

        request = Request(scope, receive)
        address = scope["path"], scope["query_string"]
        if address in self._parts:
            await self._parts[address](scope, receive, send)
            return
        is_page = scope["path"].rstrip("/") == "/live"
        if is_page and self._watching >= self.viewers:
            await PlainTextResponse(FULL, status_code=503, headers={"Retry-After": "60"})(scope, receive, send)
            return
        assert self._client is not None
        body = await _read(request)
        if body is None:
            await PlainTextResponse(LARGE, status_code=413)(scope, receive, send)
            return
        headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_ASKED}
        target = httpx.URL(path=scope["path"], query=quote(scope["query_string"], safe="%=&;/?:@+!$'()*,").encode())
        upstream_request = self._client.build_request(request.method, target, headers=headers, content=body)
        try:
            answer = await self._client.send(upstream_request, stream=True)
        except httpx.TransportError:
            await PlainTextResponse(NOT_YET, status_code=503, headers={"Retry-After": "5"})(scope, receive, send)
            return
        response_headers = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_ANSWERED}
        response_headers |= self._headers
        if request.method == "GET" and scope["path"].startswith(PARTS) and answer.status_code == 200:
            part = Response(await answer.aread(), headers=response_headers | {"Cache-Control": "private, max-age=3600"})
            if len(self._parts) < MOST_PARTS:
                self._parts[address] = part
            await part(scope, receive, send)
            return
        # The body is passed on as it comes: Voila sends the page while its cells run.
        response = StreamingResponse(answer.aiter_bytes(), status_code=answer.status_code, headers=response_headers)
        try:
            await response(scope, receive, send)
        finally:
            await answer.aclose()

    async def _watch(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.websockets import WebSocket
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake

        browser = WebSocket(scope, receive, send)
        if self._watching >= self.viewers:
            await browser.close(code=1013)
            return
        subprotocols = scope.get("subprotocols") or []
        query = quote(scope["query_string"], safe="%=&;/?:@+!$'()*,")
        address = f"ws://127.0.0.1:{self._port}{quote(scope['path'])}?{query}"
        self._watching += 1
        try:
            async with connect(
                address,
                subprotocols=subprotocols or None,
                max_size=None,
                proxy=None,
                additional_headers=self._authorization,
            ) as kernel:
                await browser.accept(subprotocol=kernel.subprotocol)
                await _both_ways(browser, kernel)
        except (InvalidHandshake, OSError):  # Voila knows no such kernel, or is not there yet
            await browser.close(code=1011)
        finally:
            self._watching -= 1


async def _read(request: "Request") -> bytes | None:
    """Return the body of a request, or None if it is larger than `BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)


async def _both_ways(browser: Any, kernel: Any) -> None:
    async def down() -> None:
        async for message in kernel:
            await (browser.send_text(message) if isinstance(message, str) else browser.send_bytes(message))

    async def up() -> None:
        while True:
            message = await browser.receive()
            if message["type"] == "websocket.disconnect":
                return
            await kernel.send(message["text"] if message.get("text") is not None else message["bytes"])

    tasks = [asyncio.create_task(down()), asyncio.create_task(up())]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in (*waiting, *done):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def with_params(notebook: dict[str, Any], params: str) -> dict[str, Any]:
    """Return the notebook with a cell after its parameters that sets ``params``, as papermill would inject it."""
    cells = list(notebook["cells"])
    at = next(i for i, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", []))
    cells.insert(
        at + 1,
        {
            "cell_type": "code",
            "id": "live",
            "metadata": {"tags": ["injected-parameters"]},
            "execution_count": None,
            "outputs": [],
            "source": f"params = {params!r}",
        },
    )
    return {**notebook, "cells": cells}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

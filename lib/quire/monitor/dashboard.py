"""The dashboard: the latest monitoring page at once, the earlier ones, and Voila behind /live.

The pages are the runs' own reports, read from disk once and kept compressed. Voila runs in a process of its own on a
port of the loopback, and is reached only through here, so that one token and one limit hold for everything.
"""

import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from html import escape
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from quire import page
from quire.monitor.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from quire.monitor.live import Live

COOKIE = "quire_dashboard"


def make_app(snapshots: Snapshots, *, title: str, token: str = "", live: "Live | None" = None) -> Any:
    """Return the ASGI app. token: what a viewer must bring, as ``?token=``, cookie or bearer; empty for nothing."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    board = Board(snapshots, title, live)
    routes: list[Any] = [
        Route("/", board.latest),
        Route("/health", board.health),
        Route("/runs", board.runs),
        Route("/runs/{run_id}/", board.run),
        Route("/runs/{run_id}/{name:path}", board.file),
    ]
    if live is not None:
        routes.append(Mount("/live", live))

    @contextlib.asynccontextmanager
    async def lifespan(_: "Starlette") -> AsyncIterator[None]:
        if live is not None:
            live.start()
        yield
        if live is not None:
            await live.stop()

    return Guard(Starlette(routes=routes, lifespan=lifespan), token)


class Board:
    """The dashboard's own pages."""

    def __init__(self, snapshots: Snapshots, title: str, live: Any) -> None:
        self.snapshots, self.title, self.live = snapshots, title, live

    async def latest(self, request: "Request") -> "Response":
        """Show the newest run's page."""
        found = self.snapshots.all()
        if not found:
            name = self.snapshots.params
            text = f"No run of {name} has a monitoring page yet. Make one: quire run params/{name}"
            return self._shell("No run yet", f"<p>{escape(text)}</p>", status=404)
        return self._page(request, found[0], latest=True)

    async def run(self, request: "Request") -> "Response":
        """Show the page of one run."""
        found = self.snapshots.find(request.path_params["run_id"])
        return self._page(request, found, latest=False) if found else self._missing()

    async def file(self, request: "Request") -> "Response":
        """Send a report or the index of a run."""
        from starlette.responses import FileResponse

        found = self.snapshots.find(request.path_params["run_id"])
        path = self.snapshots.file(found, request.path_params["name"]) if found else None
        return FileResponse(path, headers=SAFE) if path else self._missing()

    async def runs(self, request: "Request") -> "Response":
        """List the runs, the newest first."""
        rows = "".join(map(_row, self.snapshots.all()))
        head = "<thead><tr><th>as of</th><th>status</th><th>what was found</th></tr></thead>"
        table = f'<div class="quire-scroll"><table>{head}<tbody>{rows}</tbody></table></div>'
        return self._shell("Earlier runs", f'<div class="quire quire-table">{table}</div>')

    async def health(self, request: "Request") -> "Response":
        """Say that the dashboard answers, and how many runs it has."""
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "ok", "runs": len(self.snapshots.all())})

    def _page(self, request: "Request", snapshot: Snapshot, *, latest: bool) -> "Response":
        import gzip

        from starlette.responses import Response

        body = self.snapshots.page(snapshot, latest=latest, live=self.live is not None)
        headers = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding", **SAFE}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(body, headers=headers | {"Content-Encoding": "gzip"})
        return Response(gzip.decompress(body), headers=headers)

    def _missing(self) -> "Response":
        return self._shell("Not found", '<p>There is no such run. <a href="/runs">These are there.</a></p>', status=404)

    def _shell(self, title: str, content: str, status: int = 200) -> "Response":
        from markupsafe import Markup
        from starlette.responses import HTMLResponse

        nav = [("Latest", "/", False), ("Earlier runs", "/runs", title == "Earlier runs")]
        nav += [("Live", "/live/", False)] if self.live is not None else []
        # What is put in comes from this module, its texts escaped.
        html = page.render("shell", title=f"{title} · {self.title}", content=Markup(content), nav=nav, home="/")
        return HTMLResponse(html, status_code=status, headers=SAFE)


SAFE = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}
"""Headers of every page; the referrer policy keeps a token in the address from travelling on."""


def _row(snapshot: Snapshot) -> str:
    words = {"good": "good", "warn": "warn", "bad": "bad"}
    chip = words.get(snapshot.status, "neutral")
    when = escape((snapshot.as_of or snapshot.finished_at)[:16].replace("T", " "))
    link = f'<a href="/runs/{escape(snapshot.run_id)}/">{when or escape(snapshot.run_id)}</a>'
    status = f'<span class="quire-chip quire-{chip}">{chip}</span>'
    return f"<tr><td>{link}</td><td>{status}</td><td>{escape(snapshot.headline)}</td></tr>"


class Guard:
    """Lets requests through that bring the token, by cookie, bearer or ``?token=``; the latter sets the cookie."""

    def __init__(self, app: Any, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass the request on, or refuse it."""
        # Whoever restarts it when it is ill knows no token.
        if scope["type"] == "lifespan" or not self.token or scope["path"] == "/health" or self._knows(scope):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, RedirectResponse

        request = Request(scope)
        response: Any
        if self._is_token(request.query_params.get("token", "")):
            response = RedirectResponse(str(request.url.path), status_code=303)
            response.set_cookie(COOKIE, self.token, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        else:
            response = PlainTextResponse("The dashboard needs a token: open it with ?token=...\n", status_code=401)
        await response(scope, receive, send)

    def _knows(self, scope: Any) -> bool:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return self._is_token(bearer) or (kept is not None and self._is_token(kept.value))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

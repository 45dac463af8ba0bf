"""The dashboard: the latest monitoring page at once, all runs, failed ones too, and Voila behind /live.

The pages are the runs' own reports, read from disk once and kept compressed. Voila runs in a process of its own on a
port of the loopback, and is reached only through here, so that one token and one limit hold for everything.
"""

import contextlib
import hmac
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from quire import page
from quire.monitor.run_pages import RunPage, RunPages
from quire.page.numbers import age
from quire.page.policy import page_policy
from quire.page.rendering import moment

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from quire.monitor.live import Live

COOKIE = "quire_dashboard"
RUNS = "All runs"


def make_app(
    snapshots: RunPages,
    *,
    title: str,
    token: str = "",
    live: "Live | None" = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Any:
    """Return the ASGI app. token: what a viewer must bring, as ``?token=``, cookie or bearer; empty for nothing."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    board = Board(snapshots, title, live, now)
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

    return TokenMiddleware(Starlette(routes=routes, lifespan=lifespan), token)


class Board:
    """The dashboard's own pages."""

    def __init__(self, snapshots: RunPages, title: str, live: Any, now: Callable[[], datetime]) -> None:
        self.snapshots, self.title, self.live, self.now = snapshots, title, live, now

    async def latest(self, request: "Request") -> "Response":
        """Show the newest run's page; above it, if a run after it failed, that it did."""
        snapshot = next(iter(self.snapshots.all()), None)
        if snapshot is None:
            return self._nothing_yet()
        return self._page(request, snapshot, latest=True)

    async def run(self, request: "Request") -> "Response":
        """Show the page of one run; one without a monitoring page is shown by its index."""
        from starlette.responses import RedirectResponse

        run = self.snapshots.find(request.path_params["run_id"])
        if run is None:
            return self._missing()
        if run.has_page:
            return self._page(request, run, latest=False)
        return RedirectResponse(f"/runs/{run.run_id}/index.html", status_code=303, headers=SAFE)

    async def file(self, request: "Request") -> "Response":
        """Send a report or the index of a run."""
        from starlette.responses import FileResponse

        run = self.snapshots.find(request.path_params["run_id"])
        path = self.snapshots.file(run, request.path_params["name"]) if run else None
        return FileResponse(path, headers=SAFE) if path else self._missing()

    async def runs(self, request: "Request") -> "Response":
        """List the runs, failed ones too, the newest first."""
        names = ("run", "made", "as of", "monitoring", "what was found")
        head = f"<thead><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr></thead>"
        rows = "".join(map(_row, self.snapshots.runs()))
        table = f'<div class="quire-scroll" tabindex="0"><table>{head}<tbody>{rows}</tbody></table></div>'
        note = '<p class="hint">Made: when the run started. As of: the time up to which its data reaches.</p>'
        return self._shell(RUNS, f'<div class="quire quire-table">{table}</div>{note}')

    async def health(self, request: "Request") -> "Response":
        """Say that the dashboard answers, how old what it shows is, and whether the newest run failed.

        The code is 200 as long as it answers: to start the dashboard again mends no run. Who brings no token where one
        is needed learns the status alone.
        """
        from starlette.responses import JSONResponse

        failure = self.snapshots.failure()
        if STRANGER in request.scope:
            return JSONResponse({"status": "run failed" if failure else "ok"}, headers=SAFE)
        snapshot = next(iter(self.snapshots.all()), None)
        age_s = snapshot.age_s(self.now()) if snapshot else None
        content: dict[str, Any] = {
            "status": "run failed" if failure else "ok",
            "runs": len(self.snapshots.all()),
            "shown": {"made": snapshot.made, "as_of": snapshot.as_of, "age_s": age_s} if snapshot else None,
        }
        if failure:
            content["failed"] = {"made": failure.made, "status": failure.run_status, "stage": failure.stage}
        return JSONResponse(content, headers=SAFE)

    def _page(self, request: "Request", snapshot: RunPage, *, latest: bool) -> "Response":
        import gzip

        from starlette.responses import Response

        failure = self.snapshots.failure() if latest else None
        notice = _notice(snapshot, failure, self.now())
        try:
            body = self.snapshots.page(snapshot, latest=latest, live=self.live is not None, notice=notice)
        except OSError:  # it was removed a moment ago
            return self._missing()
        headers = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding", **SAFE}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(body, headers=headers | {"Content-Encoding": "gzip"})
        return Response(gzip.decompress(body), headers=headers)

    def _nothing_yet(self) -> "Response":
        name, failure = self.snapshots.params, self.snapshots.failure()
        text = f"No run of {name} has a monitoring page yet. Make one: quire run params/{name}"
        return self._shell("No run yet", f"{_strip(failure, None) if failure else ''}<p>{escape(text)}</p>", status=404)

    def _missing(self) -> "Response":
        return self._shell("Not found", '<p>There is no such run. <a href="/runs">These are there.</a></p>', status=404)

    def _shell(self, title: str, content: str, status: int = 200) -> "Response":
        from markupsafe import Markup
        from starlette.responses import HTMLResponse

        nav = [("Latest", "/", False), (RUNS, "/runs", title == RUNS)]
        nav += [("Live", "/live/", False)] if self.live is not None else []
        # What is put in comes from this module, its texts escaped.
        html = page.render("shell", title=f"{title} · {self.title}", content=Markup(content), nav=nav, home="/")
        return HTMLResponse(html, status_code=status, headers=SAFE)


SAFE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": f"{page_policy()}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""Headers of every page, those of reports that were made before they held a policy themselves too."""

STRANGER = "quire.stranger"
"""Set in the scope of a request that brings no token and is let through all the same."""


def _notice(shown: RunPage, failure: RunPage | None, now: datetime) -> str:
    """Return what stands above a page: that a later run failed, and how old the page is."""
    age_s = shown.age_s(now)
    parts = [f"Made {age(age_s)} ({moment(shown.finished_at or shown.made)})"] if age_s is not None else []
    parts += [f"data as of {moment(shown.as_of)}"] if shown.as_of else []
    line = f'<p class="hint" style="margin:0;padding:.6rem 2rem 0">{escape("; ".join(parts))}.</p>' if parts else ""
    return (_strip(failure, shown) if failure else "") + line


def _strip(failure: RunPage, shown: RunPage | None) -> str:
    """Return the red strip about a run that failed; the pages of older runs have its styles too."""
    outcome = "was interrupted" if failure.run_status == "interrupted" else "failed"
    stage_text = f" in {failure.stage}" if failure.stage else ""
    page_of = f"; this page is of {moment(shown.made)}" if shown and shown.made else ""
    text = f"The run of {moment(failure.made)} {outcome}{stage_text}{page_of}."
    link = f'<a href="/runs/{escape(failure.run_id)}/index.html">What happened</a>'
    return (
        '<div class="quire quire-bad" role="alert" style="max-width:none;padding:.75rem 2rem 0">'
        '<div class="quire-banner"><span class="quire-icon" aria-hidden="true">✕</span>'
        f"<p>{escape(text)} {link}</p></div></div>"
    )


def _row(run: RunPage) -> str:
    name = moment(run.made) if run.made else run.run_id
    has_target = run.has_page or (run.folder / "index.html").is_file()
    link = f'<a href="/runs/{escape(run.run_id)}/">{escape(name)}</a>' if has_target else escape(name)
    tone = {"failed": "bad", "interrupted": "warn", "succeeded": "good"}.get(run.run_status, "neutral")
    status_text = f"{run.run_status} in {run.stage}" if run.stage else run.run_status
    finding = run.status if run.status in ("good", "warn", "bad") else "neutral"
    about = run.reason if run.has_failed else run.headline
    if run.has_page and run.has_failed:
        about = f"{run.reason} {run.headline}".strip()
    verdict = _chip(finding, finding) if run.has_page else "–"
    cells = [("", _chip(tone, status_text)), ("quire-right", link), ("quire-right", escape(moment(run.as_of)))]
    cells += [("", verdict), ("quire-any", escape(about) or "–")]
    row = "".join(f'<td class="{kind}">{content}</td>' for kind, content in cells)
    return f"<tr>{row}</tr>"


def _chip(tone: str, text: str) -> str:
    return f'<span class="quire-chip quire-{tone}">{escape(text)}</span>'


class TokenMiddleware:
    """Lets requests through that bring the token, by cookie, bearer or ``?token=``.

    The latter sets the cookie and is led to the same path without it, so that no address that is bookmarked, copied or
    logged by another page holds the token.
    """

    def __init__(self, app: Any, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or not self.token:
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and self._brings_token(scope):
            await self._enter(scope, receive, send)
        elif self._knows(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
        elif scope["path"] == "/health":  # whoever restarts it when it is ill knows no token
            await self.app({**scope, STRANGER: True}, receive, send)
        else:
            from starlette.responses import PlainTextResponse

            text = "The dashboard needs a token: open it with ?token=...\n"
            await PlainTextResponse(text, status_code=401, headers=SAFE)(scope, receive, send)

    async def _enter(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import RedirectResponse

        response = RedirectResponse(local_path(scope["path"]), status_code=303, headers=SAFE)
        response.set_cookie(COOKIE, self.token, httponly=True, samesite="lax", secure=scope["scheme"] == "https")
        await response(scope, receive, send)

    def _brings_token(self, scope: Any) -> bool:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return any(self._is_token(text) for text in query.get("token", ()))

    def _knows(self, scope: Any) -> bool:
        from starlette.requests import cookie_parser

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return self._is_token(bearer) or self._is_token(cookie)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def local_path(path: str) -> str:
    """Return ``path``, decoded, as an address on this host alone.

    A browser takes what follows two slashes, or a slash and a backslash, for another host, and leaves out white space
    and control characters before it looks.
    """
    return "/" + quote(re.sub(r"^[/\\\s\x00-\x1f]+", "", path))

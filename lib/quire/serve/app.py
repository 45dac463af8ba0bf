"""The service over HTTP: FastAPI's application."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware

from quire import config
from quire.config import Settings
from quire.serve import form, openapi
from quire.serve.endpoint import MOST_WAITING, REFUSALS, Predict, Waiting, read_body, refusal
from quire.serve.metrics import CONTENT_TYPE, Metrics
from quire.serve.middleware import (
    COOKIE,
    FAILED,
    WRONG_KEYS_BURST,
    WRONG_KEYS_PER_S,
    Keys,
    Rate,
    RequestMiddleware,
    sent_key,
)
from quire.serve.request_errors import InvalidRequest, RequestError, short
from quire.serve.request_schema import LIGHT_BYTES, is_tangled
from quire.serve.service import Service, new_service
from quire.serve.sites import Sites

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "cache-control": "no-store",
}


class Application(FastAPI):
    """FastAPI with ``entrance``, an ASGI application, before all of its own layers."""

    entrance: Any

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request in by the entrance."""
        await self.entrance(scope, receive, send)


def create(params: str, root: str, rate_file: str | None, sites: Sites) -> FastAPI:
    """Return the application of a use case, as a worker process makes it. rate_file: what several workers share."""
    settings = config.load(params, root=Path(root))
    return make_app(settings, rate_file=rate_file, sites=sites)


def make_app(
    settings: Settings, *, service: Service | None = None, rate_file: str | None = None, sites: Sites | None = None
) -> FastAPI:
    """Return the application.

    service: for tests that need one with parts of their own. sites: who may use it; any name, and no page of another
    site but those of ``cors_origins``, where there are none.
    """
    serve = settings.config.serve
    app_service = service or new_service(settings, Metrics())
    app = Application(
        title=settings.config.title or settings.name, docs_url=None, redoc_url=None, lifespan=_life(app_service)
    )
    app.state.service, app.state.keys = app_service, Keys(settings.api_keys)
    app.state.waiting = Waiting(MOST_WAITING * serve.max_body_bytes)
    app.openapi = lambda: openapi.document(app, app_service)  # type: ignore[method-assign]
    predict = Predict(app_service, app.state.waiting)
    # Plain routes: the requests are checked by the contract, not by FastAPI, and the document is our own.
    app.add_route("/predict", predict, methods=["POST"], include_in_schema=False)  # type: ignore[arg-type]
    for path, methods, handler in ROUTES:
        app.add_route(path, handler, methods=methods, include_in_schema=False)
    for kind in (*REFUSALS, Exception):
        app.add_exception_handler(kind, _refused if kind in REFUSALS else _failed)
    inside = _shortcut(app, predict)
    if serve.cors_origins:
        allowed = list(serve.cors_origins)
        inside = CORSMiddleware(inside, allow_origins=allowed, allow_methods=["GET", "POST"], allow_headers=["*"])
    app.entrance = RequestMiddleware(
        inside,
        keys=app.state.keys,
        rate=Rate(serve.rate_limit, serve.rate_burst, rate_file),
        max_body_bytes=serve.max_body_bytes,
        access_log=serve.access_log,
        measured=app_service.metrics.request,
        sites=sites or Sites(origins=serve.cors_origins),
        wrong_keys=Rate(WRONG_KEYS_PER_S, WRONG_KEYS_BURST, rate_file),
    )
    return app


def _shortcut(app: FastAPI, predict: Predict) -> Any:
    """Return the application, with predictions going past its layers."""

    def inside(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            scope["endpoint"] = predict
            return predict(scope, receive, send)
        return FastAPI.__call__(app, scope, receive, send)

    return inside


def _life(service: Service) -> Any:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        # What is there now stays: looking through it for garbage again and again makes requests wait.
        gc.collect()
        gc.freeze()
        yield
        await service.stop()

    return life


async def feedback(request: Request) -> Response:
    """Take what really happened."""
    service: Service = request.app.state.service
    max_rows = service.settings.config.serve.max_rows
    records, many = await _aside(service, _read_feedback, await _body(request), max_rows)
    statuses = await service.keep_feedback(records, source="service")
    results = [
        {"prediction_id": record["prediction_id"], "status": status}
        for record, status in zip(records, statuses, strict=True)
    ]
    status = 404 if set(statuses) == {"unknown"} else 200
    about = {"request_id": request.state.request_id}
    error = (
        {"error": "No prediction has this id: it was never made here, or it has been deleted."} if status == 404 else {}
    )
    return _json({"results": results, **error, **about} if many else {**results[0], **error, **about}, status)


async def live(request: Request) -> Response:
    """Say that the process runs."""
    return _json({"status": "ok"})


async def ready(request: Request) -> Response:
    """Say whether predictions can be answered now."""
    health = request.app.state.service.health()
    status = 503 if health["status"] == "unavailable" else 200
    return _json({"status": health["status"], "problems": health["problems"]}, status)


async def health(request: Request) -> Response:
    """Say how model and log are."""
    return _json(request.app.state.service.health())


async def model(request: Request) -> Response:
    """Describe the served version."""
    service: Service = request.app.state.service
    served_model = service.served()
    version = served_model.version
    return _json(
        {
            "name": version.name,
            "version": served_model.number,
            "created_at": version.created_at.isoformat(),
            "run_id": version.run_id,
            "task": served_model.schema.task,
            "target": served_model.schema.target,
            "classes": served_model.classes,
            "metrics": dict(version.metrics),
            "trained_on": served_model.reference.get("window"),
            "schema": {name: served_model.contract.allowed(name) for name in served_model.contract.columns},
            "path": served_model.slow_because or "fast",
        }
    )


async def metrics(request: Request) -> Response:
    """Give the figures to Prometheus."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(service.log), media_type=CONTENT_TYPE)


async def page(request: Request) -> Response:
    """Show the form; filled and with a prediction if it was sent."""
    service: Service = request.app.state.service
    if request.method == "GET" or service.models.current is None:
        return _html(form.page(service, needs_key=_needs_key(request)), 200 if service.models.current else 503)
    form_data = await _aside(service, form.read, await _body(request), len(service.served().contract.columns))
    refusal = _refused_form(request, form_data)
    if refusal:
        return _html(form.page(service, form_data, needs_key=True, error=refusal), 403)
    if not any(name.startswith(form.PREFIX) for name in form_data):  # only the key was asked for
        return _with_cookie(_html(form.page(service)), request, form_data)
    status, html = await form.predict(service, form_data, request.state.request_id)
    return _with_cookie(_html(html, status), request, form_data)


async def page_feedback(request: Request) -> Response:
    """Take what really happened from the page."""
    service: Service = request.app.state.service
    form_data = await _aside(service, form.read, await _body(request), 0)
    refusal = _refused_form(request, form_data)
    if refusal or service.models.current is None:
        return _html(form.page(service, needs_key=_needs_key(request), error=refusal), 403 if refusal else 503)
    status, html = await form.keep_feedback(service, form_data)
    return _html(html, status)


ROUTES: list[tuple[str, list[str], Any]] = [
    ("/feedback", ["POST"], feedback),
    ("/health", ["GET"], health),
    ("/health/live", ["GET"], live),
    ("/health/ready", ["GET"], ready),
    ("/model", ["GET"], model),
    ("/metrics", ["GET"], metrics),
    ("/", ["GET", "POST"], page),
    ("/feedback-form", ["POST"], page_feedback),
]


async def _body(request: Request) -> bytes:
    limit = request.app.state.service.settings.config.serve.max_body_bytes
    return await read_body(request.receive, limit, request.app.state.waiting)


async def _aside(service: Service, read: Callable[..., Any], body: bytes, limit: int) -> Any:
    """Return what ``read`` makes of a body; in a thread if it is long, so that others need not wait."""
    return read(body, limit) if len(body) <= LIGHT_BYTES else await service.aside(read, body, limit)


def _read_feedback(body: bytes, max_rows: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the feedback of a body, and whether it held a list; raises InvalidRequest."""
    form_of_one = '{"prediction_id": text, "actual": what really happened}'
    allowed = f'{form_of_one}, or {{"feedback": [...]}} with 1 to {max_rows} of them'
    if is_tangled(body, max_rows):
        raise InvalidRequest([RequestError(None, "body", "lists within lists", allowed)])
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest([RequestError(None, "body", None, f"JSON in UTF-8: {allowed}")]) from None
    many = isinstance(payload, dict) and set(payload) == {"feedback"}
    rows = payload["feedback"] if many else [payload]
    if not isinstance(rows, list) or not 1 <= len(rows) <= max_rows:
        raise InvalidRequest([RequestError(None, "feedback", None, allowed)])
    for at, row in enumerate(rows):
        has_fields = isinstance(row, dict) and set(row) == {"prediction_id", "actual"}
        if not has_fields or not isinstance(row["prediction_id"], str) or not 1 <= len(row["prediction_id"]) <= 36:
            raise InvalidRequest([RequestError(at, "feedback", short(row), form_of_one)])
        if not row["prediction_id"].isalnum() or not row["prediction_id"].isascii():
            raise InvalidRequest([RequestError(at, "prediction_id", row["prediction_id"], "the id that /predict gave")])
    return rows, many


def _needs_key(request: Request) -> bool:
    keys: Keys = request.app.state.keys
    return bool(keys) and keys.holder(sent_key(dict(request.scope["headers"]))) is None


def _refused_form(request: Request, sent: dict[str, str]) -> str:
    """Return why a form is not taken, because it came without a key; empty if it is taken."""
    keys: Keys = request.app.state.keys
    if _needs_key(request) and keys.holder(sent.get(form.KEY_FIELD, "")) is None:
        return "An API key is needed; this one is not known."
    return ""


def _with_cookie(response: Response, request: Request, sent: dict[str, str]) -> Response:
    """Let the browser keep a good key until it is closed, out of reach of scripts and of other sites."""
    key = sent.get(form.KEY_FIELD, "")
    if key and request.app.state.keys.holder(key):
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure)
    return response


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _html(content: str, status: int = 200) -> Response:
    return Response(content, status, PAGE_HEADERS, "text/html; charset=utf-8")


async def _refused(request: Request, error: Exception) -> Response:
    status, content, headers = refusal(error, request.state.request_id)
    return _json(content, status, headers)


async def _failed(request: Request, _: Exception) -> Response:
    return _json({"error": FAILED, "request_id": request.state.request_id}, 500)

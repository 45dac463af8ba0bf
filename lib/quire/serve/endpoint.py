"""POST /predict as a plain ASGI application: FastAPI's layers would take longer than the prediction."""

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect

from quire.serve.log import Unavailable
from quire.serve.middleware import send_json
from quire.serve.request_errors import MOST_PROBLEMS, InvalidRequest, RequestError, short
from quire.serve.request_schema import LIGHT_BYTES
from quire.serve.service import Service

MOST_EXPLAINED = 20
"""Rows of one request that are explained; each costs a prediction per feature."""


MOST_WAITING = 64
"""Bodies of the greatest length whose parts are held at a time, of those that do not come at once."""

YES, NO = ("1", "true", "yes"), ("0", "false", "no")


class TooLarge(Exception):
    """A body that is longer than it may be."""


REFUSALS = (InvalidRequest, Unavailable, TooLarge)
"""What is raised where a request is not done, and why is told to the one who sent it."""


class Waiting:
    """Counts the bytes of the bodies whose rest is awaited, of which there may be ``most``."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0

    def add(self, count: int) -> None:
        """Count more bytes; raises Unavailable if they are too many."""
        self.bytes += count
        if self.bytes > self.most:
            raise Unavailable("Too many requests are sending large bodies at the moment.")


class Predict:
    """Answers rows with predictions."""

    def __init__(self, service: Service, waiting: Waiting) -> None:
        self._service, self._waiting = service, waiting
        self._max_body_bytes = service.settings.config.serve.max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        request_id = scope["state"]["request_id"]
        try:
            body = await read_body(receive, self._max_body_bytes, self._waiting)
            content = await self._predict(body, scope["query_string"], request_id)
        except REFUSALS as error:
            status, content, headers = refusal(error, request_id)
            await send_json(send, status, content, headers)
            return
        await send_json(send, 200, content)

    async def _predict(self, body: bytes, query: bytes, request_id: str) -> dict[str, Any]:
        model = self._service.served()
        explain = bool(query) and _explain(query)
        if len(body) <= LIGHT_BYTES:
            rows, many = model.contract.parse(body)
        else:
            rows, many = await self._service.aside(model.contract.parse, body)
        if explain and len(rows) > MOST_EXPLAINED:
            allowed = f"at most {MOST_EXPLAINED} rows when explain is asked for"
            raise InvalidRequest([RequestError(None, "rows", f"{len(rows)} rows", allowed)])
        answers, explained = await self._service.predict(model, rows, request_id=request_id, explain=explain)
        for answer, effects in zip(answers, explained, strict=False):
            answer["effects"] = [
                {"feature": e.feature, "value": e.value, "normal": e.normal, "effect": e.effect} for e in effects
            ]
        about = {"model_name": model.version.name, "model_version": model.number, "request_id": request_id}
        return {"predictions": answers, **about} if many else {**answers[0], **about}


async def read_body(receive: Any, limit: int, waiting: Waiting | None = None) -> bytes:
    """Return the body of a request.

    Raises TooLarge as soon as it has more than ``limit`` bytes, Unavailable if those that are awaited already are too
    many, ClientDisconnect if the client leaves.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(body) <= limit:
        return body
    parts, length = [body], len(body)
    reserved_bytes = 0
    try:
        while message["type"] == "http.request" and message.get("more_body") and length <= limit:
            if waiting is not None:
                new, reserved_bytes = length - reserved_bytes, length
                waiting.add(new)
            message = await receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
    finally:
        if waiting is not None:
            waiting.bytes -= reserved_bytes
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if length > limit:
        raise TooLarge(f"A body may have {limit} bytes.")
    return b"".join(parts)


def _explain(query: bytes) -> bool:
    """Return what a query says of ``explain``; raises InvalidRequest where it is no truth value."""
    flag = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain", ["false"])[-1].lower()
    if flag not in YES + NO:
        raise InvalidRequest([RequestError(None, "explain", short(flag), "true or false")])
    return flag in YES


def refusal(error: Exception, request_id: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, content and headers of the answer to a request that raised one of `REFUSALS`."""
    about = {"error": str(error), "request_id": request_id}
    if isinstance(error, InvalidRequest):
        errors = [{"row": p.row, "field": p.field, "sent": p.sent, "allowed": p.allowed} for p in error.problems]
        about["error"] = f"Nothing was predicted or kept. {error}"
        if len(errors) == MOST_PROBLEMS:
            about["error"] += f" The check ended at {MOST_PROBLEMS} problems; there may be more."
        return 422, {**about, "problems": len(errors), "errors": errors}, {}
    if isinstance(error, Unavailable):
        return 503, about, {"retry-after": str(error.retry_after_s)}
    return 413, about, {}

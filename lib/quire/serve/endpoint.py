"""POST /predict as a plain ASGI application: FastAPI's layers would take longer than the prediction."""

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect

from quire.serve.contract import Problem, Rejected
from quire.serve.guard import send_json
from quire.serve.log import Unavailable
from quire.serve.service import Service

MOST_EXPLAINED = 20
"""Rows of one request that are explained; each costs a prediction per feature."""


class TooLarge(Exception):
    """A body that is longer than it may be."""


REFUSALS = (Rejected, Unavailable, TooLarge)
"""What is raised where a request is not done, and why is told to the one who sent it."""


class Predict:
    """Answers rows with predictions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._max_body_bytes = service.settings.config.serve.max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        request_id = scope["state"]["request_id"]
        try:
            body = await read_body(receive, self._max_body_bytes)
            content = await self._predict(body, scope["query_string"], request_id)
        except REFUSALS as error:
            status, content, headers = refusal(error, request_id)
            await send_json(send, status, content, headers)
            return
        await send_json(send, 200, content)

    async def _predict(self, body: bytes, query: bytes, request_id: str) -> dict[str, Any]:
        served = self._service.served()
        given, many = served.contract.parse(body)
        explain = bool(query) and parse_qs(query).get(b"explain", [b""])[-1].lower() in (b"1", b"true", b"yes")
        if explain and len(given) > MOST_EXPLAINED:
            allowed = f"at most {MOST_EXPLAINED} rows when explain is asked for"
            raise Rejected([Problem(None, "rows", f"{len(given)} rows", allowed)])
        answers, explained = await self._service.predict(served, given, request_id=request_id, explain=explain)
        for one, found in zip(answers, explained, strict=False):
            one["effects"] = [
                {"feature": e.feature, "value": e.value, "normal": e.normal, "effect": e.effect} for e in found
            ]
        about = {"model_name": served.version.name, "model_version": served.number, "request_id": request_id}
        return {"predictions": answers, **about} if many else {**answers[0], **about}


async def read_body(receive: Any, limit: int) -> bytes:
    """Return the body of a request; raises TooLarge as soon as it has more than ``limit`` bytes."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body") and len(body) <= limit:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    if len(body) > limit:
        raise TooLarge(f"A body may have {limit} bytes.")
    return body


def refusal(error: Exception, request_id: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, content and headers of the answer to a request that raised one of `REFUSALS`."""
    about = {"error": str(error), "request_id": request_id}
    if isinstance(error, Rejected):
        listed = [{"row": p.row, "field": p.field, "sent": p.sent, "allowed": p.allowed} for p in error.problems]
        about["error"] = f"Nothing was predicted or kept. {error}"
        return 422, {**about, "problems": error.total, "errors": listed}, {}
    if isinstance(error, Unavailable):
        return 503, about, {"retry-after": str(error.retry_after_s)}
    return 413, about, {}

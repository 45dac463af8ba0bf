"""Fingerprints of the state that stages read beside their inputs: who is champion, and what the database holds.

A run with nothing to do asks for them each time, so SQLite is read directly, and a server by one request.
"""

import base64
import hashlib
import json
import os
import sqlite3
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from quire.config import Settings
from quire.errors import ServiceError, near
from quire.io.tracking_store import ANSWER_WITHIN_S, hide_password, store_path

NOTHING = "none"
KINDS = ("champion", "feedback", "predictions")


def state(settings: Settings, kind: str) -> str:
    """Return a text that changes when outside state does, ``none`` where there is none yet.

    kind: ``champion`` (which version the alias points to), ``feedback`` or ``predictions`` (rows in the database).
    Raises ServiceError if the store does not answer.
    """
    if kind == "champion":
        return champion(settings)
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no outside state; known: {', '.join(KINDS)}.{near(kind, KINDS)}")
    return rows(settings, "feedback" if kind == "feedback" else "prediction")


def champion(settings: Settings) -> str:
    """Return version and MLflow run of the version that the alias points to."""
    uri = settings.tracking_uri
    path = store_path(uri)
    if path is not None:
        return _champion_in_file(path, settings)
    if uri.startswith(("http://", "https://")):
        return _champion_at_server(uri, settings)
    from quire.io import tracking

    version = tracking.open(settings).champion()
    return f"{version.version} {version.run_id}" if version else NOTHING


def _champion_in_file(path: Path, settings: Settings) -> str:
    query = (
        "SELECT a.version, v.run_id FROM registered_model_aliases a "
        "JOIN model_versions v ON v.name = a.name AND v.version = a.version WHERE a.name = ? AND a.alias = ?"
    )
    row = _ask(path, query, (settings.model_name, settings.alias))
    return f"{row[0]} {row[1] or ''}".strip() if row else NOTHING


def _champion_at_server(uri: str, settings: Settings) -> str:
    query = urlencode({"name": settings.model_name, "alias": settings.alias})
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    request = Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{query}")
    authorization = _authorization(parts.username, parts.password)
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with build_opener(_Redirects).open(request, timeout=ANSWER_WITHIN_S) as answer:
            version = json.load(answer)["model_version"]
    except HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        if "RESOURCE_DOES_NOT_EXIST" in text or "INVALID_PARAMETER_VALUE" in text:
            return NOTHING
        raise ServiceError(
            f"{hide_password(uri)} answers {error.code} when asked for the champion: {text[:200]}"
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ServiceError(f"No MLflow server answers at {hide_password(uri)}: {reason}.") from None
    return f"{version['version']} {version.get('run_id', '')}".strip()


class _Redirects(HTTPRedirectHandler):
    """Follows a redirect without the credentials where it leads to another server, and never from https to http.

    By itself urllib sends every header on to wherever it is sent.
    """

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        followed = super().redirect_request(req, fp, code, msg, headers, newurl)
        if followed is None:
            return None
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if (before.scheme, after.scheme) == ("https", "http"):
            raise URLError(f"it redirects from https to http, at {after.hostname}, where anybody could read along")
        places, host = (_place(before), _place(after)), before.hostname
        if places[0] != places[1] and places != (("http", host, 80), ("https", host, 443)):
            followed.remove_header("Authorization")
        return followed


def _place(address: SplitResult) -> tuple[str, str | None, int]:
    return address.scheme, address.hostname, address.port or {"http": 80, "https": 443}.get(address.scheme, 0)


def _authorization(user: str | None, password: str | None) -> str:
    """Return the header that MLflow's own client would send: its variables of the environment are part of its API."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return f"Bearer {token}"
    user = unquote(user or "") or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = unquote(password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""


def rows(settings: Settings, table: str) -> str:
    """Return a fingerprint of a table: how many rows, the last one, and the latest of each of its times."""
    url = settings.database_url
    path = store_path(url)
    if path is None:
        return _rows_at_server(url, table)
    columns = _ask(path, "SELECT group_concat(name) FROM pragma_table_info(?)", (table,))
    if not columns or not columns[0]:
        return NOTHING
    latest = ", ".join(f'max("{name}")' for name in _times(columns[0].split(",")))
    return _digest(_ask(path, f'SELECT count(*), max(rowid), {latest or "0"} FROM "{table}"', ()))


def _rows_at_server(url: str, table: str) -> str:
    from quire.io import database

    store = database.open(url)
    try:
        return _digest([store.fingerprint(table)])
    finally:
        store.close()


def _times(columns: list[str]) -> list[str]:
    return [name for name in sorted(columns) if name.endswith("_at") or name in ("at", "as_of", "timestamp")]


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(list(values), default=str).encode()).hexdigest()


def _ask(path: Path, query: str, values: tuple[str, ...]) -> Any:
    """Return the first row of a query on a SQLite file opened for reading, or None; a missing file or table is None."""
    if not path.exists():
        return None
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=ANSWER_WITHIN_S)
        ) as connection:
            return connection.execute(query, values).fetchone()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return None
        raise ServiceError(f"{path} cannot be read: {error}.") from error

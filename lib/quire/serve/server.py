"""The processes of the service: one socket, one or several workers, structured logs, and an end that answers first."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from quire.config import Settings
from quire.errors import ServiceError
from quire.io import engine
from quire.redaction import redact
from quire.serve.sites import LOOPBACK_ADDRESSES, Sites, sites_of

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Each worker computes in one thread: with the default, workers and libraries fight for the cores."""


class JsonLines(logging.Formatter):
    """One JSON object per line: at, level, logger, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line, default=str).decode())


def log_config(level: str = "INFO") -> dict[str, Any]:
    """Return the configuration of logging: JSON lines on standard error, no line of uvicorn's own per request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "quire.serve.server.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            "quire": {"handlers": ["stderr"], "level": level, "propagate": False},
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        },
    }


def run(settings: Settings, *, host: str, port: int, workers: int, behind_proxy: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted by then is answered first.

    behind_proxy: a proxy on this machine is believed who the client is, besides ``serve.proxies``.
    Raises ServiceError if the address is taken, or the database is of a kind that there can never be.
    """
    engine.connect(settings.database_url, settings.config.serve.log_timeout_s).dispose()
    for name in THREADS:
        os.environ.setdefault(name, "1")
    listening = _listen(host, port)
    shared = tempfile.mkdtemp(prefix="quire-serve-")
    try:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        # uvicorn has ended in good order by the time it hands Ctrl-C or SIGTERM on; the latter would end us here.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            _serve(settings, listening, workers, Path(shared), host, behind_proxy)
    finally:
        listening.close()
        shutil.rmtree(shared, ignore_errors=True)


def _serve(
    settings: Settings, listening: socket.socket, workers: int, shared: Path, host: str, behind_proxy: bool
) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from quire.serve.limits import server_options

    serve = settings.config.serve
    rate_file = None
    if workers > 1:
        rate_file = str(shared / "rate")
        Path(rate_file).touch()
    proxies = (*serve.proxies, *(LOOPBACK_ADDRESSES if behind_proxy else ()))
    sites = sites_of(host, serve.hosts, serve.cors_origins, behind_proxy=behind_proxy)
    make = partial(_create, settings.name, str(settings.root), rate_file, sites, proxies)
    options = uvicorn.Config(
        make,
        factory=True,
        workers=workers,
        log_config=log_config(),
        access_log=False,
        timeout_graceful_shutdown=serve.grace_s,
        timeout_keep_alive=75,  # longer than load balancers keep idle connections: they must be the ones to close
        timeout_worker_healthcheck=60,
        **server_options(serve.max_connections),
    )
    if workers > 1:
        Multiprocess(options, sockets=[listening]).run()
    else:
        uvicorn.Server(options).run(sockets=[listening])


def _create(params: str, root: str, rate_file: str | None, sites: Sites, proxies: tuple[str, ...]) -> Any:
    from quire.serve.app import create
    from quire.serve.limits import trusting

    return trusting(create(params, root, rate_file, sites), proxies)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ServiceError(
            f"Port {port} of {host} cannot be used: {error.strerror}. Choose another by --port or --host."
        ) from error
    listening.listen(2048)
    listening.set_inheritable(True)
    return listening

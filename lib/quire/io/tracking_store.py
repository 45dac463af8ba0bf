"""The connection to MLflow: quiet, without telemetry, and with an embedded store that is created whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from quire.config import Settings
from quire.config.loopback import spare_loopback
from quire.errors import ServiceError
from quire.redaction import ESCAPE, learn

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
ANSWER_WITHIN_S = 10


def connect(settings: Settings) -> "MlflowClient":
    """Return a client of the use case's tracking store and registry, making the embedded store if there is none.

    Raises ServiceError where the store does not answer.
    """
    uri = settings.tracking_uri
    learn(uri)
    _quiet()
    if uri.startswith(SQLITE):
        create_store(uri)
        # MLflow imports it when a store is opened; what is named here, warm kernels have imported before.
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    elif uri.startswith(("http://", "https://")):
        _check_server(uri)
    else:
        _check_address(uri)
    from mlflow import MlflowClient

    with translate_errors(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def create_store(uri: str) -> None:
    """Make the SQLite store at ``uri`` if there is none: under a lock, beside its place, then renamed.

    Several processes that open a fresh store at once would each run MLflow's migrations, and leave it broken.
    """
    path = store_path(uri)
    if path is None or path.exists():
        return
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():
            return
        partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
        _quiet()
        from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

        engine = create_sqlalchemy_engine(f"{SQLITE}{partial_path}")
        try:
            _initialize_tables(engine)
            engine.dispose()
            os.replace(partial_path, path)
        finally:
            partial_path.unlink(missing_ok=True)


def store_path(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None for any other."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def artifact_location(settings: Settings) -> str | None:
    """Return where artifacts go: below outputs/ for the embedded store; None leaves it to the server."""
    if store_path(settings.tracking_uri) is None:
        return None
    return (settings.outputs / "mlartifacts" / settings.experiment).as_uri()


def experiment_id(client: "MlflowClient", settings: Settings) -> str:
    """Return the id of the use case's experiment, which is made if there is none."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        try:
            return client.create_experiment(settings.experiment, artifact_location=artifact_location(settings))
        except MlflowException as error:
            # Another process was first.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(settings.experiment)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises when its store does not answer, or is of another version, into a ServiceError."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (CommandError, MlflowException, RequestException, SQLAlchemyError) as error:
        text = str(error)
        hint = f" Run `mlflow db upgrade {uri}` after a backup." if "out-of-date database schema" in text else ""
        raise ServiceError(f"The tracking store {hide_password(uri)} refused: {text}{hint}") from None


def hide_password(uri: str) -> str:
    """Return ``uri`` with the password, if it holds one, as stars."""
    scheme, mark, rest = uri.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{mark}{user.split(':')[0]}:***@{host}" if at and ":" in user else uri


def _check_server(uri: str) -> None:
    """Raise ServiceError if nothing answers at ``uri``: MLflow itself would try again for minutes."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_WITHIN_S):
            return
    except HTTPError:
        return  # It answers; whether it lets us in is for the first request to find out.
    except (OSError, HTTPException, ValueError) as error:
        raise ServiceError(
            f"No MLflow server answers at {hide_password(uri)} ({getattr(error, 'reason', error)}). Start it, or unset "
            f"MLFLOW_TRACKING_URI and tracking.uri in config.yaml to use the store in outputs/. {ESCAPE}"
        ) from None


def _check_address(uri: str) -> None:
    """Raise ServiceError, which does not quote it, if the address of a database or a folder is none."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        if "://" in uri:
            make_url(uri)
    except (ArgumentError, ValueError):
        raise ServiceError(f"The address of MLflow's store is not one. {ESCAPE}") from None


def _quiet() -> None:
    """Turn telemetry, progress bars and chatter off, before MLflow is imported; a server of this machine is near."""
    import logging

    spare_loopback()
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("DO_NOT_TRACK", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
        ("MLFLOW_LOGGING_LEVEL", "WARNING"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
    ):
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)

"""Dask's only door for models: a search whose fits are done by the workers of a cluster."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy
import sklearn

from quire.errors import ConfigError, ServiceError

CONNECT_WITHIN_S = 20


@contextlib.contextmanager
def on_workers(address: str) -> Iterator[None]:
    """Have what joblib spreads in the block done by the Dask cluster at ``address``; in this process if it is empty.

    It is also done here, with a warning, where a worker has other code or libraries than this process: its results
    could differ. Raises ConfigError without Dask, ServiceError if no scheduler answers.
    """
    if not address:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(
            f"QUIRE_CLUSTER is {address!r}, but Dask is not installed: pip install -e '.[dask]', or unset it."
        ) from None
    from joblib import parallel_config

    try:
        client = Client(address, timeout=CONNECT_WITHIN_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ServiceError(f"No Dask scheduler answers at {address}: {error}. Is it up, and reachable?") from error
    with client:
        others = [worker for worker, worker_code in client.run(code).items() if worker_code != code()]
        if others:
            warnings.warn(
                f"The search is done here: {', '.join(sorted(others))} have other code of quire, or other versions of "
                "NumPy, SciPy or scikit-learn. Install the same on the workers and start them again.",
                stacklevel=2,
            )
            yield
            return
        with parallel_config("dask", client=client):
            yield


def code() -> str:
    """Return the SHA-256 of what the result of a fit depends on beside its arguments: quire's source, and versions."""
    digest = hashlib.sha256(repr((np.__version__, scipy.__version__, sklearn.__version__)).encode())
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()

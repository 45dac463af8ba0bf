"""Files behind http or https, streamed; httpx is imported when one is fetched."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from quire.errors import ConfigError, DataError
from quire.redaction import ESCAPE, learn

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 60.0


def shown(url: str) -> str:
    """Return ``url`` as a message may show it: without user, password and query, which can be secret.

    Raises ConfigError, which does not quote it, if it is no address.
    """
    learn(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or "@" in parts.netloc.rpartition("@")[0]:
        raise ConfigError(
            f"config.yaml: source.url is no address, such as 'https://user:${{PASSWORD}}@host/data.csv'. {ESCAPE}"
        )
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def describe(url: str) -> dict[str, str]:
    """Return what the server says of the file's version (etag, last-modified, content-length); empty if nothing."""
    import httpx

    masked_url = shown(url)
    try:
        with _client() as client:
            answer = client.head(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"{masked_url} cannot be reached: {error}. Check source.url in config.yaml.") from None
    if answer.is_error or not (answer.headers.get("etag") or answer.headers.get("last-modified")):
        return {}
    names = ("etag", "last-modified", "content-length")
    return {name: answer.headers[name] for name in names if name in answer.headers}


def chunks(url: str) -> Iterator[bytes]:
    """Yield the file's content; raises DataError if the server does not give it."""
    import httpx

    masked_url = shown(url)
    try:
        with _client() as client, client.stream("GET", url) as answer:
            if answer.is_error:
                hint = ", and the credentials in it." if answer.status_code in (401, 403) else "."
                raise DataError(
                    f"{masked_url} answered {answer.status_code} {answer.reason_phrase}. "
                    f"Check source.url in config.yaml{hint}"
                )
            yield from answer.iter_bytes()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"{masked_url} cannot be read: {error}. Check source.url in config.yaml.") from None


def _client() -> "httpx.Client":
    """Return a client that follows redirects; httpx keeps credentials from another server, this from plain http."""
    import httpx

    def check(answer: "httpx.Response") -> None:
        if not answer.has_redirect_location or answer.url.scheme != "https":
            return
        target = answer.url.join(answer.headers["location"])
        if target.scheme != "https":
            raise httpx.UnsupportedProtocol(
                f"it redirects from https to {target.scheme}, at {target.host}, where anybody could read along"
            )

    return httpx.Client(follow_redirects=True, timeout=TIMEOUT_S, event_hooks={"response": [check]})


@contextmanager
def fetched(url: str, *, sha256: str | None = None) -> Iterator[Path]:
    """Yield a temporary file with the content; raises DataError if it is not the one that ``sha256`` names."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="quire-") as folder:
        path = Path(folder) / (Path(urlsplit(url).path).name or "download")
        with path.open("wb") as file:
            for chunk in chunks(url):
                digest.update(chunk)
                file.write(chunk)
        if sha256 and digest.hexdigest() != sha256.lower():
            raise DataError(
                f"{shown(url)} has the SHA-256 {digest.hexdigest()}, but config.yaml (source.sha256) expects {sha256}. "
                "The file changed or was cut short: look at it, then write the new value."
            )
        yield path

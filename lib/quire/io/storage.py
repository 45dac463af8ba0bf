"""Objects below an ``s3://`` URL: the only door to boto3.

Content is checked on both ways: S3 is told the SHA-256 of what it is sent, and a file that is brought back takes its
name only when it hashes to what was expected. Calls are retried by botocore until they have an answer, and here until
its body, or that of the request, is whole; what still fails is an ArchiveError.
"""

import base64
import functools
import hashlib
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from quire.errors import ArchiveError, ConfigError
from quire.redaction import learn

ATTEMPTS = 6
"""Calls before one counts as failed. Where 30% fail, one in 1400 does; a second round then takes those."""

CUT = ("BadDigest", "IncompleteBody", "InvalidDigest", "RequestTimeout", "XAmzContentSHA256Mismatch")
"""What S3 answers to a request that did not arrive as it left."""

MOST_BYTES = 64 * 1024 * 1024
"""Larger objects are not read into memory: nothing that Quire reads so is of that size."""

THREADS = 8
PART_BYTES = 64 * 1024 * 1024


class Conflict(ArchiveError):
    """Somebody else wrote the object first."""


class Missing(ArchiveError):
    """There is no such object."""


class Unreachable(ArchiveError):
    """The server does not answer at all."""


class Cut(ArchiveError):
    """The server answers, but a body was cut off on the way: the call is worth another try."""


@dataclass(frozen=True)
class Item:
    """An object: its key below the store's prefix, its size, when it was written, and S3's tag of this version."""

    key: str
    size_bytes: int
    modified_at: datetime
    tag: str


T = TypeVar("T")
R = TypeVar("R")


def client(service: str, endpoint_url: SecretStr | str | None = None) -> Any:
    """Return a boto3 client of ``service`` with the usual credential chain; ``endpoint_url`` for another server.

    Raises ConfigError where there is no region and no endpoint, or the endpoint is no address.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # Other servers know MD5 and SHA-256 headers, but often not the trailing CRC that botocore adds by itself.
    checksums = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    settings = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=2 * THREADS,
        **(checksums if endpoint_url else {}),
    )
    if isinstance(endpoint_url, SecretStr):
        endpoint_url = endpoint_url.get_secret_value()
    learn(endpoint_url or "")
    session = boto3.session.Session()
    # With an endpoint of one's own the region only goes into the signature.
    region = session.region_name or ("us-east-1" if endpoint_url else None)
    try:
        return session.client(service, region_name=region, endpoint_url=endpoint_url or None, config=settings)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"AWS {service}: {error} Set AWS_REGION, or a profile with AWS_PROFILE.") from None


def open(url: str, endpoint_url: SecretStr | str | None = None) -> "Store":
    """Return the objects below ``s3://bucket/prefix``; nothing is asked of the server yet."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"{url!r} is no archive; expected s3://bucket/prefix.")
    return Store(parts.netloc, parts.path.strip("/"), endpoint_url)


@dataclass(frozen=True)
class Store:
    """The objects of a bucket below a prefix. Keys are relative to the prefix."""

    bucket: str
    prefix: str = ""
    endpoint_url: SecretStr | str | None = None

    @cached_property
    def _s3(self) -> Any:
        return client("s3", self.endpoint_url)

    def url(self, key: str = "") -> str:
        """Return ``s3://bucket/prefix/key``."""
        return f"s3://{self.bucket}/{self._key(key)}"

    def now(self) -> datetime:
        """Return the server's time, in UTC: machines that share the store need not agree on theirs."""
        answer = self._whole("", lambda: self._s3.list_objects_v2(Bucket=self.bucket, Prefix=self._key(""), MaxKeys=1))
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def items(self, below: str = "") -> Iterator[Item]:
        """Yield the objects whose key starts with ``below``, by key."""
        for page in self._pages(below, Prefix=self._key(below)):
            for entry in page.get("Contents", ()):
                yield Item(self._own(entry["Key"]), entry["Size"], entry["LastModified"], entry["ETag"])

    def folders(self, below: str = "") -> Iterator[str]:
        """Yield the names of the folders directly in the folder ``below``, sorted."""
        start = f"{self._key(below).rstrip('/')}/".lstrip("/")
        for page in self._pages(below, Prefix=start, Delimiter="/"):
            for prefix in page.get("CommonPrefixes", ()):
                yield prefix["Prefix"][len(start) :].rstrip("/")

    def _pages(self, below: str, **asked: Any) -> Iterator[Any]:
        """Yield the pages of a list; each is a try of its own."""
        more = True
        while more:
            page = self._whole(below, functools.partial(self._s3.list_objects_v2, Bucket=self.bucket, **asked))
            yield page
            more = page.get("IsTruncated", False)
            asked["ContinuationToken"] = page.get("NextContinuationToken", "")

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.sha256(key) is not None

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 that the object was put with; "" for one of another origin; None if there is none."""
        try:
            head = self._whole(key, lambda: self._s3.head_object(Bucket=self.bucket, Key=self._key(key)))
            return head["Metadata"].get("sha256", "")
        except Missing:
            return None

    def read(self, key: str) -> bytes:
        """Return a small object's content; raises Missing."""
        return self.read_tagged(key)[0]

    def read_tagged(self, key: str) -> tuple[bytes, Item]:
        """Return a small object's content and what S3 says of it; raises Missing, and ArchiveError if it is large."""

        def ask() -> tuple[bytes, Item]:
            answer = self._s3.get_object(Bucket=self.bucket, Key=self._key(key))
            if answer["ContentLength"] > MOST_BYTES:
                answer["Body"].close()
                raise ArchiveError(
                    f"{self.url(key)} has {answer['ContentLength']} bytes, expected at most {MOST_BYTES}: it is not "
                    "what Quire writes. Remove it, and see who may write to the archive."
                )
            content = b"".join(self._body(answer, key))
            return content, Item(key, len(content), answer["LastModified"], answer["ETag"])

        return self._whole(key, ask)

    def write(self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None) -> str:
        """Write a small object whole and return its tag.

        absent: only if there is none; tag: only over that version. Raises Conflict otherwise.
        """
        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": tag} if tag else {}
        described = _described(key, _sha256(content))

        def send() -> str:
            location = {"Bucket": self.bucket, "Key": self._key(key)}
            return self._s3.put_object(**location, Body=content, **described, **condition)["ETag"]

        return self._whole(key, send)

    def put(self, path: Path, key: str, sha256: str = "") -> None:
        """Send the file at ``path``; S3 refuses it if it does not arrive as it left."""
        sha256 = sha256 or file_sha256(path)
        described = _described(key, sha256)

        def send() -> None:
            if path.stat().st_size <= PART_BYTES:
                with path.open("rb") as body:
                    self._s3.put_object(Bucket=self.bucket, Key=self._key(key), Body=body, **described)
                return
            extra = {name: value for name, value in described.items() if name != "ChecksumSHA256"}
            self._s3.upload_file(str(path), self.bucket, self._key(key), ExtraArgs=extra)

        self._whole(key, send)

    def copy(self, source: str, key: str, sha256: str) -> bool:
        """Copy an object within the bucket if it was put with ``sha256``; return whether it was."""
        if self.sha256(source) != sha256:
            return False
        origin = {"Bucket": self.bucket, "Key": self._key(source)}
        self._whole(key, lambda: self._s3.copy(origin, self.bucket, self._key(key)))
        return self.sha256(key) == sha256  # the origin may have been replaced meanwhile

    def get(
        self, key: str, path: Path, sha256: str = "", *, size_bytes: int | None = None,
        check: Callable[[Path], None] | None = None,
    ) -> None:  # fmt: skip
        """Bring the object to ``path``, which appears whole or not at all.

        sha256: what it must hash to; by default what it was put with. size_bytes: how large it must be, where that is
        known: nothing else is taken. check: of the file before it has its name; what it raises is raised. Raises
        Missing, and ArchiveError if the object differs or cannot be written here.
        """
        partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
        expected = sha256 or self.sha256(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._whole(key, lambda: self._download(key, partial_path, size_bytes))
            digest = file_sha256(partial_path)
            if expected and digest != expected:
                raise ArchiveError(
                    f"{self.url(key)} hashes to {digest[:12]}, expected {expected[:12]}: it is not whole."
                )
            if check:
                check(partial_path)
            os.replace(partial_path, path)
        except OSError as error:
            raise ArchiveError(f"{self.url(key)} cannot be written to {path}: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):
                partial_path.unlink(missing_ok=True)

    def _download(self, key: str, path: Path, size_bytes: int | None) -> None:
        location = {"Bucket": self.bucket, "Key": self._key(key)}
        size = self._s3.head_object(**location)["ContentLength"] if size_bytes is None else size_bytes
        if size > PART_BYTES:
            if size_bytes is not None:
                self._check_size(key, self._s3.head_object(**location)["ContentLength"], size_bytes)
            self._s3.download_file(self.bucket, self._key(key), str(path))
            return
        answer = self._s3.get_object(**location)
        self._check_size(key, answer["ContentLength"], size)
        with path.open("wb") as file:
            file.writelines(self._body(answer, key))

    def _check_size(self, key: str, found: int, expected: int) -> None:
        if found != expected:
            raise ArchiveError(f"{self.url(key)} has {found} bytes, expected {expected}: it is not whole.")

    def _body(self, answer: Any, key: str) -> Iterator[bytes]:
        """Yield the body of an answer in pieces; raises Cut if it ends early."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        try:
            yield from answer["Body"].iter_chunks(1024 * 1024)
        except (HTTPClientError, IncompleteReadError) as error:
            raise Cut(f"{self.url(key)}: the answer was cut off after {ATTEMPTS} tries: {error}") from error

    def _whole(self, key: str, call: Callable[[], R]) -> R:
        """Return what ``call`` gives; request, answer and its body are one try, and a body that was cut is another."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        def attempt() -> R:
            with self._asking(key):
                return call()

        return Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(0.1, max=2),
            retry=retry_if_exception_type(Cut),
            reraise=True,
        )(attempt)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there do not matter."""
        remaining_keys = list(keys)
        while remaining_keys:
            some, remaining_keys = remaining_keys[:1000], remaining_keys[1000:]
            request = {"Objects": [{"Key": self._key(key)} for key in some], "Quiet": True}
            answer = self._whole(
                some[0], functools.partial(self._s3.delete_objects, Bucket=self.bucket, Delete=request)
            )
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise ArchiveError(f"s3://{self.bucket}/{first['Key']} was not removed: {first.get('Message')}.")

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _own(self, key: str) -> str:
        return key[len(self.prefix) + 1 :] if self.prefix else key

    def _asking(self, key: str) -> AbstractContextManager[None]:
        return translate_errors(self.url(key))


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn what boto3 raises in the block into an ArchiveError that says where, what and what to do."""
    from boto3.exceptions import Boto3Error, RetriesExceededError
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _translated(error, what) from error
    except (ConnectionError, HTTPClientError) as error:
        raise Unreachable(f"{what}: the server does not answer after {ATTEMPTS} tries: {error}") from None
    except (ResponseParserError, RetriesExceededError) as error:
        raise Cut(f"{what}: the answer was cut off after {ATTEMPTS} tries: {error}") from None
    except (BotoCoreError, Boto3Error) as error:
        if isinstance(error.__context__, ClientError):  # of one part of a large file
            raise _translated(error.__context__, what) from None
        raise ArchiveError(f"{what}: {error} Is the network up, and are there credentials?") from None


def each(work: Callable[[T], R], items: Iterable[T]) -> list[tuple[T, R | ArchiveError]]:
    """Return what ``work`` gave for every item, or the ArchiveError it raised, several at a time.

    Those that failed are tried a second time when others succeeded, so that one unlucky call does not spoil the whole.
    """

    def attempt(item: T) -> R | ArchiveError:
        try:
            return work(item)
        except ArchiveError as error:
            return error

    items = list(items)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="storage") as threads:
        results = list(threads.map(attempt, items))
        failed = [i for i, result in enumerate(results) if isinstance(result, ArchiveError)]
        if len(failed) < len(items):
            for i, result in zip(failed, threads.map(attempt, [items[i] for i in failed]), strict=True):
                results[i] = result
    return list(zip(items, results, strict=True))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _described(key: str, sha256: str) -> dict[str, Any]:
    """Return what is said of an object when it is put: its checksum, and its type, so that a browser shows reports."""
    kind = "application/x-ipynb+json" if key.endswith(".ipynb") else mimetypes.guess_type(key)[0]
    if kind in ("text/html", "application/json", "text/plain"):
        kind += "; charset=utf-8"
    return {
        "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        "Metadata": {"sha256": sha256},
        "ContentType": kind or "application/octet-stream",
    }


def _translated(error: Any, url: str) -> ArchiveError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return Conflict(f"{url} was written by somebody else in the meantime.")
    if code == "NoSuchBucket":
        return ArchiveError(f"{url}: the bucket is not there. Check archive.url in config.yaml, or make it.")
    if status == 404:
        return Missing(f"{url} is not there.")
    if status == 403:
        return ArchiveError(f"{url}: access was denied ({code}). Check the role or the profile (AWS_PROFILE).")
    if code in CUT:
        return Cut(f"{url}: what was sent did not arrive whole after {ATTEMPTS} tries: {code}")
    tries = f" after {error.response.get('ResponseMetadata', {}).get('RetryAttempts', 0) + 1} tries"
    return ArchiveError(
        f"{url}: {error.operation_name} failed{tries}: {code} {error.response['Error'].get('Message', '')}".rstrip()
    )

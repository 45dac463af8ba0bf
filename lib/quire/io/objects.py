"""Objects of an S3 bucket as a source, through pyarrow's own S3 file system; imported when one is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quire.config import S3Source
from quire.errors import DataError
from quire.io.fingerprint import endings, of_one_ending


@dataclass(frozen=True)
class Object:
    """One object: bucket/key, size in bytes, time of change in nanoseconds since 1970."""

    path: str
    size: int
    mtime_ns: int


def filesystem(place: S3Source) -> Any:
    """Return pyarrow's S3 file system; credentials and region come from the environment or the machine's role."""
    from pyarrow.fs import S3FileSystem

    endpoint = urlsplit(place.endpoint_url.get_secret_value()) if place.endpoint_url else None
    if endpoint is None:
        return S3FileSystem()
    return S3FileSystem(
        endpoint_override=endpoint.netloc.rpartition("@")[2],
        scheme=endpoint.scheme or "https",
        allow_bucket_creation=False,
    )


def listed(place: S3Source) -> list[Object]:
    """Return the object, or those below the prefix that end in the format's suffix, sorted.

    Raises DataError if there is none, or the bucket cannot be read.
    """
    from pyarrow.fs import FileSelector, FileType

    files = filesystem(place)
    path = place.url.removeprefix("s3://").rstrip("/")
    try:
        file_info = files.get_file_info(path)
        if file_info.type == FileType.File:
            return [_object(file_info)]
        file_infos = files.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    except OSError as error:
        raise DataError(
            f"{place.url} cannot be read: {error}. Check source.url in config.yaml, and that the environment or the "
            "machine's role gives credentials and AWS_DEFAULT_REGION."
        ) from None
    objects = {item.path: item for item in file_infos if item.type == FileType.File}
    paths = of_one_ending(objects, place.format)
    if not paths:
        raise DataError(
            f"{place.url} holds no object ending in {endings(place.format)}. Check source.url in config.yaml."
        )
    return [_object(objects[path]) for path in paths]


def fetch(place: S3Source, item: Object, folder: Path) -> Path:
    """Return a copy of an object in ``folder``."""
    path = folder / item.path.rsplit("/", 1)[-1]
    with filesystem(place).open_input_stream(item.path, compression=None) as remote, path.open("wb") as local:
        while block := remote.read(1 << 22):
            local.write(block)
    return path


def _object(info: Any) -> Object:
    return Object(info.path, info.size, info.mtime_ns or 0)

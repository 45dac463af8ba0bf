"""Fingerprints of the source, cheap enough for a run that has nothing to do; `outside` has those of other state.

Same fingerprint: the runner may reuse what it computed before. Only the standard library is imported at the top.
"""

import glob
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quire.config import CsvSource, DemoSource, HttpSource, JsonSource, ParquetSource, S3Source, Settings, SqlSource
from quire.errors import DataError

_PACKED = ("", ".gz", ".bz2", ".xz", ".zip")

_ENDINGS = {
    "csv": (".csv", ".tsv", ".tab", ".dat", ".data", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq", ".parq"),
}
"""How the names of the files end that a folder is searched for, in lower case, by the kind of the source."""

_README = "README.md, section 'The data sets', says where the public ones come from."


def source(settings: Settings, as_of: str = "") -> str:
    """Return the SHA-256 of what the use case's source holds now.

    as_of: the logical time of the run, ISO 8601; empty for that of config.yaml.
    demo: its settings. Files: names, sizes and times of change. SQL: all rows of the query. http: what the server says
    of the file (ETag or time of change), else its content. s3: names, sizes and times of change.
    Raises DataError if the source is not there.
    """
    place = settings.config.source
    if isinstance(place, DemoSource):
        return _digest(place.model_dump(mode="json"))
    if isinstance(place, CsvSource | JsonSource | ParquetSource):
        return _digest([(str(path), *_stat(path)) for path in source_files(place, settings.root)])
    if isinstance(place, SqlSource):
        return _sql(place, settings, as_of)
    if isinstance(place, HttpSource):
        return place.sha256 or _http(place)
    return _s3(place)


def source_files(place: CsvSource | JsonSource | ParquetSource, root: Path) -> list[Path]:
    """Return the files of a source, sorted: a file, all below a folder, or those that a glob matches.

    A relative path is one below ``root``. Raises DataError if there is none.
    """
    location = str(root / place.path)
    path = Path(location)
    if path.is_file():
        return [path]
    if path.is_dir():
        visible = (str(item) for item in path.rglob("*") if item.is_file() and _is_visible(item, path))
        files = [Path(name) for name in of_one_ending(visible, place.kind)]
        expected = f"The folder is there, but holds no file ending in {endings(place.kind)}."
    else:
        # Below the root, so that a bracket in the name of the clone's folder is no part of the pattern.
        matches = (root / item for item in glob.glob(place.path, root_dir=root, recursive=True))
        files = [item for item in matches if item.is_file()]
        expected = "Check source.path in config.yaml, and the environment variable QUIRE_DATA if the path uses it."
    if not files:
        raise DataError(f"The source {location} is not there. {expected} {_README}")
    return sorted(files)


def of_one_ending(names: Iterable[str], kind: str) -> list[str]:
    """Return those of ``names`` that end, packed or not, in the first ending of the kind that any has, sorted.

    A folder of CSV files may hold a readme.txt beside them.
    """
    names = sorted(names)
    for ending in _ENDINGS[kind]:
        suffixes = tuple(ending + packed for packed in _PACKED)
        matches = [name for name in names if name.lower().endswith(suffixes)]
        if matches:
            return matches
    return []


def endings(kind: str) -> str:
    """Return the endings that a folder is searched for, as text for a person."""
    return ", ".join(_ENDINGS[kind])


def _is_visible(path: Path, below: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.relative_to(below).parts)


def _stat(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sql(place: SqlSource, settings: Settings, as_of: str) -> str:
    """Hash every row; the sum of the rows' hashes does not depend on the order that the database hands them in."""
    from quire.io import query

    total, rows = 0, 0
    with query.opened(place, as_of or settings.config.as_of, settings.root) as result:
        names = list(result.keys())
        for row in result:
            total += int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest(), "big")
            rows += 1
    return _digest([names, rows, total % 2**256])


def _http(place: HttpSource) -> str:
    from quire.io import download

    headers = download.describe(place.url.get_secret_value())
    if headers:
        return _digest(headers)
    digest = hashlib.sha256()
    for chunk in download.chunks(place.url.get_secret_value()):
        digest.update(chunk)
    return digest.hexdigest()


def _s3(place: S3Source) -> str:
    from quire.io import objects

    return _digest([(item.path, item.size, item.mtime_ns) for item in objects.listed(place)])

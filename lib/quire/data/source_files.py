"""Sources of many rows as Parquet files on this machine, so that they can be taken a chunk at a time.

CSV files are rewritten as Parquet, all text, as `quire.data.source` reads them; objects of S3 are fetched first.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quire.config import CsvSource, ParquetSource, S3Source, Schema, Settings
from quire.data import formats
from quire.data.source import csv_chunks
from quire.io.fingerprint import source_files
from quire.io.frames import ParquetFrame, writer

ROW_BYTES = 20
"""A row of CSV is taken to have at least so many bytes: a bucket that holds less fits into memory unread."""


@dataclass(frozen=True)
class SourceFiles:
    """Parquet files, what to call each in messages, and the decimal mark of numbers that are text."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    decimal: str = "."


@contextmanager
def many_rows(settings: Settings) -> Iterator[SourceFiles | None]:
    """Yield the source's files where they have more than ``memory_rows`` rows, else None; copies go with the block.

    Parquet and CSV, on this machine or in S3; what comes by a query or http is read whole.
    """
    place, most = settings.config.source, settings.config.memory_rows
    with tempfile.TemporaryDirectory(prefix=".staged-", dir=_scratch(settings)) as folder:
        if isinstance(place, ParquetSource):
            files = source_files(place, settings.root)
            many = sum(ParquetFrame(path).rows for path in files) > most
            yield SourceFiles(tuple(files), tuple(map(str, files))) if many else None
        elif isinstance(place, CsvSource):
            files = source_files(place, settings.root)
            if _has_lines(files, most):
                yield _rewritten(files, list(map(str, files)), place, settings.schema, Path(folder))
            else:
                yield None
        elif isinstance(place, S3Source):
            yield _fetched(place, most, settings.schema, Path(folder))
        else:
            yield None


def _scratch(settings: Settings) -> Path:
    folder = settings.outputs / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _has_lines(files: Sequence[Path], most: int) -> bool:
    """Return whether the files have more than ``most`` lines, their headers aside."""
    line_budget = most + len(files)
    for path in files:
        with formats.opened(path) as file:
            while line_budget >= 0 and (block := file.read(1 << 22)):
                line_budget -= block.count(b"\n")
    return line_budget < 0


def _rewritten(
    files: Sequence[Path], names: Sequence[str], place: CsvSource | S3Source, schema: Schema, folder: Path
) -> SourceFiles:
    """Return Parquet files in ``folder`` with the rows of CSV ``files``, one for each."""
    paths = []
    for number, (path, name) in enumerate(zip(files, names, strict=True)):
        paths.append(folder / f"{number:06}.parquet")
        with writer(paths[-1]) as out:
            for chunk in csv_chunks(path, place, schema, where=name):
                out.write(chunk)
    return SourceFiles(tuple(paths), tuple(names), place.decimal)


def _fetched(place: S3Source, most: int, schema: Schema, folder: Path) -> SourceFiles | None:
    """Return the objects as Parquet files in ``folder``, or None where they have at most ``most`` rows."""
    import pyarrow.parquet as pq

    from quire.io import objects

    bucket, s3_objects = objects.filesystem(place), objects.listed(place)
    if place.format == "json":
        return None
    if place.format == "parquet":
        rows = sum(pq.read_metadata(item.path, filesystem=bucket).num_rows for item in s3_objects)
        if rows <= most:
            return None
    elif sum(item.size for item in s3_objects) <= most * ROW_BYTES:
        return None
    files = []
    for number, item in enumerate(s3_objects):
        suffix = ".gz" if item.path.endswith(".gz") else ""
        files.append(folder / f"object-{number:06}.{place.format}{suffix}")
        with bucket.open_input_stream(item.path, compression=None) as remote, files[-1].open("wb") as local:
            while block := remote.read(1 << 22):
                local.write(block)
    names = tuple(f"s3://{item.path}" for item in s3_objects)
    return (
        SourceFiles(tuple(files), names)
        if place.format == "parquet"
        else _rewritten(files, names, place, schema, folder)
    )

"""The snapshot of files that are larger than memory: the same steps, a chunk at a time, through the disk.

Rows are wrangled as they are read and put into bundles on disk: by a hash of the key where equal keys may be far apart
in time, then by time. A bundle fits into memory, so that within it duplicates are dropped and rows sorted by the very
functions that small data take. Memory does not grow with the rows, only the disk that is used meanwhile.
"""

import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.config import Schema, Settings
from quire.data import snapshot, window, wrangle
from quire.data.source import describe, partition
from quire.data.source_files import SourceFiles
from quire.data.wrangle import Change
from quire.errors import DataError
from quire.io.frames import ParquetFrame, Writer

if TYPE_CHECKING:
    from quire.data.snapshot import Ingested

BUNDLE_ROWS = 500_000
"""About how many rows a bundle has; those of one hour, or of one key, stay together however many they are."""

REPORT_ROWS = 200_000
"""Most rows of each frame that are in memory for the report."""

FRAMES = ("train", "test", "current", "labels")
_PLACE = "__place"
_HOUR = 3_600_000_000


@dataclass
class IngestStats:
    """What a pass over the source adds up."""

    read: int = 0
    read_current: int = 0
    rows: int = 0
    dropped: int = 0
    changed: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    left_missing: Counter[str] = field(default_factory=Counter)
    changes: list[tuple[Change, int | None]] = field(default_factory=list)

    def note(self, changes: Iterable[Change], times: pd.Series | None, current: window.Window | None) -> None:
        """Add changes of one chunk, each with how many of its rows are current."""
        changes = list(changes)
        self.dropped += len(snapshot.dropped_rows(changes))
        self.changed += len(snapshot.changed_values(changes))
        for change in changes:
            within = None
            if times is not None and current is not None:
                within = int(current.rows(times.reindex(change.at).dropna()).sum())
            # Which rows they were is no longer needed, and would grow with the rows.
            self.changes.append((replace(change, at=np.empty(0, "int64")), within))

    def as_manifest(self) -> list[dict[str, Any]]:
        """Return the changes added up, as the manifest holds them."""
        current: dict[tuple[str, str, str], int | None] = {}
        for change, within in self.changes:
            place = (change.column, change.rule, change.action)
            before = current.get(place)
            current[place] = within if within is None else within + (before or 0)
        return [
            {**change.to_json(), "rows_current": current[change.column, change.rule, change.action]}
            for change in wrangle.merge_changes(change for change, _ in self.changes)
        ]


def ingest(
    settings: Settings,
    source: SourceFiles,
    as_of: datetime | None,
    *,
    lengths: Mapping[str, str],
    shares: Mapping[str, float],
    seed: int,
) -> "Ingested":
    """Return the snapshot of the ``source``; its frames are samples, the whole is on disk.

    lengths: current, test and train of the windows. shares: test_share and current_share where there is no timestamp.
    """
    schema = settings.schema
    source_name, unused = _look(source, schema)
    scratch = settings.outputs / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix=".ingest-", dir=scratch)
    totals, base = IngestStats(), Path(folder.name)
    at = snapshot.utc(as_of)
    if schema.timestamp:
        hours = _count_hours(source, schema, at)
        if not hours:
            raise DataError(f"{source_name} has no row with a timestamp before as_of. Check as_of and source.")
        at = at or window.end_of(_last(source, schema), schema.frequency)
        windows = window.place_windows(at, **lengths, label_delay=schema.label_delay)
        bundles = _bundles_in_time(source, schema, at, windows, hours, base, totals)
        split: Callable[[pd.DataFrame, int], dict[str, pd.DataFrame]] = lambda frame, _: {  # noqa: E731
            name: frame[interval.rows(frame[schema.timestamp])] for name, interval in windows.items()
        }
    else:
        windows = {}
        bundles = _bundles_by_key(source, schema, at, windows, base, totals)
        split = lambda frame, number: window.split_at_random(frame, schema, **shares, seed=[seed, number])  # noqa: E731
    extents = _write(bundles, split, schema, at, windows, base, totals)
    manifest = {
        "params": settings.name,
        "as_of": at.isoformat() if at is not None else None,
        "source": {"where": source_name, **describe(settings), "unused_columns": list(unused)},
        "rows": totals.rows,
        "split": "time" if schema.timestamp else "random",
        "windows": extents,
        "fingerprint": fingerprint({name: ParquetFrame(base / f"{name}.parquet") for name in FRAMES}),
        "dropped_rows": totals.dropped,
        "changed_values": totals.changed,
        "changes": totals.as_manifest(),
        "read": {"all": totals.read, "current": totals.read_current if schema.timestamp else None},
        "missing": [
            {
                "column": name,
                "before": totals.missing[name] / max(totals.read, 1),
                "after": totals.left_missing[name] / max(totals.rows, 1),
            }
            for name in wrangle.needed(schema)
        ],
    }
    most = min(settings.config.memory_rows, REPORT_ROWS)
    samples = {name: ParquetFrame(base / f"{name}.parquet").sample(most, schema.key) for name in FRAMES}
    return snapshot.Ingested(**samples, manifest=manifest, folder=folder)


def fingerprint(frames: Mapping[str, ParquetFrame]) -> str:
    """Return what `quire.data.snapshot.fingerprint` returns for the same rows in memory."""
    digest = hashlib.sha256()
    for name, frame in frames.items():
        digest.update(f"{name}:{frame.rows}\n".encode())
        for column in frame.columns:
            first = next(frame.chunks([column], rows=1))[column]
            digest.update(f"{column}:{first.dtype}\n".encode())
            for number in range(len(snapshot.value_bytes(first))):
                for chunk in frame.chunks([column]):
                    digest.update(snapshot.value_bytes(chunk[column])[number])
    return digest.hexdigest()


def _look(source: SourceFiles, schema: Schema) -> tuple[str, tuple[str, ...]]:
    """Return the source in words and its columns that are not read; raises DataError where a file lacks columns."""
    unused: tuple[str, ...] = ()
    for path, source_name in zip(source.files, source.names, strict=True):
        own = [name for name in ParquetFrame(path).columns if not name.startswith("__index_level_")]
        header = list(dict.fromkeys([*own, *partition(source_name)]))
        wrangle.check_columns(header, schema, where=source_name)
        known_columns = {
            *wrangle.source_columns(schema),
            *(column.source or name for name, column in schema.columns.items()),
        }
        unused = unused or tuple(name for name in header if name not in known_columns)
    names = source.names
    return (f"{names[0]} and {len(names) - 1} more files" if len(names) > 1 else names[0]), unused


def _raw(source: SourceFiles, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of all files in chunks, indexed by their place in the whole source."""
    start = 0
    for path, source_name in zip(source.files, source.names, strict=True):
        frame = ParquetFrame(path)
        own = [name for name in columns if name in frame.columns]
        parts = {name: value for name, value in partition(source_name).items() if name in columns and name not in own}
        for chunk in frame.chunks(own):
            chunk.index = range(start, start + len(chunk))
            for name, value in parts.items():
                chunk[name] = pd.Series(value or None, chunk.index, dtype="str")
            start += len(chunk)
            yield chunk


def _times(source: SourceFiles, schema: Schema) -> Iterator[pd.Series]:
    column = schema.columns[str(schema.timestamp)]
    keys = [schema.columns[name].source or name for name in schema.key]
    names = [column.source or str(schema.timestamp), *([column.add_hours] if column.add_hours else []), *keys]
    for chunk in _raw(source, list(dict.fromkeys(names))):
        yield wrangle.read_timestamp(chunk, schema, source.decimal).values.dropna()


def _last(source: SourceFiles, schema: Schema) -> pd.Series:
    """Return the last timestamp of the source, as a series of one."""
    return pd.Series([max(times.max() for times in _times(source, schema) if len(times))])


def _count_hours(source: SourceFiles, schema: Schema, as_of: pd.Timestamp | None) -> dict[int, int]:
    """Return how many rows before ``as_of`` each hour has, by hours since 1970."""
    hour_counts: Counter[int] = Counter()
    for times in _times(source, schema):
        within = times if as_of is None else times[times < as_of]
        hours, counts = np.unique(within.astype("int64").to_numpy() // _HOUR, return_counts=True)
        hour_counts.update(dict(zip(hours.tolist(), counts.tolist(), strict=True)))
    return dict(sorted(hour_counts.items()))


def _wrangled(
    source: SourceFiles,
    schema: Schema,
    at: pd.Timestamp | None,
    windows: Mapping[str, window.Window],
    found: IngestStats,
) -> Iterator[pd.DataFrame]:
    """Yield the rows typed and cleaned, indexed by their place in the source, and add up what was done to them."""
    current = windows.get("current")
    for raw in _raw(source, wrangle.source_columns(schema)):
        result = wrangle.wrangle(raw, schema, as_of=at if schema.timestamp else None, decimal=source.decimal)
        found.read += result.read
        found.missing.update(result.missing)
        if result.times is not None and current is not None:
            found.read_current += int(current.rows(result.times).sum())
        found.note(result.changes, result.times, current)
        yield result.frame


def _bundles_in_time(
    source: SourceFiles,
    schema: Schema,
    at: pd.Timestamp,
    windows: Mapping[str, window.Window],
    hours: Mapping[int, int],
    base: Path,
    found: IngestStats,
) -> Iterator[pd.DataFrame]:
    """Yield bundles of consecutive time, each in order and without duplicates."""
    # A bundle ends where its rows are enough.
    numbers = np.cumsum(list(hours.values())) // BUNDLE_ROWS
    starts = np.array([hour for hour, new in zip(hours, np.diff(numbers, prepend=-1), strict=True) if new > 0])

    def numbered(frame: pd.DataFrame) -> np.ndarray:
        at_hour = frame[schema.timestamp].astype("int64").to_numpy() // _HOUR
        return np.searchsorted(starts, at_hour, side="right") - 1

    rows = _wrangled(source, schema, at, windows, found)
    has_time_key = not schema.key or schema.timestamp in schema.key
    if not has_time_key:  # equal keys may be far apart in time
        rows = _without_duplicates(_by_key(rows, schema, sum(hours.values()), base), schema, found, windows)
    for frame in _regrouped(rows, numbered, len(starts), base / "time"):
        bundle = snapshot.in_order(frame, schema)
        yield from _without_duplicates([bundle], schema, found, windows) if has_time_key else [bundle]


def _bundles_by_key(
    source: SourceFiles,
    schema: Schema,
    at: pd.Timestamp | None,
    windows: Mapping[str, window.Window],
    base: Path,
    found: IngestStats,
) -> Iterator[pd.DataFrame]:
    """Yield bundles of rows whose keys are equal or not far apart, without duplicates; as they come without a key."""
    rows = _wrangled(source, schema, at, windows, found)
    if not schema.key:
        yield from rows
        return
    many = sum(ParquetFrame(path).rows for path in source.files)
    for frame in _by_key(rows, schema, many, base):
        yield from _without_duplicates([snapshot.in_order(frame, schema)], schema, found, windows)


def _by_key(rows: Iterable[pd.DataFrame], schema: Schema, many: int, base: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows regrouped so that equal keys are in one frame."""
    bundles = -(-many // BUNDLE_ROWS)

    def numbered(frame: pd.DataFrame) -> np.ndarray:
        hashes = pd.util.hash_pandas_object(frame[list(schema.key)], index=False).to_numpy()
        return (hashes % np.uint64(bundles)).astype("int64")

    for frame in _regrouped(rows, numbered, bundles, base / "key"):
        yield snapshot.in_order(frame, schema)


def _without_duplicates(
    frames: Iterable[pd.DataFrame], schema: Schema, found: IngestStats, windows: Mapping[str, window.Window]
) -> Iterator[pd.DataFrame]:
    for frame in frames:
        rows, repeated = wrangle.drop_duplicates(frame, schema)
        found.note(repeated, frame[schema.timestamp] if schema.timestamp else None, windows.get("current"))
        yield rows


def _regrouped(
    rows: Iterable[pd.DataFrame], numbered: Callable[[pd.DataFrame], np.ndarray], many: int, folder: Path
) -> Iterator[pd.DataFrame]:
    """Yield ``many`` frames of the rows with each number, in the order in which they came, through files on disk."""
    import pyarrow as pa

    folder.mkdir()
    with ExitStack() as stack:
        files: dict[int, Any] = {}
        schema = None
        for frame in rows:
            table = pa.Table.from_pandas(frame.assign(**{_PLACE: frame.index}), schema=schema, preserve_index=False)
            schema = schema or table.schema
            numbers = numbered(frame)
            order = np.argsort(numbers, kind="stable")
            table, numbers = table.take(order), numbers[order]
            edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=many))
            for start, end in itertools.pairwise(edges):
                number = int(numbers[start])
                if number not in files:
                    options = pa.ipc.IpcWriteOptions(compression="lz4")
                    file = pa.ipc.new_stream(str(folder / f"{number}.arrow"), schema, options=options)
                    files[number] = stack.enter_context(file)
                files[number].write_table(table.slice(start, end - start))
    for number in sorted(files):
        path = folder / f"{number}.arrow"
        with pa.ipc.open_stream(str(path)) as stream:
            frame = stream.read_all().to_pandas()
        path.unlink()
        yield frame.set_index(_PLACE).rename_axis(None).sort_index()


def _write(
    bundles: Iterable[pd.DataFrame],
    split: Callable[[pd.DataFrame, int], dict[str, pd.DataFrame]],
    schema: Schema,
    at: pd.Timestamp | None,
    windows: Mapping[str, window.Window],
    base: Path,
    found: IngestStats,
) -> dict[str, dict[str, Any]]:
    """Write the four frames; return start, end and rows of each window."""
    writers = {name: Writer(base / f"{name}.parquet") for name in FRAMES}
    first: pd.Timestamp | None = None
    span: list[pd.Timestamp] = []
    for number, frame in enumerate(bundles):
        found.rows += len(frame)
        found.left_missing.update({str(name): int(count) for name, count in frame.isna().sum().items()})
        parts = split(frame, number)
        times = frame[schema.timestamp] if schema.timestamp else None
        if times is not None and at is not None and len(frame):
            span += [times.min(), times.max()]
            found.note(snapshot.late(frame, schema, windows), times, windows["current"])
            labels = snapshot.known_labels(frame, schema, at)
        else:
            labels = snapshot.labels_of(parts["current"], schema)
        for name in ("train", "test"):
            parts[name], label_changes = snapshot.with_label(parts[name], schema, name)
            found.note(label_changes, times, windows.get("current"))
        if first is None and times is not None and len(parts["train"]):
            first = parts["train"][schema.timestamp].min()
        for name, part in {**parts, "current": parts["current"].drop(columns=schema.target), "labels": labels}.items():
            writers[name].write(part)
    for writer in writers.values():
        writer.close()
    for name in reversed(window.PARTS):
        if not writers[name].rows and windows:
            raise DataError(window.empty(name, windows[name], pd.Series(span)))
    return {name: _extent(writers[name].rows, windows.get(name), first) for name in window.PARTS}


def _extent(rows: int, placed: window.Window | None, first: pd.Timestamp | None) -> dict[str, Any]:
    if placed is None:
        return {"start": None, "end": None, "rows": rows}
    start = placed.start if placed.start is not None else first
    return {"start": start.isoformat() if start is not None else None, "end": placed.end.isoformat(), "rows": rows}

"""The snapshot: what a run knows of the data, typed, split into windows, with a manifest of where it came from.

Frame contract: number float64 (missing NaN); integer Int64; category and text str (missing NaN); boolean boolean;
datetime datetime64[us, UTC]. Columns are those of schema.yaml that are not ignored, in its order.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema, Settings, duration
from quire.data import source_files, window, wrangle
from quire.data.source import SourceFrame, describe, read_source
from quire.data.wrangle import Change
from quire.errors import DataError
from quire.io.artifacts import Run

LABEL_HISTORY = "84d"


@dataclass(frozen=True)
class Ingested:
    """A snapshot in its parts; ``current`` is without the target, ``labels`` has what is known of it and before.

    Of a source larger than memory the frames are samples, and ``folder`` holds the files of the whole until `save`.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    current: pd.DataFrame
    labels: pd.DataFrame
    manifest: dict[str, Any]
    folder: "TemporaryDirectory[str] | None" = None

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The four frames by name."""
        return {"train": self.train, "test": self.test, "current": self.current, "labels": self.labels}

    def save(self, run: Run) -> None:
        """Save the whole frames and the manifest as artifacts of the run."""
        for name, frame in self.frames.items():
            if self.folder is None:
                run.save(name, frame)
            else:
                with run.writing(f"{name}.parquet") as path:
                    os.replace(Path(self.folder.name) / f"{name}.parquet", path)
        run.save("manifest", self.manifest)


def ingest(
    settings: Settings,
    as_of: datetime | None = None,
    *,
    current: str = "7d",
    test: str = "56d",
    train: str = "",
    test_share: float = window.TEST_SHARE,
    current_share: float = 0.1,
    seed: int = 0,
) -> Ingested:
    """Return the snapshot of the use case's source at ``as_of`` (default: the end of the source).

    With a timestamp the windows are ``current``, ``test`` and ``train`` (lengths such as 7d; empty train: all); without
    one the parts are random shares. Parquet and CSV files with more rows than ``memory_rows`` of config.yaml are taken
    a chunk at a time, see `quire.data.large`. Raises DataError if the source or a window is empty.
    """
    shares = {"test_share": test_share, "current_share": current_share}
    lengths = {"current": current, "test": test, "train": train}
    with source_files.many_rows(settings) as files:
        if files is not None:
            from quire.data import large

            return large.ingest(settings, files, as_of, lengths=lengths, shares=shares, seed=seed)
    return ingest_rows(read_source(settings, as_of), settings, as_of, lengths=lengths, shares=shares, seed=seed)


def ingest_rows(
    raw: SourceFrame,
    settings: Settings,
    as_of: datetime | None = None,
    *,
    lengths: Mapping[str, str],
    shares: Mapping[str, float],
    seed: int = 0,
) -> Ingested:
    """Return what `ingest` returns, of rows that were read already.

    lengths: current, test and train of the windows. shares: test_share and current_share where there is no timestamp.
    """
    schema = settings.schema
    result = wrangle.wrangle(raw.frame, schema, as_of=utc(as_of) if schema.timestamp else None, decimal=raw.decimal)
    if result.frame.empty:
        raise DataError(_nothing_left(raw, result, as_of))
    frame, repeated = wrangle.drop_duplicates(in_order(result.frame, schema), schema)
    changes = [*result.changes, *repeated]
    if schema.timestamp:
        end = utc(as_of) or window.end_of(frame[schema.timestamp], schema.frequency)
        at: pd.Timestamp | None = end
        windows = window.place_windows(end, **lengths, label_delay=schema.label_delay)
        parts = window.split_by_time(frame, schema.timestamp, windows)
        labels = known_labels(frame, schema, end)
        changes += late(frame, schema, windows)
    else:
        at, windows = utc(as_of), {}
        parts = window.split_at_random(frame, schema, **shares, seed=seed)
        labels = labels_of(parts["current"], schema)
    for name in ("train", "test"):
        parts[name], label_changes = with_label(parts[name], schema, name)
        changes += label_changes
    parts = {name: part.reset_index(drop=True) for name, part in parts.items()}
    frames = {**parts, "current": parts["current"].drop(columns=schema.target), "labels": labels}
    manifest = {
        "params": settings.name,
        "as_of": at.isoformat() if at is not None else None,
        "source": {"where": raw.where, **describe(settings), "unused_columns": list(raw.unused)},
        "rows": len(frame),
        "split": "time" if schema.timestamp else "random",
        "windows": {name: _extent(part, schema, windows.get(name)) for name, part in parts.items()},
        "fingerprint": fingerprint(frames),
        "dropped_rows": len(dropped_rows(result.changes)) + len(dropped_rows(repeated)),
        "changed_values": len(changed_values(result.changes)),
        "changes": _told(changes, result.times, windows),
        "read": _read_rows(result, windows),
        "missing": _missing(frame, result, schema),
    }
    return Ingested(frames["train"], frames["test"], frames["current"], labels, manifest)


def fingerprint(frames: Mapping[str, pd.DataFrame]) -> str:
    """Return the SHA-256 of the typed content of ``frames``: names, types and values, whatever wrote them."""
    digest = hashlib.sha256()
    for name, frame in frames.items():
        digest.update(f"{name}:{len(frame)}\n".encode())
        for column in frame.columns:
            digest.update(f"{column}:{frame[column].dtype}\n".encode())
            for part in value_bytes(frame[column]):
                digest.update(part)
    return digest.hexdigest()


def known_labels(frame: pd.DataFrame, schema: Schema, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return key, timestamp and target of the rows of the last 12 weeks whose label is known before ``as_of``."""
    times = frame[str(schema.timestamp)]
    since = as_of - pd.Timedelta(duration(LABEL_HISTORY)) - pd.Timedelta(duration(schema.label_delay))
    has_label = (times >= since) & (times + pd.Timedelta(duration(schema.label_delay)) < as_of)
    return labels_of(frame[has_label], schema)


def labels_of(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return key, timestamp and target of the rows that have a label.

    Where rows are matched by their order, for want of a key of their own, those without a label stay.
    """
    names = list(dict.fromkeys((*schema.key, *([schema.timestamp] if schema.timestamp else []), schema.target)))
    by_order = not schema.key or schema.keeps_repeats
    return (frame[names] if by_order else frame.loc[frame[schema.target].notna(), names]).reset_index(drop=True)


def in_order(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the rows sorted by time, then key, then as they come."""
    names = list(dict.fromkeys(([schema.timestamp] if schema.timestamp else []) + list(schema.key)))
    return frame.sort_values(names, kind="stable") if names else frame


def with_label(frame: pd.DataFrame, schema: Schema, part: str) -> tuple[pd.DataFrame, list[Change]]:
    """Return the rows that have a label, and the change that leaves the others out."""
    is_missing = frame[schema.target].isna()
    if not is_missing.any():
        return frame, []
    reason = "a model can neither learn from nor be judged on a row without a label"
    change = Change(
        schema.target,
        "no_label",
        f"row left out of {part}",
        int(is_missing.sum()),
        reason,
        at=frame.index[is_missing].to_numpy(),
    )
    return frame[~is_missing], [change]


def _told(changes: list[Change], times: pd.Series | None, windows: Mapping[str, window.Window]) -> list[dict[str, Any]]:
    """Return the changes as JSON, each with how many of its rows are current; None without a timestamp."""
    records = []
    for change in wrangle.merge_changes(changes):
        current = None
        if times is not None:
            within = times.reindex(change.at).dropna()
            current = int(windows["current"].rows(within).sum())
        records.append({**change.to_json(), "rows_current": current})
    return records


def dropped_rows(changes: Iterable[Change]) -> set[int]:
    """Return the rows that were dropped."""
    return {row for change in changes if "dropped" in change.action for row in change.at}


def changed_values(changes: Iterable[Change]) -> set[tuple[str, int]]:
    """Return the values, by column and row, that wrangling changed in rows that it did not drop."""
    changes = list(changes)
    removed_rows, untouched = dropped_rows(changes), ("duplicate", "no_label", "label_delay")
    altered = [change for change in changes if change.action != "kept" and change.rule not in untouched]
    return {(change.column, row) for change in altered for row in change.at if row not in removed_rows}


def _read_rows(done: wrangle.Wrangled, windows: Mapping[str, window.Window]) -> dict[str, int | None]:
    """Return how many rows were read, before any was dropped: in all, and current."""
    if done.times is None:
        return {"all": done.read, "current": None}
    return {"all": done.read, "current": int(windows["current"].rows(done.times).sum())}


def late(frame: pd.DataFrame, schema: Schema, windows: Mapping[str, window.Window]) -> list[Change]:
    """Return the change by which rows are in no window because their label is not known yet."""
    times = frame[str(schema.timestamp)]
    between = times[(times >= windows["test"].end) & (times < windows["current"].start)]
    if between.empty:
        return []
    reason = f"schema.yaml: label_delay is {schema.label_delay}"
    return [
        Change(
            schema.target,
            "label_delay",
            "row in neither test nor current",
            len(between),
            reason,
            at=between.index.to_numpy(),
        )
    ]


def _extent(part: pd.DataFrame, schema: Schema, placed: window.Window | None) -> dict[str, Any]:
    """Return start, end and rows of a part; train starts with its first row where no length is set."""
    if placed is None:
        return {"start": None, "end": None, "rows": len(part)}
    start = placed.start if placed.start is not None else part[str(schema.timestamp)].min()
    return {"start": start.isoformat(), "end": placed.end.isoformat(), "rows": len(part)}


def _missing(frame: pd.DataFrame, done: wrangle.Wrangled, schema: Schema) -> list[dict[str, Any]]:
    """Return the share of missing values by column, 0 to 1, in the source and in the snapshot."""
    rows = max(done.read, 1)
    return [
        {"column": name, "before": done.missing[name] / rows, "after": float(frame[name].isna().mean())}
        for name in frame.columns
    ]


def _nothing_left(raw: SourceFrame, done: wrangle.Wrangled, as_of: datetime | None) -> str:
    dropped = "; ".join(f"{change.rows} rows: {change.column}, {change.what} ({change.why})" for change in done.changes)
    before = f" before as_of {as_of.isoformat()}" if as_of else ""
    return f"{raw.where} has {len(raw.frame)} rows, but none is left{before}. {dropped or 'Check as_of.'}"


def utc(at: datetime | None) -> pd.Timestamp | None:
    """Return the moment in UTC, or None."""
    return None if at is None else pd.Timestamp(at).tz_convert("UTC")


def value_bytes(values: pd.Series) -> list[bytes]:
    """Return the values as bytes that depend on nothing but them: missing marks apart, texts with their lengths."""
    missing = values.isna().to_numpy(bool)
    if isinstance(values.dtype, pd.StringDtype):
        text = values.fillna("")
        lengths = text.str.len().to_numpy("int64")
        return [missing.tobytes(), lengths.tobytes(), "".join(text.tolist()).encode("utf-8", "surrogatepass")]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return [missing.tobytes(), np.where(missing, 0, values.dt.as_unit("us").astype("int64").to_numpy()).tobytes()]
    kind = {"Int64": "int64", "boolean": "bool"}.get(str(values.dtype), "float64")
    return [missing.tobytes(), values.to_numpy(kind, na_value=False if kind == "bool" else 0).tobytes()]

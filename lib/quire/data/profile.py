"""Profiles: what is kept of data once the rows are gone. One per period, and they merge."""

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.data.moments import Moments, moments_from, moments_of
from quire.data.periods import split_periods
from quire.data.sketches import Kind, kind_of, sketch, whylogs
from quire.errors import ArtifactError

FORMAT = 1
"""Version of the file that `Profiles.write` makes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STAMP = (2000, 1, 1, 0, 0, 0)
"""Time of the entries in the file, fixed so that it does not change what the file's hash says."""


@dataclass(frozen=True)
class ColumnProfile:
    """What is known of one column in one period, without its rows."""

    kind: Kind
    view: Any = field(repr=False)

    def _metric(self, name: str) -> Any:
        return self.view.get_metric(name)

    @property
    def rows(self) -> int:
        """Rows, missing values included."""
        return int(self._metric("counts").n.value)

    @property
    def missing(self) -> int:
        """Missing values."""
        return int(self._metric("counts").null.value)

    @property
    def infinite(self) -> int:
        """Infinite values; they are no part of the distribution."""
        return int(self._metric("counts").inf.value)

    @property
    def zeros(self) -> int:
        """Values that are exactly 0; 0 for a category."""
        metric = self._metric("condition_count")
        return int(metric.matches["zero"].value) if metric else 0

    @property
    def n(self) -> int:
        """Values: neither missing nor infinite."""
        return self.rows - self.missing - self.infinite

    @property
    def distinct(self) -> float:
        """About how many values differ (HyperLogLog, about 2% off from some thousands on)."""
        return float(self._metric("cardinality").estimate or 0.0)

    @property
    def has_distribution(self) -> bool:
        """Whether quantiles and histograms can be asked for: numbers, dates and the length of texts."""
        return self._metric("distribution") is not None

    @property
    def minimum(self) -> float:
        """The smallest value; NaN if there is none."""
        return float(self._sketch.get_min_value()) if self.has_distribution and self.n else float("nan")

    @property
    def maximum(self) -> float:
        """The largest value; NaN if there is none."""
        return float(self._sketch.get_max_value()) if self.has_distribution and self.n else float("nan")

    @property
    def mean(self) -> float:
        """The mean; NaN if there is no value."""
        return float(self._metric("distribution").avg) if self.has_distribution and self.n else float("nan")

    @property
    def deviation(self) -> float:
        """The sample standard deviation; NaN if there is no value."""
        return float(self._metric("distribution").stddev) if self.has_distribution and self.n else float("nan")

    @property
    def _sketch(self) -> Any:
        return self._metric("distribution").kll.value

    def quantiles(self, shares: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the values below which ``shares`` of the column lie, NaN if empty.

        Exact if no frame of more than 32,768 rows went in, else within 0.4 points of rank.
        """
        if not self.n:
            return np.full(len(shares), np.nan)
        return np.asarray(self._sketch.get_quantiles(list(shares)), dtype=float)

    def histogram(self, edges: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return how many values lie in each bin, shape (len(edges) + 1,), as float64.

        edges: ascending inner edges; a bin holds its left edge but not its right one, the outer bins are open.
        Exact if no frame of more than 32,768 rows went in, else each bin within 0.4% of all.
        """
        if not self.n:
            return np.zeros(len(edges) + 1)
        cumulative_counts = (
            np.asarray(self._sketch.get_cdf([float(edge) for edge in edges])) * self.n if len(edges) else [self.n]
        )
        return np.diff(cumulative_counts, prepend=0.0)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How often each value of a category occurs, most frequent first; exact for up to 768 different values."""
        metric = self._metric("frequent_items")
        if metric is None:
            return {}
        items = metric.strings
        return {item.value: int(item.est) for item in sorted(items, key=lambda item: (-item.est, item.value))}

    def merge(self, other: "ColumnProfile") -> "ColumnProfile":
        """Return the profile of both together; neither is changed."""
        return replace(self, view=self.view.merge(other.view))


@dataclass(frozen=True)
class Profile:
    """The columns' profiles of one period. ``start`` <= timestamp < ``end``; both None without a timestamp."""

    start: datetime | None
    end: datetime | None
    rows: int
    columns: Mapping[str, ColumnProfile]
    moments: Moments | None = field(default=None, repr=False)

    def merge(self, other: "Profile") -> "Profile":
        """Return the profile of both periods together; a column that one of them lacks is taken from the other."""
        columns = dict(self.columns)
        for name, column in other.columns.items():
            columns[name] = columns[name].merge(column) if name in columns else column
        starts = [at for at in (self.start, other.start) if at]
        ends = [at for at in (self.end, other.end) if at]
        moments = self.moments.merge(other.moments) if self.moments and other.moments else None
        return Profile(min(starts, default=None), max(ends, default=None), self.rows + other.rows, columns, moments)


@dataclass(frozen=True)
class Profiles:
    """Profiles of consecutive periods, in order of time."""

    periods: tuple[Profile, ...]
    period: str = ""

    def __len__(self) -> int:
        return len(self.periods)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self.periods)

    @property
    def rows(self) -> int:
        """Rows of all periods."""
        return sum(profile.rows for profile in self.periods)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in order of appearance."""
        return tuple(dict.fromkeys(name for profile in self.periods for name in profile.columns))

    def kind(self, column: str) -> Kind:
        """Return how ``column`` was profiled; raises KeyError if it is in no period."""
        return next(profile.columns[column].kind for profile in self.periods if column in profile.columns)

    def merged(self) -> Profile:
        """Return one profile of all periods; raises ArtifactError if there is none."""
        if not self.periods:
            raise ArtifactError("There is no profile to merge: the data had no rows.")
        starts = [profile.start for profile in self.periods if profile.start]
        ends = [profile.end for profile in self.periods if profile.end]
        columns = {name: self.merged_column(name) for name in self.columns}
        return Profile(min(starts, default=None), max(ends, default=None), self.rows, columns, self.moments())

    def merged_column(self, column: str) -> ColumnProfile:
        """Return the profile of one column over all periods; raises KeyError if it is in none."""
        if column not in self._merged:
            profiles = [profile.columns[column] for profile in self.periods if column in profile.columns]
            if not profiles:
                raise KeyError(column)
            self._merged[column] = reduce(ColumnProfile.merge, profiles)
        return self._merged[column]

    @cached_property
    def _merged(self) -> dict[str, ColumnProfile]:
        """Columns over all periods, once merged: many ask for the same one, and each time takes as long."""
        return {}

    def moments(self) -> Moments | None:
        """Return means and products of all periods together; None if a period has none, or others."""
        period_moments = [profile.moments for profile in self.periods]
        merged = period_moments[0] if period_moments else None
        for moments in period_moments[1:]:
            merged = merged.merge(moments) if merged is not None and moments is not None else None
        return merged

    def histograms(self, column: str, edges: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the histogram of ``column`` per period, shape (periods, len(edges) + 1); zeros where absent."""
        return np.stack(
            [_or_zeros(profile, column, len(edges) + 1, lambda profile: profile.histogram(edges)) for profile in self]
        )

    def frequencies(self, column: str, values: Sequence[str]) -> np.ndarray:
        """Return how often each of ``values`` and any other occurs per period, shape (periods, len(values) + 1)."""

        def counted(one: ColumnProfile) -> np.ndarray:
            counts = [one.counts.get(value, 0) for value in values]
            return np.array([*counts, max(one.n - sum(counts), 0)], dtype=float)

        return np.stack([_or_zeros(profile, column, len(values) + 1, counted) for profile in self])

    def between(self, since: datetime | None = None, until: datetime | None = None) -> "Profiles":
        """Return the periods that start at ``since`` or later and end at ``until`` or earlier."""
        periods = [
            profile
            for profile in self.periods
            if (since is None or (profile.start and profile.start >= since))
            and (until is None or (profile.end and profile.end <= until))
        ]
        return replace(self, periods=tuple(periods))

    def __add__(self, other: "Profiles") -> "Profiles":
        return Profiles((*self.periods, *other.periods), self.period or other.period)

    def write(self, path: Path | str) -> Path:
        """Write all into one file, whole or not at all: a zip archive of an index and profiles in whylogs' format."""
        path = Path(path)
        partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with zipfile.ZipFile(partial_path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                _add(archive, "profiles.json", json.dumps(self._index()).encode())
                for number, profile in enumerate(self.periods):
                    _add(archive, f"{number:05}.bin", _serialised(profile))
            os.replace(partial_path, path)
        finally:
            partial_path.unlink(missing_ok=True)
        return path

    def _index(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "period": self.period,
            "periods": [
                {
                    "start": profile.start.isoformat() if profile.start else None,
                    "end": profile.end.isoformat() if profile.end else None,
                    "rows": profile.rows,
                    "kinds": {name: column.kind for name, column in profile.columns.items()},
                    "moments": profile.moments.record() if profile.moments else None,
                }
                for profile in self.periods
            ],
        }


def read_profiles(path: Path | str) -> Profiles:
    """Return the profiles in a file that `Profiles.write` made; raises ArtifactError if it is not one."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read("profiles.json"))
            if index.get("format") != FORMAT:
                raise ArtifactError(
                    f"{path} holds profiles of format {index.get('format')!r}; this version reads {FORMAT}. "
                    "Train again."
                )
            periods = tuple(
                _read_profile(about, archive.read(f"{number:05}.bin")) for number, about in enumerate(index["periods"])
            )
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not there. The train stage writes the profiles of its training data.") from None
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} is not a whole file of profiles ({error}). Run the train stage again.") from error
    return Profiles(periods, index["period"])


def profile_frame(
    frame: pd.DataFrame, schema: Schema, *, start: datetime | None = None, end: datetime | None = None, of: int = 0
) -> Profile:
    """Return the profile of all rows of ``frame``, one column profile per column that is worth keeping.

    Keys and columns with the role ``ignore`` are left out. Columns that the schema does not know, such as
    ``prediction``, are profiled by their dtype. of: rows of the frame that ``frame`` is a period of.
    """
    columns = {
        name: ColumnProfile(kind, sketch(frame[name], kind, of=of)) for name, kind in _kinds(frame, schema).items()
    }
    related = [name for name, column in columns.items() if column.kind == "number" and name in schema.features]
    return Profile(start, end, len(frame), columns, moments_of(frame, related))


def profile_periods(
    frame: pd.DataFrame, schema: Schema, period: str = "7d", *, end: datetime | None = None
) -> Profiles:
    """Return one profile for each ``period`` of ``frame`` that holds rows; a single one without a timestamp.

    Periods are counted back from ``end``, by default the midnight after the last row, so that the last one is whole;
    the first may be shorter. Rows without a timestamp are left out.
    """
    parts = split_periods(frame, schema, period, end=end)
    timed = bool(parts) and parts[0][0] is not None
    profiles = (profile_frame(rows, schema, start=start, end=stop, of=len(frame)) for start, stop, rows in parts)
    return Profiles(tuple(profiles), period if timed else "")


def _kinds(frame: pd.DataFrame, schema: Schema) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name in map(str, frame.columns):
        column = schema.columns.get(name)
        if column is None:
            kinds[name] = kind_of(frame[name])
        elif column.role not in ("key", "ignore"):
            kinds[name] = "number" if column.type == "integer" else column.type
    return kinds


def _or_zeros(profile: Profile, column: str, size: int, count: Any) -> np.ndarray:
    return count(profile.columns[column]) if column in profile.columns else np.zeros(size)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _serialised(profile: Profile) -> bytes:
    # whylogs wants a time for the data and for the profile, none before 1970; the index holds the true ones.
    at = max(profile.start or _EPOCH, _EPOCH)
    columns = {name: column.view for name, column in profile.columns.items()}
    view = whylogs().DatasetProfileView(columns=columns, dataset_timestamp=at, creation_timestamp=at)
    return view.serialize()


def _read_profile(about: Mapping[str, Any], content: bytes) -> Profile:
    view = whylogs().DatasetProfileView.deserialize(content)
    columns = {name: ColumnProfile(kind, view.get_column(name)) for name, kind in about["kinds"].items()}
    times = _moment(about["start"]), _moment(about["end"])
    return Profile(*times, about["rows"], columns, moments_from(about.get("moments")))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def merge_all(many: Iterable[Profiles]) -> Profiles:
    """Return the periods of ``many``, such as those of parallel chunks, merged where they are the same, in order."""
    merged: dict[tuple[datetime | None, datetime | None], Profile] = {}
    period = ""
    for profiles in many:
        period = period or profiles.period
        for profile in profiles:
            key = (profile.start, profile.end)
            merged[key] = merged[key].merge(profile) if key in merged else profile
    floor = datetime.min.replace(tzinfo=UTC)
    return Profiles(tuple(merged[key] for key in sorted(merged, key=lambda key: key[0] or floor)), period)

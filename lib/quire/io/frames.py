"""Frames on disk that may be larger than memory: read in chunks or as a sample, and written piece by piece."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.io import stored_frames

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

CHUNK_ROWS = 250_000
"""Rows that are in memory at a time; also the rows of a group in the files that are written here."""

WHOLE_ROWS = "whole_rows"
"""In ``attrs`` of a frame that is a sample: how many rows the whole has."""


@dataclass(frozen=True)
class ParquetFrame:
    """A frame in a Parquet file."""

    path: Path

    @cached_property
    def rows(self) -> int:
        """How many rows it has; only the file's footer is read."""
        import pyarrow.parquet as pq

        return pq.read_metadata(self.path).num_rows

    def __len__(self) -> int:
        return self.rows

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, those of the index aside."""
        index = stored_frames.index_columns(self._schema)
        return tuple(name for name in self._schema.names if name not in index)

    @cached_property
    def _schema(self) -> "pa.Schema":
        import pyarrow.parquet as pq

        return pq.read_schema(self.path)

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        return stored_frames.read_metadata(self._schema)

    def read(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return all of it."""
        import pandas as pd

        frame = pd.read_parquet(self.path, columns=None if columns is None else list(columns))
        return stored_frames.restore(frame, self._metadata)

    def load(self, most_rows: int, key: Sequence[str] = ()) -> Any:
        """Return the frame, series or index that was saved, or, of one with more than ``most_rows``, a `sample`."""
        return stored_frames.as_given(self.sample(most_rows, key), self._metadata)

    def head(self, rows: int) -> Any:
        """Return the first ``rows`` of the frame, series or index that was saved."""
        frame = next(self._parts(None, rows), None)
        return stored_frames.as_given(self.read() if frame is None else frame, self._metadata)

    def chunks(self, columns: Sequence[str] | None = None, *, rows: int = CHUNK_ROWS) -> Iterator["pd.DataFrame"]:
        """Yield it in order, at most ``rows`` at a time, indexed by place; nothing where it has no rows."""
        start = 0
        for frame in self._parts(columns, rows):
            frame.index = range(start, start + len(frame))
            start += len(frame)
            yield frame

    def _parts(self, columns: Sequence[str] | None, rows: int) -> Iterator["pd.DataFrame"]:
        """Yield it in order, at most ``rows`` at a time, with its own index, or, of one by place, that of the part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = stored_frames.index_columns(self._schema)
        column_names = None if columns is None else [*columns, *(name for name in index if name not in columns)]
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=rows, columns=column_names, use_threads=False):
                yield stored_frames.restore(pa.Table.from_batches([batch]).to_pandas(), self._metadata)

    def sample(self, most_rows: int, key: Sequence[str] = (), columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return all of it if it has at most ``most_rows`` rows, else about as many, in order.

        Rows are chosen by a hash of ``key`` (else of their place), so that it is the same ones every time, and those
        of one frame are found in the sample of another with the same keys. ``attrs`` then hold the whole's rows.
        """
        import pandas as pd

        if self.rows <= most_rows:
            return self.read(columns)
        names = [name for name in key if name in self.columns]
        limit, column_names = int(most_rows / self.rows * 2**64), list(columns or self.columns)
        read = list(dict.fromkeys([*column_names, *names]))
        has_index, start, parts = bool(stored_frames.index_columns(self._schema)), 0, []
        for part in self._parts(read, CHUNK_ROWS):
            place = pd.RangeIndex(start, start + len(part))
            parts.append(part.loc[_hashes(part, names, place) < limit, column_names])
            start += len(part)
        frame = pd.concat(parts, ignore_index=not has_index)
        frame.attrs[WHOLE_ROWS] = self.rows
        return frame


def _hashes(frame: "pd.DataFrame", names: Sequence[str], place: "pd.Index") -> "np.ndarray":
    """Return a hash, uniform in [0, 2**64), of each row's key, else of its place, shape (rows,), as uint64."""
    import pandas as pd

    values: Any = frame[list(names)] if names else place.to_series()
    return pd.util.hash_pandas_object(values, index=False).to_numpy()


class Writer:
    """Writes frames of the same columns one after another into a Parquet file."""

    def __init__(self, path: Path) -> None:
        """path: the file, made with the first frame."""
        self.path = path
        self.rows = 0
        self._file: Any = None

    def write(self, frame: "pd.DataFrame") -> None:
        """Append the rows; the first frame, which may be empty, says what the columns are."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._file.schema if self._file else pa.Schema.from_pandas(frame, preserve_index=False)
        if self._file is None:
            self._file = pq.ParquetWriter(self.path, schema)
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        if len(frame) or not self.rows:
            self._file.write_table(table, row_group_size=CHUNK_ROWS)
        self.rows += len(frame)

    def close(self) -> None:
        """Finish the file."""
        if self._file:
            self._file.close()


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """Yield what writes ``path`` piece by piece; the file is finished when the block ends."""
    parquet_writer = Writer(path)
    try:
        yield parquet_writer
    finally:
        parquet_writer.close()

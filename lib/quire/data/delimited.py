"""Text files that hold a table: how one is laid out, and its rows, every field as text."""

import codecs
import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal

import pandas as pd

from quire.config import Delimited
from quire.data import formats
from quire.errors import DataError
from quire.io.frames import CHUNK_ROWS

SEPARATORS = (",", ";", "\t", "|", "::", "^", "~", r"\s+")
"""Between the fields of a line, the most usual first; the last are spaces and tabs in any number."""

SAMPLE_LINES = 500
HEAD_ROWS = 50


def detect_layout(path: Path) -> Delimited:
    """Return how the lines of a text file hold a table: separator, decimal mark, encoding, header and what is above.

    The whole file is read once for its encoding, and its first `SAMPLE_LINES` lines for the rest.
    """
    encoding = _detect_encoding(path)
    with formats.opened(path) as content:
        lines = [line for _, line in zip(range(SAMPLE_LINES), formats.lines_of(content, encoding), strict=False)]
    separator = _detect_separator(lines)
    rows = split_lines(lines, separator)
    skipped = _count_preamble(rows)
    blank = sum(1 for line in lines if not line.strip())
    if skipped:
        skipped = _line_number(lines, rows, skipped, separator) if blank else skipped
    rows = rows[_count_preamble(rows) :]
    header = _has_header(rows)
    return Delimited(
        separator=separator,
        decimal=_detect_decimal(rows, separator),
        encoding=encoding,
        skip_rows=skipped,
        header=header,
    )


def _detect_encoding(path: Path) -> str:
    """Return utf-8, utf-16, cp1252 or latin-1: the first in which the whole file can be read."""
    with formats.opened(path) as content:
        head = content.read(512)
    if formats.is_utf16(head):
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        return "utf-16-le" if head[1:2] == b"\x00" else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        with formats.opened(path) as content:
            try:
                while block := content.read(1 << 20):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
        return encoding
    return "latin-1"


def split_lines(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the fields of each line that has any, quotes taken off."""
    if separator == r"\s+":
        return [_words(line) for line in lines if line.strip()]
    if len(separator) > 1:
        return [[field.strip('"') for field in line.rstrip("\r\n").split(separator)] for line in lines if line.strip()]
    return [row for row in csv.reader(lines, delimiter=separator, strict=False) if any(field.strip() for field in row)]


def _words(line: str) -> list[str]:
    return [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', line)]


def _detect_separator(lines: Sequence[str]) -> str:
    """Return the separator that gives most lines the same number of fields, two or more; a comma if none does."""
    best, most = ",", 0.0
    for separator in SEPARATORS:
        if separator not in ("\\s+",) and not any(separator in line for line in lines):
            continue
        try:
            rows = split_lines(lines, separator)
            counts = Counter(len(row) for row in (rows[1:] if separator == r"\s+" else rows))
        except csv.Error:
            continue
        if not counts:
            continue
        fields, often = max(counts.items(), key=lambda item: (item[1], item[0]))
        share = often / sum(counts.values())
        # Blanks also stand within texts, so that they must fit every line.
        if fields < 2 or (separator == r"\s+" and share < 0.98):
            continue
        score = share + 0.01 * min(fields, 10)
        if score > most + 1e-9 and (separator != r"\s+" or most < 0.8):
            best, most = separator, score
    return best


def _count_preamble(rows: Sequence[Sequence[str]]) -> int:
    """Return how many rows stand above the table: those before the first with as many fields as most have."""
    if len(rows) < 3:
        return 0
    fields, often = Counter(map(len, rows)).most_common(1)[0]
    if fields < 2 or often < 0.5 * len(rows):
        return 0
    for number, row in enumerate(rows):
        n_filled = sum(1 for field in row if field.strip())
        if len(row) >= fields and n_filled > max(1, 0.5 * len(row)):
            return number
        if len(row) == fields - 1 and n_filled == len(row) and _is_row(rows[number + 1 :], fields):
            return number  # the names, of all columns but that of the rows' names
    return 0


def _is_row(rows: Sequence[Sequence[str]], fields: int) -> bool:
    """Return whether the first of ``rows`` is one of the table's, not its names: a number where others have one."""
    whole = [row for row in rows if len(row) == fields]
    numeric = [at for at in range(fields) if _mostly_numbers([row[at] for row in whole])]
    return bool(numeric) and len(rows[0]) == fields and all(_number(rows[0][at]) is not None for at in numeric)


def _line_number(lines: Sequence[str], rows: Sequence[Sequence[str]], row: int, separator: str) -> int:
    """Return how many lines stand above the row at ``row``, blank ones counted."""
    row_index = -1
    for number, line in enumerate(lines):
        if split_lines([line], separator):
            row_index += 1
        if row_index == row:
            return number
    return row


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds names: no column's first field looks like those below it.

    A row of numbers above numbers is data, and surely with decimals among them, but not one that counts up, such as the
    years of a wide table.
    """
    if len(rows) < 3:
        return True
    first, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if not body or len({field for field in first if field.strip()}) == 0:
        return True
    numeric = [_mostly_numbers([row[at] for row in body]) for at in range(len(first))]
    header_values = [_number(first[at]) for at, is_numeric in enumerate(numeric) if is_numeric]
    numbers = [number for number in header_values if number is not None]
    if not numbers or len(numbers) < len(header_values):
        return True
    steps = {round(after - before, 9) for before, after in pairwise(numbers)}
    if len(numbers) > 2 and steps == {1.0}:
        return True
    if sum(not number.is_integer() for number in numbers) > 1:
        return False
    texts = [at for at, is_numeric in enumerate(numeric) if not is_numeric and first[at].strip()]
    return any(first[at] not in {row[at] for row in body} for at in texts)


def _mostly_numbers(fields: Sequence[str]) -> bool:
    values = [field for field in fields if field.strip()]
    return bool(values) and sum(_number(field) is not None for field in values) >= 0.9 * len(values)


def _number(field: str) -> float | None:
    try:
        return float(field.strip().replace(",", "."))
    except ValueError:
        return None


def _detect_decimal(rows: Sequence[Sequence[str]], separator: str) -> Literal[".", ","]:
    """Return the decimal mark: a comma where more fields have one that parts no thousands than have a point."""
    fields = [field.strip() for row in rows[1:] for field in row]
    commas = sum(bool(re.fullmatch(r"-?\d+,\d+", field)) for field in fields)
    grouped = sum(bool(re.fullmatch(r"-?\d{1,3},\d{3}", field)) for field in fields)
    points = sum(bool(re.fullmatch(r"-?\d+\.\d+", field)) for field in fields)
    mixed = sum(bool(re.fullmatch(r"-?\d{1,3}(\.\d{3})+,\d+", field)) for field in fields)
    if separator == ",":  # such fields are in quotes
        return "," if mixed or (commas - grouped) > max(grouped, 0.5 * points) else "."
    return "," if mixed or (commas > points and commas > grouped) else "."


def read_delimited(
    file: "Path | IO[bytes]", layout: Delimited, columns: Sequence[str] | None, *, where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows, every field as text and missing where empty, with ``columns`` (None: all), and all names.

    Raises DataError for what is not laid out so; `read_names` says which columns there are.
    """
    with _as_table(where, layout.encoding), formats.opened(file, where=where) as content:
        table = _Table(content, layout)
        names = table.names if columns is None else list(columns)
        frame = table.read(names)
    return frame, table.names


def read_names(file: "Path | IO[bytes]", layout: Delimited, *, where: str) -> list[str]:
    """Return the names of the columns."""
    with _as_table(where, layout.encoding), formats.opened(file, where=where) as content:
        return _Table(content, layout).names


def chunks(file: Path, layout: Delimited, *, where: str) -> Iterator[pd.DataFrame]:
    """Yield all columns' rows some at a time, as `read_delimited` returns them; the first frame has no rows."""
    with _as_table(where, layout.encoding), formats.opened(file, where=where) as content:
        table = _Table(content, layout)
        yield pd.DataFrame({name: pd.Series(dtype="str") for name in table.names})
        yield from table.chunks()


class _Table:
    """An open text file with its columns' names.

    Where each line has a field more than the names, the first field has none (as R writes row names), unless the last
    is always empty: then the lines end in a separator.
    """

    def __init__(self, content: IO[bytes], layout: Delimited) -> None:
        self._content = content
        self._options: dict[str, Any] = {
            "sep": layout.separator,
            "encoding": layout.encoding,
            "dtype": "str",
            "keep_default_na": False,
            "skiprows": layout.skip_rows,
            "header": 0 if layout.header else None,
            "compression": None,
        }
        if len(layout.separator) > 1 and layout.separator != r"\s+":
            self._options |= {"engine": "python", "sep": re.escape(layout.separator)}
        head = self._parse(nrows=HEAD_ROWS)
        self._has_index = not isinstance(head.index, pd.RangeIndex)
        if self._has_index and len(head.columns) and (head.iloc[:, -1] == "").all() and len(head):
            self._options["index_col"] = False
            self._has_index = False
        names = [str(name) for name in head.columns]
        if not layout.header:
            names = [f"column_{number}" for number in range(1, len(names) + 1)]
        self.names = ["Unnamed: 0", *names] if self._has_index else names

    def _parse(self, **options: Any) -> Any:
        self._content.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of a line's last, empty field
            return pd.read_csv(self._content, **{**self._options, **options})

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        places = None if self._has_index else sorted({self.names.index(name) for name in columns})
        return self._named(self._parse(usecols=places, na_values=[""]), places)[list(columns)]

    def chunks(self) -> Iterator[pd.DataFrame]:
        with self._parse(na_values=[""], chunksize=CHUNK_ROWS) as parts:
            for part in parts:
                yield self._named(part, None)

    def _named(self, frame: pd.DataFrame, places: Sequence[int] | None) -> pd.DataFrame:
        if self._has_index:
            frame = frame.reset_index()
        frame.columns = pd.Index(self.names if places is None else [self.names[place] for place in places])
        return frame.astype("str")


@contextmanager
def _as_table(where: str, encoding: str) -> Iterator[None]:
    """Say in the block's errors what is wrong with the file."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise DataError(f"{where} is empty: expected a line with the names of the columns, then rows.") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{where} is not the CSV that config.yaml says: {error}. Check source.separator.") from None
    except (UnicodeError, LookupError) as error:
        raise DataError(f"{where} is not {encoding} text: {error}. Set source.encoding, such as cp1252.") from None

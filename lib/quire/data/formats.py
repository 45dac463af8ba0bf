"""What a file is, by its first bytes; its name says nothing."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from quire.errors import DataError

Format = Literal["csv", "parquet", "json", "sqlite"]

_HEAD_BYTES = 4096

_REFUSED = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)", "Open it and save the sheet as CSV"),
    (b"%PDF", "a PDF document", "Export the table as CSV"),
    (b"ARROW1", "an Arrow or Feather file", "Write it as Parquet: pandas.read_feather(...).to_parquet(...)"),
    (b"FEA1", "an old Feather file", "Write it as Parquet: pandas.read_feather(...).to_parquet(...)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "Write the table as Parquet: pandas.read_hdf(...).to_parquet(...)"),
    (b"\x93NUMPY", "a NumPy array", "Write it with named columns as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "Write it as Parquet"),
    (b"ORC", "an ORC file", "Write it as Parquet: pandas.read_orc(...).to_parquet(...)"),
    (b"RDX", "an R workspace", "Write the table from R: write.csv(x, row.names = FALSE)"),
    (b"X\n\x00\x00", "an R object (.rds)", "Write the table from R: write.csv(x, row.names = FALSE)"),
    (b"<stata_dta>", "a Stata file", "Write it as CSV: pandas.read_stata(...).to_csv(...)"),
    (b"$FL2", "an SPSS file", "Write it as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "Unpack it first: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first"),
    (b"Rar!", "a RAR archive", "Unpack it first"),
    (b"\x89PNG", "an image", "A table is expected"),
    (b"\xff\xd8\xff", "an image", "A table is expected"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the data", "Fetch the data: git lfs pull"),
    (b"@relation", "an ARFF file", "Write it as CSV: scipy.io.arff.loadarff(...)"),
)
"""How files begin that are not read, in lower case where that is text; what each is, and what to do."""

_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<table", b"<head", b"<body")


def detect(path: Path) -> Format:
    """Return what kind of table the file holds.

    Raises DataError, naming what it is, for one that is not read, and for an empty one.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise DataError(f"{path} is empty: expected a line with the names of the columns, then rows.")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SQLite format 3\x00"):
        return "sqlite"
    _refuse(path, head)
    with opened(path) as file:
        head = file.read(_HEAD_BYTES)
    _refuse(path, head)
    if head.startswith(b"PAR1"):
        raise DataError(f"{path} is a compressed Parquet file. Unpack it: Parquet compresses its columns itself.")
    return "json" if text_of(head).lstrip().startswith(("{", "[")) and _is_json(path) else "csv"


def _refuse(path: Path, head: bytes) -> None:
    """Raise DataError if a file that begins like this is none that is read."""
    start = head.lstrip()[:64].lower()
    for magic, kind, remedy in _REFUSED:
        if head.startswith(magic) or start.startswith(magic.lower()):
            raise DataError(f"{path} is {kind}, which is not read. {remedy}.")
    if start.startswith(_MARKUP):
        raise DataError(f"{path} is a page of HTML or XML, not a table. Download the data itself, or save it as CSV.")
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        raise DataError(
            f"{path} is a Python pickle, which is not read: opening it can run any code. "
            "Write it as Parquet: pandas.read_pickle(...).to_parquet(...)."
        )
    is_packed = head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK"))
    if not is_packed and b"\x00" in head and not is_utf16(head):
        raise DataError(f"{path} is no text, and no format that is known. Read are CSV, JSON, Parquet and SQLite.")


def is_utf16(head: bytes) -> bool:
    """Return whether the bytes are UTF-16, by its mark, or by every other byte being zero."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    even, odd = head[0:512:2], head[1:512:2]
    return bool(odd) and max(even.count(0), odd.count(0)) > 0.8 * len(odd) and min(even.count(0), odd.count(0)) == 0


def text_of(head: bytes) -> str:
    """Return the text that a file begins with, whatever its encoding; only ASCII is sure to be right."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    if is_utf16(head):
        return head.decode("utf-16-le" if head[1:2] == b"\x00" else "utf-16-be", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _is_json(path: Path) -> bool:
    """Return whether a file that begins like JSON is some: a table's first field may begin with a bracket."""
    from quire.data.documents import is_document

    return is_document(path)


@contextmanager
def opened(file: "Path | IO[bytes]", *, where: str = "") -> Iterator[IO[bytes]]:
    """Yield the content as it was before gzip, bzip2, xz or zip packed it; of a zip archive, that of its only file.

    file: a path, or an open binary file, which is left open. Raises DataError for an archive of several files or of a
    spreadsheet, and for a damaged one.
    """
    name = where or str(file)
    if isinstance(file, Path):
        with file.open("rb") as raw, opened(raw, where=name) as content:
            yield content
        return
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    try:
        if head.startswith(b"\x1f\x8b"):
            yield gzip.GzipFile(fileobj=file)  # type: ignore[misc]  # it has all of IO that is used
        elif head.startswith(b"BZh"):
            yield bz2.BZ2File(file)
        elif head.startswith(b"\xfd7zXZ\x00"):
            yield lzma.LZMAFile(file)  # noqa: SIM115
        elif head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive, name)) as content:
                yield content
        else:
            yield file
    except (gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{name} is damaged, or was not downloaded to its end: {error}. Download it again.") from None


def _only_member(archive: zipfile.ZipFile, where: str) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if "[Content_Types].xml" in names or "mimetype" in names or "Index/Document.iwa" in names:
        raise DataError(f"{where} is a spreadsheet (Excel or alike), which is not read. Save the sheet as CSV.")
    if len(names) != 1:
        files = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(
            f"{where} is an archive of {len(names)} files ({files or 'none'}). Unpack it, and give the file or folder."
        )
    return names[0]


def lines_of(content: IO[bytes], encoding: str) -> Any:
    """Return the lines of text that ``content`` holds, one after another; the mark of UTF-8 is left out."""
    return io.TextIOWrapper(content, "utf-8-sig" if encoding == "utf-8" else encoding, errors="replace", newline="")

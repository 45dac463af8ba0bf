import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import pandas as pd
import pytest

from quire.data import formats
from quire.errors import DataError

ROWS = pd.DataFrame({"a": range(30), "b": [f"x{n % 3}" for n in range(30)]})
CSV = ROWS.to_csv(index=False).encode()


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CSV, "csv"),
        (b"\xef\xbb\xbf" + CSV, "csv"),
        (CSV.decode().encode("utf-16"), "csv"),
        (CSV.decode().encode("utf-16-le"), "csv"),
        (gzip.compress(CSV), "csv"),
        (bz2.compress(CSV), "csv"),
        (lzma.compress(CSV), "csv"),
        (zipped(data__csv=CSV), "csv"),
        (b"[1] a,b\n1,2\n", "csv"),
        (ROWS.to_json(orient="records").encode(), "json"),
        (ROWS.to_json(orient="records", lines=True).encode(), "json"),
        (gzip.compress(ROWS.to_json(orient="records", indent=1).encode()), "json"),
        (b"SQLite format 3\x00" + bytes(90), "sqlite"),
    ],
    ids=range(13),
)
def test_a_file_is_told_by_its_first_bytes_whatever_its_name(tmp_path, content, expected):
    path = tmp_path / "file.dat"
    path.write_bytes(content)
    assert formats.detect(path) == expected


def test_parquet_is_told_without_its_suffix(tmp_path):
    ROWS.to_parquet(tmp_path / "rows.parq")
    assert formats.detect(tmp_path / "rows.parq") == "parquet"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), r"old Excel workbook.*save the sheet as CSV"),
        (zipped(**{"[Content_Types]__xml": "", "xl/workbook__xml": ""}), "is a spreadsheet"),
        (pickle.dumps(ROWS), "is a Python pickle.*can run any code"),
        (b"%PDF-1.7 ...", "is a PDF"),
        (b"<!DOCTYPE html><html>404</html>", "page of HTML"),
        (b"ARROW1" + bytes(90), "Arrow or Feather.*to_parquet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        (zipped(a__csv=CSV, b__csv=CSV), r"archive of 2 files \(a.csv, b.csv\)"),
        (bytes(range(256)) * 4, "no format that is known"),
        (b"  \n", "is empty"),
    ],
    ids=range(10),
)
def test_what_is_not_read_is_refused_by_its_name_with_what_to_do(tmp_path, content, message):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        formats.detect(path)


def test_an_archive_that_was_cut_off_is_told(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(CSV * 50)[:-20])
    with pytest.raises(DataError, match="is damaged, or was not downloaded to its end"), formats.opened(path) as file:
        file.read()

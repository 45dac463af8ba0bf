import numpy as np
import pandas as pd
import pytest

from quire.config import Delimited
from quire.data.delimited import detect_layout, read_delimited, read_names
from quire.errors import DataError

ROWS = pd.DataFrame(
    {
        "name": [f"item {n}, é" for n in range(40)],
        "size": [f"{n}.5" for n in range(40)],
        "kind": ["big", "small"] * 20,
    }
)


def read(path, **changes):
    layout = detect_layout(path)
    frame, names = read_delimited(path, layout.model_copy(update=changes), None, where=str(path))
    assert list(frame.columns) == names == read_names(path, layout, where=str(path))
    return layout, frame


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "::", "^"])
def test_separator_and_encoding_are_found(tmp_path, separator, encoding):
    rows = ROWS.assign(name=ROWS["name"].str.replace(",", " ") + ("€" if encoding == "cp1252" else ""))
    text = "\n".join(separator.join(row) for row in [rows.columns, *rows.to_numpy()]) + "\n"
    (tmp_path / "rows.txt").write_bytes(text.encode(encoding))
    layout, frame = read(tmp_path / "rows.txt")
    assert layout.separator == separator
    pd.testing.assert_frame_equal(frame, rows, check_dtype=False)


def test_blanks_of_any_number_part_fields(tmp_path):
    lines = ["x   kind y", *(f"{n}{' ' * (n % 4 + 1)}{'ab'[n % 2]}  {n * 2}" for n in range(30))]
    (tmp_path / "rows.dat").write_text("\n".join(lines))
    layout, frame = read(tmp_path / "rows.dat")
    assert layout.separator == r"\s+"
    assert frame.iloc[3].tolist() == ["3", "b", "6"]


@pytest.mark.parametrize(
    "above",
    ["Report of sales\n", "Exported 2024-01-01\n\n", "# one\n# two: a, b\n\n# three\n", "Sales,,\nmade,by\n"],
)
def test_lines_above_the_names_are_passed_over(tmp_path, above):
    (tmp_path / "rows.csv").write_text(above + ROWS.to_csv(index=False))
    layout, frame = read(tmp_path / "rows.csv")
    assert layout.skip_rows == above.count("\n")
    assert frame["kind"].tolist() == ROWS["kind"].tolist()


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["a", "b"], *([n, n * 2] for n in range(20))], True),
        ([[n, n * 2.5] for n in range(20)], False),
        ([["M", 0.45, 7], *([("M", "F")[n % 2], n / 7, n] for n in range(20))], False),
        ([["country", 2010, 2011, 2012], *([f"c{n}", n, n, n] for n in range(20))], True),
        ([[0, 1, 2, 3], *([n * 7, n, n % 3, 1] for n in range(20))], True),
        ([["e", "x", "s"], *(["ep"[n % 2], "xb"[n % 2], "sf"[n % 2]] for n in range(20))], True),
    ],
    ids=["names", "numbers", "categories and numbers", "years", "counted columns", "only texts"],
)
def test_a_line_of_names_is_told_from_a_row(tmp_path, rows, header):
    (tmp_path / "rows.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    layout, frame = read(tmp_path / "rows.csv")
    assert layout.header is header
    assert len(frame) == len(rows) - header
    assert header or frame.columns[0] == "column_1"


def test_a_separator_at_the_end_of_each_row_makes_no_column(tmp_path):
    lines = ["a,b,c", *(f"{n},x,{n * 2}," for n in range(30))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    _, frame = read(tmp_path / "rows.csv")
    assert frame.iloc[2].tolist() == ["2", "x", "4"]


def test_names_of_rows_without_a_name_of_their_own_are_a_column(tmp_path):
    lines = ["a b", *(f"row{n} {n} {n * 2}" for n in range(30))]
    (tmp_path / "rows.txt").write_text("\n".join(lines))
    _, frame = read(tmp_path / "rows.txt")
    assert frame.columns.tolist() == ["Unnamed: 0", "a", "b"]
    assert frame.iloc[2].tolist() == ["row2", "2", "4"]


@pytest.mark.parametrize(
    ("fields", "decimal"),
    [
        (["27,3", "24,82", "23,9"], ","),
        (["1.234,5", "2.000,25", "17,0"], ","),
        (["5,720", "12,078", "3,391"], "."),
        (["1.5", "2,000", "2.25"], "."),
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_decimal_comma_is_told_from_one_between_thousands(tmp_path, fields, decimal, separator):
    rows = pd.DataFrame({"day": [f"d{n}" for n in range(30)], "x": fields * 10})
    rows.to_csv(tmp_path / "rows.csv", index=False, sep=separator)
    assert read(tmp_path / "rows.csv")[0].decimal == decimal


def test_only_the_columns_asked_for_are_read_in_their_order(tmp_path):
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    frame, names = read_delimited(tmp_path / "rows.csv", Delimited(), ["kind", "name"], where="rows")
    assert list(frame.columns) == ["kind", "name"]
    assert names == ["name", "size", "kind"]


def test_what_is_not_text_of_the_encoding_is_told(tmp_path):
    (tmp_path / "rows.csv").write_bytes(ROWS.to_csv(index=False).encode("cp1252"))
    with pytest.raises(DataError, match=r"is not utf-8 text.*Set source\.encoding"):
        read_delimited(tmp_path / "rows.csv", Delimited(), None, where="rows.csv")


def test_every_byte_can_be_read(tmp_path):
    junk = bytes(np.arange(0x80, 0x100, dtype="uint8")).replace(b"\x85", b"")
    (tmp_path / "rows.csv").write_bytes(b"a,b\n" + b"".join(b"%d,%s\n" % (n, junk) for n in range(5)))
    assert read(tmp_path / "rows.csv")[0].encoding == "latin-1"

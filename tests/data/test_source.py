import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from quire import data
from quire.config import Config
from quire.data.source import read_place
from quire.errors import DataError

ROWS = pd.DataFrame(
    {
        "order": ["0012", "A2"],
        "at": ["2024-01-01", "2024-01-02"],
        "region": ["north", None],
        "price": ["1.50", " "],
        "sold": ["3", "4"],
        "note": ["not", "needed"],
    }
)
NEEDED = ["order", "at", "region", "price", "sold"]


@pytest.fixture
def source(use_case):
    """Return a function that loads the shop with another source."""
    return lambda text, **more: use_case(config=f"source: {text}\n", **more)


def read(settings, **more):
    return data.read_source(settings, **more).frame


def test_csv_is_read_as_text_and_only_the_columns_of_the_schema(source, tmp_path):
    ROWS.to_csv(tmp_path / "shop.csv", index=False)
    raw = data.read_source(source("{kind: csv, path: shop.csv}"))
    assert raw.frame.columns.tolist() == NEEDED
    assert raw.frame["order"].tolist() == ["0012", "A2"]
    assert raw.frame["price"].tolist() == ["1.50", " "]
    assert raw.frame["region"].isna().tolist() == [False, True]
    assert raw.unused == ("note",)


@pytest.mark.parametrize("path", ["parts", "parts/*.csv", "parts/**/*.csv"])
def test_a_folder_and_a_glob_are_read_in_the_order_of_their_names(source, tmp_path, path):
    (tmp_path / "parts").mkdir()
    for name, number in (("b.csv", 1), ("a.csv", 0)):
        ROWS.iloc[[number]].to_csv(tmp_path / "parts" / name, index=False)
    (tmp_path / "parts" / ".hidden.csv").write_text("x\n1\n")
    assert read(source(f"{{kind: csv, path: '{path}'}}"))["order"].tolist() == ["0012", "A2"]


def test_parquet_is_read_with_its_types_and_only_the_columns_of_the_schema(source, tmp_path):
    ROWS.assign(sold=[3, 4]).to_parquet(tmp_path / "shop.parquet")
    frame = read(source("{kind: parquet, path: shop.parquet}"))
    assert frame.columns.tolist() == NEEDED
    assert frame["sold"].tolist() == [3, 4]


def test_a_column_can_have_another_name_in_the_source(source, tmp_path):
    ROWS.rename(columns={"sold": "Sold (pcs)"}).to_csv(tmp_path / "shop.csv", index=False)
    schema = """
task: regression
columns:
  order: {type: text}
  sold: {type: integer, role: target, source: Sold (pcs)}
"""
    assert read(source("{kind: csv, path: shop.csv}", schema=schema)).columns.tolist() == ["order", "Sold (pcs)"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_is_not_there_is_told_with_what_to_do(source, kind):
    with pytest.raises(DataError, match=r"nowhere.*is not there.*QUIRE_DATA.*README"):
        read(source(f"{{kind: {kind}, path: nowhere.{kind}}}"))


def test_a_folder_without_files_is_told(source, tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(DataError, match=r"holds no file ending in \.csv"):
        read(source("{kind: csv, path: parts}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: expected a line with the names of the columns"),
        ("order,at,region,price,sold\n", "has no rows"),
        ("order,att,region,price,sold\n1,2,3,4,5\n", "lacks 1 of the columns.*'at' is not there. Did you mean 'att'"),
        ('order,at,region,price,sold\n1,"2', "is not the CSV that config.yaml says"),
    ],
)
def test_a_file_that_is_not_as_the_schema_says_is_told(source, tmp_path, text, message):
    (tmp_path / "shop.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(source("{kind: csv, path: shop.csv}"))


def test_text_in_another_encoding_is_told_and_can_be_read(source, tmp_path):
    ROWS.assign(region=["Zürich", "Genève"]).to_csv(tmp_path / "shop.csv", index=False, encoding="latin-1")
    with pytest.raises(DataError, match=r"is not utf-8 text.*Set source\.encoding, such as cp1252"):
        read(source("{kind: csv, path: shop.csv}"))
    frame = read(source("{kind: csv, path: shop.csv, encoding: latin-1}"))
    assert frame["region"].tolist() == ["Zürich", "Genève"]


def test_a_cut_parquet_file_is_told(source, tmp_path):
    ROWS.to_parquet(tmp_path / "shop.parquet")
    (tmp_path / "shop.parquet").write_bytes((tmp_path / "shop.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"shop\.parquet is not a whole Parquet file"):
        read(source("{kind: parquet, path: shop.parquet}"))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "", "b"], ["a", "Unnamed: 1", "b"]),
        (["", " ", "x"], ["Unnamed: 0", "Unnamed: 1", "x"]),
        (["a", "a", "b"], ["a", "a.1", "b"]),
        (["a", "a", "a.1"], ["a", "a.2", "a.1"]),
        (["", "Unnamed: 0", ""], ["Unnamed: 0", "Unnamed: 0.1", "Unnamed: 2"]),
    ],
)
def test_columns_of_parquet_without_a_name_or_with_the_same_are_told_apart(tmp_path, names, labels):
    path = tmp_path / "rows.parquet"
    arrow = pa.Table.from_arrays([pa.array([place]) for place in range(len(names))], names=names)
    parquet.write_table(arrow, path)
    raw = read_place(Config.of({"source": {"kind": "parquet", "path": str(path)}}), tmp_path, None)
    assert raw.frame.iloc[0].to_dict() == {label: place for place, label in enumerate(labels)}


def test_a_field_of_json_without_a_name_gets_one(tmp_path):
    (tmp_path / "rows.json").write_text('[{"a": 1, "": 2}]')
    raw = read_place(Config.of({"source": {"kind": "json", "path": str(tmp_path / "rows.json")}}), tmp_path, None)
    assert raw.frame.iloc[0].to_dict() == {"a": 1, "Unnamed: 1": 2}

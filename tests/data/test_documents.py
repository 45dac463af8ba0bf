import json

import pytest

from quire.data.documents import read_json
from quire.errors import DataError

RECORDS = [{"a": 1, "b": "x", "at": {"city": "Bern"}}, {"a": None, "b": "y", "c": True}, {"a": 3, "b": None}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\n".join(map(json.dumps, RECORDS)) + "\n\n",
        json.dumps({"page": 1, "data": RECORDS}),
        "\ufeff" + json.dumps(RECORDS),
    ],
)
def test_rows_of_any_form_are_one_table(tmp_path, text):
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    frame = read_json(tmp_path / "rows.json", "rows.json")
    assert frame.columns.tolist() == ["a", "b", "at.city", "c"]
    assert frame["a"].astype("object").where(frame["a"].notna(), None).tolist() == [1, None, 3]
    assert frame["b"].tolist()[:2] == ["x", "y"]
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "str", "str", "boolean"]


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2], "b": ["x", "y"]}', '{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}']
)
def test_an_object_of_columns_is_a_table(tmp_path, text):
    (tmp_path / "rows.json").write_text(text)
    assert read_json(tmp_path / "rows.json", "rows.json").to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_values_of_several_types_are_text(tmp_path):
    (tmp_path / "rows.json").write_text('[{"a": 1}, {"a": "x"}, {"a": true}, {"a": 1e400}]')
    assert read_json(tmp_path / "rows.json", "rows")["a"].tolist() == ["1", "x", "true", "Infinity"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "is not JSON that can be read"),
        ("[1, 2]", "is JSON, but no table"),
        ('"text"', "is JSON, but no table"),
        ('{"a": 1}\n{"a": 2\n', "line 2"),
        ('{"a": [1, 2], "b": [1]}', "not equally long"),
        ("", "is empty"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, text, message):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_json(tmp_path / "rows.json", "rows.json")


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x7f", "\x1c"], ids=ascii)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=ascii)
def test_what_ends_a_line_elsewhere_may_stand_in_a_text(tmp_path, mark, end):
    values = [f"a{mark}b", f"{mark}c", "d"]
    text = end.join(json.dumps({"x": value}, ensure_ascii=False) for value in values)
    (tmp_path / "rows.jsonl").write_bytes(text.encode())
    assert read_json(tmp_path / "rows.jsonl", "rows.jsonl")["x"].tolist() == values

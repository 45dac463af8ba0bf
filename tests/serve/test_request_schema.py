"""What a request may hold, and how it is told what is wrong."""

import json
import time

import pytest

from quire.config import Schema
from quire.serve.request_schema import InvalidRequest, RequestSchema

SCHEMA = Schema.model_validate(
    {
        "task": "regression",
        "timezone": "Europe/Berlin",
        "columns": {
            "name": {"type": "text", "role": "key"},
            "model_x": {"type": "number", "minimum": 0, "maximum": 1, "unit": "m"},
            "Total Size": {"type": "integer", "minimum": 0},
            "season": {"type": "category", "categories": (1, 2)},
            "vip": {"type": "boolean", "categories": ("No", "Yes")},
            "fee": {"type": "number", "on_missing": "fill", "fill": 5.0},
            "at": {"type": "datetime", "nullable": True},
            "y": {"type": "number", "role": "target"},
        },
    }
)
GOOD = {"model_x": 0.5, "Total Size": 3, "season": 1, "vip": "Yes", "at": "2026-07-01T12:00"}


@pytest.fixture
def contract():
    return RequestSchema(SCHEMA, max_rows=3)


def problems(contract, body):
    with pytest.raises(InvalidRequest) as caught:
        contract.parse(body if isinstance(body, bytes) else json.dumps(body).encode())
    return {problem.field: problem for problem in caught.value.problems}


def test_a_row_is_its_features_in_the_order_of_the_schema(contract):
    (given,), many = contract.parse(json.dumps(GOOD | {"name": "Ann"}).encode())
    assert not many
    assert given.row[:5] == (0.5, 3.0, "1", "true", 5.0)
    assert given.row[5].isoformat() == "2026-07-01T10:00:00+00:00"
    assert given.key == "Ann"


@pytest.mark.parametrize("form", [1, "1"])
@pytest.mark.parametrize("vip", [True, "true", "Yes"])
def test_a_category_and_a_boolean_may_be_written_in_each_of_their_forms(contract, form, vip):
    row = contract.read(GOOD | {"season": form, "vip": vip}).row
    assert (row[2], row[3]) == ("1", "true")


@pytest.mark.parametrize(
    ("field", "sent", "allowed"),
    [
        ("model_x", 2, "a number from 0 to 1 (m)"),
        ("model_x", "0.5", "a number from 0 to 1 (m)"),
        ("model_x", True, "a number from 0 to 1 (m)"),
        ("model_x", None, "a number from 0 to 1 (m)"),
        ("Total Size", 3.5, "a whole number of at least 0"),
        ("season", 3, "1, 2"),
        ("vip", "maybe", "true, false, No, Yes"),
        ("at", "yesterday", "a time in ISO 8601, such as 2026-03-01T12:00:00Z, from 1700 to 2200 or null"),
        ("at", "0001-01-01T00:00:00Z", "a time in ISO 8601, such as 2026-03-01T12:00:00Z, from 1700 to 2200 or null"),
        ("name", "a\x00b", "text of 1 to 10000 characters or null"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_sent_and_what_is_allowed(contract, field, sent, allowed):
    found = problems(contract, GOOD | {field: sent})
    assert list(found) == [field]
    assert found[field].sent == sent
    assert found[field].allowed == allowed


def test_every_field_that_is_wrong_is_named_and_an_unknown_one_with_its_near_match(contract):
    found = problems(contract, {"season": 9, "Total Sise": 1})
    assert set(found) == {"model_x", "Total Size", "season", "vip", "Total Sise"}
    assert "Did you mean 'Total Size'?" in found["Total Sise"].allowed


def test_the_target_cannot_be_sent(contract):
    assert "no such field" in problems(contract, GOOD | {"y": 1})["y"].allowed


def test_one_bad_row_of_many_rejects_them_all_and_is_numbered(contract):
    found = problems(contract, {"rows": [GOOD, GOOD | {"season": 7}]})
    assert found["season"].row == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b'{"rows": []}', b'{"rows": 1}'])
def test_a_body_of_another_form_is_told_the_form(contract, body):
    (found,) = problems(contract, body).values()
    assert "JSON" in found.allowed or "rows" in found.allowed


def test_more_rows_than_allowed_are_rejected(contract):
    assert "1 to 3" in problems(contract, {"rows": [GOOD] * 4})["rows"].allowed


def test_nan_and_infinity_are_no_numbers(contract):
    assert set(problems(contract, b'{"model_x": NaN, "Total Size": 1e999, "season": 1, "vip": true}')) == {
        "model_x",
        "Total Size",
    }


def test_only_a_whole_key_is_a_key(contract):
    assert contract.read(GOOD).key == ""


@pytest.mark.parametrize("value", ["rows", '"rows"', '{"rows": [1]}', "feedback", "body"])
def test_a_value_is_no_word_of_the_protocol(value):
    schema = Schema.model_validate(
        {
            "task": "regression",
            "columns": {
                "layout": {"type": "category", "categories": (value, "columns")},
                "name": {"type": "text", "role": "key"},
                "y": {"type": "number", "role": "target"},
            },
        }
    )
    row = {"layout": value, "name": value}
    for body, many in (({"rows": [row]}, True), (row, False)):
        for space in (None, 2):
            (given,), found = RequestSchema(schema).parse(json.dumps(body, indent=space).encode())
            assert (given.row, given.key, found) == ((value,), value, many)


def test_a_column_may_be_named_rows():
    columns = {"rows": {"type": "number"}, "y": {"type": "number", "role": "target"}}
    contract = RequestSchema(Schema.model_validate({"task": "regression", "columns": columns}))
    assert contract.parse(b'{"rows": 3}')[1] is False
    given, many = contract.parse(b'{"rows": [{"rows": 3}, {"rows": 4}]}')
    assert ([one.row for one in given], many) == ([(3.0,), (4.0,)], True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"\\u0072ows": [%s]}',
        b' \n{ "rows" :\t[%s] }',
        b'{"rows": [], "rows": [%s]}',
        b'{"rows": [%s]}' + b" " * 20_000,
    ],
)
def test_rows_are_rows_however_they_are_written(contract, body):
    given, many = contract.parse(body % json.dumps(GOOD).encode())
    assert (len(given), many) == (1, True)


def test_a_long_body_is_parsed_as_a_short_one_is():
    contract = RequestSchema(SCHEMA)
    rows = [GOOD | {"Total Size": number, "name": f"n{number}"} for number in range(400)]
    given, many = contract.parse(json.dumps({"rows": rows}).encode())
    assert many
    assert given == [contract.parse(json.dumps(row).encode())[0][0] for row in rows]


@pytest.mark.parametrize(("length", "is_taken"), [(1_024, True), (1_025, False), (9_999, False)])
@pytest.mark.parametrize("many", [True, False])
def test_a_key_that_the_database_cannot_hold_is_refused_by_itself(length, is_taken, many):
    contract = RequestSchema(SCHEMA)
    for text in ("a" * length, "é" * (length // 2) + "a" * (length % 2)):
        row = GOOD | {"name": text}
        body = {"rows": [GOOD] * 20 + [row]} if many else row
        if is_taken:
            contract.parse(json.dumps(body).encode())
            continue
        (found,) = problems(contract, body).values()
        assert (found.row, found.field) == (20 if many else 0, "name")
        assert "1024 bytes" in found.allowed


def test_a_number_that_models_cannot_compute_with_is_refused(contract):
    for number in ("1e39", "-1e300", "1.8e308", "1" * 400, "NaN", "-Infinity"):
        body = json.dumps(GOOD | {"fee": "@"}).replace('"@"', number).encode()
        assert list(problems(contract, body)) in (["fee"], ["body"]), number


def wide(columns, categories=2):
    """A schema of many columns."""
    numbers = {f"column_{number}": {"type": "number"} for number in range(columns)}
    kinds = {"kind": {"type": "category", "categories": tuple(f"kind {number}" for number in range(categories))}}
    target = {"y": {"type": "number", "role": "target"}}
    return Schema.model_validate({"task": "regression", "columns": {**numbers, **kinds, **target}})


LIMIT = 1_048_576


def filled(make):
    """Return the longest of a kind of body that is within the limit."""
    count = 1
    while len(make(2 * count)) <= LIMIT:
        count *= 2
    return make(count)


def good(columns):
    return {**{f"column_{number}": 1.5 for number in range(columns)}, "kind": "kind 0"}


WORST = {
    "unknown fields": lambda n: filled(lambda m: json.dumps({f"k{i}": 1 for i in range(m)}).encode()),
    "near names": lambda n: filled(lambda m: json.dumps({f"column_{i}x": 1 for i in range(m)}).encode()),
    "a few near names": lambda n: json.dumps({f"column_{i}x": 1 for i in range(800)}).encode(),
    "long names": lambda n: filled(lambda m: json.dumps({f"{i}" + "column_" * 100: 1 for i in range(m)}).encode()),
    "one long name": lambda n: b'{"' + b"\\u0041" * 170_000 + b'": 1}',
    "wrong types": lambda n: filled(lambda m: json.dumps({"rows": [dict.fromkeys(good(n), "x")] * m}).encode()),
    "long texts": lambda n: filled(lambda m: json.dumps({"rows": [{"kind": "x" * 5_000}] * m}).encode()),
    "categories": lambda n: json.dumps({"rows": [good(n) | {"kind": "?"}] * (900 if n < 50 else 100)}).encode(),
    "empty rows": lambda n: json.dumps({"rows": [{}] * 1_000}).encode(),
    "too many rows": lambda n: b'{"rows": [' + b"{}," * 340_000 + b"{}]}",
    "rows of unknown fields": lambda n: json.dumps({"rows": [{f"f{i}": 0 for i in range(80)}] * 1_000}).encode(),
    "deep lists": lambda n: b"[" * 500_000 + b"]" * 500_000,
    "deep objects": lambda n: b'{"column_0":' * 80_000,
    "many lists": lambda n: b"[" + b"[]," * 340_000 + b"[]]",
    "lists in a field": lambda n: b'{"column_0": [' + b"[]," * 340_000 + b"[]]}",
    "objects in a field": lambda n: b'{"column_0": [' + b"{}," * 340_000 + b"{}]}",
    "a few objects in a field": lambda n: b'{"column_0": [' + b"{}," * 5_000 + b"{}]}",
    "duplicate keys": lambda n: b"{" + b'"column_0":1,' * 80_000 + b'"column_0":1}',
    "a long number": lambda n: b'{"column_0": ' + b"1" * 1_000_000 + b"}",
    "long numbers": lambda n: b'{"kind": [' + (b"1" * 4_299 + b",") * 240 + b"1]}",
    "digits": lambda n: b'{"column_0": 1.' + b"3" * 1_000_000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("kind", WORST)
@pytest.mark.parametrize(("columns", "categories"), [(13, 2), (13, 5_000), (300, 2)])
def test_the_work_for_a_bad_body_is_bounded_by_what_is_listed(kind, columns, categories):
    contract = RequestSchema(wide(columns, categories))
    body = WORST[kind](columns)
    began = time.thread_time()
    with pytest.raises(InvalidRequest) as caught:
        contract.parse(body)
    # Twenty times less than it took before; on a machine without other work a tenth of this.
    assert time.thread_time() - began < 0.5
    listed = caught.value.problems
    assert 1 <= len(listed) <= 50
    assert all(len(one.field) <= 100 and len(str(one.sent)) <= 100 for one in listed)
    assert sum(len(one.allowed) for one in listed) < 200_000


def test_near_names_are_searched_for_a_bounded_number_of_unknown_fields(monkeypatch):
    compared = []
    from quire.serve import request_errors as wording

    def counted(name, known):
        compared.extend(known)
        return ""

    monkeypatch.setattr(wording, "near", counted)
    for columns in (13, 300, 3_000):
        compared.clear()
        contract = RequestSchema(wide(columns))
        assert len(problems(contract, {f"column_{number}x": 1 for number in range(5_000)})) == 50
        assert len(compared) <= 1_000 + columns + 1

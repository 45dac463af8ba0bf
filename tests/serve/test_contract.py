"""What a request may hold, and how it is told what is wrong."""

import json

import pytest

from quire.config import Schema
from quire.serve.contract import Contract, Rejected

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
    return Contract(SCHEMA, max_rows=3)


def problems(contract, body):
    with pytest.raises(Rejected) as caught:
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

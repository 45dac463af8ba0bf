import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from quire.config import Column, Schema, label
from quire.config.expectations import expectation_arguments, expectation_types
from quire.config.schema import Expectation
from quire.config.yaml import Document, escape, expand
from quire.data.expectations import _INTERNAL
from quire.errors import ConfigError

MINIMAL = {"y": Column(type="number", role="target"), "x": Column(type="number")}


def schema(task="regression", columns=None, **settings):
    return Schema(task=task, columns={**MINIMAL, **(columns or {})}, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "text", "minimum": 0}, "minimum and maximum are for numbers"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "an impossible range: minimum 2 is above maximum 1"),
        ({"type": "number", "categories": (1, 2)}, "categories are for type"),
        ({"type": "boolean", "categories": (1,)}, "two categories"),
        ({"type": "text", "role": "timestamp"}, "must be of type 'datetime'"),
        ({"type": "text", "format": "%Y"}, "are for type 'datetime'"),
        ({"type": "number", "on_missing": "fill"}, "go together"),
        ({"type": "number", "fill": 1}, "go together"),
        ({"type": "text", "role": "ignore", "key": True}, "is for a feature or the timestamp"),
        ({"type": "number", "role": "festure"}, "Input should be"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Column(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"y": Column(type="number")}}, "no column has the role 'target'"),
        ({"columns": {"x": Column(type="number", role="ignore")}}, "no column has the role 'feature'"),
        (
            {"columns": {"z": Column(type="number", role="target")}},
            "one column may have the role 'target', but y, z have",
        ),
        ({"columns": {"y": Column(type="text", role="target")}}, "a regression needs a numeric target"),
        ({"task": "binary"}, "a binary target is of type"),
        ({"task": "multiclass"}, "a multiclass target is of type 'category'"),
        ({"segments": ("regoin",), "columns": {"region": Column(type="text")}}, "Did you mean 'region'"),
        (
            {"task": "binary", "columns": {"y": Column(type="category", role="target")}},
            "needs positive: the value of the target",
        ),
        (
            {
                "task": "binary",
                "positive": "yes",
                "columns": {"y": Column(type="category", role="target", categories=("No", "Yes"))},
            },
            "positive is 'yes', which y cannot be.*Did you mean 'Yes'",
        ),
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        schema(**settings)


def test_the_key_is_that_of_its_role_else_the_timestamp_else_none():
    at, shop = Column(type="datetime", role="timestamp"), Column(type="text", role="key")
    assert schema().key == ()
    assert schema(columns={"at": at}).key == ("at",)
    assert schema(columns={"at": at, "shop": shop}).key == ("shop",)
    both = at.model_copy(update={"key": True})
    assert schema(columns={"at": both, "shop": shop}).key == ("shop", "at")


def test_a_timestamp_is_a_feature_only_with_a_calendar():
    plain = Column(type="datetime", role="timestamp")
    assert schema(columns={"at": plain}).features == ("x",)
    assert "at" in schema(columns={"at": plain.model_copy(update={"calendar": ("hour",)})}).features


def test_an_unknown_expectation_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="Did you mean 'expect_column_values_to_be_between'"):
        Expectation(type="expect_column_value_to_be_between")


def test_the_known_expectations_are_those_of_great_expectations():
    pytest.importorskip("great_expectations")
    from great_expectations.expectations import registry

    kinds = registry.list_registered_expectation_implementations()
    assert set(kinds) <= set(expectation_types())
    for kind in kinds:
        takes = set(registry.get_expectation_impl(kind).__fields__) - _INTERNAL - {"library_metadata"}
        assert set(expectation_arguments(kind)) == takes, kind


def test_an_unknown_argument_of_an_expectation_is_refused_with_those_there_are():
    with pytest.raises(ValidationError, match=r"takes no argument 'min_valu'; .*Did you mean 'min_value'"):
        Expectation(type="expect_column_mean_to_be_between", kwargs={"min_valu": 1})


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_values_to_be_unique", {"column": "z"}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "x", "column_B": "z"}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["x", "z"]}),
    ],
)
def test_an_expectation_of_an_unknown_column_is_refused(kind, kwargs):
    one = Expectation(type=kind, kwargs=kwargs)
    with pytest.raises(ValidationError, match="names 'z', which is no column"):
        schema(expectations=(one,))


@given(st.integers(-(10**9), 10**9))
def test_a_category_has_one_label_whether_whole_or_real(number):
    assert label(number) == label(float(number)) == label(str(number))


def test_labels_of_booleans_are_in_lower_case():
    assert (label(True), label(False)) == ("true", "false")


def test_an_entity_cannot_be_changed():
    with pytest.raises(ValidationError):
        schema().task = "binary"
    assert TypeAdapter(Schema).validate_python(schema()).task == "regression"


@pytest.mark.parametrize(
    ("name", "columns", "task"),
    [
        ("prediction", {}, "regression"),
        ("probability", {}, "regression"),
        ("actual", {}, "regression"),
        ("window", {}, "regression"),
        ("model_version", {}, "regression"),
        ("probability_b", {}, "multiclass"),
        ("at_hour", {"at": {"type": "datetime", "role": "timestamp", "calendar": ["hour"]}}, "regression"),
        ("seen_elapsed_days", {"seen": {"type": "datetime"}}, "regression"),
    ],
)
def test_a_name_that_quire_gives_to_a_column_of_its_own_is_refused_with_line_and_remedy(tmp_path, name, columns, task):
    kind = {"type": "number"} if task == "regression" else {"type": "category", "categories": ["a", "b", "c"]}
    columns = {**columns, "x": {"type": "number"}, name: {"type": "number"}, "y": {**kind, "role": "target"}}
    lines = ["columns:", *(f"  {key}: {json.dumps(value)}" for key, value in columns.items()), f"task: {task}"]
    document = Document(tmp_path / "schema.yaml", "\n".join(lines))
    line = list(columns).index(name) + 2
    with pytest.raises(ConfigError, match=rf"schema.yaml:{line}: columns.{name}: .*source_{name}: {{source: {name}"):
        document.read(Schema)
    columns[f"source_{name}"] = {**columns.pop(name), "source": name}
    assert f"source_{name}" in Schema.of({"task": task, "columns": columns}).features


def test_a_name_of_a_column_that_is_not_read_is_free():
    columns = {"prediction": {"type": "text", "role": "ignore"}, "x": {"type": "number"}}
    Schema.of({"task": "regression", "columns": {**columns, "y": {"type": "number", "role": "target"}}})


def test_part_of_the_key_stays_a_feature_where_it_says_so():
    columns = {
        "store": {"type": "category", "key": True},
        "receipt": {"type": "text", "role": "key"},
        "day": {"type": "datetime", "role": "timestamp", "key": True},
        "y": {"type": "number", "role": "target"},
    }
    schema = Schema.of({"task": "regression", "columns": columns})
    assert schema.key == ("store", "receipt", "day")
    assert schema.features == ("store",)


def test_what_is_wrong_with_the_whole_is_told_without_the_file(tmp_path):
    document = Document(tmp_path / "schema.yaml", "task: regression\ncolumns:\n  y: {type: number, role: target}\n")
    with pytest.raises(ConfigError, match=r"schema.yaml:1: no column has the role 'feature'\.$"):
        document.read(Schema)


@pytest.mark.parametrize("text", ["${size}", "${HOME}", "$5", "${a:-b}", "$${x}"])
def test_a_dollar_in_the_schema_is_text(tmp_path, text):
    column = {"type": "category", "categories": [text, "b"]}
    columns = {"x": column, "y": {"type": "number", "role": "target"}}
    document = Document(tmp_path / "schema.yaml", json.dumps({"task": "regression", "columns": columns}))
    assert document.read(Schema).columns["x"].labels == (text, "b")
    assert expand(escape(text), {"HOME": "/root"}, where="") == text

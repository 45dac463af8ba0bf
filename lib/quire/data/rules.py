"""What must hold of the snapshot: rules that the schema implies, and the expectations that schema.yaml adds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quire.config import Column, Expectation, Schema
from quire.data.wrangle import needed

Severity = Literal["warn", "fail"]

TYPES = {
    "number": "float64",
    "integer": "int64",
    "boolean": "bool",
    "category": "str",
    "text": "str",
    "datetime": "Timestamp",
}
"""How Great Expectations calls the values of a column of each type."""

PARTS = {
    "train": ("train",),
    "history": ("train", "test"),
    "current": ("current",),
    "all": ("train", "test", "current"),
}
"""Parts of the snapshot that rules are about, and the frames each consists of."""


@dataclass(frozen=True)
class Rule:
    """One expectation about one part of the snapshot.

    tolerance: the share of rows, 0 to 1, that may break it and only warn; none for expectations of schema.yaml, where
    ``mostly`` says it. origin: ``schema`` where implied, ``expectations`` where written in schema.yaml.
    """

    part: str
    column: str | None
    type: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "fail"
    tolerance: float = 0.0
    origin: Literal["schema", "expectations"] = "schema"
    why: str = ""


def implied_rules(schema: Schema, *, tolerance: float) -> list[Rule]:
    """Return the rules that types, nullability, ranges, categories, key and target of the schema imply."""
    rules = [rule for name in needed(schema) for rule in _column_rules(name, schema, tolerance)]
    if schema.key:
        rules.append(_key_rule(schema))
    kind = "one class" if schema.task != "regression" else "one value"
    reason = f"a model cannot learn from {kind}"
    several = {"min_value": 2}
    rules.append(Rule("train", schema.target, "expect_column_unique_value_count_to_be_between", several, why=reason))
    return rules


def written_rules(schema: Schema, *, is_about_rows: Mapping[str, bool]) -> list[Rule]:
    """Return the expectations of schema.yaml as rules.

    is_about_rows: whether an expectation of a type judges each row's values, by type.
    """
    rules: list[Rule] = []
    for name, column in schema.columns.items():
        for expectation in column.expectations:
            rules += _written(expectation, name, schema, is_about_rows[expectation.type])
    for expectation in schema.expectations:
        rules += _written(expectation, expectation.kwargs.get("column"), schema, is_about_rows[expectation.type])
    return rules


def _column_rules(name: str, schema: Schema, tolerance: float) -> Iterator[Rule]:
    column = schema.columns[name]
    strict = name in schema.key or name == schema.timestamp
    yield Rule("history", name, "expect_column_values_to_be_of_type", {"type_": TYPES[column.type]}, why="type")
    for part in ("history",) if name == schema.target else ("history", "current"):
        for kind, kwargs, reason in _statements(column):
            yield Rule(part, name, kind, kwargs, column.severity, 0.0 if strict else tolerance, why=reason)


def _statements(column: Column) -> Iterator[tuple[str, dict[str, Any], str]]:
    if column.nullable:
        some = {"min_value": 0, "strict_min": True}
        reason = "a column without any value says nothing"
        yield "expect_column_proportion_of_non_null_values_to_be_between", some, reason
    else:
        yield "expect_column_values_to_not_be_null", {}, "nullable: false"
    if column.minimum is not None or column.maximum is not None:
        kwargs = {"min_value": column.minimum, "max_value": column.maximum}
        yield "expect_column_values_to_be_between", kwargs, "minimum and maximum"
    if column.labels and column.type == "category":
        yield "expect_column_values_to_be_in_set", {"value_set": list(column.labels)}, "categories"


def _key_rule(schema: Schema) -> Rule:
    severity: Severity = "warn" if schema.on_duplicate == "keep" else key_severity(schema)
    if len(schema.key) == 1:
        return Rule("all", schema.key[0], "expect_column_values_to_be_unique", {}, severity, why="key of the rows")
    columns = {"column_list": list(schema.key)}
    return Rule("all", None, "expect_compound_columns_to_be_unique", columns, severity, why="key of the rows")


def key_severity(schema: Schema) -> Severity:
    """Return what repeated keys mean: ``warn`` where every column of the key says so, as a guessed one does."""
    return "warn" if schema.key and all(schema.columns[name].severity == "warn" for name in schema.key) else "fail"


def _written(one: Expectation, column: str | None, schema: Schema, is_about_rows: bool) -> list[Rule]:
    on = one.on or ("both" if is_about_rows else "history")
    parts = ["history", "current"] if on == "both" else [on]
    if schema.target in (column, *one.columns):
        parts = [part for part in parts if part != "current"]
    kwargs = {key: value for key, value in one.kwargs.items() if key != "column"}
    if one.mostly is not None:
        kwargs["mostly"] = one.mostly
    return [Rule(part, column, one.type, kwargs, one.severity, 0.0, "expectations", one.why) for part in parts]

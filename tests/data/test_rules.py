from quire.config import Column, Expectation, Schema
from quire.data import rules


def schema(**columns):
    base = {"y": Column(type="integer", role="target"), "x": Column(type="number")}
    extra = {name: columns.pop(name) for name in list(columns) if not isinstance(columns[name], Column)}
    return Schema(task="regression", columns={**base, **columns}, **extra)


def told(table, **options):
    return {(rule.part, rule.column, rule.type) for rule in rules.implied_rules(table, tolerance=0.05, **options)}


def test_a_column_implies_its_type_presence_range_and_categories():
    table = schema(
        x=Column(type="number", minimum=0),
        z=Column(type="category", categories=(1, "b"), nullable=True),
    )
    found = told(table)
    assert ("history", "x", "expect_column_values_to_be_of_type") in found
    for part in ("history", "current"):
        assert (part, "x", "expect_column_values_to_not_be_null") in found
        assert (part, "x", "expect_column_values_to_be_between") in found
        assert (part, "z", "expect_column_values_to_be_in_set") in found
        assert (part, "z", "expect_column_proportion_of_non_null_values_to_be_between") in found
        assert (part, "z", "expect_column_values_to_not_be_null") not in found
    sets = [rule.kwargs for rule in rules.implied_rules(table, tolerance=0) if rule.type.endswith("in_set")]
    assert sets == [{"value_set": ["1", "b"]}] * 2


def test_nothing_is_asked_of_the_target_in_current_where_it_is_not():
    assert not any(part in ("current", "all") and column == "y" for part, column, _ in told(schema()))


def test_the_key_is_unique_over_all_parts_and_never_missing():
    one = schema(k=Column(type="text", role="key"))
    assert ("all", "k", "expect_column_values_to_be_unique") in told(one)
    strict = [r for r in rules.implied_rules(one, tolerance=0.5) if r.column == "k" and r.type.endswith("not_be_null")]
    assert {rule.tolerance for rule in strict} == {0.0}
    at = Column(type="datetime", role="timestamp", key=True)
    both = rules.implied_rules(schema(k=Column(type="text", role="key"), at=at), tolerance=0)
    compound = next(rule for rule in both if rule.type == "expect_compound_columns_to_be_unique")
    assert compound.kwargs == {"column_list": ["k", "at"]}


def test_kept_duplicates_only_warn():
    table = schema(k=Column(type="text", role="key"), on_duplicate="keep")
    unique = next(r for r in rules.implied_rules(table, tolerance=0) if r.type.endswith("be_unique"))
    assert unique.severity == "warn"


def test_the_target_has_more_than_one_value_in_train():
    assert ("train", "y", "expect_column_unique_value_count_to_be_between") in told(schema())


def test_written_expectations_are_about_both_parts_or_history_or_what_they_say():
    about = {"expect_column_values_to_be_between": True, "expect_column_mean_to_be_between": False}
    rows = Expectation(type="expect_column_values_to_be_between", kwargs={"max_value": 3}, mostly=0.9, severity="warn")
    mean = Expectation(type="expect_column_mean_to_be_between", kwargs={"column": "x", "max_value": 3})
    table = schema(
        x=Column(type="number", expectations=(rows,)),
        y=Column(type="integer", role="target", expectations=(rows,)),
        expectations=(mean, mean.model_copy(update={"on": "current"})),
    )
    written = rules.written_rules(table, is_about_rows=about)
    assert [(rule.part, rule.column) for rule in written] == [
        ("history", "y"), ("history", "x"), ("current", "x"), ("history", "x"), ("current", "x"),
    ]  # fmt: skip
    assert written[1].kwargs == {"max_value": 3, "mostly": 0.9}
    assert written[1].severity == "warn"
    assert "column" not in written[3].kwargs

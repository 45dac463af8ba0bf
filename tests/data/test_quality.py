import json

import numpy as np
import pandas as pd
import pytest

from quire import artifacts, data
from quire.errors import ConfigError, ValidationFailed

SCHEMA = """
task: regression
frequency: 1h
{extra}
columns:
  order: {{type: text, role: key}}
  at: {{type: datetime, role: timestamp}}
  region: {{type: category, categories: [north, south]{region}}}
  price: {{type: number, minimum: 0, maximum: 1000{price}}}
  sold: {{type: integer, role: target}}
"""
HOURS = 2400
CURRENT = slice(HOURS - 168, HOURS)


def shop_rows():
    return pd.DataFrame(
        {
            "order": [f"A{number}" for number in range(HOURS)],
            "at": pd.date_range("2024-01-01", periods=HOURS, freq="h").strftime("%Y-%m-%dT%H:%M"),
            "region": ["north", "south"] * (HOURS // 2),
            "price": np.arange(HOURS) / 7,
            "sold": np.arange(HOURS) % 50,
        }
    ).astype("str")


@pytest.fixture
def check(use_case, tmp_path):
    """Return a function that writes rows, ingests and validates them."""

    def run(rows, extra="", region="", price="", **options):
        settings = use_case(schema=SCHEMA.format(extra=extra, region=region, price=price))
        rows.to_csv(tmp_path / "shop.csv", index=False)
        ingested = data.ingest(settings)
        return data.validate(ingested.frames, settings.schema, ingested.manifest, **options)

    return run


def broken(quality):
    return {(one.part, one.column, one.expectation.removeprefix("expect_column_values_to_")): one.status
            for one in quality.checks if not one.passed}  # fmt: skip


def with_values(column, where, value):
    rows = shop_rows()
    rows.loc[rows.index[where], column] = value
    return rows


def test_good_data_passes(check):
    quality = check(shop_rows())
    assert (quality.verdict, broken(quality)) == ("pass", {})
    quality.raise_if_failed()


def test_a_few_unknown_categories_warn_and_many_in_the_current_week_fail(check):
    few = check(with_values("region", slice(0, 20), "west"))
    assert broken(few) == {("history", "region", "be_in_set"): "warn"}
    many = check(with_values("region", slice(HOURS - 20, HOURS), "west"))
    assert broken(many) == {("current", "region", "be_in_set"): "fail"}
    assert many.verdict == "fail"


def test_unknown_categories_that_are_set_missing_are_seen_too(check):
    quality = check(with_values("region", CURRENT, "west"), region=", on_unknown: missing, nullable: true")
    assert broken(quality)["current", "region", "known_category"] == "fail"


def test_what_the_schema_answers_is_no_news_while_it_is_rare(check):
    quality = check(with_values("price", slice(0, 5), "-1"), price=", on_out_of_range: clip")
    assert quality.verdict == "pass"
    assert any(one.expectation == "in_range" and one.rows == 5 for one in quality.checks)


def test_a_column_whose_values_became_unreadable_fails(check):
    quality = check(with_values("price", CURRENT, "n.n."), price=", nullable: true")
    found = broken(quality)
    assert found["current", "price", "readable_as_the_type"] == "fail"
    assert ("current", "price", "expect_column_proportion_of_non_null_values_to_be_between") in found


def test_one_unreadable_value_fails_where_the_schema_says_so(check):
    quality = check(with_values("price", [3], "cheap"), price=", nullable: true, on_unparsable: fail")
    assert broken(quality) == {("history", "price", "readable_as_the_type"): "fail"}


def test_a_column_without_any_value_fails_even_if_values_may_be_missing(check):
    quality = check(with_values("price", CURRENT, ""), price=", nullable: true")
    assert broken(quality)["current", "price", "expect_column_proportion_of_non_null_values_to_be_between"] == "fail"


def test_a_column_of_severity_warn_only_warns(check):
    quality = check(with_values("price", CURRENT, "9999"), price=", severity: warn")
    assert quality.verdict == "warn"


def test_the_tolerance_is_a_parameter(check):
    rows = with_values("price", slice(0, 20), "9999")
    assert check(rows).verdict == "warn"
    assert check(rows, tolerance=0.001).verdict == "fail"


def test_repeated_keys_fail_where_the_schema_says_so(check):
    rows = pd.concat([shop_rows(), shop_rows().tail(1)])
    assert check(rows, extra="on_duplicate: fail").verdict == "fail"
    assert check(rows, extra="on_duplicate: keep").verdict == "warn"


def test_a_current_week_that_is_mostly_not_there_fails(check):
    rows = shop_rows()
    quality = check(pd.concat([rows.iloc[: HOURS - 150], rows.tail(1)]))
    assert broken(quality)["current", "at", "rows_in_every_period"] == "fail"


def test_a_target_with_one_value_fails(check):
    quality = check(with_values("sold", slice(None), "3"))
    assert broken(quality) == {("train", "sold", "expect_column_unique_value_count_to_be_between"): "fail"}


def test_examples_carry_the_keys_of_their_rows(check):
    quality = check(with_values("price", [7, 9], ["2000", "3000"]))
    found = next(one for one in quality.checks if not one.passed)
    assert found.examples == ({"value": 2000.0, "order": "A7"}, {"value": 3000.0, "order": "A9"})
    assert found.rows == 2


def test_examples_are_capped(check):
    quality = check(with_values("price", CURRENT, "2000"))
    assert all(len(one.examples) <= 5 for one in quality.checks)


def test_written_expectations_are_checked_with_mostly_and_severity(check):
    extra = """
expectations:
  - {type: expect_column_values_to_match_regex, kwargs: {column: order, regex: '^A[0-9]+$'}}
  - {type: expect_column_values_to_be_in_set, kwargs: {column: region, value_set: [north]}, mostly: 0.4}
  - {type: expect_column_values_to_be_in_set, kwargs: {column: region, value_set: [north]}, mostly: 0.6, severity: warn}
  - {type: expect_table_row_count_to_be_between, kwargs: {min_value: 1000}}
"""
    quality = check(shop_rows(), extra=extra)
    written = [one for one in quality.checks if one.origin == "expectations"]
    assert [(one.status, one.part) for one in written if not one.passed] == [("warn", "history"), ("warn", "current")]
    assert len(written) == 7


def test_a_written_expectation_with_a_wrong_argument_is_a_mistake_of_the_schema(check):
    extra = "expectations: [{type: expect_column_values_to_be_in_set, kwargs: {column: region, values: [north]}}]"
    with pytest.raises(ConfigError, match=r"takes no argument 'values'.*Did you mean 'value_set'"):
        check(shop_rows(), extra=extra)


def test_the_failure_names_what_failed_with_examples(check):
    quality = check(with_values("price", CURRENT, "2000"))
    with pytest.raises(ValidationFailed, match=r"failed 1 of \d+ checks") as caught:
        quality.raise_if_failed()
    text = str(caught.value)
    assert "price: at least 0 and at most 1000 (current); 168 rows (100%) break it" in text
    assert "2000 at order A2232" in text
    assert "severity: warn" in text


def test_the_report_and_its_files_are_plain_json(check, use_case):
    quality = check(with_values("price", CURRENT, "2000"))
    told = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert told["verdict"] == "fail"
    assert told["counts"]["fail"] == 1
    run = artifacts.open(use_case(schema=SCHEMA.format(extra="", region="", price="")))
    data.save_expectations(quality, run)
    data.save_expectations(quality, run)
    files = sorted(path.name for path in (run.folder / "expectations").iterdir())
    assert "price.expect_column_values_to_be_between.json" in files
    parts = json.loads((run.folder / "expectations" / "price.expect_column_values_to_be_between.json").read_text())
    assert {part["part"]: part["passed"] for part in parts} == {"current": False, "history": True}


def test_the_worst_comes_first(check):
    rows = with_values("price", CURRENT, "2000")
    rows.loc[:10, "region"] = "west"
    assert [one.status for one in check(rows).checks][:2] == ["fail", "warn"]


NULLS = """
task: binary
positive: Yes
columns:
  order: {type: text, role: key}
  at: {type: datetime, role: timestamp}
  whole: {type: integer, minimum: 0, maximum: 1000}
  real: {type: number, minimum: 0, maximum: 1000}
  flag: {type: boolean}
  label: {type: category, categories: [a, b]}
  words: {type: text}
  when: {type: datetime}
  paid: {type: category, categories: [No, Yes], role: target}
"""


@pytest.mark.parametrize("column", ["whole", "real", "flag", "label", "words", "when"])
@pytest.mark.parametrize("gaps", [1, 4, 900])
def test_missing_values_of_every_type_are_told_with_the_rows_where_they_are(use_case, tmp_path, column, gaps):
    rows = shop_rows().rename(columns={"region": "label"}).drop(columns=["price", "sold"])
    rows = rows.assign(whole=range(HOURS), real=1.5, flag="true", label="a", words="x", when="2024-01-01")
    rows = rows.assign(whole=rows["whole"] % 900, paid=["No", "Yes"] * (HOURS // 2)).astype("str")
    rows.loc[rows.index[5 : 5 + gaps], column] = ""
    rows.loc[3, "whole"] = "5000"
    rows.to_csv(tmp_path / "shop.csv", index=False)
    settings = use_case(schema=NULLS)
    ingested = data.ingest(settings)
    quality = data.validate(ingested.frames, settings.schema, ingested.manifest)
    check = next(one for one in quality.checks if one.column == column and "null" in one.expectation and one.rows)
    assert [example["order"] for example in check.examples] == [f"A{number}" for number in range(5, 5 + min(gaps, 5))]
    assert all(example["value"] is None for example in check.examples)
    assert quality.having("fail") or gaps < 900


@pytest.mark.parametrize("name", ["x" * 300, "é" * 200, "a/b:c?" * 60, "..", "."])
def test_a_column_of_any_name_has_its_files(use_case, tmp_path, name):
    from quire.data.quality import Check, QualityReport, save_expectations

    checks = [Check("train", column, "expect_x", {}, "warn", "pass") for column in (name, name + "2")]
    settings = use_case()
    folder = tmp_path / "run" / "artifacts" / "validate"
    save_expectations(QualityReport(tuple(checks)), artifacts.open_stage(settings, str(folder)))
    files = list((folder / "expectations").iterdir())
    assert len(files) == 2
    assert sorted(one["column"] for file in files for one in json.loads(file.read_text())) == sorted([name, name + "2"])


def test_guessed_rules_warn_and_those_of_a_person_stop(check):
    rows = shop_rows()
    rows.loc[::3, "price"] = "5000"
    assert check(rows, price=", severity: warn").verdict == "warn"
    assert check(rows).verdict == "fail"

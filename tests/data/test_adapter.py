"""Tests of the rows of a snapshot as another schema has them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quire import config, data
from quire.config import Schema
from quire.errors import DataError

COLUMNS = {
    "id": {"type": "text", "role": "key"},
    "size": {"type": "number"},
    "grade": {"type": "integer"},
    "area": {"type": "category", "categories": ["n", "s"]},
    "seen": {"type": "datetime", "calendar": ["hour"]},
    "price": {"type": "number", "role": "target"},
}


def schema_of(columns, **changes):
    return Schema.model_validate_json(json.dumps({"task": "regression", "columns": columns, **changes}))


def without(columns, *names):
    return {name: column for name, column in columns.items() if name not in names}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A use case of 60 rows in a CSV file; its schema is replaced by each test."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "id": [f"k{at}" for at in range(60)],
            "size": rng.normal(size=60).round(3),
            "grade": rng.integers(1, 5, 60),
            "area": rng.choice(["n", "s"], 60),
            "seen": pd.date_range("2026-01-01", periods=60, freq="7h"),
            "price": rng.permutation(60) / 10,
        }
    )
    rows.to_csv(tmp_path / "rows.csv", index=False)
    folder = tmp_path / "params" / "flat"
    folder.mkdir(parents=True)
    (tmp_path / "params" / "workflow.yaml").write_text("stages: {a: {notebook: b}}\nworkflows: {train: [a]}\n")
    (folder / "config.yaml").write_text("source: {kind: csv, path: rows.csv}\n")
    (folder / "params.yaml").write_text("{}\n")
    (folder / "schema.yaml").write_text(json.dumps({"task": "regression", "columns": COLUMNS}))
    monkeypatch.delenv("QUIRE_OUTPUTS", raising=False)
    return config.load("flat", root=tmp_path)


def adapted(settings, now, then):
    """The test rows of a snapshot by ``now``, and the same with the features of ``then``."""
    settings = replace(settings, schema=now)
    test = data.ingest(settings).test
    return test, data.SchemaAdapter(settings, then).rows(test)


def changed(name, **changes):
    return {**COLUMNS, name: {**COLUMNS[name], **changes}}


NOW = {
    "a feature was added": (COLUMNS, without(COLUMNS, "size")),
    "a feature was taken away": (without(COLUMNS, "size"), COLUMNS),
    "a feature is ignored now": (changed("size", role="ignore"), COLUMNS),
    "a number became a category": (changed("grade", type="category"), COLUMNS),
    "a category became text that is ignored": (changed("area", type="text", categories=[], role="ignore"), COLUMNS),
    "a column was renamed": (
        without(COLUMNS, "size") | {"metres": {"type": "number", "source": "size"}},
        COLUMNS,
    ),
    "the parts of a time are others": (changed("seen", calendar=["weekday"]), COLUMNS),
    "all at once": (
        {"metres": {"type": "number", "source": "size"}} | without(COLUMNS, "size", "area", "grade"),
        COLUMNS,
    ),
}


@pytest.mark.parametrize("change", NOW)
def test_the_rows_have_the_features_as_the_other_schema_reads_them(settings, change):
    now, then = map(schema_of, NOW[change])
    test, rows = adapted(settings, now, then)
    assert list(rows) == list(then.features)
    whole = data.read_source(replace(settings, schema=then)).frame.set_index("id")
    from quire.data.wrangle import wrangle

    expected = wrangle(whole.reset_index(), then).frame.set_index("id").loc[test["id"], list(then.features)]
    pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected.reset_index(drop=True))


@pytest.mark.parametrize("change", NOW)
def test_without_a_key_rows_are_found_by_all_their_values(settings, change):
    now, then = (schema_of(without(columns, "id")) for columns in NOW[change])
    test, rows = adapted(settings, now, then)
    source = pd.read_csv(settings.root / "rows.csv").set_index("price")
    for name in {"size", "grade"} & set(rows):
        assert rows[name].astype(float).tolist() == source.loc[test["price"], name].astype(float).tolist()


def test_rows_that_are_equal_in_all_that_is_left_are_told_apart_by_their_order(settings):
    rows = pd.DataFrame({"size": range(40), "grade": 1, "price": [1.0, 2.0] * 20})
    rows.to_csv(settings.root / "rows.csv", index=False)
    columns = {name: COLUMNS[name] for name in ("size", "grade", "price")}
    settings = replace(settings, schema=schema_of(without(columns, "size")))
    whole = data.read_source(settings).frame.astype({"price": float, "grade": "Int64"})
    adapter = data.SchemaAdapter(settings, schema_of(columns))
    assert adapter.rows(whole)["size"].tolist() == list(range(40))


def test_a_column_that_left_the_source_is_named(settings):
    now = schema_of(without(COLUMNS, "size"))
    source = pd.read_csv(settings.root / "rows.csv").drop(columns="size")
    source.to_csv(settings.root / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"size cannot be read from the source again: .*'size' is not there"):
        adapted(settings, now, schema_of(COLUMNS))


def test_rows_that_left_the_source_are_counted(settings):
    settings = replace(settings, schema=schema_of(without(COLUMNS, "size")))
    test = data.ingest(settings).test
    pd.read_csv(settings.root / "rows.csv").head(5).to_csv(settings.root / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"size cannot be read again: \d+ of \d+ rows left the source"):
        data.SchemaAdapter(settings, schema_of(COLUMNS)).rows(test)


def test_a_source_larger_than_memory_is_not_read_again(settings):
    now = replace(settings, config=settings.config.model_copy(update={"memory_rows": 20}))
    now = replace(now, schema=schema_of(without(COLUMNS, "size")))
    test = data.ingest(now).test
    with pytest.raises(DataError, match="more rows than fit into memory"):
        data.SchemaAdapter(now, schema_of(COLUMNS)).rows(test)


def test_what_the_snapshot_holds_needs_no_source(settings):
    settings = replace(settings, schema=schema_of(COLUMNS))
    test = data.ingest(settings).test
    (settings.root / "rows.csv").unlink()
    rows = data.SchemaAdapter(settings, schema_of(without(COLUMNS, "size"))).rows(test)
    assert list(rows) == ["grade", "area", "seen"]

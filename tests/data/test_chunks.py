"""Parquet larger than memory: taken in chunks, it gives what the same rows give in memory."""

import json

import numpy as np
import pandas as pd
import pytest

from quire import artifacts, config, data
from quire.data import chunks, large
from quire.data.rules import Rule
from quire.io import frames

SCHEMA = """
task: regression
frequency: 1h
on_duplicate: {on_duplicate}
label_delay: 10d
columns:
  place: {{type: category, categories: [a, b, c, d]}}
  at: {{type: datetime, role: timestamp}}
  order: {{type: text, role: {order}}}
  price: {{type: number, minimum: 0, maximum: 200, on_out_of_range: clip, on_missing: drop}}
  warm: {{type: boolean, nullable: true}}
  sold: {{type: integer, role: target}}
"""


def rows(hours=2400):
    """Four places, each in its own files as it were; dirty in every way that is counted."""
    rng = np.random.default_rng(5)
    times = pd.date_range("2024-01-01", periods=hours, freq="h", unit="us", tz="UTC")
    frame = pd.concat([pd.DataFrame({"place": place, "at": times}) for place in "abcd"], ignore_index=True)
    many = len(frame)
    frame["order"] = [f"n{number}" for number in range(many)]
    frame["price"] = np.where(rng.random(many) < 0.01, np.nan, rng.normal(100, 40, many))
    frame["warm"] = pd.array(np.where(rng.random(many) < 0.05, None, rng.random(many) < 0.5), dtype="boolean")
    frame["sold"] = pd.array(np.where(rng.random(many) < 0.02, None, rng.integers(0, 50, many)), dtype="Int64")
    again = frame.sample(300, random_state=1).assign(price=1.0)
    frame = pd.concat([frame, again], ignore_index=True)
    frame.loc[rng.choice(len(frame), 20, replace=False), "at"] = pd.NaT
    return frame


@pytest.fixture
def made(use_case, tmp_path, monkeypatch):
    """Return a function that writes the rows as five files and loads settings, for memory or for chunks."""
    monkeypatch.setattr(frames, "CHUNK_ROWS", 700)
    monkeypatch.setattr(frames.ParquetFrame.chunks, "__kwdefaults__", {"rows": 700})
    monkeypatch.setattr(large, "BUNDLE_ROWS", 900)
    folder = tmp_path / "rows"
    folder.mkdir()
    frame = rows()
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 5)):
        frame.iloc[part].to_parquet(folder / f"{number}.parquet", index=False)

    def load(memory_rows, *, order="key", on_duplicate="last", more=""):
        schema = SCHEMA.format(order=order, on_duplicate=on_duplicate)
        place = f"source: {{kind: parquet, path: {folder}}}\nmemory_rows: {memory_rows}\n"
        return use_case(f"m{memory_rows}", schema=schema + more, config=place)

    return load


def saved(settings, **options):
    """Ingest, save as the notebook does, and return the frames as they are on disk, and the manifest."""
    ingested = data.ingest(settings, **options)
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/ingest")
    ingested.save(run)
    whole = {name: pd.read_parquet(run.folder / f"{name}.parquet") for name in large.FRAMES}
    return ingested, whole, json.loads((run.folder / "manifest.json").read_text())


@pytest.mark.parametrize("order", ["key", "feature"])  # as a feature, the timestamp is the key
@pytest.mark.parametrize("on_duplicate", ["last", "first", "keep"])
@pytest.mark.parametrize("as_of", [None, pd.Timestamp("2024-04-01", tz="UTC").to_pydatetime()])
def test_chunks_give_the_frames_manifest_and_fingerprint_of_memory(made, order, on_duplicate, as_of):
    small, expected, manifest = saved(made(1_000_000, on_duplicate=on_duplicate, order=order), as_of=as_of, test="20d")
    big, found, other = saved(made(1, on_duplicate=on_duplicate, order=order), as_of=as_of, test="20d")
    assert small.folder is None
    assert big.folder is not None
    for name in expected:
        pd.testing.assert_frame_equal(found[name], expected[name])
    for one in (manifest, other):
        one["changes"] = sorted(one["changes"], key=lambda change: (change["column"], change["what"]))
        for change in one["changes"]:
            change.pop("examples")  # the first few that are met
        one.pop("params")
    assert other == manifest
    assert {change["rule"] for change in other["changes"]} >= {"missing", "no_label", "no_timestamp", "label_delay"}


def test_data_without_a_timestamp_is_split_into_every_row_once(made):
    schema = SCHEMA.format(order="key", on_duplicate="last").replace("role: timestamp", "role: feature")
    settings = made(1)
    folder = settings.root / "params" / settings.name
    (folder / "schema.yaml").write_text(schema.replace("label_delay: 10d", "").replace("frequency: 1h", ""))
    _, found, manifest = saved(config.load(settings.name, root=settings.root))
    keys = pd.concat([found[name]["order"] for name in ("train", "test", "current")])
    assert keys.is_unique
    lost = sum(change["rows"] for change in manifest["changes"] if change["rule"] == "no_label")
    assert len(keys) == manifest["rows"] - lost
    shares = {name: len(found[name]) / len(keys) for name in ("test", "current")}
    assert shares == pytest.approx({"test": 0.2, "current": 0.1}, abs=0.01)


def test_a_sample_is_the_same_rows_every_time_and_those_of_the_same_keys_elsewhere(made):
    _, whole, _ = saved(made(1), test="20d")
    settings = made(500)
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/train")
    data.ingest(settings, test="20d").save(
        artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/ingest")
    )
    train = run.load("train")
    assert train.equals(run.load("train"))
    assert len(train) == pytest.approx(500, rel=0.2)
    assert artifacts.count_rows(train) == {"used": len(train), "of": len(whole["train"])}
    assert set(train["order"]) <= set(whole["train"]["order"])
    test, labels = run.load("test"), run.load("labels")  # of labels there are more, so that a smaller part is taken
    assert set(labels["order"]) & set(whole["test"]["order"]) <= set(test["order"])


def test_validation_in_chunks_finds_what_validation_in_memory_finds(made):
    more = "expectations:\n  - {type: expect_column_mean_to_be_between, kwargs: {column: price, min_value: 0}}\n"
    settings = made(1, on_duplicate="keep", more=more)
    _, _, manifest = saved(settings, test="20d")
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/validate")
    stored = {name: run.scan(name) for name in ("train", "test", "current")}
    schema = settings.schema.model_copy(deep=True)
    schema.columns["price"].__dict__["maximum"] = 150.0  # so that rows break a rule
    chunked = data.validate(stored, schema, manifest, memory_rows=1)
    memory = data.validate({name: one.read() for name, one in stored.items()}, schema, manifest)
    assert {check.status for check in memory.checks} >= {"warn", "pass"}

    def told(report):
        return sorted(
            (check.part, check.column, check.expectation, check.status, check.rows, round(check.share or 0, 12))
            for check in report.checks
        )

    assert told(chunked) == told(memory)
    broken = next(check for check in chunked.checks if "between" in check.expectation and check.rows)
    for example in broken.examples:
        assert example["value"] > 150
        assert example["order"].startswith("n")


@pytest.mark.parametrize("names", [("order",), ("place", "order")])
def test_a_key_that_repeats_many_chunks_later_is_found_by_a_pass_over_all(made, tmp_path, monkeypatch, names):
    monkeypatch.setattr(chunks, "BUCKET_ROWS", 500)
    frame = pd.DataFrame({"place": "a", "order": [f"n{number}" for number in range(3000)]})
    frame.loc[2999, "order"] = "n5"
    paths = [tmp_path / "train.parquet", tmp_path / "test.parquet"]
    frame.iloc[:2000].to_parquet(paths[0], index=False)
    frame.iloc[2000:].to_parquet(paths[1], index=False)
    one = {"expect_column_values_to_be_unique": {}, "expect_compound_columns_to_be_unique": {"column_list": names}}
    kind = list(one)[len(names) - 1]
    rule = Rule("all", names[0] if len(names) == 1 else None, kind, one[kind])
    (found,) = chunks.run_suite([frames.ParquetFrame(path) for path in paths], [rule], made(1).schema)
    assert (found.outcome.success, found.outcome.rows, found.outcome.of) == (False, 2, 3000)
    assert list(found.rows["order"]) == ["n5", "n5"]


def test_profiles_of_chunks_merge_to_the_profiles_of_the_whole(made):
    settings = made(1)
    _, whole, _ = saved(settings, test="20d")
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/train")
    chunked = data.profile_stored(run.scan("train"), settings.schema)
    memory = data.profile_periods(whole["train"], settings.schema)
    assert [(one.start, one.end, one.rows) for one in chunked] == [(one.start, one.end, one.rows) for one in memory]
    for one, other in zip(chunked, memory, strict=True):
        for name, column in other.columns.items():
            mine = one.columns[name]
            assert (mine.n, mine.missing, dict(mine.counts)) == (column.n, column.missing, dict(column.counts))
            assert (mine.minimum, mine.mean) == pytest.approx((column.minimum, column.mean), nan_ok=True)


def test_training_profiles_are_of_all_rows_with_the_predictions_of_the_sample(made):
    settings = made(1)
    _, whole, _ = saved(settings, test="20d")
    run = artifacts.open_stage(settings, f"outputs/runs/{settings.name}/artifacts/train")
    stored = run.scan("train")
    sample = stored.sample(800, settings.schema.key)
    profiles = data.profile_training(stored, sample.assign(prediction=1.5), settings.schema)
    assert profiles.rows == len(whole["train"])
    assert profiles.merged_column("prediction").n == len(sample)
    assert profiles.merged_column("price").n == len(whole["train"])
    exact = whole["train"].assign(prediction=1.5)
    assert data.profile_training(stored, exact, settings.schema).merged_column("prediction").n == len(exact)

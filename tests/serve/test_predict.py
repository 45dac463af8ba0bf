"""Batch predictions: in chunks, by the champion, and kept once."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from quire import data, model, serve, tracking
from quire.errors import ModelError
from quire.io import database
from quire.io.artifacts import Stopped
from quire.serve.predict import run_time


@pytest.fixture
def champion(settings, pipelines, promote, open_run):
    promote(pipelines["linear"])
    return serve.load_champion(open_run("predict"), tracking.open(settings))


def test_predictions_are_those_of_the_pipeline_with_key_and_version(champion, snapshot, settings):
    rows = snapshot[1].current
    predictions = serve.predict_batch(champion, rows, settings.schema)
    assert list(predictions.columns) == ["timestamp", "prediction", "model_version"]
    expected = model.predict(champion.pipeline, rows, settings.schema)["prediction"]
    pd.testing.assert_series_equal(predictions["prediction"], expected.reset_index(drop=True))
    assert set(predictions["model_version"]) == {"1"}


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_chunks_of_a_file_give_what_the_whole_frame_gives(champion, snapshot, settings, tmp_path, size):
    rows = snapshot[1].current.head(20)
    rows.to_parquet(tmp_path / "current.parquet", index=False)
    whole = serve.predict_batch(champion, rows, settings.schema)
    chunked = serve.predict_batch(champion, tmp_path / "current.parquet", settings.schema, chunk_rows=size)
    pd.testing.assert_frame_equal(chunked, whole)


def test_no_rows_give_no_predictions_but_the_same_columns(champion, snapshot, settings, tmp_path):
    rows = snapshot[1].current.head(0)
    rows.to_parquet(tmp_path / "current.parquet", index=False)
    for source in (rows, tmp_path / "current.parquet"):
        predictions = serve.predict_batch(champion, source, settings.schema)
        assert (len(predictions), list(predictions.columns)) == (0, ["timestamp", "prediction", "model_version"])


def test_a_batch_is_kept_once_however_often_it_is_retried(champion, snapshot, settings, open_run):
    predictions = serve.predict_batch(champion, snapshot[1].current, settings.schema)
    as_of = snapshot[1].manifest["as_of"]
    saved = [serve.save_batch(predictions, open_run("predict"), champion, as_of=as_of) for _ in range(2)]
    assert saved == [len(predictions), 0]
    kept = database.open(settings.database_url).predictions("demo", by="as_of")
    assert set(kept["source"]) == {"batch"}
    assert sorted(kept["at"]) == sorted(predictions["timestamp"])
    assert set(kept["run_id"]) == {"20260301T120000000-abcd"}


def test_by_hand_nothing_reaches_the_database(champion, snapshot, settings, open_run):
    predictions = serve.predict_batch(champion, snapshot[1].current, settings.schema)
    assert serve.save_batch(predictions, open_run(""), champion, as_of=snapshot[1].manifest["as_of"]) is None
    assert not (settings.outputs / "quire.db").exists()


def test_without_a_champion_the_notebook_ends_with_the_reason(settings, open_run):
    with pytest.raises(Stopped, match=r"'demo' has no champion yet.*gate has not let a candidate through"):
        serve.load_champion(open_run("predict"), tracking.open(settings))


def test_a_run_without_a_logical_time_takes_the_time_of_its_start():
    assert run_time("20260301T120000123-abcd").isoformat() == "2026-03-01T12:00:00+00:00"


def test_a_run_predicts_its_current_rows_in_chunks_into_artifact_and_database(champion, snapshot, settings, open_run):
    run = open_run("predict")
    snapshot[1].save(open_run("ingest"))
    predictions, saved = serve.predict_run(champion, run, as_of=snapshot[1].manifest["as_of"], chunk_rows=50)
    expected = serve.predict_batch(champion, snapshot[1].current, settings.schema)
    pd.testing.assert_frame_equal(predictions, expected)
    pd.testing.assert_frame_equal(run.load("predictions"), expected)
    assert saved == len(expected) == len(database.open(settings.database_url).predictions("demo", by="as_of"))


def test_a_champion_that_disagrees_with_its_own_example_predicts_no_batch(champion, settings, open_run):
    registry = tracking.open(settings)
    kept = registry.folder(champion.version) / "input_example_output.json"
    kept.write_text(json.dumps([one + 1 for one in json.loads(kept.read_text("utf-8"))]))
    with pytest.raises(ModelError, match=r"Version 1 of demo disagrees with its own input example.*train again"):
        serve.load_champion(open_run("predict"), registry)


@pytest.mark.parametrize("change", ["a feature was added", "a feature left", "a column was renamed"])
def test_a_champion_of_an_earlier_schema_predicts_as_it_did(champion, snapshot, settings, open_run, change):
    before, rows = settings.schema, snapshot[1].current
    columns = dict(before.columns)
    if change == "a feature was added":
        columns["casual"] = columns["casual"].model_copy(update={"role": "feature", "nullable": True})
    elif change == "a feature left":
        columns["hum"] = columns["hum"].model_copy(update={"role": "ignore"})
    else:
        columns["humidity"] = columns.pop("hum").model_copy(update={"source": "hum"})
    now = replace(settings, schema=before.model_validate({**before.model_dump(), "columns": columns}))
    current = data.ingest(now, current="7d", test="14d").current
    run = replace(open_run("predict"), settings=now)
    loaded = serve.load_champion(run, tracking.open(now))
    expected = model.predict(champion.pipeline, rows, before)["prediction"]
    found = serve.predict_batch(loaded, current, now.schema)["prediction"]
    pd.testing.assert_series_equal(found, expected.reset_index(drop=True))


def test_a_champion_of_another_target_predicts_nothing(champion, settings, open_run):
    columns = dict(settings.schema.columns)
    columns["registered"] = columns["registered"].model_copy(update={"role": "target"})
    columns["cnt"] = columns["cnt"].model_copy(update={"role": "ignore"})
    schema = settings.schema.model_validate({**settings.schema.model_dump(), "columns": columns})
    run = replace(open_run("predict"), settings=replace(settings, schema=schema))
    with pytest.raises(ModelError, match=r"does not fit schema.yaml: Its target is cnt; schema.yaml says registered"):
        serve.load_champion(run, tracking.open(settings))

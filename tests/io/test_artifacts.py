import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from quire import config
from quire.errors import ArtifactError
from quire.io import artifacts


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("QUIRE_OUTPUTS", raising=False)
    folder = tmp_path / "params" / "x"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("source: {kind: demo}\n")
    (folder / "schema.yaml").write_text(
        "task: regression\ncolumns: {t: {type: number}, y: {type: number, role: target}}\n"
    )
    (folder / "params.yaml").write_text("{}\n")
    (tmp_path / "params" / "workflow.yaml").write_text("stages: {a: {notebook: a}}\nworkflows: {train: [a]}\n")
    return config.load("x", root=tmp_path)


def stage(settings, name="a", run="20260101T000000000-aaaa"):
    return artifacts.open_stage(settings, f"outputs/runs/{run}/artifacts/{name}")


def record(settings, run, **content):
    folder = settings.outputs / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"params": "x", "status": "succeeded", **content}))


def test_frames_and_results_come_back_as_they_were_saved(settings):
    frame = pd.DataFrame({"a": [1.5, math.nan], "b": pd.array([1, None], "Int64"), "c": ["x", None]})
    one = stage(settings)
    one.save("frame", frame)
    one.save("result", {"at": datetime(2026, 1, 1, tzinfo=UTC), "n": frame["a"].iloc[0], "path": [1]})
    other = stage(settings, "b")
    pd.testing.assert_frame_equal(other.load("frame"), frame)
    assert other.load("result") == {"at": "2026-01-01T00:00:00+00:00", "n": 1.5, "path": [1]}


def test_dataclasses_have_a_form_in_json_and_other_objects_have_not(settings):
    @dataclass
    class Point:
        x: int

    one = stage(settings)
    one.save("point", Point(3))
    assert one.load("point") == {"x": 3}
    with pytest.raises(ArtifactError, match=r"'thing'\['a'\] is a object, which has no form in JSON"):
        one.save("thing", {"a": object()})
    assert [path.name for path in one.folder.iterdir() if path.name != artifacts.INPUTS] == ["point.json"]


def test_a_file_appears_whole_or_not_at_all(settings):
    one = stage(settings)
    one.save("kept", 1)
    with pytest.raises(TypeError), one.writing("kept.json") as path:
        json.dump([1, 2, object()], path.open("w"))
    assert one.load("kept") == 1
    assert [path.name for path in one.folder.iterdir() if path.name != artifacts.INPUTS] == ["kept.json"]


def test_a_folder_replaces_the_one_before(settings):
    one = stage(settings)
    for text in ("old", "new"):
        with one.writing("model") as path:
            path.mkdir()
            (path / text).write_text(text)
    assert [path.name for path in one.path("model").iterdir()] == ["new"]


def test_what_is_not_there_is_named_with_the_near_name(settings):
    one = stage(settings)
    one.save("train", 1)
    with pytest.raises(ArtifactError, match=r"holds no artifact 'trian'; it holds: train.*Did you mean 'train'"):
        one.load("trian")
    assert not one.has("trian")


def test_two_stages_with_one_name_are_told_apart(settings):
    stage(settings, "a").save("part", 1)
    stage(settings, "b").save("part", 2)
    with pytest.raises(ArtifactError, match="more than once: a, b"):
        stage(settings).load("part")
    assert stage(settings).load_each("part") == {"a": 1, "b": 2}


def test_what_a_stage_looks_for_is_noted_for_the_runner(settings):
    one = stage(settings)
    one.has("train")
    one.save("x", 1)
    one.load("x")
    assert (one.folder / artifacts.INPUTS).read_text().split() == ["train", "x"]


def test_signals_and_a_reason_to_stop_reach_the_runner(settings):
    one = stage(settings)
    one.signal("retrain", "drift")
    one.signal("tell", "more")
    assert [signal["name"] for signal in artifacts.read_signals(one.folder)] == ["retrain", "tell"]
    assert artifacts.read_stop(one.folder) == ""
    with pytest.raises(artifacts.Stopped, match="no new data"):
        one.stop("no new data")
    assert artifacts.read_stop(one.folder) == "no new data"


def left_by(settings, run, name="which", **content):
    """A run that saved its own id as ``name`` and ended."""
    stage(settings, run=run).save(name, run)
    record(settings, run, **content)


def test_by_hand_it_reads_the_latest_run_that_ended_and_writes_to_scratch(settings):
    left_by(settings, "20260101T000000000-aaaa")
    left_by(settings, "20260102T000000000-bbbb", workflow="train", as_of="2026-01-01T00:00:00+00:00")
    record(settings, "20260103T000000000-cccc", status="failed")  # holds nothing
    left_by(settings, "20260104T000000000-dddd", status="running")
    left_by(settings, "20260105T000000000-eeee", params="other")
    left_by(settings, "20260106T000000000-ffff", **{"try": "fewer trees"})
    left_by(settings, "20260107T000000000-aaab", alias="backfill")
    left_by(settings, "20260107T000000001-aaab", alias="q3", cause="backfill q3")
    left_by(settings, "20260107T000000002-aaab", alias="q3", cause="cluster", partial=True)
    (settings.outputs / "runs" / "20260108T000000000-aaac" / "run.json").mkdir(parents=True)
    one = artifacts.open(settings)
    assert one.by_hand
    assert one.load("which") == "20260102T000000000-bbbb"
    assert one.folder == settings.outputs / "scratch" / "x"
    assert str(one).startswith(
        "By hand: reads run 20260102T000000000-bbbb of x (succeeded, workflow train, as of 2026-01-01T00:00:00+00:00), "
        "writes to outputs/scratch/x/. No alias moves"
    )
    assert repr(one) == str(one)
    assert not one.folder.exists()


@pytest.mark.parametrize("status", ["failed", "interrupted", "succeeded"])
def test_by_hand_after_a_run_that_failed_its_own_data_is_read_and_what_it_lacks_is_named(settings, capsys, status):
    left_by(settings, "20260101T000000000-aaaa")
    left_by(settings, "20260101T000000000-aaaa", name="predictions")
    left_by(settings, "20260102T000000000-bbbb", status=status, partial=True)
    one = artifacts.open(settings)
    assert one.load("which") == "20260102T000000000-bbbb"
    assert capsys.readouterr().err == ""
    assert one.load("predictions") == one.load("predictions") == "20260101T000000000-aaaa"
    assert capsys.readouterr().err == (
        "By hand: run 20260102T000000000-bbbb holds no 'predictions'; it comes from run 20260101T000000000-aaaa.\n"
    )


SCHEMA = "task: regression\ncolumns: {t: {type: number}, y: {type: number, role: target}}\n"


@pytest.mark.parametrize(
    ("kept", "changes"),
    [
        (SCHEMA, None),
        (SCHEMA.replace("{t", "# a remark\n  {t"), None),
        ("", None),  # a run of an older version
        ("columns: [", None),
        (SCHEMA.replace("{type: number}", "{type: number, minimum: 0}"), "column t is another"),
        (SCHEMA.replace("t: {type: number}, ", ""), "column t is new"),
        (SCHEMA.replace("{t:", "{u: {type: number}, t:"), "column u is gone"),
        (SCHEMA.replace("regression", "binary") + "segments: [t]\n", "task is another, segments is gone"),
    ],
)
def test_by_hand_it_says_what_of_the_schema_is_not_that_of_the_run(settings, kept, changes):
    left_by(settings, "20260101T000000000-aaaa")
    if kept:
        (settings.outputs / "runs" / "20260101T000000000-aaaa" / "schema.yaml").write_text(kept)
    where = "outputs/runs/20260101T000000000-aaaa/schema.yaml"
    sentence = f"\nschema.yaml has changed since that run ({changes}); that of the run is {where}."
    text = str(artifacts.open(settings))
    assert text.endswith(sentence) if changes else "schema.yaml" not in text


@pytest.mark.parametrize(
    "run_dir",
    [
        "20260101T000000000-aaaa", "aaaa", "20260101", "outputs/runs/20260101T000000000-aaaa",
        "outputs/runs/20260101T000000000-aaaa/artifacts/a", "outputs/runs/20260101T000000000-aaaa/artifacts/never",
        "/elsewhere/outputs/runs/20260101T000000000-aaaa/artifacts/a", "{root}/outputs/runs/20260101T000000000-aaaa",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["failed", "succeeded", "running", "interrupted"])
def test_by_hand_it_reads_the_run_it_is_told_to_and_never_writes_to_it(settings, run_dir, status):
    left_by(settings, "20260101T000000000-aaaa", status=status, stages={"a": {"status": status}})
    left_by(settings, "20260102T000000000-bbbb")
    before = sorted((settings.outputs / "runs").rglob("*"))
    one = artifacts.open(settings, run_dir.format(root=settings.root))
    assert one.by_hand
    assert one.load("which") == "20260101T000000000-aaaa"
    one.save("which", "mine")
    assert one.load("which") == "20260101T000000000-aaaa"
    assert sorted((settings.outputs / "runs").rglob("*")) == before
    assert not one.publishes
    assert not one.tracks


@pytest.mark.parametrize(
    ("run_dir", "words"),
    [
        ("aaab", "No run of params/x matches 'aaab'.*Did you mean 'aaaa'"),
        ("2026", "2 runs match '2026'"),
        ("cccc", "is one of params/other, not of params/x"),
        ("outputs/runs/20270101T000000000-aaaa/artifacts/a", "No run of params/x matches '20270101T000000000-aaaa'"),
    ],
)
def test_by_hand_a_run_that_is_not_there_is_refused_with_near_names(settings, run_dir, words):
    left_by(settings, "20260101T000000000-aaaa")
    left_by(settings, "20260102T000000000-bbbb")
    left_by(settings, "20260103T000000000-cccc", params="other")
    with pytest.raises(ArtifactError, match=words):
        artifacts.open(settings, run_dir)


def test_a_run_that_has_ended_is_read_alone_and_left_as_it_is(settings):
    left_by(settings, "20260101T000000000-aaaa", name="old")
    left_by(settings, "20260102T000000000-bbbb")
    folder = settings.outputs / "runs" / "20260102T000000000-bbbb"
    before = sorted(folder.rglob("*"))
    run = artifacts.open_ended(settings, folder)
    assert run.load("which") == folder.name
    assert not run.has("old")
    assert run.publishes
    assert sorted(folder.rglob("*")) == before


def test_by_hand_what_the_latest_workflow_does_not_make_comes_from_an_older_run(settings):
    stage(settings, "train", "20260101T000000000-aaaa").save("candidate", 1)
    record(settings, "20260101T000000000-aaaa")
    stage(settings, "ingest", "20260102T000000000-bbbb").save("train", 2)
    record(settings, "20260102T000000000-bbbb", workflow="score")
    one = artifacts.open(settings)
    assert (one.load("train"), one.load("candidate")) == (2, 1)


def test_a_value_of_another_kind_takes_the_place_of_the_one_before(settings):
    one = stage(settings)
    for value in (pd.DataFrame({"a": [1]}), np.arange(3), {"a": 1}, pd.Series([1.5], ["x"], name="s")):
        one.save("x", value)
        assert type(one.load("x")) is type(value)
    assert [path.suffix for path in one.folder.glob("x.*")] == [".parquet"]


def test_an_array_of_objects_is_refused(settings):
    with pytest.raises(ArtifactError, match="'x' is an array of objects"):
        stage(settings).save("x", np.array([{}, None]))
    assert not stage(settings).has("x")


def test_a_run_reads_only_itself(settings):
    stage(settings, run="20260101T000000000-aaaa").save("old", 1)
    record(settings, "20260101T000000000-aaaa")
    assert not stage(settings, run="20260102T000000000-bbbb").has("old")


def test_by_hand_with_no_run_it_says_what_to_run(settings):
    with pytest.raises(ArtifactError, match="`quire run params/x` first"):
        artifacts.open(settings).load("train")


def test_as_of_is_a_point_in_time_or_nothing(settings):
    assert artifacts.open(settings, as_of="2026-01-01").as_of == datetime(2026, 1, 1, tzinfo=UTC)
    assert artifacts.open(settings).as_of is None

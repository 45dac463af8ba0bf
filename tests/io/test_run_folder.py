"""What is no run, or a broken one, is passed over by whoever reads the runs, and can be named."""

import json

import pytest

from quire.errors import ArtifactError
from quire.flow import history, retention
from quire.io import run_folder, runs
from quire.monitor.run_pages import RunPages

GOOD = "20260105T000000000-aaaa"
WHOLE = {
    "params": "x", "workflow": "train", "status": "succeeded", "alias": "champion", "as_of": "",
    "started_at": "2026-01-05T00:00:00+00:00", "stages": {"a": {"status": "succeeded", "artifacts": [{"name": "b"}]}},
}  # fmt: skip


def changed(**values):
    return json.dumps({**WHOLE, **values})


BROKEN = {
    "empty": "",
    "half": '{"params": "x", "sta',
    "brace": "{",
    "list": "[]",
    "null": "null",
    "number": "3",
    "text": '"run"',
    "no_keys": "{}",
    "no_params": json.dumps({k: v for k, v in WHOLE.items() if k != "params"}),
    "no_status": json.dumps({k: v for k, v in WHOLE.items() if k != "status"}),
    "status_number": changed(status=3),
    "params_list": changed(params=["x"]),
    "stages_list": changed(stages=[]),
    "stages_null": changed(stages=None),
    "stage_null": changed(stages={"a": None}),
    "stage_without_status": changed(stages={"a": {}}),
    "artifacts_text": changed(stages={"a": {"status": "succeeded", "artifacts": "b"}}),
    "artifact_without_name": changed(stages={"a": {"status": "succeeded", "artifacts": [{}]}}),
    "error_text": changed(stages={"a": {"status": "failed", "error": "why"}}),
    "time": changed(started_at="yesterday"),
    "time_number": changed(started_at=5),
    "as_of": changed(as_of="soon"),
    "seconds": changed(seconds="long"),
    "parameters": changed(parameters={"a": 3}),
    "deep": "[" * 100_000,
    "binary": b"\xff\xfe\x00\x81",
}


def write(outputs, name, content):
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def a_file(runs):
    (runs / "Thumbs.db").write_bytes(b"\x00")


def of_the_finder(runs):
    (runs / ".DS_Store").write_bytes(b"\x00")


def an_empty_folder(runs):
    (runs / "99990101T000000000-ffff").mkdir()


def a_loop(runs):
    (runs / "99990101T000000000-ffff").symlink_to("99990101T000000000-ffff")


def a_dead_link(runs):
    (runs / "99990101T000000000-ffff").symlink_to("nowhere")


def a_directory_called_run_json(runs):
    (runs / "99990101T000000000-ffff" / "run.json").mkdir(parents=True)


def a_loop_called_run_json(runs):
    (runs / "99990101T000000000-ffff").mkdir()
    (runs / "99990101T000000000-ffff" / "run.json").symlink_to("run.json")


def an_unreadable_folder(runs):
    (runs / "99990101T000000000-ffff").mkdir(mode=0)


FOREIGN = [a_file, of_the_finder, an_empty_folder, a_loop, a_dead_link, a_directory_called_run_json,
           a_loop_called_run_json, an_unreadable_folder]  # fmt: skip


@pytest.fixture
def outputs(tmp_path):
    folder = write(tmp_path, GOOD, json.dumps(WHOLE))
    (folder / "artifacts" / "a").mkdir(parents=True)
    (folder / "reports").mkdir()
    (folder / "reports" / "monitor.html").write_text("<body>")
    return tmp_path


def check(outputs, *, strangers=1):
    """Every reader of the runs gets the one that is good; what is none is named."""
    assert [record["run_id"] for record in history.runs(outputs)] == [GOOD]
    assert [record["run_id"] for record in history.runs(outputs, params="x")] == [GOOD]
    assert history.find(outputs, "latest", params="x").name == GOOD
    assert history.find(outputs, "aaaa").name == GOOD
    assert history.previous(outputs, {**WHOLE, "run_id": "z"}).name == GOOD
    assert [folder.name for folder in runs.succeeded(outputs, "x")] == [GOOD]
    assert next(runs.ended(outputs, "x")).name == GOOD
    assert [snapshot.run_id for snapshot in RunPages(outputs, "x").all()] == [GOOD]
    assert retention.remove_old_runs(outputs, keep=0, dry_run=True) == []
    named = list(run_folder.strangers(outputs))
    assert len(named) == strangers
    assert all(stranger.path.name in stranger.reason for stranger in named)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_passed_over_and_named(outputs, name):
    folder = write(outputs, "99990101T000000000-ffff", BROKEN[name])
    check(outputs)
    with pytest.raises(ArtifactError, match=r"run\.json"):
        run_folder.read_record(folder)


@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_no_run_is_passed_over_and_named(outputs, make):
    make(outputs / "runs")
    check(outputs)


def test_a_runs_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    assert list(history.runs(tmp_path)) == []
    assert len(list(run_folder.strangers(tmp_path))) == 1


def test_what_an_older_version_did_not_write_is_filled_in(tmp_path):
    folder = write(tmp_path, GOOD, '{"params": "x", "status": "succeeded"}')
    record = run_folder.read_record(folder)
    assert (record["run_id"], record["workflow"], record["stages"]) == (GOOD, "train", {})


@pytest.mark.parametrize("content", ["", "[]", "null", '{"headline": 3}'])
def test_an_answer_that_cannot_be_read_is_left_out(outputs, content):
    (outputs / "runs" / GOOD / "artifacts" / "a" / "_answer.json").write_text(content)
    assert run_folder.read_answers(outputs / "runs" / GOOD) == {}


@pytest.mark.parametrize(
    ("manifest", "as_of"),
    [
        ('{"as_of": "2025-05-31T00:00:00+00:00"}', "2025-05-31T00:00:00+00:00"),
        ('{"as_of": null}', ""),
        ('{"as_of": "soon"}', ""),
        ("{", "2026-01-01"),
        ('{"rows": 3}', "2026-01-01"),
        ("", "2026-01-01"),
    ],
)
def test_the_time_of_the_data_is_what_ingest_settled(outputs, manifest, as_of):
    (outputs / "runs" / GOOD / "artifacts" / "a" / "manifest.json").write_text(manifest)
    assert run_folder.data_as_of(outputs / "runs" / GOOD, {"as_of": "2026-01-01"}) == as_of


def test_the_copy_of_a_folder_is_a_run_of_its_own_name(outputs):
    write(outputs, "20260106T000000000-copy", changed(run_id=GOOD))
    assert [record["run_id"] for record in history.runs(outputs)] == ["20260106T000000000-copy", GOOD]

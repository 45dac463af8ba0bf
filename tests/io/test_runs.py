"""Which runs there are, and which of them is meant."""

import json

import pytest

from quire.errors import ArtifactError
from quire.io import runs


@pytest.fixture
def outputs(tmp_path):
    for number, content in enumerate(
        [{}, {"status": "failed"}, {"try": "x"}, {"params": "other"}, {"alias": "backfill"}, {"status": "running"}], 1
    ):
        folder = tmp_path / "runs" / f"2026010{number}T000000000-{number:04x}"
        folder.mkdir(parents=True)
        record = {"run_id": folder.name, "params": "demo", "status": "succeeded", "partial": False} | content
        (folder / "run.json").write_text(json.dumps(record))
    for name, text in (("20260109T000000000-bad1", "{"), ("20260109T000000000-bad2", "[]"), ("notes", None)):
        (tmp_path / "runs" / name).mkdir()
        if text:
            (tmp_path / "runs" / name / "run.json").write_text(text)
    (tmp_path / "runs" / "README.md").write_text("not a run")
    return tmp_path


def numbers(folders):
    return [int(folder.name[-4:], 16) for folder in folders]


def test_what_is_no_run_is_passed_over(outputs):
    assert numbers(folder for folder, _ in runs.records(outputs)) == [6, 5, 4, 3, 2, 1]
    assert numbers(folder for folder, _ in runs.records(outputs, params="other")) == [4]
    assert list(runs.records(outputs / "nowhere")) == []


def test_the_latest_is_no_experiment_no_backfill_and_not_under_way(outputs):
    assert numbers(runs.ended(outputs, "demo")) == [2, 1]
    assert numbers(runs.succeeded(outputs, "demo")) == [1, 2]


@pytest.mark.parametrize("text", ["20260103T000000000-0003", "0003", "20260103", "20260103T0000"])
def test_a_run_is_found_by_its_id_its_start_or_its_end(outputs, text):
    assert runs.find(outputs, text).name == "20260103T000000000-0003"
    assert runs.find(outputs, text, params="demo").name == "20260103T000000000-0003"


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("2026", "", "6 runs match '2026'.*more of the id"),
        ("0007", "", "No run matches '0007'.*Did you mean"),
        ("", "", "No run matches ''"),
        ("..", "", "No run matches"),
        ("0004", "demo", "is one of params/other, not of params/demo"),
        ("bad1", "", "No run matches 'bad1'"),
        ("README.md", "", "No run matches"),
    ],
)
def test_what_is_not_found_is_said_with_the_near_name(outputs, text, params, words):
    with pytest.raises(ArtifactError, match=words):
        runs.find(outputs, text, params=params)


def test_latest_is_the_newest_and_without_a_run_it_says_how_to_make_one(outputs, tmp_path):
    assert runs.find(outputs, "latest", params="other").name.endswith("0004")
    with pytest.raises(ArtifactError, match="There is no run yet"):
        runs.find(tmp_path / "nowhere", "latest")

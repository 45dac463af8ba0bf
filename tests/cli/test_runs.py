"""What `quire runs`, `show`, `diff` and `why` say of the runs on this machine."""

import json
import shutil

import pytest
from click.testing import CliRunner
from tests.cli.conftest import ROOT

from quire.cli import main

OLD, NEW = "20260101T000000000-aaaa", "20260108T000000000-bbbb"


def write_run(project, run_id, *, rows, r2, train, why="", **more):
    """Leave a run of two stages in outputs, as the runner does."""
    folder = project / "outputs" / "runs" / run_id
    (folder / "artifacts" / "train").mkdir(parents=True)
    answer = {"status": "good", "headline": "It learned.", "metrics": {"r2": r2}}
    (folder / "artifacts" / "train" / "_answer.json").write_text(json.dumps(answer))
    artifact = {"name": "model.joblib", "sha256": run_id[-4:] * 16, "bytes": 10}
    stages = {
        "ingest": {"status": "reused", "seconds": 0.0, "needs": [], "why": "unchanged since run x"},
        "train": {"status": train, "seconds": 11.5, "needs": ["ingest"], "why": why, "artifacts": [artifact], **more},
    }
    record = {
        "run_id": run_id, "params": "demo", "workflow": "train", "partial": False, "as_of": "", "alias": "champion",
        "cause": "", "commit": "c0ffee", "versions": {}, "status": "succeeded", "seconds": 12.0,
        "started_at": "2026-01-01T00:00:00+00:00", "finished_at": "2026-01-01T00:00:12+00:00",
        "parameters": {"train": {"rows": rows}}, "stages": stages,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))


@pytest.fixture
def project(project):
    """A project with the shipped notebooks and two runs."""
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    write_run(project, OLD, rows=100, r2=0.91, train="succeeded", why="it has not run before")
    write_run(project, NEW, rows=200, r2=0.93, train="succeeded", why="rows = 100 -> 200")
    return project


def quire(*arguments):
    return CliRunner().invoke(main, arguments)


def test_runs_come_newest_first_with_what_ran_and_what_was_reused(project):
    head, *rows = quire("runs").output.splitlines()
    assert head.split() == ["run", "params", "workflow", "as", "of", "status", "seconds", "ran", "reused"]
    assert [row.split()[0] for row in rows] == [NEW, OLD]
    assert rows[0].split()[-4:] == ["succeeded", "12.0", "1", "1"]
    assert quire("runs", "--count", "1").output.count("succeeded") == 1
    assert json.loads(quire("runs", "--json").output)[0]["run_id"] == NEW


def test_without_a_run_the_first_step_is_named(project):
    shutil.rmtree(project / "outputs")
    assert "quire run params/demo" in quire("runs").output
    done = quire("show")
    assert done.exit_code != 0
    assert "There is no run yet" in done.stderr


def test_a_run_is_shown_by_a_part_of_its_id(project):
    told = quire("show", "aaaa").output
    assert told.startswith(OLD)
    assert "commit c0ffee" in told
    assert [line for line in told.splitlines() if line.startswith("train")] == [
        "train   succeeded  11.5     model.joblib  it has not run before"
    ]
    assert told.rstrip().endswith(f"{OLD}/index.html")


def test_a_run_that_is_not_there_and_one_of_several_are_mistakes(project):
    done = quire("show", "cccc")
    assert done.exit_code != 0
    assert "No run matches 'cccc'; `quire runs` lists them." in done.stderr
    assert "2 runs match '2026'" in quire("show", "2026").stderr


def test_a_failed_stage_is_shown_with_its_error_and_how_to_go_on(project):
    where = {"notebook": "40_train.ipynb", "cell": 3, "source": "fit(rows)"}
    error = {"kind": "ValueError", "message": "no rows", "traceback": [], **where}
    write_run(project, "20260109T000000000-dddd", rows=0, r2=0.0, train="failed", error=error)
    told = quire("show").output
    assert "no rows" in told
    assert "fit(rows)" in told
    assert "quire run params/demo" in told


def test_two_runs_are_compared_from_parameters_to_artifacts(project):
    told = quire("diff", "aaaa", "bbbb").output.splitlines()
    assert "  train.rows  100  ->  200" in told
    assert "  train.r2  0.91  ->  0.93" in told
    assert "  train/model.joblib  10 bytes, aaaaaaaa  ->  10 bytes, bbbbbbbb" in told
    assert "seconds: no difference" in told
    assert json.loads(quire("diff", "aaaa", "--json").output)["parameters"] == {"train.rows": [100, 200]}


@pytest.mark.parametrize(
    ("status", "words"),
    [("succeeded", "train ran (rows"), ("reused", "train was reused (rows"), ("failed", "train failed (rows")],
)
def test_why_says_what_happened_last_time_and_what_would_now(project, status, words):
    shutil.rmtree(project / "outputs" / "runs" / NEW)
    write_run(project, NEW, rows=200, r2=0.93, train=status, why="rows = 100 -> 200")
    last, now = quire("why", "train").output.splitlines()
    assert last == f"In run {NEW} {words} = 100 -> 200)."
    assert now == "Now: it has not run before"


def test_why_of_an_unknown_stage_names_the_near_one(project):
    done = quire("why", "trian")
    assert done.exit_code == 2
    assert "Did you mean 'train'?" in done.stderr


@pytest.mark.parametrize("columns", ["60", "80", "160"])
def test_no_word_is_broken_at_the_width_of_the_terminal(project, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    write_run(project, "20260109T000000000-cccc", rows=1, r2=0.9, train="succeeded", why="its code changed " * 20)
    for command in (("runs",), ("show", "cccc")):
        output = quire(*command).output
        assert "20260109T000000000-cccc" in output
        assert all(len(line) <= int(columns) for line in output.splitlines() if "/" not in line)


@pytest.mark.parametrize(
    ("manifest", "shown"),
    [('{"as_of": "2025-05-31T00:00:00+00:00"}', "as of 2025-05-31, commit"), ('{"as_of": null}', "commit c0ffee")],
)
def test_the_time_of_the_data_is_that_of_ingest(project, manifest, shown):
    folder = project / "outputs" / "runs" / NEW / "artifacts" / "ingest"
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest)
    lines = quire("show", NEW).output.splitlines()
    assert lines[1].startswith(shown)
    assert "end of" not in quire("runs").output
    assert ("2025-05-31" in quire("runs").output) == ("2025" in manifest)


def test_what_is_no_run_is_passed_over(project):
    runs = project / "outputs" / "runs"
    (runs / ".DS_Store").write_text("")
    (runs / "99990101T000000000-ffff").mkdir()
    (runs / "99990101T000000000-ffff" / "run.json").write_text("")
    for command in (("runs",), ("show",), ("diff", OLD), ("clean", "--dry-run")):
        done = quire(*command)
        assert done.exit_code == 0, done.output

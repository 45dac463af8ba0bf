"""Nothing moves but by intent: who executes a notebook, and how a run was started, decides what it may change."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from quire.flow import history
from quire.flow.retention import remove_old_runs
from quire.io import artifacts, runs

ASK = """
run.save("may", {"publishes": run.publishes, "tracks": run.tracks, "why": run.held_back})
"""
TRACK = 'run.save("tracked", run.tracks)'


@pytest.fixture(scope="module")
def asked(shared_project, tracking_store):
    """`ask` asks whether it may publish, `track` whether it may log, `plain` nothing; run without publishing."""
    project = shared_project
    project.outputs.mkdir(exist_ok=True)
    shutil.copy(tracking_store, project.outputs / "mlflow.db")
    project.stage("plain", 'run.save("plain", n)', parameters="n = 1")
    project.stage("track", TRACK, needs=["plain"])
    project.stage(
        "ask", ASK, 'attempt = __import__("pathlib").Path(str(run.folder.parent) + ".again")', needs=["track"]
    )
    return project, project.run()


def content(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def may(project, result):
    return project.artifact(result, "ask", "may")


def execute(project, *command):
    """Execute a notebook as somebody else does than the runner; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project.root, capture_output=True, text=True,
        env=project_environment(project),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def project_environment(project):
    return {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")} | {
        "QUIRE_ROOT": str(project.root),
    }


@pytest.mark.parametrize("tool", ["nbconvert", "papermill", "papermill with run_dir"])
def test_whoever_executes_a_notebook_of_a_run_that_ended_leaves_it_as_it_was(asked, tmp_path, tool):
    project, first = asked
    before = content(project.outputs / "runs")
    executed, out = str(first.folder / "notebooks" / "ask.ipynb"), str(tmp_path / "out.ipynb")
    shutil.rmtree(project.outputs / "scratch", ignore_errors=True)
    command = {
        "nbconvert": ["nbconvert", "--to", "notebook", "--execute", executed, "--output", out],
        "papermill": ["papermill", "-k", "python3", executed, out],
        "papermill with run_dir": [
            "papermill", "-k", "python3", "-l", "python", str(project.root / "notebooks" / "ask.ipynb"), out,
            "-p", "params", "x", "-p", "run_dir", f"outputs/runs/{first.folder.name}/artifacts/ask",
        ],
    }[tool]  # fmt: skip
    execute(project, *command)
    assert content(project.outputs / "runs") == before
    by_hand = json.loads((project.outputs / "scratch" / "x" / "may.json").read_text())
    assert by_hand == {"publishes": False, "tracks": False, "why": "by hand"}


def test_a_kernel_of_the_runner_writes_to_its_run_warm_or_cold_and_in_a_second_attempt(project):
    fail = """
        import pathlib
        mark = pathlib.Path("once")
        if not mark.exists():
            mark.touch()
            raise OSError("once")
    """
    project.stage("again", ASK, fail, retries=1)
    first = project.run()
    assert first.exit_code == 0
    assert project.artifact(first, "again", "may")["why"] == "--no-publish"
    assert project.artifact(project.run(cold=True, fresh=True), "again", "may")["why"] == "--no-publish"
    assert not (project.outputs / "scratch").exists()


def test_the_token_is_in_no_file_of_the_run(asked):
    project, _ = asked
    project.stage("tell", 'run.save("digest", run.settings.run_token[::-1])')
    try:
        result = project.run()
        token = project.artifact(result, "tell", "digest")[::-1]
        assert len(token) == 32
        assert not [path for path in content(result.folder) if token.encode() in path.read_bytes()]
    finally:
        del project.stages["tell"]
        project.write()


def test_what_a_stage_was_not_allowed_is_not_reused_where_it_is_and_the_other_way_round(asked):
    project, first = asked
    assert may(project, first) == {"publishes": False, "tracks": False, "why": "--no-publish"}
    published = project.run(publish=True)
    assert may(project, published) == {"publishes": True, "tracks": True, "why": ""}
    assert project.statuses(published) == {"plain": "reused", "track": "succeeded", "ask": "succeeded"}
    assert "the run publishes otherwise" in published.record["stages"]["ask"]["why"]
    tried = project.run(publish=True, trial="fewer trees")
    assert may(project, tried) == {"publishes": False, "tracks": True, "why": "--try"}
    assert project.statuses(tried) == {"plain": "reused", "track": "reused", "ask": "succeeded"}
    for again, like in (
        ({"publish": True}, published),
        ({}, first),
        ({"trial": "other words", "publish": True}, tried),
    ):
        result = project.run(**again)
        assert set(project.statuses(result).values()) == {"reused"}
        assert may(project, result) == may(project, like)


def test_an_experiment_is_shown_with_its_note_but_is_not_the_latest_run(asked):
    project, _ = asked
    ordinary = project.run(publish=True)
    tried = project.run(publish=True, trial="fewer trees")
    assert runs.read(tried.folder)["try"] == "fewer trees"
    assert next(runs.succeeded(project.outputs, "x")) == ordinary.folder
    assert artifacts.latest(project.outputs, "x") == ordinary.folder
    later = project.run(publish=True)
    assert history.previous(project.outputs, later.record) == ordinary.folder
    assert history.find(project.outputs, tried.folder.name[-4:]) == tried.folder
    for command in (["runs"], ["show", tried.folder.name]):
        done = project.process(*command)
        assert "fewer trees" in done.communicate()[0]
    kept = {ordinary.folder.name, later.folder.name} - set(remove_old_runs(project.outputs, keep=0, dry_run=True))
    assert kept == {later.folder.name}


def test_an_experiment_is_logged_to_mlflow_with_its_note(asked):
    from mlflow import MlflowClient

    project, _ = asked
    tried = project.run(publish=True, trial="only the weekend")
    client = MlflowClient(f"sqlite:///{project.outputs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("x").experiment_id
    logged = client.search_runs([experiment], f"tags.`quire.run_id` = '{tried.folder.name}'")
    assert [one.data.tags["quire.try"] for one in logged] == ["only the weekend"]
    assert "only the weekend" in logged[0].data.tags["mlflow.note.content"]
    assert logged[0].data.tags["mlflow.user"] == tried.record["user"]


def test_an_experiment_starts_no_other_workflow(project):
    from quire.flow.context import Request
    from quire.flow.reactions import run_and_react

    project.stage("watch", 'run.signal("retrain", "drift")', on_signal={"retrain": {"workflow": "train"}})
    project.stage("fit").write(score=["watch"])
    asked = Request("x", "score", publish=False, trial="a look")
    assert [result.record["workflow"] for result in run_and_react(asked, root=project.root)] == ["score"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--try", ""], "a few words"),
        (["--try", "  "], "a few words"),
        (["--try", "x", "--no-publish"], "leave out one"),
    ],
)
def test_an_experiment_needs_a_note(project, options, words):
    project.stage("a")
    done = project.process("run", "params/x", *options)
    assert words in done.communicate()[1]
    assert done.returncode == 2
    assert not (project.outputs / "runs").exists()

import json
import os

import pytest


def test_a_failed_cell_is_shown_with_its_lines_and_how_to_go_on(project):
    project.stage("a", "total = 0", 'value = {"x": 1}\nvalue["y"] + 1')
    project.stage("b", needs=["a"]).stage("c").stage("d", needs=["c"])
    result = project.run()
    assert result.exit_code == 4
    assert project.statuses(result) == {"a": "failed", "b": "skipped", "c": "succeeded", "d": "succeeded"}
    assert result.record["stages"]["b"]["why"] == "a failed"
    (text,) = result.failures
    assert "Stage a failed in a.ipynb, cell" in text
    assert "KeyError: 'y'" in text
    assert 'value["y"] + 1' in text
    assert f"{result.folder}/notebooks/a.ipynb" in text
    assert "quire run params/x" in text
    notebook = (result.folder / "notebooks" / "a.ipynb").read_text()
    assert json.loads(notebook)["cells"][0]["metadata"]["tags"] == ["papermill-error-cell-tag"]
    assert "KeyError" in (result.folder / "reports" / "a.html").read_text()


def test_the_next_run_resumes_at_the_stage_that_failed(project):
    flag = project.root / "flag"
    project.stage("a").stage("b", f'assert __import__("pathlib").Path({str(flag)!r}).exists(), "no flag"', needs=["a"])
    assert project.run().exit_code == 4
    flag.touch()
    result = project.run()
    assert project.statuses(result) == {"a": "reused", "b": "succeeded"}


@pytest.mark.parametrize(("error", "code"), [("ValidationFailed", 3), ("ConfigError", 2), ("ModelError", 4)])
def test_the_exit_code_says_what_kind_of_failure(project, error, code):
    project.stage("a", f"from quire.errors import {error}\nraise {error}('because')")
    assert project.run().exit_code == code


def test_a_stage_is_tried_again_as_often_as_the_workflow_says(project):
    marks = project.root / "marks"
    marks.mkdir()
    project.stage("a", f"""
    import pathlib, uuid
    marks = pathlib.Path({str(marks)!r})
    (marks / uuid.uuid4().hex).touch()
    assert len(list(marks.iterdir())) == 2, "first attempt"
    """, retries=2)  # fmt: skip
    events = []
    assert project.run(listen=events.append).exit_code == 0
    assert len(list(marks.iterdir())) == 2
    assert [event["attempt"] for event in events if event["event"] == "stage_retried"] == [1]


def test_data_that_failed_is_not_tried_again(project):
    project.stage("a", "from quire.errors import DataError\nraise DataError('empty')", retries=3)
    events = []
    assert project.run(listen=events.append).exit_code == 3
    assert not [event for event in events if event["event"] == "stage_retried"]


def test_a_cell_that_takes_too_long_is_named(project):
    project.stage("a", "quick = 1", "import time\ntime.sleep(60)", cell_timeout_s=1)
    result = project.run()
    error = result.record["stages"]["a"]["error"]
    assert error["kind"] == "TimedOut"
    assert "1 s (cell_timeout_s" in error["message"]
    assert "time.sleep(60)" in error["source"]


def test_a_stage_that_takes_too_long_is_ended(project):
    project.stage("a", "import time\ntime.sleep(60)", timeout_s=3)
    result = project.run()
    assert result.record["stages"]["a"]["error"]["kind"] == "TimedOut"
    assert "3 s (timeout_s" in result.failures[0]
    assert project.kernels() == []


def test_a_kernel_that_dies_is_reported_as_such(project):
    project.stage("a", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    error = project.run().record["stages"]["a"]["error"]
    assert error["kind"] == "KernelDied"
    assert "SIGSEGV" in error["message"]
    assert "SIGSEGV" in error["source"]


def test_a_kernel_that_is_killed_probably_ran_out_of_memory(project):
    project.stage("a", "total = 0", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    result = project.run()
    error = result.record["stages"]["a"]["error"]
    assert error["kind"] == "OutOfMemory"
    assert "killed (SIGKILL), probably out of memory" in error["message"]
    assert error["cell"] == 5
    assert "Stage a failed in a.ipynb, cell 5" in result.failures[0]


def test_memory_that_runs_out_in_python_is_told_with_the_cell(project):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))"
    project.stage("a", limit, "bytearray(1 << 32)")
    error = project.run().record["stages"]["a"]["error"]
    assert error["kind"] == "MemoryError"
    assert "--jobs 1" in error["message"]
    assert error["source"] == "bytearray(1 << 32)"


def test_a_full_disk_is_reported_and_says_what_to_do(project):
    project.stage("a", "import errno\nraise OSError(errno.ENOSPC, 'No space left on device')")
    assert "quire clean" in project.run().failures[0]


def test_nothing_stays_behind_in_the_folder_for_sockets(project, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    project.stage("a").stage("b", needs=["a"])
    assert project.run().exit_code == 0
    assert [name for name in os.listdir(tmp_path) if name.startswith("quire-")] == []


SECRET_CONFIG = "source: {kind: demo}\ndatabase: ${MY_DB}\nalerts: {webhook: '${MY_HOOK}'}\n"
SHOWS_SECRETS = """
    from IPython.display import HTML, display
    password = settings.database_url.split(":")[2].split("@")[0]
    print("the password is", password)
    display(HTML(f"<b>{password}</b> {settings.config.alerts.webhook.get_secret_value()}"))
    raise ValueError(f"{password} was refused")
"""


def test_no_secret_reaches_the_record_the_notebook_or_a_page(project, monkeypatch):
    monkeypatch.setenv("MY_DB", "postgresql://u:S3cr3tPw@127.0.0.1:1/db")
    monkeypatch.setenv("MY_HOOK", "https://hooks.example.org/services/T0000001/abcdefghij")
    project.stage("shows", SHOWS_SECRETS)
    (project.root / "params" / "x" / "config.yaml").write_text(SECRET_CONFIG)
    result = project.run(publish=False)
    texts = {path: path.read_text(errors="replace") for path in result.folder.rglob("*") if path.is_file()}
    assert any("was refused" in text for text in texts.values())
    assert [path.name for path, text in texts.items() if "S3cr3tPw" in text or "abcdefghij" in text] == []
    assert "*** was refused" in result.record["stages"]["shows"]["error"]["message"]

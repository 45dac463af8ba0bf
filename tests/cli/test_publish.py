"""``quire publish``: what it prints, and how it ends."""

import json
import shutil
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from quire.cli import doctor
from quire.cli.main import main
from quire.flow.lock import only_run
from quire.io import pending_notes


@pytest.fixture
def stored(project, tracking_store, monkeypatch):
    """The project with an empty tracking store."""
    for name in ("MLFLOW_TRACKING_URI", "QUIRE_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    (project / "outputs").mkdir()
    shutil.copy(tracking_store, project / "outputs" / "mlflow.db")
    return project


def owing(project, name, parts=("tracking", "figures", "alert")):
    folder = project / "outputs" / "runs" / name
    folder.mkdir(parents=True)
    at = datetime.now(UTC).isoformat()
    record = {
        "params": "demo", "workflow": "train", "status": "succeeded", "seconds": 1.0, "started_at": at,
        "finished_at": at, "stages": {},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    pending_notes.runs(project / "outputs").write(name, json.dumps({"parts": list(parts)}))


def publish(*arguments):
    return CliRunner().invoke(main, ["publish", *arguments])


def test_all_that_is_owed_is_delivered_with_a_line_for_each_run_and_part(stored):
    owing(stored, "r1")
    owing(stored, "r2", ["tracking"])
    done = publish()
    assert done.exit_code == 0, done.output
    lines = [tuple(line.split()) for line in done.output.splitlines()]
    parts = [("r1", "tracking"), ("r1", "figures"), ("r1", "alert"), ("r2", "tracking")]
    assert lines[:-1] == [(*part, "delivered") for part in parts]
    again = publish()
    assert (again.exit_code, again.output.strip()) == (0, "Nothing is owed.")


def test_one_run_may_be_named_by_a_part_of_its_id(stored):
    owing(stored, "20260301T000000000-aaaa", ["figures"])
    owing(stored, "20260301T000000000-bbbb", ["figures"])
    assert publish("aaaa").exit_code == 0
    assert pending_notes.runs(stored / "outputs").names() == ["20260301T000000000-bbbb"]
    assert publish("cccc").exit_code == 4


def test_what_does_not_arrive_is_said_with_code_7_and_stays_owed(stored, monkeypatch):
    owing(stored, "r1")
    owing(stored, "r2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = publish()
    assert away.exit_code == 7
    assert away.output.count("http://127.0.0.1:9") == 2
    assert "2 not, and still owed" in away.output
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    back = publish()
    assert back.exit_code == 0, back.output
    assert [line.split()[:2] for line in back.output.splitlines()[:-1]] == [["r1", "tracking"], ["r2", "tracking"]]


def test_a_run_under_way_is_left_alone(stored):
    owing(stored, "r1", ["figures"])
    with only_run(stored / "outputs", "demo") as holder:
        holder.write("r1", datetime.now(UTC))
        named = publish("r1")
        assert named.exit_code == 5
        assert "Run r1 is under way; it is published when it ends." in named.output
        assert publish().output.strip() == "Nothing is owed."
    assert pending_notes.runs(stored / "outputs").names() == ["r1"]


def test_the_doctor_says_what_is_owed(stored):
    def finding():
        return next(one for one in doctor.examine(stored, []) if one.what == "owed")

    assert finding().status == "ok"
    owing(stored, "r1", ["figures"])
    pending_notes.alerts(stored / "outputs").write("a1", "{}")
    assert finding().status == "warn"
    assert "runs that are not published: r1; alerts that have not reached every channel: 1" in finding().text
    assert "`quire publish`" in finding().todo
    assert publish().exit_code == 7  # the alert is no alert
    (stored / "outputs" / ".owed" / "alerts" / "a1.json").unlink()
    assert finding().status == "ok"


def test_the_help_says_what_it_is_for():
    text = " ".join(publish("--help").output.split())
    for words in ("MLflow", "the next `quire run` delivers it", "code 7", "What arrived is not sent again"):
        assert words in text

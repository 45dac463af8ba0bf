import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import pytest
import yaml

from quire.flow import delivery
from quire.flow.context import Request
from quire.flow.publish import Publisher
from quire.flow.run import run
from quire.io import pending_notes as notes

SECRET = "hunter2-not-to-be-told"


@pytest.mark.slow
def test_a_run_is_in_mlflow_with_notebooks_and_reports_and_a_failed_one_alerts_and_none_tells_a_secret(
    project, monkeypatch, capfd
):
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    with sqlite3.connect(project.root / "shop.db") as shop:
        shop.execute("create table sales (t, y)")
    source = "{kind: sql, url: 'sqlite:///shop.db?password=${SHOP_PASSWORD}', query: SELECT t FROM sales}"
    (project.root / "params" / "x" / "config.yaml").write_text(f"source: {source}\n")
    known = f"assert settings.config.source.url.get_secret_value()[{-len(SECRET)}:].count('-') == {SECRET.count('-')}"
    project.stage("a", known, "settings", "settings.config.source", "run", 'print(settings.raw["config"])')
    project.stage("b", "settings.config.source / 0", needs=["a"])
    result = project.run(publish=True, listen=lambda event: print(event))
    print(*result.failures)
    assert result.record["stages"]["a"]["status"] == "succeeded", result.failures
    assert [path for path in project.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in "".join(capfd.readouterr())
    assert result.record.get("warnings", []) == []
    with sqlite3.connect(project.outputs / "mlflow.db") as store:
        runs = store.execute("select run_uuid, status, artifact_uri from runs").fetchall()
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", runs[0][:1]).fetchall())
    assert len(runs) == 1
    assert runs[0][1] == "FAILED"
    assert tags["quire.run_id"] == result.record["run_id"]
    with sqlite3.connect(project.outputs / "quire.db") as database:
        kind, body = database.execute("select kind, body from alert").fetchone()
    assert kind == "run_failed"
    assert "TypeError" in body
    assert not (result.folder / ".publish.log").exists()


def test_a_run_with_nothing_to_do_publishes_nothing(project):
    project.stage("a")
    project.run()
    project.run(publish=True)
    assert not (project.outputs / "mlflow.db").exists()


PUBLISHER = """
import os, signal, sys
from pathlib import Path
from quire.flow import delivery, publish
from quire.io import notify

def dies(action, after):
    def act(*arguments, **options):
        if after:
            action(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    return act

name, _, moment = sys.argv[3].partition(" ")
after = moment == "after"
if name in delivery.PARTS:
    delivery.PARTS[name] = delivery.OwedPart(dies(delivery.PARTS[name].deliver, after))
elif name in notify.SENDERS:
    notify.SENDERS[name] = dies(notify.SENDERS[name], after)
else:
    publish._publish = dies(publish._publish, after)
publish.main(sys.argv[1], Path(sys.argv[2]))
"""
"""A publisher that kill -9 ends before or after it did a part of its work."""

RUNNER = """
import os, signal, sys
from pathlib import Path
from quire.flow.context import Request
from quire.flow.run import run
setattr(sys.modules["quire.flow.run"], sys.argv[2], lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
run(Request("x"), root=Path(sys.argv[1]))
"""
"""A runner that kill -9 ends where it calls a function of its own."""


def publisher(project, folder, where, **streams):
    """A process that publishes the run in ``folder`` as its runner would, and dies there."""
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, "x", str(folder), where],
        env={**os.environ, "QUIRE_ROOT": str(project.root)},
        **streams,
    )


@pytest.fixture
def stored(project, tracking_store):
    """The project with a tracking store that is made already, which takes a while."""
    project.outputs.mkdir()
    shutil.copy(tracking_store, project.outputs / "mlflow.db")
    return project.stage("a")


def alerting(project, url, **more):
    config = {"source": {"kind": "demo"}, "alerts": {"channels": ["webhook"], "webhook": url, **more}}
    (project.root / "params" / "x" / "config.yaml").write_text(yaml.safe_dump(config))


def deliver_all(project, **only):
    """What ``quire publish`` does; return what did not arrive, by part."""
    failures = delivery.Failures()
    outcomes = [
        outcome
        for deliver in (delivery.publish_others, delivery.send_alerts)
        for outcome in deliver(project.root, project.outputs, failures, **only)
    ]
    return {outcome.part: outcome.message for outcome in outcomes if outcome.message}


def tracked(project):
    """The ids of the workflow runs in MLflow, as often as each is there, with status and start."""
    kind = "select run_uuid from tags where key = 'quire.kind' and value = 'workflow'"
    query = f"""select value, status, start_time from runs join tags using (run_uuid)
        where key = 'quire.run_id' and run_uuid in ({kind})"""
    with closing(sqlite3.connect(project.outputs / "mlflow.db")) as store:
        return store.execute(query).fetchall()


def alerted(project):
    if not (project.outputs / "quire.db").exists():
        return []
    with closing(sqlite3.connect(project.outputs / "quire.db")) as store:
        return store.execute("select run_id, title from alert").fetchall()


@pytest.mark.parametrize(
    ("where", "times"),
    [
        ("the end before", 1), ("tracking before", 1), ("tracking after", 1), ("figures after", 1), ("alert before", 1),
        ("alert after", 1), ("log before", 1), ("webhook before", 1), ("webhook after", 2),
    ],
)  # fmt: skip
def test_what_a_killed_publisher_left_arrives_later_and_once(stored, webhook, where, times):
    """Only where it dies between the channel's acceptance and the note of it the same alert comes twice."""
    url, posted, _ = webhook
    alerting(stored, url)
    error = {"kind": "ZeroDivisionError", "message": "division by zero", "notebook": "a"}
    run_id = owing(
        stored,
        "r1",
        ["tracking", "figures", "alert"],
        status="failed",
        stages={"a": {"status": "failed", "error": error}},
    )
    process = publisher(stored, stored.outputs / "runs" / run_id, where, stdin=subprocess.PIPE)
    process.communicate(b'{"do": "end"}\n')
    assert process.returncode == -signal.SIGKILL
    assert deliver_all(stored) == {}
    (row,) = tracked(stored)
    assert row[:2] == (run_id, "FAILED")
    assert row[2] == round(datetime.fromisoformat(stored.latest()["started_at"]).timestamp() * 1000)
    assert alerted(stored) == [(run_id, "x: train failed in a")]
    assert len(posted) == times
    assert len({post["id"] for post in posted}) == 1
    assert delivery.left(stored.outputs) == ([], [])
    assert deliver_all(stored) == {}
    assert len(posted) == times


def test_the_next_run_of_any_use_case_publishes_what_is_owed_though_it_has_nothing_to_do(stored):
    shutil.copytree(stored.root / "params" / "x", stored.root / "params" / "y")
    run_of_y(stored, publish=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Publisher, "_process", lambda self, streams: publisher(
            stored, self._context.folder, "the end before", stdin=streams[0], stdout=streams[1], stderr=streams[2]
        ))  # fmt: skip
        first = stored.run(publish=True)
    run_id = first.record["run_id"]
    assert first.exit_code == 0
    assert "`quire publish`, catches it up" in "".join(first.record["warnings"])
    run_of_y(stored, publish=False)
    assert notes.runs(stored.outputs).names() == [run_id]
    second = run_of_y(stored, publish=True)
    assert set(stored.statuses(second).values()) == {"reused"}
    assert second.record.get("warnings", []) == []
    assert [row[0] for row in tracked(stored)] == [run_id]
    assert delivery.left(stored.outputs) == ([], [])


def run_of_y(project, **request):
    return run(Request("y", **request), root=project.root)


@pytest.mark.parametrize("function", ["_write_pages", "_finish"])
def test_a_run_whose_runner_is_killed_at_its_end_is_published_as_it_is(stored, function):
    killed = subprocess.run([sys.executable, "-c", RUNNER, str(stored.root), function], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    (run_id,) = notes.runs(stored.outputs).names()
    ended = stored.latest()["status"] == "succeeded"
    assert deliver_all(stored) == {}
    assert [row[:2] for row in tracked(stored)] == [(run_id, "FINISHED" if ended else "KILLED")]
    assert [title for _, title in alerted(stored)] == ([] if ended else ["x: train died in no stage"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_died_is_an_alarm_and_one_that_was_stopped_is_none(stored, until, webhook, number):
    url, posted, _ = webhook
    alerting(stored, url)
    stored.stage("a", "import time; time.sleep(60 if params == 'x' else 0)")
    process = stored.process("run", "params/x", "--quiet", start_new_session=True)
    until(
        lambda: list(stored.outputs.glob("runs/*/run.json")) and stored.latest()["stages"]["a"]["status"] == "running"
    )
    run_id = stored.latest()["run_id"]
    assert deliver_all(stored) == {}  # it is under way
    assert notes.runs(stored.outputs).names() == [run_id]
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert deliver_all(stored) == {}
    assert stored.latest()["status"] == "interrupted"
    assert [row[:2] for row in tracked(stored)] == [(run_id, "KILLED")]
    died = number == signal.SIGKILL
    assert alerted(stored) == ([(run_id, "x: train died in a")] if died else [])
    assert len(posted) == died
    assert delivery.left(stored.outputs) == ([], [])


def test_what_a_server_that_is_away_did_not_get_arrives_when_it_is_back(stored, webhook, monkeypatch):
    url, posted, answers = webhook
    answers += [500] * 6
    alerting(stored, url)
    stored.stage("a", "1 / 0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = stored.run(publish=True)
    run_id = result.record["run_id"]
    assert any("webhook" in warning for warning in result.record["warnings"])
    assert delivery.parts_of(stored.outputs, run_id) == ["tracking"]
    assert set(deliver_all(stored)) == {"tracking", "alert by webhook"}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    posted.clear()
    assert deliver_all(stored) == {}
    assert [row[0] for row in tracked(stored)] == [run_id]
    assert [post["text"].splitlines()[0] for post in posted] == ["[x] x: train failed in a"]
    assert len(alerted(stored)) == 1


def owing(project, name, parts=("tracking",), **record):
    """A run that ended and was not published, without executing anything."""
    folder = project.outputs / "runs" / name
    folder.mkdir(parents=True)
    at = datetime.now(UTC).isoformat()
    content = {
        "params": "x", "workflow": "train", "status": "succeeded", "stages": {}, "seconds": 1.0, "started_at": at,
        "finished_at": at, "publish": True, "cause": "", **record,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(content))
    notes.runs(project.outputs).write(name, json.dumps({"parts": list(parts)}))
    return name


@pytest.mark.parametrize("text", ["", "null", "[]", '{"parts": 3}', '{"parts": [["tracking"]]}', '{"parts": ["mail"]}'])
def test_a_note_that_is_not_whole_owes_all_that_no_repeat_harms_or_what_is_known(project, text):
    owing(project, "r1")
    notes.runs(project.outputs).write("r1", text)
    assert set(delivery.parts_of(project.outputs, "r1")) in ({*delivery.PARTS}, set())


@pytest.mark.parametrize("params", ["../../etc", "..", ".", "", "gone", "x/../y"])
def test_a_run_of_no_use_case_of_the_project_is_named_and_stays_owed(project, params):
    project.stage("a")
    owing(project, "r1", params=params)
    assert "is not below" in deliver_all(project)["all"]
    assert notes.runs(project.outputs).names() == ["r1"]


def test_names_in_the_folder_of_notes_that_are_no_names_of_runs_are_passed_over(project):
    project.stage("a")
    folder = notes.runs(project.outputs).folder
    folder.mkdir(parents=True)
    for name in ("..json", "a b.json", "-x.json", f"{'x' * 65}.json", ".hidden.json"):
        (folder / name).write_text('{"parts": ["tracking"]}')
    assert delivery.left(project.outputs) == ([], [])
    assert deliver_all(project) == {}


def test_a_note_of_a_run_that_was_removed_goes_too(project):
    project.stage("a")
    notes.runs(project.outputs).write("r1", json.dumps({"parts": ["tracking"]}))
    assert deliver_all(project) == {}
    assert delivery.left(project.outputs) == ([], [])


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"publish": True, "try": "", "cause": ""}, ["tracking", "figures", "alert"]),
        ({"publish": True, "try": "fewer trees", "cause": ""}, ["tracking"]),
        ({"publish": False, "try": "", "cause": ""}, []),
        ({"publish": True, "try": "", "cause": "cluster"}, []),
    ],
)
def test_what_a_run_owes_follows_from_how_it_was_asked_for(project, record, parts):
    from quire import config

    project.stage("a")
    delivery.remember({"run_id": "r1", **record}, config.load("x", root=project.root))
    assert delivery.parts_of(project.outputs, "r1") == parts


def test_a_service_that_does_not_answer_is_asked_twice_for_all_runs_and_nothing_is_kept_back_for_good(
    project, monkeypatch
):
    project.stage("a")
    names = [owing(project, name, ("tracking", "figures")) for name in ("r1", "r2", "r3", "r4")]
    asked, refused = [], set(names)

    def answer(run):
        asked.append(run.folder.name)
        if run.folder.name in refused:
            raise delivery.ServiceError("The tracking server refused.")

    monkeypatch.setitem(delivery.PARTS, "tracking", delivery.OwedPart(answer))
    outcomes = list(delivery.publish_others(project.root, project.outputs, delivery.Failures()))
    assert asked == ["r1", "r2"]
    assert [one.run_id for one in outcomes if one.part == "tracking" and one.message] == names
    assert all(delivery.parts_of(project.outputs, name) == ["tracking"] for name in names)
    refused = {"r1", "r2"}
    for _ in range(3):
        list(delivery.publish_others(project.root, project.outputs, delivery.Failures()))
    assert set(notes.runs(project.outputs).names()) == refused


def test_a_run_that_another_process_publishes_is_left_to_it(project):
    project.stage("a")
    owing(project, "r1")
    with notes.runs(project.outputs).held("r1") as is_free:
        assert is_free
        assert list(delivery.publish_others(project.root, project.outputs, delivery.Failures())) == []
    assert notes.runs(project.outputs).names() == ["r1"]


def test_runs_that_are_not_published_yet_are_not_cleaned_away(project):
    from quire.flow.retention import remove_old_runs

    project.stage("a")
    for name in ("r1", "r2", "r3", "r4"):
        owing(project, name)
    notes.runs(project.outputs).remove("r2")
    assert remove_old_runs(project.outputs, keep=0) == ["r2"]

import sqlite3

import pytest


@pytest.mark.slow
def test_a_run_is_in_mlflow_with_notebooks_and_reports_and_a_failed_one_alerts(project):
    project.stage("a").stage("b", "1 / 0", needs=["a"])
    result = project.run(publish=True)
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
    assert "ZeroDivisionError" in body
    assert not (result.folder / ".publish.log").exists()


def test_a_run_with_nothing_to_do_publishes_nothing(project):
    project.stage("a")
    project.run()
    project.run(publish=True)
    assert not (project.outputs / "mlflow.db").exists()

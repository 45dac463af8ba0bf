import sqlite3

import pytest

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

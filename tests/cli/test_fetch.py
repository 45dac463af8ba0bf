"""``quire fetch``: a run, or what belongs to all of them, comes back from the archive."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from quire import config
from quire.cli.fetch import fetch
from quire.io import archive

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(bucket, aws, tmp_path, monkeypatch):
    """Make a machine with the demo's params and the archive, and be on it."""

    def make(name, url=bucket):
        root = tmp_path / name
        shutil.copytree(ROOT / "params", root / "params")
        path = root / "params" / "demo" / "config.yaml"
        section = {"archive": {"url": url, "endpoint_url": aws}}
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | section))
        for variable in ("QUIRE_OUTPUTS", "QUIRE_DATABASE_URL", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("QUIRE_ROOT", str(root))
        return config.load("demo")

    return make


@pytest.fixture
def archived(machine):
    """Two runs and a tracking store that another machine archived."""
    settings = machine("one")
    there = archive.open(settings, stores=True)
    for run_id in ("20260101T000000000-aaaa", "20260102T000000000-bbbb"):
        folder = settings.outputs / "runs" / run_id
        (folder / "reports").mkdir(parents=True)
        (folder / "reports" / "train.html").write_text("<p>report</p>")
        (folder / "run.json").write_text(json.dumps({"run_id": run_id, "params": "demo"}))
        there.save_run(folder)
    with closing(sqlite3.connect(settings.outputs / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE models (name TEXT)")
    there.save_stores(run_id)
    return "20260101T000000000-aaaa", "20260102T000000000-bbbb"


def call(*arguments):
    return CliRunner().invoke(fetch, arguments)


def test_runs_of_the_archive_are_listed(archived, machine):
    machine("two")
    assert call("--list").output.split() == list(archived)


def test_the_newest_run_comes_back(archived, machine):
    outputs = machine("two").outputs
    assert call().output.strip() == str(outputs / "runs" / archived[1])
    assert (outputs / "runs" / archived[1] / "reports" / "train.html").read_text() == "<p>report</p>"
    assert not (outputs / "mlflow.db").exists()


def test_a_part_of_an_older_run_comes_back(archived, machine):
    outputs = machine("two").outputs
    assert call(archived[0], "--only", "reports/").exit_code == 0
    assert [path.name for path in (outputs / "runs" / archived[0]).iterdir()] == ["reports"]


def test_a_new_machine_gets_the_stores_too(archived, machine):
    outputs = machine("two").outputs
    assert str(outputs / "mlflow.db") in call("--stores").output.split()
    with closing(sqlite3.connect(outputs / "mlflow.db")) as store:
        assert store.execute("SELECT name FROM sqlite_master").fetchall() == [("models",)]


def test_an_unknown_run_is_told_with_the_nearest(archived, machine):
    machine("two")
    assert "Did you mean '20260102T000000000-bbbb'?" in str(call("20260102T000000000-bbbc").exception)


def test_without_an_archive_it_says_what_to_write(machine):
    machine("two", url="")
    assert "names no archive" in str(call().exception)

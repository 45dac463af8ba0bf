"""Whoever may write to the archive writes nothing elsewhere on a machine that reads it."""

import hashlib
import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.io.test_archive_format import JSON, text

from quire.errors import ArchiveError, ArtifactError
from quire.io import storage
from quire.io.archive import Archive
from quire.io.mirror import LIST, Mirror

EVIL = b"written by whoever may write to the archive\n"
SHA = hashlib.sha256(EVIL).hexdigest()
PATHS = ["../../../x", "/x", "a/../../../../x", "..\\x", "a\0b", "./x", "C:/x"]


@pytest.fixture
def store(bucket, aws):
    return storage.open(bucket, aws)


@pytest.fixture
def archive(store, tmp_path):
    return Archive(store, tmp_path / "here" / "outputs")


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def offer(store, path="a.txt", run_id="r", **changes):
    """Archive a run that has one file, as an attacker would."""
    file = {"sha256": SHA, "size_bytes": len(EVIL), **changes}
    store.write(f"runs/{run_id}/a.txt", EVIL)
    store.write(f"runs/{run_id}/_archive.json", text({"run_id": run_id, "files": {path: {"key": "a.txt", **file}}}))


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_a_run_leads_out_of_its_folder(archive, store, tmp_path, path):
    offer(store, path)
    with pytest.raises(ArchiveError, match="not what Quire writes"):
        archive.fetch_run("r")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("run_id", ["..", "../..", "/tmp/x", "a/b", "", ".", "a\\b"])
def test_no_name_of_a_run_leads_out_of_the_runs(archive, tmp_path, run_id):
    with pytest.raises(ArchiveError, match="no name of a run"):
        archive.fetch_run(run_id)
    assert files_in(tmp_path) == []


def test_a_note_that_names_a_path_is_left_out(archive, store):
    store.write("stages/x/train/k/evil.json", text({"run_id": "../../x"}))
    store.write("stages/x/train/k/cut.json", b'{"run_id": ')
    store.write("stages/x/train/k/good.json", text({"run_id": "r"}))
    assert archive.find_stage("x/train/k") == [{"run_id": "r"}]


def test_a_run_that_is_a_link_here_is_not_written_through(archive, store, tmp_path):
    offer(store, "artifacts/a.txt")
    (tmp_path / "elsewhere").mkdir()
    (archive.outputs / "runs").mkdir(parents=True)
    (archive.outputs / "runs" / "r").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match="is a link"):
        archive.fetch_run("r")
    assert files_in(tmp_path / "elsewhere") == []


def test_a_file_that_is_a_link_here_is_replaced_and_not_written_through(archive, store, tmp_path):
    offer(store)
    (tmp_path / "victim").write_text("mine")
    (archive.outputs / "runs" / "r").mkdir(parents=True)
    (archive.outputs / "runs" / "r" / "a.txt").symlink_to(tmp_path / "victim")
    archive.fetch_run("r")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (archive.outputs / "runs" / "r" / "a.txt").read_bytes() == EVIL


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size_bytes": 7}, {"size_bytes": 2**40}])
def test_content_that_is_not_what_the_manifest_says_leaves_nothing(archive, store, tmp_path, changes):
    offer(store, **changes)
    with pytest.raises(ArchiveError, match="is not whole"):
        archive.fetch_run("r")
    assert files_in(tmp_path) == []


def test_a_file_and_a_folder_of_one_name_are_an_archive_error(archive, store):
    file = {"sha256": SHA, "size_bytes": len(EVIL), "key": "a.txt"}
    offer(store)
    store.write("runs/r/_archive.json", text({"files": {"a": file, "a/b": file}}))
    with pytest.raises(ArchiveError, match="cannot be written"):
        archive.fetch_run("r")


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b'{"stages": 7}', b'{"run_id": "another"}', b"[" * 10**5])
def test_a_record_that_is_none_never_takes_its_name(archive, store, record):
    sha256 = hashlib.sha256(record).hexdigest()
    store.write("runs/r/run.json", record)
    store.write("runs/r/_archive.json", text({"files": {"run.json": {"sha256": sha256, "size_bytes": len(record)}}}))
    with pytest.raises(ArchiveError):
        archive.fetch_run("r")
    assert files_in(archive.outputs) == []


def test_names_of_runs_that_are_none_are_not_listed(archive, store):
    offer(store, run_id="good")
    store.write("runs/\x1b[2J/_archive.json", b"{}")
    store.write("runs/a b/_archive.json", b"{}")
    assert archive.runs() == ["good"]


def test_an_object_too_large_to_be_a_manifest_is_not_read(archive, store, monkeypatch):
    monkeypatch.setattr(storage, "MOST_BYTES", 100)
    store.write("runs/r/_archive.json", b" " * 101)
    with pytest.raises(ArchiveError, match="101 bytes, expected at most 100"):
        archive.files("r")


@pytest.mark.parametrize("path", ["mlartifacts/../../x", "mlartifacts/../runs/x", "/mlartifacts/x", "mlartifacts\\x"])
def test_no_path_of_the_stores_leads_out_of_their_folder(store, tmp_path, path):
    store.write(f"stores/{SHA}", EVIL)
    store.write(LIST, text({"machine": "m", "run_id": "r", "files": {path: {"sha256": SHA, "bytes": len(EVIL)}}}))
    mirror = Mirror(store, tmp_path / "outputs", ("mlflow.db",), ("mlartifacts",))
    with pytest.raises(ArchiveError, match="not what Quire writes"):
        mirror.bring()
    assert [name for name in files_in(tmp_path) if ".lock" not in name] == []


def test_a_folder_of_the_stores_that_is_a_link_is_not_written_through(store, tmp_path):
    file = {"sha256": SHA, "bytes": len(EVIL)}
    store.write(f"stores/{SHA}", EVIL)
    store.write(LIST, text({"machine": "m", "run_id": "r", "files": {"mlartifacts/m/x": file}}))
    (tmp_path / "outputs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "outputs" / "mlartifacts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match="is a link"):
        Mirror(store, tmp_path / "outputs", ("mlflow.db",), ("mlartifacts",)).bring()
    assert files_in(tmp_path / "elsewhere") == []


def test_a_database_that_is_none_is_an_archive_error(store, tmp_path):
    file = {"sha256": SHA, "bytes": len(EVIL), "outputs": "/elsewhere"}
    store.write(f"stores/{SHA}", EVIL)
    store.write(LIST, text({"machine": "m", "run_id": "r", "files": {"mlflow.db": file}}))
    with pytest.raises(ArchiveError, match=r"no database that Quire made.*remove"):
        Mirror(store, tmp_path / "outputs", ("mlflow.db",), ("mlartifacts",)).bring()
    assert [name for name in files_in(tmp_path) if "mlflow" in name] == []


def test_names_within_a_database_are_only_names(store, tmp_path):
    path = tmp_path / "evil.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE "a""; DROP TABLE b; --" ("c""d" TEXT)')
        connection.execute('INSERT INTO "a""; DROP TABLE b; --" VALUES (?)', ("file:///elsewhere/mlartifacts/x",))
        connection.execute("CREATE TABLE b (x TEXT)")
    sha256 = storage.file_sha256(path)
    store.put(path, f"stores/{sha256}", sha256)
    file = {"sha256": sha256, "bytes": path.stat().st_size, "outputs": "/elsewhere"}
    store.write(LIST, text({"machine": "m", "run_id": "r", "files": {"mlflow.db": file}}))
    outputs = tmp_path / "outputs"
    assert Mirror(store, outputs, ("mlflow.db",), ()).bring() == ["mlflow.db"]
    with closing(sqlite3.connect(outputs / "mlflow.db")) as connection:
        assert connection.execute("SELECT * FROM b").fetchall() == []
        moved = connection.execute('SELECT "c""d" FROM "a""; DROP TABLE b; --"').fetchone()
    assert moved == ((outputs / "mlartifacts" / "x").as_uri(),)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=JSON.map(text) | st.binary(max_size=200))
def test_whatever_a_manifest_holds_is_read_or_an_archive_error(archive, store, tmp_path, content):
    for key in ("runs/r/_archive.json", LIST, "leases/x.json", "stages/x/train/k/a.json"):
        store.write(key, content)
    mirror = Mirror(store, tmp_path / "here" / "outputs", ("mlflow.db",), ("mlartifacts",))
    for read in (lambda: archive.fetch_run("r"), mirror.bring, lambda: archive.find_stage("x/train/k")):
        with suppress(ArchiveError, ArtifactError):
            read()
    assert [name for name in files_in(tmp_path) if not name.startswith("here/outputs/")] == []

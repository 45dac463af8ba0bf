"""The stores of outputs/ in the archive: what one machine knew, the next one knows."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from quire import config
from quire.errors import ArchiveError
from quire.io import mirror, storage
from quire.io.mirror import LIST, Mirror

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mirror_at(bucket, aws, tmp_path):
    """Make the mirror as one machine sees it: its own outputs folder, the same bucket."""

    def make(machine, databases=("mlflow.db", "quire.db"), folders=("mlartifacts",)):
        outputs = tmp_path / machine / "outputs"
        outputs.mkdir(parents=True, exist_ok=True)
        return Mirror(storage.open(bucket, aws), outputs, databases, folders)

    return make


def write(machine, *values, database="mlflow.db"):
    """Add values to a table; the database is made if there is none."""
    with closing(sqlite3.connect(machine.outputs / database)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS runs (name TEXT, place VARCHAR(200))")
        for value in values:
            place = (machine.outputs / "mlartifacts" / value).as_uri()
            connection.execute("INSERT INTO runs VALUES (?, ?)", (value, place))


def read(machine, column="name", database="mlflow.db"):
    with closing(sqlite3.connect(machine.outputs / database)) as connection:
        return [row[0] for row in connection.execute(f"SELECT {column} FROM runs")]


def model(machine, name, text):
    path = machine.outputs / "mlartifacts" / name / "model.skops"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_an_empty_machine_gets_what_the_last_one_knew(mirror_at):
    one = mirror_at("one")
    write(one, "a", "b")
    write(one, "row", database="quire.db")
    model(one, "a", "weights")
    assert one.save("run-1") == 3
    two = mirror_at("two")
    assert two.bring() == ["mlartifacts/a/model.skops", "mlflow.db", "quire.db"]
    assert read(two) == ["a", "b"]
    assert read(two, database="quire.db") == ["row"]
    assert (two.outputs / "mlartifacts" / "a" / "model.skops").read_text() == "weights"


def test_addresses_of_files_are_those_of_the_machine_that_they_came_to(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    assert read(two, "place") == [(two.outputs / "mlartifacts" / "a").as_uri()]
    assert read(one, "place") == [(one.outputs / "mlartifacts" / "a").as_uri()]


def test_machines_take_turns(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    write(two, "b")
    two.save("run-2")
    assert one.bring() == ["mlflow.db"]
    write(one, "c")
    one.save("run-3")
    two.bring()
    assert read(two) == ["a", "b", "c"]


def test_who_has_the_database_open_sees_what_came(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    write(two, "b")
    two.save("run-2")
    with closing(sqlite3.connect(one.outputs / "mlflow.db")) as service:
        assert service.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        one.bring()
        assert service.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_nothing_is_sent_twice(mirror_at, door):
    one = mirror_at("one")
    write(one, "a")
    model(one, "a", "weights")
    one.save("run-1")
    door.calls.clear()
    assert one.save("run-1") == 0
    assert door.calls == []
    model(one, "b", "weights")
    assert one.save("run-2") == 0
    assert [path for path in door.paths("PUT") if not path.endswith(LIST)] == []
    door.calls.clear()
    (one.outputs / "mlflow.db").touch()
    assert one.save("run-3") == 0
    assert door.calls == []
    assert mirror_at("two").bring() == ["mlartifacts/a/model.skops", "mlartifacts/b/model.skops", "mlflow.db"]


def test_what_was_only_read_is_no_change(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    read(two)
    (two.outputs / "mlflow.db").touch()
    write(one, "b")
    one.save("run-2")
    assert two.bring() == ["mlflow.db"]
    assert read(two) == ["a", "b"]


def test_of_two_machines_at_once_the_second_is_told_and_nothing_is_lost(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    write(one, "of one")
    write(two, "of two")
    one.save("run-2")
    with pytest.raises(
        ArchiveError, match=r"went different ways: run run-2 on .* need an MLflow server and PostgreSQL"
    ):
        two.save("run-3")
    with pytest.raises(ArchiveError, match="went different ways"):
        two.bring()
    assert read(two) == ["a", "of two"]
    (two.outputs / "mlflow.db").unlink()
    two.bring()
    assert read(two) == ["a", "of one"]


def test_a_store_of_before_the_archive_is_not_replaced(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    write(two, "mine")
    with pytest.raises(ArchiveError, match="went different ways"):
        two.bring()
    assert read(two) == ["mine"]


def test_the_log_of_a_database_that_was_moved_away_is_not_applied(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    (two.outputs / "mlflow.db-wal").write_bytes(b"left over")
    two.bring()
    assert not (two.outputs / "mlflow.db-wal").exists()
    assert read(two) == ["a"]


def test_a_crash_while_databases_are_switched_is_no_change(mirror_at, monkeypatch):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    write(one, "row", database="quire.db")
    one.save("run-1")
    take = Mirror._take

    def crash(self, name, beside):
        if name == "quire.db":
            raise KeyboardInterrupt
        take(self, name, beside)

    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_take", crash)
        with pytest.raises(KeyboardInterrupt):
            two.bring()
    assert read(two) == ["a"]
    two.bring()
    assert read(two, database="quire.db") == ["row"]


def test_what_does_not_come_whole_changes_nothing_here(mirror_at, monkeypatch):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    one.save("run-1")
    two.bring()
    write(one, "b")
    write(one, "row", database="quire.db")
    one.save("run-2")
    one.store.delete([f"stores/{sha256}" for sha256 in hashes(one, "quire.db")])
    with pytest.raises(ArchiveError, match="is not there"):
        two.bring()
    assert read(two) == ["a"]
    write(two, "alone")
    with pytest.raises(ArchiveError, match="went different ways"):
        two.save("run-3")


def hashes(machine, *paths):
    files = json.loads(machine.store.read(LIST))["files"]
    return [files[path]["sha256"] for path in paths]


def test_a_machine_with_a_server_keeps_what_another_one_mirrors(mirror_at):
    one, two = mirror_at("one"), mirror_at("two", databases=("quire.db",), folders=())
    write(one, "a")
    write(one, "row", database="quire.db")
    model(one, "a", "weights")
    one.save("run-1")
    assert two.bring() == ["quire.db"]
    write(two, "more", database="quire.db")
    two.save("run-2")
    three = mirror_at("three")
    assert three.bring() == ["mlartifacts/a/model.skops", "mlflow.db", "quire.db"]
    assert read(three) == ["a"]
    assert read(three, "place") == [(three.outputs / "mlartifacts" / "a").as_uri()]
    assert read(three, database="quire.db") == ["row", "more"]


def test_a_copy_made_while_somebody_writes_is_whole(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "first")
    stop = threading.Event()

    def work():
        while not stop.is_set():
            write(one, "x" * 500)

    writer = threading.Thread(target=work)
    writer.start()
    try:
        for number in range(5):
            one.save(f"run-{number}")
    finally:
        stop.set()
        writer.join()
    two.bring()
    with closing(sqlite3.connect(two.outputs / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert read(two)[0] == "first"


def test_nothing_is_missing_when_three_calls_in_ten_fail(mirror_at, door, quick):
    one, two = mirror_at("one"), mirror_at("two")
    write(one, "a")
    for number in range(20):
        model(one, f"m{number}", f"weights {number}")
    door.share = 0.3
    one.save("run-1")
    two.bring()
    door.share = 0.0
    assert door.failed > 5
    assert len(list((two.outputs / "mlartifacts").rglob("*.skops"))) == 20
    assert read(two) == ["a"]


def test_content_that_is_no_longer_named_goes_after_a_day(mirror_at):
    one, two = mirror_at("one"), mirror_at("two")
    for name in ("a", "b"):
        write(one, name)
        one.save(name)
    now = datetime.now(UTC)
    assert one.prune(now) == 0
    assert one.prune(now + timedelta(days=2)) == 1
    two.bring()
    assert read(two) == ["a", "b"]


def test_a_machine_without_stores_sends_nothing(mirror_at, door):
    door.calls.clear()
    assert mirror_at("one").save("run-1") == 0
    assert door.calls == []


def test_an_archive_without_stores_brings_nothing(mirror_at):
    assert mirror_at("one").bring() == []
    assert mirror_at("one").prune(datetime.now(UTC)) == 0


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Load the demo's settings with other sections in config.yaml."""
    for name in ("QUIRE_OUTPUTS", "QUIRE_DATABASE_URL", "MLFLOW_TRACKING_URI", "QUIRE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    path = tmp_path / "params" / "demo" / "config.yaml"

    def load(**sections):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))
        return config.load("demo", root=tmp_path)

    return load


def test_stores_on_a_server_are_not_mirrored(settings):
    servers = {"tracking": {"uri": "http://mlflow:5000"}, "database": "postgresql://quire@db/quire"}
    assert mirror.open(settings(archive={"url": "s3://bucket/x"}, **servers)) is None


def test_without_a_server_both_stores_and_the_models_are_mirrored(settings):
    found = mirror.open(settings(archive={"url": "s3://bucket/x"}))
    assert (found.databases, found.folders) == (("mlflow.db", "quire.db"), ("mlartifacts",))


def test_with_an_mlflow_server_only_the_database_is_mirrored(settings):
    found = mirror.open(settings(archive={"url": "s3://bucket/x"}, tracking={"uri": "http://mlflow:5000"}))
    assert (found.databases, found.folders) == (("quire.db",), ())


def test_without_an_archive_nothing_is_mirrored(settings):
    assert mirror.open(settings()) is None

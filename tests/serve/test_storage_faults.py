"""What becomes of acknowledged predictions when the disk or the database fails: none is lost, and health tells it."""

import asyncio
import os
import resource
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial

import pytest
import sqlalchemy as sa

from quire.io import database
from quire.serve.log import PredictionLog, Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def record(name):
    return {
        "id": name, "model_name": "demo", "model_version": "1", "row_key": name, "as_of": NOW, "source": "service",
        "predicted_at": NOW, "value": 1.0, "label": None, "features": {"text": name * 100},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("quire.serve.log.DOWN_S", 0.3)
    monkeypatch.setattr("quire.serve.log.PAUSE_S", 0.1)


def logging_to(url, work):
    """Run ``work`` with a log on a database of its own, and return what it acknowledged."""
    acknowledged = []

    async def main():
        log = PredictionLog(partial(database.open, url, timeout_s=20.0), queue_rows=1_000, timeout_s=60.0)
        log.start()

        async def write(*names):
            for name in names:
                await log.write([record(name)])
                acknowledged.append(name)

        try:
            await work(log, write)
        finally:
            await log.close(10)

    asyncio.run(main())
    return acknowledged


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def kept(url):
    opened = database.open(url)
    try:
        return set(opened.predictions("demo")["id"])
    finally:
        opened.close()


def files_of(path):
    return [name for name in path.parent.iterdir() if name.name.startswith(path.name) and name.suffix != ".lock"]


def remove(path, _):
    for name in files_of(path):
        name.unlink()


def remove_the_file_alone(path, _):
    path.unlink()


def remove_the_log_alone(path, _):
    path.with_name(path.name + "-wal").unlink()


def move_away(path, tmp_path):
    path.rename(tmp_path / "elsewhere.db")


def replace_by_another(path, tmp_path):
    other = tmp_path / "other" / "quire.db"
    database.open(f"sqlite:///{other}").close()
    os.replace(other, path)


def replace_by_a_copy(path, tmp_path):
    shutil.copy(path, tmp_path / "copy.db")
    os.replace(tmp_path / "copy.db", path)


def empty(path, _):
    os.truncate(path, 0)


def cut_in_half(path, _):
    checkpoint(path)
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path, _):
    checkpoint(path)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def overwrite_the_head(path, _):
    checkpoint(path)
    with open(path, "r+b") as file:
        file.write(b"this is no database at all" * 100)


def checkpoint(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


HEALED = [remove, remove_the_file_alone, remove_the_log_alone, move_away, replace_by_another, replace_by_a_copy]


@pytest.mark.parametrize(
    "harm", [*HEALED, empty, cut_in_half, overwrite, overwrite_the_head], ids=lambda function: function.__name__
)
def test_a_file_that_is_not_the_one_any_more_is_noticed_before_the_next_acknowledgement(tmp_path, harm):
    path = tmp_path / "quire.db"

    async def work(log, write):
        await write(*(f"before {number}" for number in range(30)))
        harm(path, tmp_path)
        with pytest.raises(Unavailable):
            await write("meanwhile")
        assert log.state != "up"
        if harm in HEALED:
            await until(lambda: log.state == "up")
            await write("after 1", "after 2")

    acknowledged = logging_to(f"sqlite:///{path}", work)
    assert "meanwhile" not in acknowledged
    if harm in HEALED:
        assert {"after 1", "after 2"} <= kept(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_file_is_served_again_once_it_was_put_right(tmp_path):
    path, url = tmp_path / "quire.db", f"sqlite:///{tmp_path / 'quire.db'}"

    async def work(log, write):
        await write("a", "b")
        checkpoint(path)
        shutil.copy(path, tmp_path / "backup.db")
        overwrite(path, tmp_path)
        with pytest.raises(Unavailable):
            await write("c")
        await asyncio.sleep(1)  # several attempts
        assert log.state != "up"
        for name in files_of(path):
            name.unlink()
        os.replace(tmp_path / "backup.db", path)
        await until(lambda: log.state == "up")
        await write("d")

    assert kept_all(logging_to(url, work), url)


@contextmanager
def full_disk():
    """What this process writes beyond the first page of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_stays_down_and_is_well_again_by_itself(tmp_path):
    url = f"sqlite:///{tmp_path / 'quire.db'}"

    async def work(log, write):
        await write("a", "b")
        with full_disk():
            with pytest.raises(Unavailable):
                await write("meanwhile")
            for _ in range(20):  # it is not up in between: writing for trial needs room, too
                assert log.state != "up"
                await asyncio.sleep(0.1)
        await until(lambda: log.state == "up")
        await write("c")

    assert kept_all(logging_to(url, work), url)


def kept_all(acknowledged, url):
    return set(acknowledged) <= kept(url)


def test_an_idle_log_notices_that_its_file_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("quire.serve.log.IDLE_S", 0.2)
    monkeypatch.setattr("quire.serve.log.DOWN_S", 1.0)

    async def work(log, write):
        await write("a")
        remove(tmp_path / "quire.db", None)
        await until(lambda: log.state != "up")
        await until(lambda: log.state == "up")

    logging_to(f"sqlite:///{tmp_path / 'quire.db'}", work)


def execute(url, *statements):
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


FAULTS = {
    "read only": (
        "ALTER DATABASE {name} SET default_transaction_read_only = on; {end}",
        "SET default_transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only; {end}",
    ),
    "table dropped": ("ALTER TABLE prediction RENAME TO gone", "ALTER TABLE gone RENAME TO prediction"),
    "no right": ("REVOKE INSERT ON prediction FROM limited", "GRANT INSERT ON prediction TO limited"),
    "connections ended": ("{end}", "SELECT 1"),
    "no row allowed": (
        "ALTER TABLE prediction ADD CONSTRAINT none CHECK (false) NOT VALID",
        "ALTER TABLE prediction DROP CONSTRAINT none",
    ),
}  # fmt: skip
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_postgresql_has_but_for_the_row_is_down_and_passes(postgresql, fault):
    url = postgresql.new()
    name = url.rpartition("/")[2]
    harm, heal = (
        [part.replace("{end}", END).replace("{name}", name) for part in text.split("; ")] for text in FAULTS[fault]
    )
    database.open(url).close()
    execute(
        url,
        "DO $$ BEGIN CREATE ROLE limited LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO limited",
    )
    limited = url.replace("quire@", "limited@")

    async def work(log, write):
        await write("a")
        await asyncio.to_thread(execute, url, *harm)
        if fault == "connections ended":  # a connection that was lost before the commit is replaced
            await write("b")
        else:
            with pytest.raises(Unavailable):
                await write("b")
            assert log.state != "up"
        await asyncio.to_thread(execute, url, *heal)
        await until(lambda: log.state == "up")
        await write("c")

    assert set(logging_to(limited, work)) <= kept(url)


def test_an_immediate_stop_of_postgresql_loses_nothing(postgresql):
    url = postgresql.new()

    async def work(log, write):
        await write(*(f"before {number}" for number in range(20)))
        await asyncio.to_thread(postgresql.stop)
        try:
            with pytest.raises(Unavailable):
                await write("meanwhile")
        finally:
            await asyncio.to_thread(postgresql.start)
        await until(lambda: log.state == "up")
        await write("after")

    assert set(logging_to(url, work)) <= kept(url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_only_the_row_is_to_blame_for_its_values(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path / 'quire.db'}"
    url = url if kind == "sqlite" else request.getfixturevalue("postgresql").new()
    bad = [{"model_name": None}, {"as_of": "yesterday"}, {"features": {"a": {1, 2}}}, {"value": 10**400}]
    if kind == "postgresql":  # SQLite holds these
        bad += [{"row_key": "".join(map(chr, range(300, 9_000)))}, {"label": "a\x00b"}, {"source": "x" * 17}]

    async def work(log, write):
        for number, wrong in enumerate(bad):
            good = [asyncio.create_task(write(f"{number} {at}")) for at in range(2)]
            answers = await asyncio.gather(log.write([record(f"bad {number}") | wrong]), return_exceptions=True)
            assert not isinstance(answers[0], Unavailable), wrong
            assert answers[0] is not None, wrong
            await asyncio.gather(*good)
            assert log.state == "up"

    assert set(logging_to(url, work)) == kept(url)


@pytest.mark.parametrize("harm", [remove, replace_by_another, overwrite], ids=lambda function: function.__name__)
def test_the_service_is_not_ready_within_one_commit_and_keeps_what_it_answers(serve, row, settings, harm, tmp_path):
    client, path = serve(cache_rows=0), settings.outputs / "quire.db"
    for _ in range(20):
        assert client.post("/predict", json=row).status_code == 200
    harm(path, tmp_path)
    answer = client.post("/predict", json=row)
    assert (answer.status_code, client.get("/health/ready").status_code) == (503, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/health").json()["log"]["state"] == "down"
    assert "quire_log_up 0.0" in client.get("/metrics").text
    if harm is overwrite:
        return
    ready_again(client)
    answer = client.post("/predict", json=row)
    assert answer.json()["prediction_id"] in kept(settings.database_url)
    said = {"prediction_id": answer.json()["prediction_id"], "actual": 3}
    assert client.post("/feedback", json=said).json()["status"] == "recorded"


def test_feedback_is_not_taken_into_a_file_that_is_gone(serve, row, settings):
    client = serve()
    name = client.post("/predict", json=row).json()["prediction_id"]
    assert client.post("/feedback", json={"prediction_id": name, "actual": 1}).status_code == 200
    remove(settings.outputs / "quire.db", None)
    assert client.post("/feedback", json={"prediction_id": name, "actual": 2}).status_code == 503
    client.post("/predict", json=row)
    ready_again(client)
    assert client.post("/feedback", json={"prediction_id": name, "actual": 2}).status_code == 404


def ready_again(client):
    until_ = time.monotonic() + 60
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < until_
        time.sleep(0.05)

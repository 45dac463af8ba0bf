"""The log: nothing is acknowledged before it is committed, and a database that fails refuses at once and comes back."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from quire.errors import ServiceError
from quire.io import database
from quire.serve.log import PredictionLog, Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def record(name, **more):
    return {
        "id": name, "model_name": "demo", "model_version": "1", "row_key": name, "as_of": NOW, "source": "service",
        "predicted_at": NOW, "value": 1.0,
    } | more  # fmt: skip


class Faulty:
    """A real database between which and the log a fault can be put: ``down`` fails, ``hang`` waits."""

    def __init__(self, opened):
        self._opened, self.down, self.free = opened, False, threading.Event()
        self.free.set()
        self.commits = []

    def insert_predictions(self, rows):
        self.free.wait()
        if self.down:
            raise ServiceError("it is down")
        self.commits.append(len(rows))
        return self._opened.insert_predictions(rows)

    def ping(self):
        if self.down:
            raise ServiceError("it is down")
        self._opened.ping()

    def close(self):
        self._opened.close()


@pytest.fixture
def db(tmp_path):
    return database.open(f"sqlite:///{tmp_path / 'quire.db'}")


def run(db, work, **options):
    faulty = Faulty(db)

    async def main():
        log = PredictionLog(lambda: faulty, **{"queue_rows": 100, "timeout_s": 0.5} | options)
        log.start()
        try:
            await work(log, faulty)
        finally:
            faulty.free.set()
            await log.close(5)

    asyncio.run(main())


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


def test_what_is_acknowledged_is_in_the_database(db):
    async def work(log, faulty):
        await log.write([record("a"), record("b")])
        assert len(db.predictions("demo")) == 2
        assert log.rows == 0

    run(db, work)


def test_writes_that_wait_for_a_commit_share_the_next_one(db):
    async def work(log, faulty):
        faulty.free.clear()
        writes = [asyncio.create_task(log.write([record(f"{i}")])) for i in range(50)]
        await asyncio.sleep(0.1)
        faulty.free.set()
        await asyncio.gather(*writes)
        assert sum(faulty.commits) == 50
        assert len(faulty.commits) <= 3

    run(db, work)


def test_a_database_that_is_down_refuses_at_once_and_recovers_by_itself(db):
    async def work(log, faulty):
        faulty.down = True
        with pytest.raises(Unavailable, match="it is down"):
            await log.write([record("a")])
        with pytest.raises(Unavailable, match="cannot be logged now"):
            await log.write([record("b")])
        faulty.down = False
        await until(lambda: log.state == "up")
        await log.write([record("c")])
        assert list(db.predictions("demo")["id"]) == ["c"]
        assert log.rows == 0

    run(db, work)


def test_a_database_that_hangs_fills_no_memory(db):
    async def work(log, faulty):
        faulty.free.clear()
        found = await asyncio.gather(*(log.write([record(f"{i}")]) for i in range(500)), return_exceptions=True)
        assert all(isinstance(one, Unavailable) for one in found)
        assert log.rows <= 100
        await until(lambda: log.state != "up")
        with pytest.raises(Unavailable, match="has not answered"):
            await log.write([record("late")])
        faulty.free.set()
        await until(lambda: log.rows == 0)
        await log.write([record("after")])

    run(db, work)


def test_a_file_that_somebody_holds_locked_refuses_at_once_and_recovers_by_itself(tmp_path):
    path = tmp_path / "quire.db"
    opened = database.open(f"sqlite:///{path}", timeout_s=0.2)

    async def work(log, faulty):
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            writes = [asyncio.create_task(log.write([record(f"{i}")])) for i in range(20)]
            found = await asyncio.gather(*writes, return_exceptions=True)
            assert all(isinstance(one, Unavailable) for one in found)
            await until(lambda: "locked" in log.state)
            with pytest.raises(Unavailable, match="cannot be logged now"):
                await log.write([record("late")])
            holder.execute("ROLLBACK")
        await until(lambda: log.state == "up")
        await log.write([record("after")])
        assert list(opened.predictions("demo")["id"]) == ["after"]
        assert log.rows == 0

    run(opened, work, timeout_s=5)


def test_a_record_that_the_database_refuses_does_not_take_others_along(db):
    async def work(log, faulty):
        faulty.free.clear()
        names = ["a", "bad", "b"]
        rows = [record(name, **({"model_name": None} if name == "bad" else {})) for name in names]
        writes = [asyncio.create_task(log.write([row])) for row in rows]
        await asyncio.sleep(0.1)
        faulty.free.set()
        found = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(one) for one in found] == [type(None), ServiceError, type(None)]
        assert sorted(db.predictions("demo")["id"]) == ["a", "b"]
        assert log.state == "up"

    run(db, work)


def test_a_database_that_is_not_there_at_the_start_is_awaited(db):
    async def main():
        there = []

        def connect():
            if not there:
                raise ServiceError("nobody answers")
            return db

        log = PredictionLog(connect, queue_rows=10, timeout_s=0.5)
        log.start()
        await until(lambda: log.state != "up")
        there.append(True)
        await until(lambda: log.state == "up")
        await log.write([record("a")])
        await log.close(5)

    asyncio.run(main())


def test_fast_answers_before_the_commit_and_keeps_what_waits(db):
    async def work(log, faulty):
        faulty.down = True
        for number in range(100):
            await log.write([record(f"{number}")])
        with pytest.raises(Unavailable):
            await log.write([record("one too many")])
        faulty.down = False
        await until(lambda: log.rows == 0)
        await log.barrier()
        assert len(db.predictions("demo")) == 100

    run(db, work, fast=True)


def test_closing_writes_what_was_accepted(db):
    async def work(log, faulty):
        for number in range(10):
            await log.write([record(f"{number}")])
        await log.close(5)
        assert len(db.predictions("demo")) == 10

    run(db, work, fast=True)

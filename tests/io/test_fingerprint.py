import os
import sqlite3
import subprocess
import sys

import pytest

from quire import config
from quire.errors import ConfigError, DataError
from quire.io import fingerprint

SCHEMA = "task: regression\ncolumns: {x: {type: number}, y: {type: number, role: target}}\n"


@pytest.fixture
def use_case(tmp_path):
    """Return a function that loads a use case with a source, in a temporary project."""

    def make(source):
        folder = tmp_path / "params" / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        workflow = "stages: {ingest: {notebook: 10_ingest}}\nworkflows: {train: [ingest]}\n"
        (tmp_path / "params" / "workflow.yaml").write_text(workflow)
        for name, text in {"config": f"source: {source}\n", "schema": SCHEMA, "params": "{}\n"}.items():
            (folder / f"{name}.yaml").write_text(text)
        return config.load("shop", root=tmp_path, environment={})

    return make


def changes(settings, change):
    before = fingerprint.source(settings)
    assert fingerprint.source(settings) == before
    change()
    return fingerprint.source(settings) != before


def test_a_file_that_changes_changes_the_fingerprint(use_case, tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text("x,y\n1,2\n")
    settings = use_case("{kind: csv, path: shop.csv}")
    assert changes(settings, lambda: path.write_text("x,y\n1,2\n3,4\n"))
    assert changes(settings, lambda: os.utime(path, ns=(1, 1)))


def test_a_file_that_joins_a_folder_changes_the_fingerprint(use_case, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.parquet").write_bytes(b"1")
    settings = use_case("{kind: parquet, path: parts}")
    assert changes(settings, lambda: (tmp_path / "parts" / "b.parquet").write_bytes(b"2"))


def test_a_row_that_changes_in_a_database_changes_the_fingerprint_and_its_order_does_not(use_case, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE t (x, y)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, 2), (3, 4)])
    settings, turned = (
        use_case(f"{{kind: sql, url: 'sqlite:///shop.db', query: 'SELECT x, y FROM t ORDER BY x{way}'}}")
        for way in ("", " DESC")
    )
    assert fingerprint.source(settings) == fingerprint.source(turned)

    def update():
        with sqlite3.connect(tmp_path / "shop.db") as connection:
            connection.execute("UPDATE t SET y = 5 WHERE x = 1")

    assert changes(settings, update)


def test_the_rows_of_a_query_are_those_before_the_run_s_logical_time(use_case, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE t (x, y)")
        connection.execute("INSERT INTO t VALUES ('2026-01-01', 2)")
    settings = use_case("{kind: sql, url: 'sqlite:///shop.db', query: 'SELECT x, y FROM t WHERE x < :as_of'}")
    before, later = (fingerprint.source(settings, as_of) for as_of in ("2026-01-02", "2026-02-02"))
    assert before == later
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("INSERT INTO t VALUES ('2026-01-05', 3)")
    assert fingerprint.source(settings, "2026-01-02") == before
    assert fingerprint.source(settings, "2026-02-02") != later
    with pytest.raises(ConfigError, match="pass --as-of"):
        fingerprint.source(settings)


def test_another_seed_of_the_demo_changes_the_fingerprint(use_case):
    one, other = (fingerprint.source(use_case(f"{{kind: demo, seed: {seed}}}")) for seed in (1, 2))
    assert one != other


def test_a_missing_file_is_told(use_case):
    with pytest.raises(DataError, match="is not there"):
        fingerprint.source(use_case("{kind: csv, path: nowhere.csv}"))


def test_the_fingerprint_of_files_needs_nothing_heavy():
    heavy = ("pandas", "numpy", "sqlalchemy", "httpx", "pyarrow", "boto3")
    code = f"import sys; from quire.io import fingerprint; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

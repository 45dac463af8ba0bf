import sqlite3

import pandas as pd
import pytest
import sqlalchemy

from quire.config import SqlSource, moment
from quire.errors import ConfigError, DataError
from quire.io import query

ROWS = pd.DataFrame({"order": ["0012", "A2"], "at": ["2024-01-01", "2024-01-02"], "sold": [3, 4]})


@pytest.fixture
def shop(tmp_path):
    """A folder with an SQLite file in it."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        ROWS.to_sql("orders", connection, index=False)
    return tmp_path


def rows(url, statement, root, as_of=None):
    with query.opened(SqlSource(kind="sql", url=url, query=statement), as_of, root) as result:
        return result.fetchall()


def test_a_relative_sqlite_file_is_below_the_project(shop):
    assert rows("sqlite:///shop.db", "SELECT sold FROM orders", shop) == [(3,), (4,)]


def test_a_query_may_use_as_of(shop):
    statement = "SELECT sold FROM orders WHERE datetime(at) < datetime(:as_of)"
    assert rows("sqlite:///shop.db", statement, shop, moment("2024-01-02")) == [(3,)]
    assert rows("sqlite:///shop.db", statement, shop, "2024-01-03") == [(3,), (4,)]
    with pytest.raises(ConfigError, match="uses :as_of, but there is none"):
        rows("sqlite:///shop.db", statement, shop)


@pytest.mark.parametrize(
    ("url", "statement", "error", "message"),
    [
        ("sqlite:///shop.db", "SELECT * FROM order_s", DataError, "refused the query.*no such table: order_s"),
        ("sqlite:///shop.db", "DELETE FROM orders WHERE 1 = 0", DataError, "does not return rows"),
        ("sqlite:///other.db", "SELECT 1", DataError, "other.db of config.yaml .* is not there"),
        ("nonsense", "SELECT 1", ConfigError, "cannot be used.*Expected a SQLAlchemy URL"),
        ("nosuchdatabase://x", "SELECT 1", ConfigError, "cannot be used.*Expected a SQLAlchemy URL"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told(shop, url, statement, error, message):
    with pytest.raises(error, match=message):
        rows(url, statement, shop)
    assert not (shop / "other.db").exists()


def test_a_refused_query_does_not_show_the_password(tmp_path):
    with pytest.raises(DataError, match=r"127\.0\.0\.1") as caught:
        rows("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "SELECT 1", tmp_path)
    assert "hunter2" not in str(caught.value)


def test_a_query_on_postgresql_may_cast(postgresql, tmp_path):
    url = postgresql.new().replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(url)
    ROWS.assign(at=pd.to_datetime(ROWS["at"])).to_sql("orders", engine, index=False)
    engine.dispose()
    statement = 'SELECT "order", at::date::text FROM orders WHERE at < :as_of'
    assert rows(url, statement, tmp_path, moment("2024-01-02")) == [("0012", "2024-01-01")]

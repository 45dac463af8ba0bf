"""Make the roles, databases and tables that the parts of Quire use in PostgreSQL; what is there already is kept.

Reads ``DATABASE_URLS`` from the environment: a JSON object from the name of a role to its SQLAlchemy URL. ``owner`` is
the server's administrator, who owns the tables of its database and migrates them; every other role gets the login of
its URL and what `RIGHTS` lists. The role ``mlflow`` owns a database of its own, since MLflow migrates its own tables.
"""

import json
import os
import sys

import psycopg
import sqlalchemy as sa
from psycopg import sql

from quire.io import engine

READ, CHANGE = ("SELECT",), ("SELECT", "INSERT", "UPDATE", "DELETE")

RIGHTS = {
    "runner": {"prediction": CHANGE, "feedback": CHANGE, "metric": CHANGE, "alert": CHANGE},
    "notebook": {"prediction": CHANGE, "feedback": CHANGE, "metric": CHANGE, "alert": CHANGE},
    "service": {
        "prediction": ("SELECT", "INSERT", "UPDATE"),
        "feedback": ("SELECT", "INSERT", "UPDATE"),
        "metric": READ,
        "alert": ("SELECT", "INSERT"),
    },
    "dashboard": {"prediction": READ, "feedback": READ, "metric": READ, "alert": READ},
}
"""What each role may do with each table. Everybody may read which migration the tables are at."""

OWNS_ITS_DATABASE = "mlflow"


def prepare(urls: dict[str, str]) -> None:
    """Bring the server of ``urls["owner"]`` to what the roles of ``urls`` need; raises KeyError for an unknown role."""
    unknown = sorted(urls.keys() - RIGHTS.keys() - {"owner", OWNS_ITS_DATABASE})
    if unknown:
        raise KeyError(f"no rights are listed for {', '.join(unknown)}; known: {', '.join(RIGHTS)}")
    owner = sa.make_url(urls["owner"])
    tables = engine.connect(urls["owner"], timeout_s=30)
    engine.migrate(tables)
    tables.dispose()
    with _connect(owner) as connection:
        for name, url in urls.items():
            if name != "owner":
                _make_login(connection, sa.make_url(url))
        _close(connection, owner.database)
        for name in urls.keys() - {"owner", OWNS_ITS_DATABASE}:
            _grant(connection, owner.database, sa.make_url(urls[name]).username, RIGHTS[name])
        if OWNS_ITS_DATABASE in urls:
            _make_database(connection, sa.make_url(urls[OWNS_ITS_DATABASE]))
    if OWNS_ITS_DATABASE in urls:
        _hand_over(owner, sa.make_url(urls[OWNS_ITS_DATABASE]))


def _connect(url: sa.URL, database: str | None = None) -> psycopg.Connection:
    address = url.set(drivername="postgresql", database=database or url.database)
    return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)


def _make_login(connection: psycopg.Connection, url: sa.URL) -> None:
    """Make the login if it is not there, and give it the password of its URL, which may be a new one."""
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [url.username]).fetchone()
    statement = "ALTER ROLE {} WITH LOGIN PASSWORD {}" if exists else "CREATE ROLE {} WITH LOGIN PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(url.username), sql.Literal(url.password)))


def _close(connection: psycopg.Connection, database: str) -> None:
    """Take from everybody what PostgreSQL lets everybody do: connect, and make tables in the schema public."""
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
    connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def _grant(connection: psycopg.Connection, database: str, login: str, rights: dict[str, tuple[str, ...]]) -> None:
    role = sql.Identifier(login)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(role))
    for table, actions in {**rights, "alembic_version": READ}.items():
        words = sql.SQL(", ").join(map(sql.SQL, actions))
        connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(words, sql.Identifier(table), role))
    if any("INSERT" in actions for actions in rights.values()):
        connection.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(role))


def _make_database(connection: psycopg.Connection, url: sa.URL) -> None:
    login, database = sql.Identifier(url.username), sql.Identifier(url.database)
    # Only a member of a role may make it the owner of something.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(login))
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [url.database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, login))
    connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, login))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))


def _hand_over(owner: sa.URL, url: sa.URL) -> None:
    """Give the tables that an earlier release made as the owner to the role; their sequences and indexes follow."""
    query = (
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND pg_get_userbyid(c.relowner) <> %s"
    )
    with _connect(owner, url.database) as connection:
        login = sql.Identifier(url.username)
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(login))
        for (table,) in connection.execute(query, [url.username]).fetchall():
            connection.execute(sql.SQL("ALTER TABLE public.{} OWNER TO {}").format(sql.Identifier(table), login))


if __name__ == "__main__":
    addresses = json.loads(os.environ["DATABASE_URLS"])
    prepare(addresses)
    print(f"roles and tables are ready: {', '.join(sorted(addresses))}", file=sys.stderr)

"""Each part of Quire connects to PostgreSQL as a role of its own, which can do what the part does and nothing more."""

import importlib.util
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

BOOT = Path(__file__).parents[2] / "infra" / "aws" / "boot"
PARTS = ("runner", "notebook", "service", "dashboard")
TABLES = ("prediction", "feedback", "metric", "alert")


def load():
    spec = importlib.util.spec_from_file_location("database", BOOT / "database.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def addresses(owner, password="first"):
    """The URLs that Terraform writes, for a server of the tests; logins are unique, since databases share them."""
    login = {name: owner.set(username=f"{owner.database}_{name}", password=password) for name in (*PARTS, "mlflow")}
    login["mlflow"] = login["mlflow"].set(database=f"{owner.database}_mlflow")
    return {name: url.render_as_string(hide_password=False) for name, url in {"owner": owner, **login}.items()}


@pytest.fixture
def owner(postgresql):
    """The URL of an administrator as RDS has it: it makes roles and databases, and is no superuser."""
    url = sa.make_url(postgresql.new())
    login = f"{url.database}_owner"
    with connect(url) as connection:
        connection.execute(f"CREATE ROLE {login} WITH LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
        connection.execute(f"ALTER DATABASE {url.database} OWNER TO {login}")
    return url.set(username=login)


@pytest.fixture
def urls(owner):
    urls = addresses(owner)
    load().prepare(urls)
    return urls


def connect(url):
    address = sa.make_url(url).set(drivername="postgresql")
    return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)


def rights(url):
    """What the role may do with each table, as PostgreSQL itself answers."""
    query = "SELECT has_table_privilege(%s, %s)"
    with connect(url) as connection:
        return {
            table: {
                action
                for action in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
                if connection.execute(query, [table, action]).fetchone()[0]
            }
            for table in TABLES
        }


def test_the_dashboard_reads_and_changes_nothing(urls):
    assert all(actions == {"SELECT"} for actions in rights(urls["dashboard"]).values())


def test_the_service_keeps_predictions_and_feedback_and_deletes_nothing(urls):
    allowed = rights(urls["service"])
    assert {"SELECT", "INSERT", "UPDATE"} == allowed["prediction"] == allowed["feedback"]
    assert allowed["metric"] == {"SELECT"}


@pytest.mark.parametrize("part", ["runner", "notebook"])
def test_a_run_changes_rows_of_every_table(urls, part):
    assert all(actions == {"SELECT", "INSERT", "UPDATE", "DELETE"} for actions in rights(urls[part]).values())


@pytest.mark.parametrize("part", PARTS)
def test_no_part_makes_tables_roles_or_databases(urls, part):
    with connect(urls[part]) as connection:
        for statement in ("CREATE TABLE mine (n int)", "CREATE ROLE mine", "CREATE DATABASE mine", "DROP TABLE metric"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize("part", PARTS)
def test_no_part_reads_the_tables_of_mlflow(urls, part):
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        connect(sa.make_url(urls[part]).set(database=sa.make_url(urls["mlflow"]).database))


def test_mlflow_makes_its_own_tables_and_reads_no_prediction(urls):
    with connect(urls["mlflow"]) as connection:
        connection.execute("CREATE TABLE experiments (n int)")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        connect(sa.make_url(urls["mlflow"]).set(database=sa.make_url(urls["owner"]).database))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_opens_the_database_as_it_does_in_use(urls, part):
    from quire.io import engine

    opened = engine.connect(urls[part], timeout_s=10)
    engine.migrate(opened)  # nothing is left to do, so no right is needed
    opened.dispose()


def test_a_part_writes_what_it_writes_in_use(urls):
    with connect(urls["service"]) as connection:
        connection.execute(
            "INSERT INTO prediction (id, model_name, model_version, row_key, as_of, source, predicted_at)"
            " VALUES ('1', 'm', '1', 'k', now(), 'service', now())"
        )
    with connect(urls["runner"]) as connection:
        connection.execute(
            "INSERT INTO alert (model_name, kind, cause, severity, title, body, link, at)"
            " VALUES ('m', 'drift', 'x', 'warn', 't', '', '', now())"
        )
        assert connection.execute("DELETE FROM prediction").rowcount == 1


def stored_password(postgresql, url):
    with connect(f"postgresql://quire@127.0.0.1:{postgresql.port}/postgres") as superuser:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        return superuser.execute(query, [sa.make_url(url).username]).fetchone()[0]


def test_a_second_setup_changes_passwords_and_loses_nothing(postgresql, owner, urls):
    before = stored_password(postgresql, urls["runner"])
    with connect(urls["runner"]) as connection:
        connection.execute(
            "INSERT INTO alert (model_name, kind, cause, severity, title, body, link, at)"
            " VALUES ('m', 'drift', 'x', 'warn', 't', '', '', now())"
        )
    renewed = addresses(owner, password="second")
    load().prepare(renewed)
    with connect(renewed["runner"]) as connection:
        assert connection.execute("SELECT count(*) FROM alert").fetchone() == (1,)
    assert stored_password(postgresql, renewed["runner"]) != before


def test_what_an_earlier_release_made_as_the_owner_is_handed_over(owner):
    urls = addresses(owner)
    name = sa.make_url(urls["mlflow"]).database
    with connect(urls["owner"]) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    with connect(sa.make_url(urls["owner"]).set(database=name)) as connection:
        connection.execute("CREATE TABLE experiments (id serial, n int)")
        connection.execute("INSERT INTO experiments (n) VALUES (7)")
    load().prepare(urls)
    with connect(urls["mlflow"]) as connection:
        connection.execute("ALTER TABLE experiments ADD COLUMN more int")
        connection.execute("INSERT INTO experiments (n) VALUES (8)")
        assert connection.execute("SELECT sum(n) FROM experiments").fetchone() == (15,)


def test_a_role_that_is_not_known_is_refused(owner):
    urls = addresses(owner)
    with pytest.raises(KeyError, match="stranger"):
        load().prepare({**urls, "stranger": urls["runner"]})

"""Start MLflow's server in its container: make its database if it is not there, then become the server.

The address with the password stays in the environment (MLFLOW_BACKEND_STORE_URI), where MLflow reads it by itself.
"""

import os

import psycopg
from psycopg import sql


def make_database(url: str) -> bool:
    """Make the database that ``url`` names, by way of the one named like the user; return whether it was missing."""
    server, _, rest = url.replace("postgresql+psycopg://", "postgresql://").rpartition("/")
    name, _, options = rest.partition("?")
    user = server.removeprefix("postgresql://").partition(":")[0]
    with psycopg.connect(f"{server}/{user}?{options}", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return True


if __name__ == "__main__":
    if make_database(os.environ["MLFLOW_BACKEND_STORE_URI"]):
        print("made the database")
    os.execvp("mlflow", ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--serve-artifacts"])

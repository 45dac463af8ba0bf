"""How Alembic runs: on the connection that `quire.io.database` holds the lock with."""

from alembic import context

from quire.io.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()

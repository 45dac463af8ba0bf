"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Bring a database at ``down_revision`` to ``revision``."""
    ${upgrades if upgrades else "pass"}

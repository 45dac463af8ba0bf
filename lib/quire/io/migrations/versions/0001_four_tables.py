"""The four tables as they were first: written out, so that later changes to tables.py do not change history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "prediction",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("row_key", sa.Text, nullable=False),
        sa.Column("as_of", TIME, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("predicted_at", TIME, nullable=False),
        sa.Column("at", TIME),
        sa.Column("value", sa.Float),
        sa.Column("label", sa.Text),
        sa.Column("probability", sa.Float),
        sa.Column("probabilities", sa.JSON),
        sa.Column("features", sa.JSON),
        sa.Column("run_id", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("latency_ms", sa.Float),
        sa.UniqueConstraint("model_name", "model_version", "row_key", "as_of", "source", name="uq_prediction"),
    )
    op.create_index("ix_prediction_model_name_predicted_at", "prediction", ["model_name", "predicted_at"])
    op.create_index("ix_prediction_row_key", "prediction", ["row_key"])
    op.create_table(
        "feedback",
        sa.Column("prediction_id", sa.String(36), primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("label", sa.Text),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("first_received_at", TIME, nullable=False),
        sa.Column("revisions", sa.Integer, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
    )
    op.create_index("ix_feedback_received_at", "feedback", ["received_at"])
    op.create_table(
        "metric",
        sa.Column("model_name", sa.Text, primary_key=True),
        sa.Column("model_version", sa.Text, primary_key=True),
        sa.Column("as_of", TIME, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("column", sa.Text, primary_key=True),
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("threshold", sa.Float),
        sa.Column("status", sa.String(16)),
        sa.Column("start", TIME),
        sa.Column("rows", sa.Integer),
        sa.Column("run_id", sa.Text),
        sa.Column("saved_at", TIME, nullable=False),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("link", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("acknowledged_at", TIME),
        sa.Column("acknowledged_by", sa.Text),
    )
    op.create_index("ix_alert_model_name_at", "alert", ["model_name", "at"])

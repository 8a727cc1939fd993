"""Add the names of conferences, each with the node that has it, and their streams."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "conferences",
        sa.Column("application_id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("hold_id", sa.Uuid, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("node_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("kept_until", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_conferences_hold", "conferences", ["hold_id"], unique=True)
    op.create_index("ix_conferences_conversation", "conferences", ["conversation_id"])
    op.create_index("ix_conferences_node", "conferences", ["node_id"])
    op.create_table(
        "conference_streams",
        sa.Column("application_id", sa.Uuid, primary_key=True),
        sa.Column("stream_id", sa.Uuid, primary_key=True),
        sa.Column("hold_id", sa.Uuid, nullable=False),
    )
    op.create_index("ix_conference_streams_stream", "conference_streams", ["stream_id"])
    op.create_index("ix_conference_streams_hold", "conference_streams", ["hold_id"])

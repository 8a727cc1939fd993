"""Make the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    _applications()
    _recordings()
    _events()
    _deliveries()


def _applications() -> None:
    op.create_table(
        "applications",
        sa.Column("application_id", sa.Uuid, primary_key=True),
        sa.Column("name", _SORTED, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_applications_name", "applications", ["name", "application_id"])


def _recordings() -> None:
    op.create_table(
        "recordings",
        sa.Column("recording_id", sa.Uuid, primary_key=True),
        sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("file_id", sa.Uuid, nullable=False),
        sa.Column("node_id", sa.Text, nullable=False),
        sa.Column("event_count", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_recordings_time", "recordings", ["start_time", "recording_id"])
    op.create_index("ix_recordings_application", "recordings", ["application_id", "start_time", "recording_id"])
    op.create_index("ix_recordings_conversation", "recordings", ["conversation_id", "start_time", "recording_id"])
    op.create_index("ix_recordings_state", "recordings", ["state", "expire_time"])
    op.create_index("ix_recordings_live", "recordings", ["state", "application_id"])
    op.create_index("ix_recordings_file", "recordings", ["file_id"], unique=True)


def _events() -> None:
    position = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "events",
        sa.Column("position", position, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
        sa.Column("recording_id", sa.Uuid, sa.ForeignKey("recordings.recording_id"), nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("recording_sequence", sa.BigInteger, nullable=False),
        sa.Column("recording", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_event", "events", ["event_id"], unique=True)
    op.create_index("ix_events_recording", "events", ["recording_id", "recording_sequence"], unique=True)
    op.create_index("ix_events_application", "events", ["application_id", "position"])
    op.create_table(
        "feed",
        sa.Column("feed_id", sa.Text, primary_key=True),
        sa.Column("purged_position", sa.BigInteger, nullable=False),
        sa.Column("reached_position", sa.BigInteger, nullable=False),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Uuid, primary_key=True),
        sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
        sa.Column("recording_id", sa.Uuid, sa.ForeignKey("recordings.recording_id"), nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("next_attempt_time", sa.BigInteger),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("last_attempt_time", sa.BigInteger),
        sa.Column("last_status", sa.BigInteger, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("lane", _SORTED, nullable=False),
        sa.Column("due_time", sa.BigInteger),
        sa.Column("lease_token", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "due_time"])
    op.create_index("ix_deliveries_lane", "deliveries", ["state", "lane", "due_time"])
    op.create_index("ix_deliveries_time", "deliveries", ["create_time", "delivery_id"])
    op.create_index("ix_deliveries_application", "deliveries", ["application_id", "create_time", "delivery_id"])
    op.create_index("ix_deliveries_recording", "deliveries", ["recording_id", "create_time", "delivery_id"])

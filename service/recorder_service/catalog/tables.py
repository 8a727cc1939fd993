"""The tables of the catalog, for SQLite and PostgreSQL.

Columns beside a `document` are copies of what queries look for or what the database itself counts; a document and its
columns are only ever written together. A new database gets these tables at once; for older ones `migrations/` builds
the same step by step, and a test compares the two.
"""

from datetime import datetime

import sqlalchemy as sa

from recorder_service.catalog.times import from_microseconds, to_microseconds

# The newest migration. Migrations are numbered, so that a schema from the future is known by its number.
SCHEMA_VERSION = "0004"


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A time, stored as microseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """Store; a time without zone is refused."""
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Load, in UTC."""
        return None if value is None else from_microseconds(value)


# Sorted by code point on every database, whatever its language is set to.
SortedText = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

metadata = sa.MetaData()

applications = sa.Table(
    "applications",
    metadata,
    sa.Column("application_id", sa.Uuid, primary_key=True),
    sa.Column("name", SortedText, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("ix_applications_name", "name", "application_id"),
)

recordings = sa.Table(
    "recordings",
    metadata,
    sa.Column("recording_id", sa.Uuid, primary_key=True),
    sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
    sa.Column("conversation_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("start_time", UtcTime, nullable=False),
    sa.Column("expire_time", UtcTime),
    sa.Column("file_id", sa.Uuid, nullable=False),
    sa.Column("node_id", sa.Text, nullable=False),
    sa.Column("event_count", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Index("ix_recordings_time", "start_time", "recording_id"),
    sa.Index("ix_recordings_application", "application_id", "start_time", "recording_id"),
    sa.Index("ix_recordings_conversation", "conversation_id", "start_time", "recording_id"),
    sa.Index("ix_recordings_state", "state", "expire_time"),
    sa.Index("ix_recordings_live", "state", "application_id"),
    sa.Index("ix_recordings_file", "file_id", unique=True),
)

events = sa.Table(
    "events",
    metadata,
    # Events are ordered by (transaction_id, position); see transactions.py.
    sa.Column("transaction_id", sa.BigInteger, nullable=False, server_default="0"),
    # AUTOINCREMENT: a position is never used twice, even when the newest events were removed.
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("time", UtcTime, nullable=False),
    sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
    sa.Column("recording_id", sa.Uuid, sa.ForeignKey("recordings.recording_id"), nullable=False),
    sa.Column("conversation_id", sa.Text, nullable=False),
    sa.Column("recording_sequence", sa.BigInteger, nullable=False),
    sa.Column("recording", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
    sa.Index("ix_events_event", "event_id", unique=True),
    sa.Index("ix_events_recording", "recording_id", "recording_sequence", unique=True),
    sa.Index("ix_events_place", "transaction_id", "position", unique=True),
    sa.Index("ix_events_tenant_place", "application_id", "transaction_id", "position"),
    sqlite_autoincrement=True,
)

# One row. Events up to the purged place are gone; places up to the reached one were given out once.
feed = sa.Table(
    "feed",
    metadata,
    sa.Column("feed_id", sa.Text, primary_key=True),
    sa.Column("purged_position", sa.BigInteger, nullable=False),
    sa.Column("reached_position", sa.BigInteger, nullable=False),
    sa.Column("purged_transaction_id", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reached_transaction_id", sa.BigInteger, nullable=False, server_default="0"),
    # Added to the database's own transaction numbers.
    sa.Column("transaction_base", sa.BigInteger, nullable=False, server_default="0"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("delivery_id", sa.Uuid, primary_key=True),
    sa.Column("application_id", sa.Uuid, sa.ForeignKey("applications.application_id"), nullable=False),
    sa.Column("recording_id", sa.Uuid, sa.ForeignKey("recordings.recording_id"), nullable=False),
    # No foreign key: events are purged earlier than the deliveries that tell of them.
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("next_attempt_time", UtcTime),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("last_attempt_time", UtcTime),
    sa.Column("last_status", sa.BigInteger, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    # Whom the picker is fair between: the application and the origin of its URL.
    sa.Column("lane", SortedText, nullable=False),
    # When it may be claimed: the next attempt's time or, while somebody sends it, the end of that lease.
    sa.Column("due_time", UtcTime),
    # Grows with every claim; only who holds the newest may write what came of the attempt.
    sa.Column("lease_token", sa.BigInteger, nullable=False),
    sa.Index("ix_deliveries_due", "state", "due_time"),
    sa.Index("ix_deliveries_lane", "state", "lane", "due_time"),
    sa.Index("ix_deliveries_time", "create_time", "delivery_id"),
    sa.Index("ix_deliveries_application", "application_id", "create_time", "delivery_id"),
    sa.Index("ix_deliveries_recording", "recording_id", "create_time", "delivery_id"),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("node_id", sa.Text, primary_key=True),
    # Grows with every start: what an older epoch writes is refused.
    sa.Column("epoch", sa.BigInteger, nullable=False),
    # Microseconds since 1970 by the database's clock.
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
)

# Names of conferences that nodes share, while they live; see conferences.py.
conferences = sa.Table(
    "conferences",
    metadata,
    sa.Column("application_id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    # New with every conference and every start of its node.
    sa.Column("hold_id", sa.Uuid, nullable=False),
    sa.Column("conversation_id", sa.Text, nullable=False),
    # Who has it, and in which epoch.
    sa.Column("node_id", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    # Microseconds since 1970 by the database's clock: kept so long for a node that went down in order.
    sa.Column("kept_until", sa.BigInteger, nullable=False),
    sa.Index("ix_conferences_hold", "hold_id", unique=True),
    sa.Index("ix_conferences_conversation", "conversation_id"),
    sa.Index("ix_conferences_node", "node_id"),
)

# Where a stream that is resumed belongs. No foreign key: both go together, by their hold.
conference_streams = sa.Table(
    "conference_streams",
    metadata,
    sa.Column("application_id", sa.Uuid, primary_key=True),
    sa.Column("stream_id", sa.Uuid, primary_key=True),
    sa.Column("hold_id", sa.Uuid, nullable=False),
    sa.Index("ix_conference_streams_stream", "stream_id"),
    sa.Index("ix_conference_streams_hold", "hold_id"),
)

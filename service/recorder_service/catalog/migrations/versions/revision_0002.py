"""Order events by transaction, so that several writers may commit at once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the transactions' numbers; what was written before has one writer's order and number 0."""
    op.add_column("events", _number("transaction_id"))
    op.create_index("ix_events_place", "events", ["transaction_id", "position"], unique=True)
    op.create_index("ix_events_tenant_place", "events", ["application_id", "transaction_id", "position"])
    op.drop_index("ix_events_application", "events")
    for name in ("purged_transaction_id", "reached_transaction_id", "transaction_base"):
        op.add_column("feed", _number(name))


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")

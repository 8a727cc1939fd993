"""Brings the database's schema to this version's, at start-up."""

import uuid

import sqlalchemy as sa

from recorder_service.catalog.engine import Database
from recorder_service.catalog.tables import SCHEMA_VERSION, feed
from recorder_service.errors import Reason, StartupError

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))


async def prepare_schema(database: Database) -> None:
    """Check the schema and migrate it where it is older; Alembic is loaded only then.

    Processes that start together migrate once: the version is read again inside the write transaction.

    Raises:
        StartupError: SCHEMA_TOO_NEW.
        Unavailable: CATALOG_FAILED.
    """
    if await database.write(_version) != SCHEMA_VERSION:
        await database.write(_migrate)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sa.select(_VERSION.c.version_num)).scalar()
    if version is not None and version > SCHEMA_VERSION:
        raise StartupError(
            Reason.SCHEMA_TOO_NEW,
            f"the catalog's schema is version {version}, but this Recorder knows versions up to {SCHEMA_VERSION}; "
            "start the newer Recorder again, or restore the catalog's backup from before the upgrade",
            details={"schema_version": version, "known_version": SCHEMA_VERSION},
        )
    return version


def _migrate(connection: sa.Connection) -> None:
    from recorder_service.catalog.migrations import upgrade

    if _version(connection) == SCHEMA_VERSION:
        return
    upgrade(connection)
    if connection.execute(sa.select(feed.c.feed_id)).first() is None:
        # Names this feed in cursors, so that a cursor of another database is refused.
        connection.execute(feed.insert().values(feed_id=uuid.uuid4().hex, purged_position=0, reached_position=0))

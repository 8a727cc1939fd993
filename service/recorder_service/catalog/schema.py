"""Brings the database's schema to this version's."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from recorder_service.catalog.engine import Database, DatabaseOptions, open_database
from recorder_service.catalog.tables import SCHEMA_VERSION, events, feed, metadata
from recorder_service.errors import Reason, StartupError

# As Alembic makes it.
_VERSION = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
# The number that the next transaction gets, at least.
_NEXT_TRANSACTION = sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Which schema a database has.

    Attributes:
        found: Its version; None if it has none yet.
        wanted: The version of this Recorder.
    """

    found: str | None
    wanted: str = SCHEMA_VERSION

    @property
    def current(self) -> bool:
        """Whether there is nothing to do."""
        return self.found == self.wanted


async def read_schema(database: Database) -> SchemaState:
    """Return which schema the database has.

    Raises:
        StartupError: SCHEMA_TOO_NEW.
        Unavailable: CATALOG_FAILED.
    """
    return SchemaState(await database.write(_version))


async def bring_up_to_date(url: str, *, check: bool) -> tuple[SchemaState, SchemaState]:
    """Migrate the database of a URL, or only look whether that is due; return its state before and after.

    Raises:
        StartupError: INVALID_CONFIGURATION, if the URL cannot be used; SCHEMA_TOO_NEW.
        Unavailable: CATALOG_FAILED.
    """
    database = await open_database(url, DatabaseOptions())
    try:
        before = await read_schema(database)
        if check or before.current:
            return before, before
        await migrate_schema(database)
        return before, await read_schema(database)
    finally:
        await database.aclose()


async def prepare_schema(database: Database, *, migrate: bool) -> None:
    """Check the schema, and migrate it where it is older and that is allowed.

    Raises:
        StartupError: SCHEMA_TOO_NEW; INVALID_CONFIGURATION, if it is older and must not be migrated.
        Unavailable: CATALOG_FAILED.
    """
    state = await read_schema(database)
    if not state.current:
        if not migrate:
            raise _needs_migration(state)
        await migrate_schema(database)
    await database.write(_go_on_above)


async def migrate_schema(database: Database) -> None:
    """Migrate what is due, or make the schema of a database that has none.

    Processes that do so together migrate once: the version is read again where nobody else migrates.

    Raises:
        StartupError: SCHEMA_TOO_NEW.
        Unavailable: CATALOG_FAILED.
    """
    await database.alone(_migrate)


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


def _needs_migration(state: SchemaState) -> StartupError:
    found = "has no schema yet" if state.found is None else f"has schema version {state.found}"
    return StartupError(
        Reason.INVALID_CONFIGURATION,
        f"the catalog's database {found}, but this Recorder needs version {state.wanted}: run `recorder migrate` "
        "once, or start with RECORDER_MIGRATE=true",
        details={"schema_version": state.found or "", "known_version": state.wanted},
    )


def _migrate(connection: sa.Connection) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    if sa.inspect(connection).has_table(_VERSION.name):
        # Loading Alembic takes more than a tenth of a start.
        from recorder_service.catalog.migrations import upgrade

        upgrade(connection)
    else:
        _make(connection)
    if connection.execute(sa.select(feed.c.feed_id)).first() is None:
        # Names this feed in cursors, so that a cursor of another database is refused.
        connection.execute(feed.insert().values(feed_id=uuid.uuid4().hex, purged_position=0, reached_position=0))


def _make(connection: sa.Connection) -> None:
    """Make the tables as they are now, all at once; a table that is there already is somebody else's, and an error."""
    metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection)
    connection.execute(_VERSION.insert().values(version_num=SCHEMA_VERSION))


def _go_on_above(connection: sa.Connection) -> None:
    """Number new transactions above all that wrote events: a restored dump may come from a cluster that was further."""
    if connection.dialect.name != "postgresql":
        return
    newest = connection.execute(sa.select(sa.func.max(events.c.transaction_id))).scalar() or 0
    base = connection.execute(sa.select(feed.c.transaction_base)).scalar_one()
    if base + connection.execute(_NEXT_TRANSACTION).scalar_one() <= newest:
        connection.execute(feed.update().values(transaction_base=newest))

"""The catalog as one thing: opened once, closed once."""

from typing import Self

from recorder_service.catalog.applications import Applications
from recorder_service.catalog.backlog import Backlog
from recorder_service.catalog.conferences import Conferences
from recorder_service.catalog.deliveries import Deliveries
from recorder_service.catalog.engine import Database, DatabaseOptions, is_postgresql, open_database
from recorder_service.catalog.events import EventLog
from recorder_service.catalog.nodes import Nodes
from recorder_service.catalog.recordings import Recordings
from recorder_service.catalog.schema import prepare_schema
from recorder_service.catalog.wakeup import Wakeup

_DEFAULTS = DatabaseOptions()


class Catalog:
    """What the service remembers of applications, recordings, events and deliveries.

    Attributes:
        applications: The tenants.
        recordings: Recordings and their changes.
        events: The feed.
        deliveries: The outbox of webhooks.
        nodes: The nodes that share the catalog.
        conferences: Which node has which conference.
        backlog: What waits in it.
    """

    def __init__(self, database: Database) -> None:
        events_changed, deliveries_changed = Wakeup(), Wakeup()
        self._database = database
        self._wakes = {"events": events_changed, "deliveries": deliveries_changed}
        self.applications = Applications(database)
        self.recordings = Recordings(database, events_changed, deliveries_changed)
        self.events = EventLog(database, events_changed)
        self.deliveries = Deliveries(database, deliveries_changed, events_changed)
        self.nodes = Nodes(database)
        self.conferences = Conferences(database)
        self.backlog = Backlog(database)

    @classmethod
    async def open(cls, url: str, options: DatabaseOptions = _DEFAULTS) -> Self:
        """Open the catalog, making or migrating its tables where that is due and allowed.

        Args:
            url: `sqlite:////absolute/path.db`, a file on a local disk, since SQLite's locks and its write-ahead log
                need one; or `postgresql://user:password@host:port/database`.
            options: How the database is used.

        Raises:
            StartupError: INVALID_CONFIGURATION for a URL, file or server that cannot be used, or for an old schema that
                must not be migrated; SCHEMA_TOO_NEW.
            Unavailable: CATALOG_FAILED, if the database cannot be read or is locked.
        """
        catalog = cls(await open_database(url, options))
        migrate = not is_postgresql(url) if options.migrate is None else options.migrate
        try:
            await prepare_schema(catalog._database, migrate=migrate)
            await catalog.events.open()
            catalog._database.share(catalog._wakes)
        except BaseException:
            await catalog.aclose()
            raise
        return catalog

    async def aclose(self) -> None:
        """Let running transactions end and close the database; nothing may be called afterwards."""
        await self._database.aclose()

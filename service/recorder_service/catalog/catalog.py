"""The catalog as one thing: opened once, closed once."""

from typing import Self

from recorder_service.catalog.applications import Applications
from recorder_service.catalog.backlog import Backlog
from recorder_service.catalog.deliveries import Deliveries
from recorder_service.catalog.engine import Database, open_database
from recorder_service.catalog.events import EventLog
from recorder_service.catalog.recordings import Recordings
from recorder_service.catalog.schema import prepare_schema
from recorder_service.catalog.wakeup import Wakeup

_BUSY_TIMEOUT_S = 5.0


class Catalog:
    """What the service remembers of applications, recordings, events and deliveries.

    Attributes:
        applications: The tenants.
        recordings: Recordings and their changes.
        events: The feed.
        deliveries: The outbox of webhooks.
        backlog: What waits in it.
    """

    def __init__(self, database: Database) -> None:
        events_changed, deliveries_changed = Wakeup(), Wakeup()
        self._database = database
        self.applications = Applications(database)
        self.recordings = Recordings(database, events_changed, deliveries_changed)
        self.events = EventLog(database, events_changed)
        self.deliveries = Deliveries(database, deliveries_changed, events_changed)
        self.backlog = Backlog(database)

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float = _BUSY_TIMEOUT_S) -> Self:
        """Open the catalog, making or migrating its tables where that is due.

        Args:
            url: `sqlite:////absolute/path.db`. The file must be on a local disk: SQLite's locks and its write-ahead
                log need one.
            busy_timeout_s: How long a write waits for another process's before it is refused as Unavailable.

        Raises:
            StartupError: INVALID_CONFIGURATION for a URL or file that cannot be used, SCHEMA_TOO_NEW.
            Unavailable: CATALOG_FAILED, if the database cannot be read or is locked.
        """
        catalog = cls(open_database(url, busy_timeout_s))
        try:
            await prepare_schema(catalog._database)
            await catalog.events.open()
        except BaseException:
            await catalog.aclose()
            raise
        return catalog

    async def aclose(self) -> None:
        """Let running transactions end and close the database; nothing may be called afterwards."""
        await self._database.aclose()

"""What the catalog's queries need of a database, and which database a URL names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from recorder_service.catalog.wakeup import Wakeup
from recorder_service.errors import Reason, StartupError

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

SETTING = "RECORDER_DATABASE_URL"
_POSTGRESQL = frozenset({"postgresql", "postgres"})


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """How a database is used.

    Attributes:
        busy_timeout_s: SQLite: how long a write waits for another process's before it is refused as Unavailable.
        connections: PostgreSQL: most connections, beside one that listens.
        watch_interval_s: SQLite: how often to look whether another process committed; None where there is no other.
        migrate: Whether the schema may be migrated at the opening; None: on SQLite only.
    """

    busy_timeout_s: float = 5.0
    connections: int = 10
    watch_interval_s: float | None = None
    migrate: bool | None = None


class Database(Protocol):
    """Runs single queries and whole write transactions.

    The work is a plain function of a connection, without `await`: so the same functions run in the threads of SQLite
    and on PostgreSQL's asyncio driver. It must be harmless to run again from its beginning, and must not block on
    anything but the connection.
    """

    async def read(self, work: Work[T]) -> T:
        """Run queries; each statement sees one state of the database.

        Raises:
            Unavailable: CATALOG_FAILED.
        """

    async def write(self, work: Work[T], wakes: Sequence[Wakeup] = ()) -> T:
        """Run `work` in one transaction: all of it is committed and durable on return, or nothing of it happened.

        Where it cannot be told whether the commit was carried out, because the connection broke in it, the error is
        Unavailable as well: what is written must be harmless to write again. A cancelled caller leaves its transaction
        to end by itself, committed or rolled back as a whole.

        Args:
            work: An error it raises rolls back.
            wakes: Notified after the commit, even if the caller has been cancelled by then; in other processes too,
                where they were shared.

        Raises:
            Unavailable: CATALOG_FAILED.
            Overloaded: DISK_FULL.
        """

    async def alone(self, work: Work[T]) -> T:
        """Run `work` in a transaction that no other such one runs beside, in any process, and that may take long."""

    def share(self, wakes: Mapping[str, Wakeup]) -> None:
        """Let commits of other processes notify these too, soon and mostly: a hint; look from time to time anyway.

        Call it once. The names are the same in all processes.
        """

    async def aclose(self) -> None:
        """Let what runs end, then close the connections; what comes later is refused as Unavailable."""


def is_postgresql(url: str) -> bool:
    """Return whether a URL names a PostgreSQL server."""
    return url.partition("://")[0] in _POSTGRESQL


async def open_database(url: str, options: DatabaseOptions) -> Database:
    """Open the database of a URL; a server is asked, so that wrong credentials are told now.

    Args:
        url: `sqlite:////absolute/path.db`, where the file is made if it is missing, its directory not; or
            `postgresql://user:password@host:port/database`, also with the parameters that libpq knows.
        options: How it is used.

    Raises:
        StartupError: INVALID_CONFIGURATION; the message names what is wrong, never the password.
    """
    if is_postgresql(url):
        # The driver takes a while to import: only those who use it wait for it.
        from recorder_service.catalog.postgresql import open_postgresql

        return await open_postgresql(url, options.connections)
    from recorder_service.catalog.sqlite import open_sqlite

    return open_sqlite(url, options.busy_timeout_s, options.watch_interval_s)


def unusable(fault: str, *, retry_after_s: float | None = None) -> StartupError:
    """Make the error for a URL that cannot be used; `fault` ends with what to do.

    Args:
        fault: Follows the name of the setting.
        retry_after_s: When to try again, where the URL may be right and the server only away.
    """
    details = {"field": "database_url"}
    message = f"{SETTING} {fault}"
    return StartupError(Reason.INVALID_CONFIGURATION, message, details=details, retry_after_s=retry_after_s)

"""Connections to the catalog's database: one that writes, a few that read."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from recorder_service.catalog.failures import away, translate
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.errors import Reason, StartupError

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

_READERS = 4
_DEADLINE_S = 30.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024


class Database:
    """Runs single queries and whole write transactions, in threads.

    A transaction is one visit to the writer thread: handing over each of its statements by itself costs several times
    as much as running them. Writers take turns: SQLite has one at a time anyway, and so the order of positions is the
    order of commits. The work is written without `await`, so that an asyncio driver of another database can run the
    same functions (SQLAlchemy's `run_sync`).

    A cancelled caller leaves its transaction to end by itself, committed or rolled back as a whole.
    """

    def __init__(self, writer: sa.Engine, reader: sa.Engine) -> None:
        """Use these engines; `reader`'s connections commit by themselves."""
        self._writer = writer
        self._reader = reader
        self._writing = ThreadPoolExecutor(1, "catalog-writer")
        self._reading = ThreadPoolExecutor(_READERS, "catalog-reader")
        self._running: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """Run queries; each statement sees one state of the database.

        Args:
            work: Called in a reader thread, where it also makes values of the rows it finds.

        Raises:
            Unavailable: CATALOG_FAILED.
        """
        return await self._finish(self._start(self._reading, self._read, work))

    async def write(self, work: Work[T], wakes: Sequence[Wakeup] = ()) -> T:
        """Run `work` in one transaction: all of it is committed and durable on return, or nothing of it happened.

        Args:
            work: Called in the writer thread; an error it raises rolls back.
            wakes: Notified after the commit, even if the caller has been cancelled by then.

        Raises:
            Unavailable: CATALOG_FAILED.
            Overloaded: DISK_FULL.
        """
        future = self._start(self._writing, self._write, work)
        future.add_done_callback(lambda done: _notify(done, wakes))
        return await self._finish(future)

    async def aclose(self) -> None:
        """Let what runs end, then close the connections; what comes later is refused as Unavailable."""
        if self._closed:
            return
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=_DEADLINE_S)
        loop = asyncio.get_running_loop()
        await self._finish(loop.run_in_executor(self._reading, self._reader.dispose))
        # Last, so that this one folds the write-ahead log into the database file.
        await self._finish(loop.run_in_executor(self._writing, self._writer.dispose))
        self._reading.shutdown(wait=False)
        self._writing.shutdown(wait=False)

    def _start(self, threads: ThreadPoolExecutor, run: Callable[[Work[T]], T], work: Work[T]) -> asyncio.Future[T]:
        if self._closed:
            raise away("it is closed")
        future = asyncio.get_running_loop().run_in_executor(threads, run, work)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    async def _finish(self, future: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await asyncio.shield(future)
        except sa.exc.SQLAlchemyError as error:
            raise translate(error) from error
        except TimeoutError as error:
            raise away(f"no answer within {_DEADLINE_S:.0f} s") from error

    def _read(self, work: Work[T]) -> T:
        with self._reader.connect() as connection:
            return work(connection)

    def _write(self, work: Work[T]) -> T:
        with self._writer.begin() as connection:
            return work(connection)


def _notify(done: asyncio.Future[Any], wakes: Sequence[Wakeup]) -> None:
    if not done.cancelled() and done.exception() is None:
        for wake in wakes:
            wake.notify()


def open_database(url: str, busy_timeout_s: float) -> Database:
    """Make the connections' engines; nothing is connected to yet.

    Args:
        url: `sqlite:///relative.db` or `sqlite:////absolute.db`; the file is made if it is missing, its directory not.
        busy_timeout_s: How long a writer waits for one of another process.

    Raises:
        StartupError: INVALID_CONFIGURATION, if the URL names no SQLite file or the file cannot be opened.
    """
    path = _sqlite_path(url)
    _make_private(path)
    writer = _sqlite_engine(path, busy_timeout_s, pool_size=1)
    sa.event.listen(writer, "connect", _write_ahead)
    sa.event.listen(writer, "begin", _begin_immediate)
    reader = _sqlite_engine(path, busy_timeout_s, pool_size=_READERS, isolation_level="AUTOCOMMIT")
    sa.event.listen(reader, "connect", _only_query)
    return Database(writer, reader)


def _sqlite_path(url: str) -> Path:
    try:
        parts = sa.make_url(url)
    except sa.exc.ArgumentError:
        parts = None
    if parts is None or parts.get_backend_name() != "sqlite" or parts.database in {None, "", ":memory:"}:
        raise _unusable("is not the URL of a SQLite file; set it to one such as sqlite:////var/lib/recorder/catalog.db")
    return Path(str(parts.database))


def _make_private(path: Path) -> None:
    # The catalog holds signature secrets. SQLite gives its -wal and -shm files the mode of the database file.
    # A file that is there is not opened here: closing it would drop the locks SQLite holds on it in this process.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            raise _unusable(f"names {path}, which is not a file that can be read and written") from None
    except OSError as error:
        raise _unusable(f"names {path}, which cannot be made ({error.strerror})") from error


def _unusable(fault: str) -> StartupError:
    return StartupError(Reason.INVALID_CONFIGURATION, f"catalog.url {fault}.", details={"field": "catalog.url"})


def _sqlite_engine(path: Path, busy_timeout_s: float, **options: Any) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        hide_parameters=True,  # digits, secrets and numbers are among them
        max_overflow=0,
        pool_timeout=_DEADLINE_S,
        pool_reset_on_return=None,  # transactions are ended where they are begun
        connect_args={"timeout": busy_timeout_s},
        **options,
    )
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # None: the driver begins no transactions of its own, which would begin as readers and could not become writers.
    connection.isolation_level = None
    _pragmas(connection, "foreign_keys=ON", "synchronous=FULL")


def _write_ahead(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "journal_mode=WAL", f"journal_size_limit={_WAL_LIMIT_BYTES}")


def _only_query(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "query_only=ON")


def _pragmas(connection: DBAPIConnection, *settings: str) -> None:
    cursor = connection.cursor()
    for setting in settings:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

"""The catalog in a SQLite file: one connection that writes, a few that read, all in threads."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from recorder_service.catalog.engine import T, Work, unusable
from recorder_service.catalog.failures import away, translate
from recorder_service.catalog.wakeup import Wakeup, notify_after
from recorder_service.errors import RecorderError

log = structlog.get_logger(__name__)

_READERS = 4
_DEADLINE_S = 30.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
# Of each connection: what SQLite takes by itself (2 MB) fills up for days, and the system keeps the same pages.
_WRITER_CACHE_KIB = 512
_READER_CACHE_KIB = 128
_WAL_PATIENCE_S = 5.0
_WAL_RETRY_S = 0.01


class SqliteDatabase:
    """Runs single queries and whole write transactions, in threads.

    A transaction is one visit to the writer thread: handing over each of its statements by itself costs several times
    as much as running them. Writers take turns, those of other processes too: SQLite has one at a time anyway, and so
    the order of positions is the order of commits.
    """

    def __init__(self, writer: sa.Engine, reader: sa.Engine, watch_interval_s: float | None = None) -> None:
        """Use these engines; `reader`'s connections commit by themselves.

        Args:
            writer: Has one connection.
            reader: Has a few.
            watch_interval_s: How often to look whether another process committed; None: never.
        """
        self._writer = writer
        self._reader = reader
        self._writing = ThreadPoolExecutor(1, "catalog-writer")
        self._reading = ThreadPoolExecutor(_READERS, "catalog-reader")
        self._running: set[asyncio.Future[Any]] = set()
        self._watch_interval_s = watch_interval_s
        self._watch: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """Run queries in a reader thread; each statement sees one state of the database.

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
        notify_after(future, wakes)
        return await self._finish(future)

    async def alone(self, work: Work[T]) -> T:
        """Run `work` in one transaction, however long it takes; SQLite has only one at a time."""
        return await self._finish(self._start(self._writing, self._write, work), deadline_s=None)

    def share(self, wakes: Mapping[str, Wakeup]) -> None:
        """Look every `watch_interval_s` whether another process committed, and notify all of these if so."""
        if self._watch_interval_s is not None:
            watch = self._follow(self._watch_interval_s, tuple(wakes.values()))
            self._watch = asyncio.create_task(watch, name="catalog watch")

    async def aclose(self) -> None:
        """Let what runs end, then close the connections; what comes later is refused as Unavailable."""
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
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

    async def _follow(self, interval_s: float, wakes: Sequence[Wakeup]) -> None:
        """Notify after each commit of another process; own ones do not change the writer's `data_version`."""
        seen = None
        while True:
            await asyncio.sleep(interval_s)
            try:
                version = await self._finish(self._start(self._writing, self._seen, _data_version))
            except RecorderError as error:
                log.warning("catalog_not_watched", error=error.message)
                continue
            if version != seen:
                seen = version
                for wake in wakes:
                    wake.notify()

    async def _finish(self, future: asyncio.Future[T], deadline_s: float | None = _DEADLINE_S) -> T:
        try:
            async with asyncio.timeout(deadline_s):
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

    def _seen(self, work: Work[T]) -> T:
        # No transaction is begun: it would wait for other writers.
        with self._writer.connect() as connection:
            return work(connection)


def open_sqlite(url: str, busy_timeout_s: float, watch_interval_s: float | None = None) -> SqliteDatabase:
    """Make the connections' engines; nothing is connected to yet.

    Args:
        url: `sqlite:///relative.db` or `sqlite:////absolute.db`; the file is made if it is missing, its directory not.
        busy_timeout_s: How long a writer waits for one of another process.
        watch_interval_s: How often to look whether another process committed; None: never.

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
    return SqliteDatabase(writer, reader, watch_interval_s)


def _sqlite_path(url: str) -> Path:
    try:
        parts = sa.make_url(url)
    except sa.exc.ArgumentError:
        parts = None
    if parts is None or parts.get_backend_name() != "sqlite" or parts.database in {None, "", ":memory:"}:
        raise unusable(
            "is not the URL of a database; set it to one such as sqlite:////var/lib/recorder/catalog.db or "
            "postgresql://recorder@db.example.com/recorder"
        )
    return Path(str(parts.database))


def _make_private(path: Path) -> None:
    # The catalog holds signature secrets. SQLite gives its -wal and -shm files the mode of the database file.
    # A file that is there is not opened here: closing it would drop the locks SQLite holds on it in this process.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            raise unusable(
                f"names {path}, which is not a file that can be read and written; give the service's user the right "
                "to, or name another"
            ) from None
    except OSError as error:
        raise unusable(
            f"names {path}, which cannot be made ({error.strerror}); make its directory, writable for the service"
        ) from error


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
    give_up_s = time.monotonic() + _WAL_PATIENCE_S
    while True:
        try:
            _pragmas(connection, "journal_mode=WAL", f"journal_size_limit={_WAL_LIMIT_BYTES}")
            _pragmas(connection, f"cache_size={-_WRITER_CACHE_KIB}")
        except sqlite3.OperationalError:
            # SQLite does not wait by itself here, should another process open a new file at the same moment.
            if time.monotonic() > give_up_s:
                raise
            time.sleep(_WAL_RETRY_S)
        else:
            return


def _only_query(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "query_only=ON", f"cache_size={-_READER_CACHE_KIB}")


def _pragmas(connection: DBAPIConnection, *settings: str) -> None:
    cursor = connection.cursor()
    for setting in settings:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _data_version(connection: sa.Connection) -> int:
    """Return a number that other connections' commits change, and this one's do not.

    Source: SQLite documentation, PRAGMA data_version.
    """
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA data_version")
    row = cursor.fetchone()
    cursor.close()
    return int(row[0]) if row else 0

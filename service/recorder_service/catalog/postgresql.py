"""The catalog in a PostgreSQL database: a bounded pool of asyncpg connections."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from recorder_service.catalog.connector import FAULTS, Connector, check_url
from recorder_service.catalog.engine import T, Work
from recorder_service.catalog.failures import away, translate
from recorder_service.catalog.hints import Hints
from recorder_service.catalog.wakeup import Wakeup, notify_after

# For a caller; the server's and the driver's own limits end what goes on without one.
_DEADLINE_S = 30.0
_POOL_TIMEOUT_S = 10.0
_RECYCLE_S = 1800
_TRIES = 3
# What another transaction at the same time causes: run again, the work finds what that one did.
# unique_violation, foreign_key_violation, serialization_failure, deadlock_detected
_COLLISIONS = frozenset({"23505", "23503", "40001", "40P01"})
_ALONE = sa.text("SELECT pg_advisory_xact_lock(7263508)")
_UNLIMITED = ("SET LOCAL statement_timeout = 0", "SET LOCAL lock_timeout = 0")


class PostgresqlDatabase:
    """Runs work on connections of a pool.

    The plain functions of the catalog run in a greenlet on the event loop (SQLAlchemy's `run_sync`): their waits for
    the server are awaited, so no thread and no lock stands between the loop and the database.
    """

    def __init__(self, engine: AsyncEngine, connector: Connector) -> None:
        """Use the connections of `engine`, which `connector` opens."""
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connector = connector
        self._running: set[asyncio.Future[Any]] = set()
        self._hints: Hints | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, work: Work[T]) -> T:
        """Run queries on a connection that commits by itself; each statement sees one state of the database."""
        return await self._finish(self._start(work, writes=False), _DEADLINE_S)

    async def write(self, work: Work[T], wakes: Sequence[Wakeup] = ()) -> T:
        """Run `work` in one transaction; run again where a transaction beside it got in its way."""
        task = self._start(work, writes=True)
        notify_after(task, wakes)
        if self._hints is not None:
            task.add_done_callback(lambda done: self._tell(done, wakes))
        return await self._finish(task, _DEADLINE_S)

    async def alone(self, work: Work[T]) -> T:
        """Run `work` under a lock that all processes ask for, without time limits."""

        def locked(connection: sa.Connection) -> T:
            for limit in _UNLIMITED:
                connection.exec_driver_sql(limit)
            connection.execute(_ALONE)
            return work(connection)

        return await self._finish(self._start(locked, writes=True), None)

    def share(self, wakes: Mapping[str, Wakeup]) -> None:
        """Carry notifications of these to other processes and back, by NOTIFY."""
        self._hints = Hints(self._connector, wakes)
        self._carrying = asyncio.create_task(self._hints.run(), name="catalog hints")

    async def aclose(self) -> None:
        """Let what runs end, then close the connections; what comes later is refused as Unavailable."""
        if self._closed:
            return
        self._closed = True
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.wait([self._carrying])
        if self._running:
            await asyncio.wait(self._running, timeout=_DEADLINE_S)
        await self._engine.dispose()

    def _tell(self, done: asyncio.Future[Any], wakes: Sequence[Wakeup]) -> None:
        if self._hints is not None and not done.cancelled() and done.exception() is None:
            self._hints.tell(wakes)

    def _start(self, work: Work[T], *, writes: bool) -> "asyncio.Task[T]":
        if self._closed:
            raise away("it is closed")
        task = asyncio.create_task(self._write(work) if writes else self._read(work))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone; then nobody else looks at it

    async def _finish(self, task: "asyncio.Task[T]", deadline_s: float | None) -> T:
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.shield(task)
        except sa.exc.SQLAlchemyError as error:
            raise translate(error) from error
        except FAULTS as error:
            if isinstance(error, ValueError):
                raise  # of the work itself
            raise away(type(error).__name__) from error

    async def _read(self, work: Work[T]) -> T:
        async with self._reading.connect() as connection:
            return await connection.run_sync(work)

    async def _write(self, work: Work[T]) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._engine.begin() as connection:
                    return await connection.run_sync(work)
            except sa.exc.DBAPIError as error:
                if attempt == _TRIES or getattr(error.orig, "sqlstate", None) not in _COLLISIONS:
                    raise
        raise AssertionError("the last try returns or raises")


async def open_postgresql(url: str, connections: int) -> PostgresqlDatabase:
    """Ask the server once, and make the pool.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's parameters such as `sslmode`.
        connections: Most connections of the pool.

    Raises:
        StartupError: INVALID_CONFIGURATION.
    """
    check_url(url)
    connector = Connector(url)
    await connector.check()
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector.connect,
        hide_parameters=True,  # digits, secrets and numbers are among them
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_S,
        pool_recycle=_RECYCLE_S,
        pool_use_lifo=True,
    )
    sa.event.listen(engine.sync_engine, "checkout", _check_open)
    return PostgresqlDatabase(engine, connector)


def _check_open(connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Replace a connection that the server has closed meanwhile; the driver knows without asking."""
    driver: Any = getattr(connection, "driver_connection", None)
    if driver is not None and driver.is_closed():
        raise sa.exc.DisconnectionError

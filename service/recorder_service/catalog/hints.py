"""Hints between processes that something was committed: PostgreSQL's LISTEN and NOTIFY."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from recorder_service.catalog.connector import FAULTS, Connection, Connector
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.errors import Unavailable

log = structlog.get_logger(__name__)

_CHANNEL = "recorder"
# Every notification takes a lock of the whole cluster: so they stay out of the transactions, and one tells of many.
_GATHER_S = 0.02
_ALIVE_INTERVAL_S = 20.0
_RETRY_S = 1.0


class Hints:
    """Tells other processes of commits and listens to theirs, over one connection of its own.

    A hint that is lost costs whoever waits the time until they look by themselves, nothing else.
    """

    def __init__(self, connector: Connector, wakes: Mapping[str, Wakeup]) -> None:
        """Carry the notifications of `wakes`, each under its name."""
        self._connector = connector
        self._wakes = dict(wakes)
        self._names = {id(wake): name for name, wake in wakes.items()}
        self._untold: set[str] = set()
        self._something = asyncio.Event()

    def tell(self, wakes: Sequence[Wakeup]) -> None:
        """Tell the others, soon; those that are not shared are passed over."""
        names = {self._names[id(wake)] for wake in wakes if id(wake) in self._names}
        if names:
            self._untold |= names
            self._something.set()

    async def run(self) -> None:
        """Carry hints until cancelled; connects again whenever the connection is lost."""
        while True:
            try:
                connection = await self._connector.connect()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                await self._carry(connection)
            except FAULTS as error:
                log.info("catalog_hints_lost", error=type(error).__name__)
            finally:
                connection.terminate()
            await asyncio.sleep(_RETRY_S)

    async def _carry(self, connection: Connection) -> None:
        await connection.add_listener(_CHANNEL, self._heard)
        # Something may have been committed while nobody listened.
        for wake in self._wakes.values():
            wake.notify()
        while True:
            try:
                async with asyncio.timeout(_ALIVE_INTERVAL_S):
                    await self._something.wait()
            except TimeoutError:
                await connection.execute("SELECT 1")
                continue
            await asyncio.sleep(_GATHER_S)
            self._something.clear()
            names, self._untold = self._untold, set()
            await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, " ".join(sorted(names)))

    def _heard(self, connection: Any, pid: int, _channel: str, payload: object) -> None:
        if connection.get_server_pid() == pid:
            return  # told here already
        for name in str(payload).split():
            if (wake := self._wakes.get(name)) is not None:
                wake.notify()

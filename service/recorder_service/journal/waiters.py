"""Coroutines that wait for an LSN to become durable."""

import asyncio
import heapq
import itertools

from recorder_service.errors import RecorderError


class Waiters:
    """Futures in the order of the LSN they wait for. Belongs to the event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def wait(self, lsn: int, timeout_s: float) -> None:
        """Wait until `reach` is called with at least `lsn`.

        Raises:
            TimeoutError: It was not in time.
            RecorderError: `fail` was called with it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (lsn, next(self._order), future))
        async with asyncio.timeout(timeout_s):
            await future

    def reach(self, lsn: int) -> None:
        """Let go those who wait for `lsn` or less."""
        while self._heap and self._heap[0][0] <= lsn:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)

    def fail(self, error: RecorderError) -> None:
        """Give all who still wait an error."""
        while self._heap:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_exception(error)

"""Wakes those who wait for something to be committed."""

import asyncio
from collections.abc import Sequence
from typing import Any


class Wakeup:
    """A counter that can be waited on; any number of waiters, no wake-up is lost.

    Read `count`, look at the data, and if there was nothing, `wait` with the count read first: a commit between the
    look and the wait has moved the counter, so the wait ends at once. Commits of other processes may go unnoticed:
    pass a timeout and look again after it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._event = asyncio.Event()

    @property
    def count(self) -> int:
        """Commits so far."""
        return self._count

    def notify(self) -> None:
        """Wake everyone who waits."""
        self._count += 1
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until the counter is no longer `seen`.

        Returns:
            Whether it moved; False after `timeout_s`.
        """
        if self._count != seen:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return self._count != seen
        return True


def notify_after(future: asyncio.Future[Any], wakes: Sequence[Wakeup]) -> None:
    """Notify when a commit is done; not if it failed."""

    def notify(done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None:
            for wake in wakes:
                wake.notify()

    future.add_done_callback(notify)

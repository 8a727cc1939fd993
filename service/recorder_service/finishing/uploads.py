"""How many files are stored at once, and how often a store that is away is asked."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from recorder_service.errors import Overloaded, Unavailable

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0
# So many failures in a row, of whatever files, are the store's; fewer may be those of one file.
_AWAY_AFTER = 4


class Uploads:
    """Turns at the store, so that neither a backlog nor its many attempts starve live calls.

    However many files wait, a store that is away is asked every 5 s by as many as may be stored at once; once it takes
    one again, all that wait are tried, one after the other. A file that fails by itself holds nobody up: each success
    of another ends the pause. Belongs to the event loop.
    """

    def __init__(self, at_once: int) -> None:
        """Let so many files be stored at once."""
        self._turns = asyncio.Semaphore(at_once)
        self._failures = 0
        self._closed_until_s = 0.0
        self._back = asyncio.Event()

    async def attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, which stores a file, in its turn.

        Raises:
            Exception: What `work` raises; Unavailable and Overloaded make everybody pause.
        """
        async with self._turns:
            await asyncio.sleep(max(0.0, self._closed_until_s - time.monotonic()))
            try:
                await work()
            except (Unavailable, Overloaded):
                self._failed()
                raise
            self._succeeded()

    async def rest(self, wait_s: float) -> None:
        """Wait so long before the next attempt, or until a store that was away is back."""
        back = self._back
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await back.wait()

    def _failed(self) -> None:
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 32))
        self._failures += 1
        self._closed_until_s = time.monotonic() + pause_s

    def _succeeded(self) -> None:
        if self._failures >= _AWAY_AFTER:
            self._back.set()
            self._back = asyncio.Event()
        self._failures = 0
        self._closed_until_s = 0.0

"""Slots: how many requests are under way, in all and to each endpoint."""

import asyncio
from collections import Counter
from collections.abc import Callable


class Slots:
    """Counts requests under way and keeps both limits."""

    def __init__(self, total: int, per_endpoint: int, freed: Callable[[], None]) -> None:
        """Start with all slots free.

        Args:
            total: Most requests at once.
            per_endpoint: Most requests to one endpoint at once, so that a slow one cannot take all slots.
            freed: Called whenever a slot was given back.
        """
        self._total = total
        self._per_endpoint = per_endpoint
        self._freed = freed
        self._taken: Counter[str] = Counter()
        self._given_back = asyncio.Event()

    @property
    def free(self) -> int:
        """Slots that are left in all."""
        return self._total - self._taken.total()

    def busy_endpoints(self) -> frozenset[str]:
        """Return the endpoints that can take no more."""
        return frozenset(endpoint for endpoint, count in self._taken.items() if count >= self._per_endpoint)

    def try_take(self, endpoint: str) -> bool:
        """Take a slot if there is one now."""
        if self.free <= 0 or self._taken[endpoint] >= self._per_endpoint:
            return False
        self._taken[endpoint] += 1
        return True

    async def take(self, endpoint: str, timeout_s: float) -> bool:
        """Take a slot, waiting for one; False if there was none within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.try_take(endpoint):
                    await self._given_back.wait()
        except TimeoutError:
            return False
        return True

    def give_back(self, endpoint: str) -> None:
        """Return a slot and wake those who wait for one."""
        self._taken[endpoint] -= 1
        if not self._taken[endpoint]:
            del self._taken[endpoint]
        given_back, self._given_back = self._given_back, asyncio.Event()
        given_back.set()
        self._freed()

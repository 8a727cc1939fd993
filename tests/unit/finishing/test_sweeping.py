"""Sweeping a store from time to time."""

import asyncio

from recorder_service.errors import Reason, Unavailable
from recorder_service.finishing.sweeping import sweep_now_and_then


class Store:
    """Is away at first."""

    def __init__(self) -> None:
        self.sweeps = 0
        self.swept = asyncio.Event()

    async def sweep(self) -> int:
        """Count."""
        self.sweeps += 1
        if self.sweeps < 3:
            raise Unavailable(Reason.STORAGE_FAILED, "away")
        self.swept.set()
        return 1


async def test_store_is_swept_again_after_it_was_away() -> None:
    """An error ends nothing."""
    store = Store()
    task = asyncio.create_task(sweep_now_and_then(store, 0.01))
    await asyncio.wait_for(store.swept.wait(), 10)
    task.cancel()


async def test_store_without_anything_to_sweep_is_left_alone() -> None:
    """A directory has no unfinished uploads."""
    task = asyncio.create_task(sweep_now_and_then(object(), 0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()

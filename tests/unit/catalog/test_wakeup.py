"""Waiting for commits."""

import asyncio

from recorder_service.catalog.wakeup import Wakeup


async def test_notice_between_look_and_wait_is_not_lost() -> None:
    """A notice after the count was read ends the wait at once."""
    wakeup = Wakeup()
    seen = wakeup.count
    wakeup.notify()
    async with asyncio.timeout(2):
        assert await wakeup.wait(seen, timeout_s=60)


async def test_wait_without_notice_times_out() -> None:
    """Nothing happening ends the wait with False."""
    wakeup = Wakeup()
    assert not await wakeup.wait(wakeup.count, timeout_s=0.01)


async def test_all_waiters_are_woken_once() -> None:
    """Every waiter is woken, and a later wait with the new count waits again."""
    wakeup = Wakeup()
    waiters = [asyncio.create_task(wakeup.wait(0, timeout_s=5)) for _ in range(1000)]
    await asyncio.sleep(0)
    wakeup.notify()
    assert all(await asyncio.gather(*waiters))
    assert not await wakeup.wait(wakeup.count, timeout_s=0.01)


async def test_cancelled_waiter_is_cancelled() -> None:
    """Cancelling a wait is not taken for a timeout."""
    wakeup = Wakeup()
    task = asyncio.create_task(wakeup.wait(0, timeout_s=5))
    await asyncio.sleep(0)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError)

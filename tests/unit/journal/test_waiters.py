"""Waiting for an LSN."""

import asyncio

import pytest

from recorder_service.errors import Reason, Unavailable
from recorder_service.journal.waiters import Waiters


async def test_those_who_are_reached_go_on_and_others_wait() -> None:
    """In the order of what they wait for, not of when they came."""
    waiters = Waiters()
    tasks = [asyncio.create_task(waiters.wait(lsn, 5)) for lsn in (30, 10, 20)]
    await asyncio.sleep(0)
    waiters.reach(20)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [False, True, True]
    waiters.reach(30)
    await asyncio.gather(*tasks)


async def test_failure_reaches_all_who_wait() -> None:
    """Nobody is left to his deadline."""
    waiters = Waiters()
    task = asyncio.create_task(waiters.wait(1, 5))
    await asyncio.sleep(0)
    waiters.fail(Unavailable(Reason.JOURNAL_FAILED, "broken"))
    with pytest.raises(Unavailable, match="broken"):
        await task


async def test_waiting_ends_at_its_deadline() -> None:
    """A late answer to one who has gone is harmless."""
    waiters = Waiters()
    with pytest.raises(TimeoutError):
        await waiters.wait(1, 0.01)
    waiters.reach(1)

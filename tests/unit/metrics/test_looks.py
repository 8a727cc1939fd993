"""Looks in the background: bounded in cost, and harmless when they fail."""

import asyncio
import contextlib
import time

from recorder_service.errors import Reason, Unavailable
from recorder_service.metrics.looks import Look, keep_looking


async def _for_a_while(look: Look, duration_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(duration_s):
            await keep_looking([look])


async def test_look_that_fails_is_made_again() -> None:
    """A catalog that is away is looked at again, and ends nothing."""
    tries = 0
    seen = asyncio.Event()

    async def look() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            seen.set()
        raise Unavailable(Reason.CATALOG_FAILED, "away") if tries % 2 else OSError("gone")

    task = asyncio.create_task(_for_a_while(Look("test", 0.01, look), 10))
    async with asyncio.timeout(10):
        await seen.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert tries == 3


async def test_look_that_takes_long_is_made_rarely() -> None:
    """At most a twentieth of the time is spent looking."""
    spent_s = 0.0

    async def look() -> None:
        nonlocal spent_s
        began_s = time.monotonic()
        await asyncio.sleep(0.02)
        spent_s += time.monotonic() - began_s

    await _for_a_while(Look("test", 0.001, look), 1.0)
    assert 0.02 <= spent_s < 0.2

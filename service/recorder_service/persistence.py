"""Asking again until it is done: for work that must happen though a part of the system is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from recorder_service.errors import Overloaded, RecorderError, Unavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 30.0


async def persist(
    work: Callable[[], Awaitable[T]],
    what: str,
    recording_id: object,
    *,
    away: tuple[type[RecorderError], ...] = (Unavailable, Overloaded),
    rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Do `work`, again and again while what it needs is away or full; waits grow from 50 ms to 30 s, with jitter.

    Args:
        work: Must be harmless to repeat.
        what: Names the work in the log.
        recording_id: Named in the log.
        away: The errors after which it is done again.
        rest: Waits so many seconds, or less if it knows better.

    Raises:
        Exception: Whatever else `work` raises.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return await work()
        except away as error:
            log.warning(what, recording_id=str(recording_id), reason=error.reason.name, error=error.message)
        await rest(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

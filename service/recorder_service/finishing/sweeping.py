"""Clearing away what broken uploads left in the store."""

import asyncio
from typing import Protocol, runtime_checkable

import structlog

from recorder_service.errors import RecorderError

log = structlog.get_logger(__name__)


@runtime_checkable
class Sweepable(Protocol):
    """A store in which uploads can stay unfinished."""

    async def sweep(self) -> int:
        """Abort uploads that are old and unfinished; return how many."""


async def sweep_now_and_then(store: object, interval_s: float) -> None:
    """Sweep for ever, if there is anything to sweep in this store; an error is logged and it is tried again.

    The first sweep comes after an interval: a store is swept when it is checked at start.
    """
    while True:
        await asyncio.sleep(interval_s)
        if isinstance(store, Sweepable):
            await _sweep(store)


async def _sweep(store: Sweepable) -> None:
    try:
        if aborted := await store.sweep():
            log.info("uploads_swept", count=aborted)
    except RecorderError as error:
        log.warning("sweep_failed", reason=error.reason.name, error=error.message)

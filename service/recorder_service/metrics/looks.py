"""Refreshes in the background what has to be looked up, so that reading the metrics asks nobody."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from recorder_service.domain.recording import RecordedLeg, Recording
from recorder_service.errors import RecorderError
from recorder_service.metrics.audio import AudioMetrics
from recorder_service.metrics.disk import DiskMetrics, spool_state

log = structlog.get_logger(__name__)

# A look that takes long is made less often: none costs more than a twentieth of one thread's time.
_LEAST_REST = 19
_PART = 50


@dataclass(frozen=True, slots=True)
class Look:
    """Something that is looked at now and then.

    Attributes:
        name: Names it in the log.
        interval_s: Wait between two looks.
        look: Looks once.
    """

    name: str
    interval_s: float
    look: Callable[[], Awaitable[None]]


async def keep_looking(looks: Iterable[Look]) -> None:
    """Make all looks, each at its own pace, for ever. What cannot be looked at keeps its last figure."""
    async with asyncio.TaskGroup() as group:
        for look in looks:
            group.create_task(_repeat(look), name=f"look {look.name}")


async def _repeat(look: Look) -> None:
    failing = False
    while True:
        began_s = time.monotonic()
        try:
            await look.look()
            failing = False
        except (RecorderError, OSError) as error:
            if not failing:  # one line when it begins, not one a look
                log.warning("metrics_not_refreshed", look=look.name, error_type=type(error).__name__)
            failing = True
        took_s = time.monotonic() - began_s
        await asyncio.sleep(max(look.interval_s, _LEAST_REST * took_s))


class LiveRecording(Protocol):
    """A live recording that knows what it received."""

    @property
    def recording(self) -> Recording:
        """As it stands."""

    @property
    def received(self) -> tuple[RecordedLeg, ...]:
        """Its legs with what came of each so far."""


async def look_at_audio(live: Iterable[LiveRecording], metrics: AudioMetrics) -> None:
    """Count what live recordings received; a few at a time, so that nobody's message waits for it."""
    for index, item in enumerate(live):
        metrics.note(item.recording.recording_id, item.received)
        if index % _PART == _PART - 1:
            await asyncio.sleep(0)


async def look_at_spool(directory: Path, metrics: DiskMetrics) -> None:
    """Look at what waits in the spool, in a thread.

    Raises:
        OSError: The directory cannot be read.
    """
    metrics.look_at_spool(await asyncio.to_thread(spool_state, directory))

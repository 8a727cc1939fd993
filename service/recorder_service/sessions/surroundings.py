"""What live recordings of a node work with, as they see it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from recorder_service.domain.event import EventType
from recorder_service.domain.recording import RecordedLeg, Recording
from recorder_service.sessions.audio_path import SpooledFile
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.workers import Workers

T = TypeVar("T")


class Finisher(Protocol):
    """Makes a file of what was recorded, and tells the world."""

    async def finish(self, recording: Recording, spooled: SpooledFile | None, facts: Facts) -> Recording:
        """Return the recording in its last state; `spooled` is None if there was no audio."""


class Background(Protocol):
    """Owns tasks that no RPC owns."""

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Start a task."""

    async def run(self, work: Coroutine[object, object, T], name: str) -> T:
        """Do work that goes on to its end even if the caller is cancelled."""


class Meter(Protocol):
    """Counts what becomes of recordings, for metrics; returns at once."""

    def started(self, recording: Recording) -> None:
        """Count one that began."""

    def brought_back(self, recording_id: UUID, legs: Sequence[RecordedLeg]) -> None:
        """Note what one that a restart brought back had received."""

    def ending(self, recording_id: UUID) -> None:
        """Note that something ended it."""

    def told(self, recording: Recording, event_type: EventType) -> None:
        """Note that a new state was committed."""


class Unmetered:
    """Counts nothing."""

    def started(self, recording: Recording) -> None:
        """Count nothing."""

    def brought_back(self, recording_id: UUID, legs: Sequence[RecordedLeg]) -> None:
        """Count nothing."""

    def ending(self, recording_id: UUID) -> None:
        """Count nothing."""

    def told(self, recording: Recording, event_type: EventType) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every live recording of a node works with.

    Attributes:
        workers: Where audio is rendered.
        brake: Slows senders that are ahead of real time down.
        resume_window_s: How long a recording without stream waits for one.
        on_stopped: Called with its id when a recording takes no more audio and holds no more memory.
        on_ended: Called with its id when a recording has reached its last state, or failed to for now.
        meter: Counts.
    """

    journal: Journal
    finisher: Finisher
    workers: Workers
    background: Background
    brake: Brake
    resume_window_s: float
    on_stopped: Callable[[UUID], None]
    on_ended: Callable[[UUID], None]
    meter: Meter = Unmetered()  # noqa: RUF009 - it holds nothing

"""Telling the catalog what happened to one recording: in order, and again until it is told."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

import structlog

from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import Event, EventType, KeyPress, LegChange
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.persistence import persist

log = structlog.get_logger(__name__)


class RecordingCatalog(Protocol):
    """The catalog, as a live recording sees it."""

    async def change(
        self,
        recording: Recording,
        event_type: EventType,
        *,
        expect: frozenset[RecordingState],
        time: datetime,
        event_id: UUID | None = None,
        leg: LegChange | None = None,
        delivery: Delivery | None = None,
    ) -> Event:
        """Commit a new state, its event and its webhook together; an event id that is known changes nothing."""

    async def append_event(
        self,
        recording_id: UUID,
        event_type: EventType,
        *,
        time: datetime,
        event_id: UUID | None = None,
        key_press: KeyPress | None = None,
    ) -> Event:
        """Commit an event that changes no state; an event id that is known changes nothing."""


def event_id(recording_id: UUID, fact: str) -> UUID:
    """Derive an event's id from the fact, so that telling it again after a crash tells nothing new."""
    return uuid5(recording_id, fact)


class Facts:
    """The facts of one recording on their way to the catalog.

    A catalog that is away holds nobody up: the audio goes on, and the facts follow in order when it is back.
    """

    def __init__(
        self,
        catalog: RecordingCatalog,
        recording_id: UUID,
        on_told: Callable[[Recording, EventType], None] = lambda _recording, _event_type: None,
    ) -> None:
        """Start without facts; `on_told` hears of every state that was committed."""
        self._on_told = on_told
        self._catalog = catalog
        self._recording_id = recording_id
        # asyncio.Lock serves in the order of arrival, which is the order of the facts.
        self._turn = asyncio.Lock()
        self.untold = 0

    async def settled(self) -> None:
        """Wait until everything so far is told."""
        async with self._turn:
            return

    async def changed(
        self,
        recording: Recording,
        event_type: EventType,
        fact: str,
        *,
        expect: frozenset[RecordingState],
        leg: LegChange | None = None,
        delivery: Delivery | None = None,
    ) -> Event:
        """Tell a new state, after all facts before it, and return the event."""
        time, identity = datetime.now(UTC), event_id(self._recording_id, fact)

        async def tell() -> Event:
            return await self._catalog.change(
                recording, event_type, expect=expect, time=time, event_id=identity, leg=leg, delivery=delivery
            )

        async with self._turn:
            event = await persist(tell, "catalog_away", self._recording_id)
        self._on_told(recording, event_type)
        reason = None if recording.stop_reason is None else recording.stop_reason.value
        name = event_type.name.lower()
        log.info(name, recording_id=str(self._recording_id), state=recording.state.value, stop_reason=reason)
        return event

    async def pressed(self, key_press: KeyPress, sequence: int, feed: int = 0) -> None:
        """Tell a key press, after all facts before it."""
        fact = f"dtmf:{feed}:{sequence}" if feed else f"dtmf:{sequence}"
        time, identity = datetime.now(UTC), event_id(self._recording_id, fact)

        async def tell() -> None:
            await self._catalog.append_event(
                self._recording_id, EventType.DTMF, time=time, event_id=identity, key_press=key_press
            )

        self.untold += 1
        try:
            async with self._turn:
                await persist(tell, "catalog_away", self._recording_id)
        finally:
            self.untold -= 1

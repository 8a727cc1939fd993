"""A stage for live recordings: a real journal, real paths and files, and a catalog that keeps what it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from tests.unit.journal.building import running

from recorder_service.audio.rendition import Rendition
from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import Event, EventType, KeyPress, LegChange
from recorder_service.domain.recording import PauseInterval, RecordedLeg, Recording, RecordingState, StopReason
from recorder_service.errors import RecorderError
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.journal import Entry, Journal
from recorder_service.sessions import entries
from recorder_service.sessions.audio_path import SpooledFile
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.notices import Notice
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.surroundings import Surroundings
from recorder_service.sessions.workers import Workers

MAX_RECORDING_S = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk as it arrives."""

    leg_id: str
    start_frame: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything of an ended recording that has to survive a crash."""

    data: bytes
    frames: int
    legs: tuple[RecordedLeg, ...]
    pauses: tuple[PauseInterval, ...]
    stop_reason: StopReason | None
    told: frozenset[tuple[EventType, UUID | None]]


@dataclass(slots=True)
class MemoryCatalog:
    """What was told, in order; a fact that is told again is one."""

    told: list[tuple[EventType, UUID | None]] = field(default_factory=list)
    states: list[RecordingState] = field(default_factory=list)

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
        """Keep a change unless it is known."""
        if (event_type, event_id) not in self.told:
            self.told.append((event_type, event_id))
            self.states.append(recording.state)
        return Event(uuid4(), event_type, time, recording.application_id, len(self.told), recording)

    async def append_event(
        self,
        recording_id: UUID,
        event_type: EventType,
        *,
        time: datetime,
        event_id: UUID | None = None,
        key_press: KeyPress | None = None,
    ) -> Event | None:
        """Keep an event unless it is known."""
        if (event_type, event_id) not in self.told:
            self.told.append((event_type, event_id))
        return None


class KeepingFinisher:
    """Keeps the file's bytes in place of storing them."""

    def __init__(self) -> None:
        self.data = b""
        self.frames = 0

    async def finish(self, recording: Recording, spooled: SpooledFile | None, facts: Facts) -> Recording:
        """Read the file."""
        if spooled is not None:
            self.data, self.frames = spooled.path.read_bytes(), spooled.frames
            spooled.discard()
        return recording


class LastingJournal:
    """The real journal, but for releases: what a recording wrote is still there after its end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def durable_lsn(self) -> int:
        """As the journal's."""
        return self._journal.durable_lsn

    @property
    def queued_bytes(self) -> int:
        """As the journal's."""
        return self._journal.queued_bytes

    def append(self, recording: UUID, kind: int, payload: bytes | Sequence[bytes | memoryview]) -> int:
        """As the journal's."""
        return self._journal.append(recording, kind, payload)

    async def wait_durable(self, lsn: int, timeout_s: float) -> None:
        """As the journal's."""
        await self._journal.wait_durable(lsn, timeout_s)

    def release(self, recording: UUID) -> int:
        """Keep it."""
        return 0


class Heard:
    """A stream's outlet that keeps what it is given."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.errors: list[RecorderError] = []

    def send(self, notice: Notice) -> None:
        """Keep a notice."""
        self.notices.append(notice)

    def fail(self, error: RecorderError) -> None:
        """Keep an error."""
        self.errors.append(error)


@dataclass(slots=True)
class Actor:
    """A live recording and what it left behind."""

    live: LiveRecording
    catalog: MemoryCatalog
    finisher: KeepingFinisher
    background: BackgroundTasks

    async def outcome(self) -> Outcome:
        """Wait for the end, which somebody has asked for."""
        ending = self.live.ending
        assert ending is not None
        await asyncio.wait_for(ending, 20)
        assert await self.background.wait(5)
        recording = self.live.recording
        return Outcome(
            self.finisher.data,
            self.finisher.frames,
            recording.legs,
            recording.pauses,
            recording.stop_reason,
            frozenset(self.catalog.told),
        )


@asynccontextmanager
async def acting(directory: Path, recording: Recording, workers: Executor) -> AsyncIterator[Actor]:
    """Give a live recording on a journal that lies in `directory`, and close the journal in the end."""
    async with running(directory / "journal") as journal:
        catalog, finisher, background = MemoryCatalog(), KeepingFinisher(), BackgroundTasks()
        spool = SpoolDirectory(directory / "spool")
        built = PathFactory(spool, max_recording_s=MAX_RECORDING_S, render=Rendition).build(recording)
        around = Surroundings(
            journal=LastingJournal(journal),
            finisher=finisher,
            workers=Workers(workers, workers, 2),
            background=background,
            brake=Brake(),
            resume_window_s=60,
            on_stopped=lambda _: None,
            on_ended=lambda _: None,
        )
        facts = Facts(catalog, recording.recording_id)  # type: ignore[arg-type] # key presses need no answer
        live = LiveRecording(recording, path=built.path, rules=built.rules, facts=facts, around=around)
        try:
            yield Actor(live, catalog, finisher, background)
        finally:
            await background.close()


async def written(directory: Path, recording: UUID) -> list[entries.Entry]:
    """Read what a recording wrote, from a journal that is closed."""
    async with running(directory / "journal") as journal:
        items = list(journal.replay(recording))
    return [entries.decode(item.kind, item.payload) for item in items if isinstance(item, Entry)]

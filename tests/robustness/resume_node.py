"""A node without its wire: real live recordings, journal, catalog and store in one process, which may die."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from recorder_service.audio.rendition import Rendition
from recorder_service.catalog.catalog import Catalog
from recorder_service.domain.application import Application
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import LegRole, RecordedLeg, Recording, RecordingKind, RecordingState
from recorder_service.errors import RecorderError
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.journal import Entry, Journal, JournalSettings
from recorder_service.sessions import entries
from recorder_service.sessions.admission import Admission
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.sessions.notices import Ack, Notice
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.workers import Workers
from recorder_service.storage.directory import DirectoryStore
from recorder_service.webhooks.record_events import RecordEvents

T = TypeVar("T")

_SETTINGS = JournalSettings(commit_interval_s=0.0, segment_bytes=16_384, reserve_bytes=0)


class _NoWebhooks:
    """No recording of the model names a URL."""

    async def attempt_now(self, delivery_id: uuid.UUID, timeout_s: float) -> object:
        raise AssertionError(f"webhook {delivery_id} for nobody")


@dataclass(slots=True)
class Line:
    """A stream from a client, as a live recording sees it.

    Attributes:
        acks: What it was told, in order.
        heard: How many of these reached the client.
        error: What ended it.
    """

    acks: list[int] = field(default_factory=list)
    heard: int = 0
    error: RecorderError | None = None

    def send(self, notice: Notice) -> None:
        """Take a notice."""
        if isinstance(notice, Ack):
            self.acks.append(notice.sequence)

    def fail(self, error: RecorderError) -> None:
        """End."""
        self.error = error


class Ground:
    """What outlives a node: loop, catalog, store, tenant. Costly to build, so one serves all examples."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="resume-model-"))
        self.runner = asyncio.Runner()
        self.workers = ThreadPoolExecutor(2)
        self.store = DirectoryStore(self.directory / "files")
        now = datetime.now(UTC)
        self.application = Application(uuid.uuid4(), "model", "key", "secret" * 6, now, now)
        self.catalog = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop."""
        return self.runner.run(work)

    def close(self) -> None:
        """Give everything up."""
        self.run(self.catalog.aclose())
        self.run(self.store.aclose())
        self.workers.shutdown()
        self.runner.close()
        shutil.rmtree(self.directory)

    async def _open(self) -> Catalog:
        await self.store.check()
        catalog = await Catalog.open(f"sqlite:///{self.directory / 'catalog.db'}")
        await catalog.applications.create(self.application)
        return catalog

    def recording(self) -> Recording:
        """Describe a new split WAV recording of two legs of different rates."""
        return Recording(
            recording_id=uuid.uuid4(),
            application_id=self.application.application_id,
            conversation_id="CON-1",
            kind=RecordingKind.CALL,
            state=RecordingState.RECORDING,
            options=RecordOptions(format=FileFormat.WAV, split=True),
            encoder=EncoderOptions(),
            start_time=datetime.now(UTC),
            legs=(
                RecordedLeg("caller", LegRole.CALLER, "MULAW", 8000, 0),
                RecordedLeg("callee", LegRole.CALLEE, "LINEAR16", 16_000, 1),
            ),
        )


class Node:
    """One node over its starts."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._name = uuid.uuid4().hex
        self._directory = ground.directory / self._name
        self._starts = 0
        self._background = BackgroundTasks()
        self.journal: Journal
        self.recordings: LiveRecordings
        ground.run(self._start())

    def restart(self) -> None:
        """Die as a killed process does, and start on what lies on the disk."""
        copy = self._directory / f"journal-{self._starts + 1}"
        # From here on nothing is told any more: the loop stands still until the copy is made.
        shutil.copytree(self._journal_directory, copy)
        self._ground.run(self._die())
        self._ground.run(self._start())

    def close(self) -> None:
        """End and remove everything."""
        self._ground.run(self._die())
        shutil.rmtree(self._directory)

    def journaled(self, recording_id: uuid.UUID) -> int:
        """Return the last request of which the journal on the disk has an entry."""
        found = [item for item in self.journal.replay(recording_id) if isinstance(item, Entry)]
        return max((entries.decode(item.kind, item.payload).sequence for item in found), default=0)

    @property
    def _journal_directory(self) -> Path:
        return self._directory / f"journal-{self._starts}"

    async def _start(self) -> None:
        self._starts += 1
        self._directory.mkdir(exist_ok=True)
        ground = self._ground
        self._background = BackgroundTasks()
        self.journal = await asyncio.to_thread(Journal.open, self._journal_directory, settings=_SETTINGS)
        self.journal.start(asyncio.get_running_loop())
        finisher = Finisher(
            store=ground.store,
            applications=ground.catalog.applications,
            record_events=RecordEvents("http://127.0.0.1"),
            webhooks=_NoWebhooks(),
        )
        self.recordings = LiveRecordings(
            catalog=ground.catalog.recordings,
            journal=self.journal,
            finisher=finisher,
            factory=PathFactory(SpoolDirectory(self._directory / "spool"), max_recording_s=3600, render=Rendition),
            workers=Workers(ground.workers, ground.workers, 2),
            background=self._background,
            admission=Admission(10, lambda: None),
            brake=Brake(),
            node_id=self._name,
            resume_window_s=600,
        )
        await self.recordings.recover()
        self.recordings.go_on()

    async def _die(self) -> None:
        for live in self.recordings:
            live._watch.stop()
            live.feed.acks.detach()
            live.feed._outlet = None
            live.feed.stop_waiting()
        await self._background.close()
        await self.journal.close()

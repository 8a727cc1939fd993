"""From the end of a recording to the world: seal -> store -> verify -> commit -> tell."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import EventType
from recorder_service.domain.recording import Recording, RecordingFile, RecordingState
from recorder_service.finishing.uploads import Uploads
from recorder_service.persistence import persist
from recorder_service.sessions.audio_path import SpooledFile
from recorder_service.sessions.facts import Facts, event_id

log = structlog.get_logger(__name__)

COMPLETED = "completed"
_FIRST_WEBHOOK_TIMEOUT_S = 2.0
_FINISHING = frozenset({RecordingState.FINISHING})


class FileStore(Protocol):
    """Keeps finished files."""

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Keep a file under a name; storing it again changes nothing."""

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Make sure that what is stored is what was meant."""


class Applications(Protocol):
    """Knows the tenants."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""


class RecordEvents(Protocol):
    """Writes the webhook that tells of a recording."""

    def delivery(self, recording: Recording, application: Application, event: UUID, now: datetime) -> Delivery | None:
        """Return the webhook to send, None where nobody wants it."""


class Webhooks(Protocol):
    """Sends webhooks."""

    async def attempt_now(self, delivery_id: UUID, timeout_s: float) -> object:
        """Make the first attempt at once and wait for it, but no longer than the time given."""


class Finisher:
    """Finishes recordings. Every step may be done again: what is stored or told already stays as it is."""

    def __init__(
        self,
        *,
        store: FileStore,
        applications: Applications,
        record_events: RecordEvents,
        webhooks: Webhooks,
        uploads: int = 4,
    ) -> None:
        """Work with these parts.

        Args:
            store: Where files go.
            applications: Says how long files are kept and where webhooks go.
            record_events: Writes the webhook.
            webhooks: Makes the first attempt of a synchronous recording's webhook.
            uploads: Files stored at once, so that a backlog does not starve live calls.
        """
        self._store = store
        self._applications = applications
        self._record_events = record_events
        self._webhooks = webhooks
        self._uploads = Uploads(uploads)

    async def finish(self, recording: Recording, spooled: SpooledFile | None, facts: Facts) -> Recording:
        """Bring a recording that has ended to its last state, however long the store or the catalog may be away.

        Args:
            recording: As it ended.
            spooled: The finished file; None if no audio was received.
            facts: Where the outcome is told.

        Returns:
            The recording: AVAILABLE, or EMPTY if no audio was received.
        """
        if spooled is None:
            empty = replace(recording, state=RecordingState.EMPTY)
            await facts.changed(empty, EventType.RECORDING_EMPTY, COMPLETED, expect=_FINISHING)
            return empty
        file = _file(recording, spooled)
        keep = partial(self._keep, file, spooled)
        await persist(
            lambda: self._uploads.attempt(keep), "store_away", recording.recording_id, rest=self._uploads.rest
        )
        available = await self._commit(recording, file, facts)
        await asyncio.to_thread(spooled.discard)
        return available

    async def _keep(self, file: RecordingFile, spooled: SpooledFile) -> None:
        await self._store.store(file.object_key, spooled.path, size_bytes=file.size_bytes, sha256=file.sha256)
        await self._store.verify(file.object_key, size_bytes=file.size_bytes, sha256=file.sha256)

    async def _commit(self, recording: Recording, file: RecordingFile, facts: Facts) -> Recording:
        """Commit the state, its event and its webhook together; then try the webhook if somebody waits for it."""
        application = await persist(
            lambda: self._applications.get(recording.application_id), "catalog_away", recording.recording_id
        )
        now = datetime.now(UTC)
        available = replace(
            recording,
            state=RecordingState.AVAILABLE,
            file=file,
            available_time=now,
            expire_time=now + application.retention,
        )
        identity = event_id(recording.recording_id, COMPLETED)
        delivery = self._record_events.delivery(available, application, identity, now)
        event = await facts.changed(
            available, EventType.RECORDING_COMPLETED, COMPLETED, expect=_FINISHING, delivery=delivery
        )
        if delivery is not None and recording.options.synchronous:
            await self._webhooks.attempt_now(delivery.delivery_id, _FIRST_WEBHOOK_TIMEOUT_S)
        return event.recording


def _file(recording: Recording, spooled: SpooledFile) -> RecordingFile:
    options = recording.options
    file_id = recording.file_id
    day = recording.start_time.strftime("%Y/%m/%d")
    return RecordingFile(
        file_id=file_id,
        object_key=f"{recording.application_id}/{day}/{file_id}.{options.file_format.value}",
        format=options.file_format,
        channels=options.channel_count,
        bitrate_kbps=recording.encoder.mp3_bitrate_kbps or 0,
        frames=spooled.frames,
        size_bytes=spooled.size_bytes,
        sha256=spooled.sha256,
    )

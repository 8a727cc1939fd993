"""Removing files: on request, and when their retention ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid5

import structlog

from recorder_service.catalog.filters import RecordingFilter
from recorder_service.catalog.paging import Page
from recorder_service.domain.application import Application
from recorder_service.domain.event import Event, EventType
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import Conflict, Reason, RecorderError

log = structlog.get_logger(__name__)

_BATCH = 100
_RUNNING = frozenset({RecordingState.RECORDING, RecordingState.PAUSED, RecordingState.FINISHING})
_REMOVED = frozenset({RecordingState.DELETED, RecordingState.EXPIRED})


class Files(Protocol):
    """Keeps finished files."""

    async def delete(self, key: str) -> None:
        """Remove a file; one that is gone is no error."""


class Recordings(Protocol):
    """The catalog's recordings."""

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording."""

    async def list(self, criteria: RecordingFilter, page_size: int, page_token: str) -> Page[Recording]:
        """Return a page of recordings."""

    async def expired(self, now: datetime, limit: int) -> Sequence[Recording]:
        """Return recordings whose retention has ended and whose files are still there."""

    async def change(
        self,
        recording: Recording,
        event_type: EventType,
        *,
        expect: frozenset[RecordingState],
        time: datetime,
        event_id: UUID | None = None,
    ) -> Event:
        """Commit a new state and its event."""


class Applications(Protocol):
    """The catalog's applications."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""

    async def delete(self, application_id: UUID) -> None:
        """Remove an application with all its rows; refused while a recording runs."""


class Removal:
    """Removes files, then says so: a file that is told to be gone is gone."""

    def __init__(self, files: Files, recordings: Recordings, applications: Applications) -> None:
        """Remove from `files` what the catalog knows."""
        self._files = files
        self._recordings = recordings
        self._applications = applications

    async def delete(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Remove a recording's file and return what is left; one that is removed already is returned as it is.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
            Conflict: RECORDING_LIVE, it still runs or is being finished.
        """
        recording = await self._recordings.get(recording_id, application_id)
        if recording.state in _REMOVED:
            return recording
        if recording.state in _RUNNING:
            message = f"recording {recording_id} is {recording.state.value}: stop it and wait until it is completed"
            raise Conflict(Reason.RECORDING_LIVE, message, details={"state": recording.state.value})
        return await self._remove(recording, RecordingState.DELETED, EventType.RECORDING_DELETED)

    async def remove_application(self, application_id: UUID) -> None:
        """Remove an application with its files and all that is known of them.

        Raises:
            NotFound: APPLICATION_NOT_FOUND.
            Conflict: RECORDING_LIVE, one of its recordings runs.
        """
        await self._applications.get(application_id)
        await self._refuse_running(application_id)
        with_file = RecordingFilter(application_id=application_id, states=frozenset({RecordingState.AVAILABLE}))
        while (page := await self._recordings.list(with_file, _BATCH, "")).items:
            for recording in page.items:
                await self._remove(recording, RecordingState.DELETED, EventType.RECORDING_DELETED)
        await self._applications.delete(application_id)

    async def expire(self, now: datetime) -> int:
        """Remove the files whose retention has ended; return how many."""
        removed = 0
        while batch := await self._recordings.expired(now, _BATCH):
            for recording in batch:
                await self._remove(recording, RecordingState.EXPIRED, EventType.RECORDING_EXPIRED)
                removed += 1
        return removed

    async def run(self, interval_s: float) -> None:
        """Expire files from time to time, for ever; an error is logged and it is tried again."""
        while True:
            try:
                if removed := await self.expire(datetime.now(UTC)):
                    log.info("files_expired", count=removed)
            except RecorderError as error:
                log.warning("expiry_failed", reason=error.reason.name, error=error.message)
            await asyncio.sleep(interval_s)

    async def _refuse_running(self, application_id: UUID) -> None:
        running = RecordingFilter(application_id=application_id, states=_RUNNING)
        if found := (await self._recordings.list(running, 1, "")).items:
            message = f"recording {found[0].recording_id} of this application runs: stop it first"
            raise Conflict(Reason.RECORDING_LIVE, message)

    async def _remove(self, recording: Recording, state: RecordingState, event_type: EventType) -> Recording:
        if recording.file is not None:
            await self._files.delete(recording.file.object_key)
        event = await self._recordings.change(
            replace(recording, state=state),
            event_type,
            expect=frozenset({recording.state}),
            time=datetime.now(UTC),
            event_id=uuid5(recording.recording_id, state.value),
        )
        return event.recording

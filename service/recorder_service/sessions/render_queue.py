"""Hands a recording's audio to the workers, one batch at a time, so that the loop only receives."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from recorder_service.audio.finished import Finished
from recorder_service.errors import Overloaded, Reason
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.workers import Workers

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 1.0


class RenderQueue:
    """The steps of one recording on their way through a worker."""

    def __init__(self, recording_id: UUID, path: AudioPath, workers: Workers, on_ended: Callable[[], None]) -> None:
        """Start idle.

        Args:
            recording_id: Named in the log.
            path: Where steps come from and are run.
            workers: Shared by all recordings.
            on_ended: Called when the audio ended by a rule of the recording.
        """
        self._recording_id = recording_id
        self._path = path
        self._workers = workers
        self._on_ended = on_ended
        self._running: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    @property
    def congested(self) -> bool:
        """Whether the sender should wait."""
        return self._workers.crowded(self._path.waiting_steps) and self._error is None

    @property
    def idle(self) -> bool:
        """Whether no worker has anything of it."""
        return self._running is None

    async def room(self) -> None:
        """Wait until it is no longer congested."""
        while self.congested and self._running is not None:
            await asyncio.wait((self._running,), timeout=_LOOK_AGAIN_S)

    def push(self) -> None:
        """Give what waits to a worker, unless one is at it."""
        if self._running is None and self._path.waiting_steps and self._error is None:
            self._running = self._workers.run(self._path)
            self._running.add_done_callback(self._ran)

    async def complete(self, end_frame: int) -> Finished:
        """Run everything up to the end.

        Raises:
            Overloaded: DISK_FULL, the spool could not be written, now or before.
        """
        while self._running is not None:
            await asyncio.wait((self._running,))
        self._path.finish(end_frame)
        try:
            if self._error is not None:
                raise self._error
            return await self._workers.complete(self._path, self._path.closed_frame)
        except OSError as error:
            message = f"the spool cannot be written ({error.strerror}); the file is made when there is room"
            raise Overloaded(Reason.DISK_FULL, message, retry_after_s=30) from error

    def _ran(self, run: asyncio.Future[None]) -> None:
        self._running = None
        if run.cancelled():
            return
        if (error := run.exception()) is not None:
            # What is acknowledged is in the journal; the file is made again from there.
            self._error = error
            log.error("rendering_failed", recording_id=str(self._recording_id), exc_info=error)
        elif self._path.ended_frame is not None:
            self._on_ended()
        else:
            self.push()

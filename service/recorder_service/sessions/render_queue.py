"""Hands a recording's audio to the workers, one batch at a time, so that the loop only receives."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import structlog

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.errors import Overloaded, Reason
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.workers import Workers

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 1.0
# A sender may be so far ahead of real time and still count as one that keeps to it; more is a backlog.
_FREE_FRAMES = 2 * RECORDING_RATE_HZ
# Clocks of senders may be fast: what they are ahead by wears off.
_WEAR_RATE_HZ = RECORDING_RATE_HZ * 1.05
# After a stall, of the line or of this node, so much may come at once.
_FORGIVEN_FRAMES = 30 * RECORDING_RATE_HZ


class Lead:
    """How far a recording's audio is ahead of the clock on the wall, whenever it came.

    A call in real time is not ahead because it was kept waiting: what it could have sent meanwhile is forgiven.
    """

    __slots__ = ("_frame", "_frames", "_looked_s")

    def __init__(self, frame: int, now_s: float) -> None:
        """Begin at a recording frame."""
        self._frames = 0.0
        self._frame = frame
        self._looked_s = now_s

    def is_backlog(self, frame: int, now_s: float) -> bool:
        """Say whether audio up to a recording frame is more than real time brings."""
        worn = (now_s - self._looked_s) * _WEAR_RATE_HZ
        self._frames = max(self._frames - worn, -_FORGIVEN_FRAMES) + frame - self._frame
        self._frame, self._looked_s = frame, now_s
        return self._frames > _FREE_FRAMES


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
        # From the first step that is pushed: what a replay renders before is no audio of a sender's.
        self._lead: Lead | None = None
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
            # Where silence ends the recording, somebody waits for what comes of this step.
            urgent = self._path.deadline_frame is not None
            self._running = self._workers.run(self._path, backlog=self._is_backlog(), urgent=urgent)
            self._running.add_done_callback(self._ran)

    async def complete(self, end_frame: int) -> Finished:
        """Run everything up to the end.

        Raises:
            Overloaded: DISK_FULL, the spool could not be written, now or before.
        """
        while self._running is not None:
            self._workers.hurry(self._path)
            await asyncio.wait((self._running,))
        self._path.finish(end_frame)
        try:
            if self._error is not None:
                raise self._error
            return await self._workers.complete(self._path, self._path.closed_frame, backlog=self._is_backlog())
        except OSError as error:
            message = f"the spool cannot be written ({error.strerror}); the file is made when there is room"
            raise Overloaded(Reason.DISK_FULL, message, retry_after_s=30) from error

    def _is_backlog(self) -> bool:
        frame, now_s = self._path.closed_frame, time.monotonic()
        if self._lead is None:
            self._lead = Lead(frame, now_s)
        return self._lead.is_backlog(frame, now_s)

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

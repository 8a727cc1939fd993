"""The end of a recording: its last audio, its end in the journal, its file, and what is told of all that."""

import asyncio
from dataclasses import replace

import structlog

from recorder_service.audio.finished import Finished
from recorder_service.domain.event import EventType
from recorder_service.domain.recording import RecordingState
from recorder_service.errors import Overloaded, RecorderError
from recorder_service.persistence import persist
from recorder_service.sessions import entries
from recorder_service.sessions.ended_recording import ended_recording
from recorder_service.sessions.notices import Completed, Stopped
from recorder_service.sessions.recording_parts import RecordingParts
from recorder_service.sessions.story import RUNNING

log = structlog.get_logger(__name__)

_DURABLE_TIMEOUT_S = 30.0
_UNFINISHED = RUNNING | {RecordingState.FINISHING}


class Ending:
    """Ends one recording, in a task that no RPC owns.

    Attributes:
        task: That task; None as long as nothing ended the recording.
        concluded: Whether the end is in the journal: nothing that comes now has anything to do with the recording.
    """

    def __init__(self, parts: RecordingParts) -> None:
        """Prepare the end of the recording that `parts` make up."""
        self.task: asyncio.Task[None] | None = None
        self.concluded = False
        self._parts = parts
        self._id = parts.recording_id

    def begin(self, stop: entries.Stop) -> asyncio.Task[None]:
        """End the recording where and why an entry says; only the first call counts."""
        if self.task is None:
            self._parts.around.meter.ending(self._id)
            self._parts.pausing.over = True
            self.task = self._parts.around.background.spawn(self._end(stop), name=f"end:{self._id}")
        return self.task

    async def _end(self, stop: entries.Stop) -> None:
        parts, story = self._parts, self._parts.story
        try:
            finished = await self._close(stop)
            await story.facts.changed(story.recording, EventType.RECORDING_STOPPED, "stopped", expect=RUNNING)
            spooled = await persist(lambda: parts.around.workers.seal(parts.path, finished), "spool_full", self._id)
            parts.path.release()
            parts.around.on_stopped(self._id)
            story.recording = await parts.around.finisher.finish(story.recording, spooled, story.facts)
            parts.around.journal.release(self._id)
            self._completed()
        except RecorderError as error:
            # The journal keeps everything: the next start goes on from here.
            for feed in parts.feeds.values():
                feed.fail(error)
            raise
        except Exception:
            log.exception("finishing_failed", recording_id=str(self._id))
            await self._give_up()
        finally:
            parts.around.on_ended(self._id)

    async def _give_up(self) -> None:
        """Say that no file can be made. The audio stays in the journal for whoever mends the fault."""
        story = self._parts.story
        failure = "an internal error occurred while the file was made; the audio is kept in the journal"
        story.recording = replace(story.recording, state=RecordingState.FAILED, failure=failure)
        await story.facts.changed(story.recording, EventType.RECORDING_FAILED, "failed", expect=_UNFINISHED)
        self._completed()

    def _completed(self) -> None:
        for feed in self._parts.feeds.values():
            feed.notify(Completed(self._parts.story.recording))

    async def _close(self, stop: entries.Stop) -> Finished:
        """Render the rest, then write down and tell where and why the recording ended."""
        parts = self._parts
        pauses = parts.pausing.pauses
        if pauses.active:
            parts.pausing.end(stop.frame)
        finished = await parts.queue.complete(stop.frame)
        # What was asked for, not what came of it: asking the same again after a crash has to give the same.
        await self._write_end(stop)
        end_frame = parts.path.ended_frame or 0
        reason = parts.rules.reason(end_frame, stop.reason)
        for feed in parts.feeds.values():
            feed.acks.tell()
            feed.stopped(Stopped(reason, end_frame, self._id))
        parts.story.recording = ended_recording(
            parts.story.recording,
            reason,
            end_frame,
            legs=parts.received(end_frame),
            pauses=pauses.intervals,
            damage=parts.lost.at_end(end_frame),
        )
        return finished

    async def _write_end(self, stop: entries.Stop) -> None:
        """Make the end durable: on a full disk it waits for room, a journal that failed is at its end."""
        parts = self._parts

        async def write() -> int:
            return parts.write(stop)

        lsn = await persist(write, "journal_full", self._id, away=(Overloaded,))
        for feed in parts.feeds.values():
            feed.acks.conclude(lsn)
        # Whatever comes from now on is acknowledged after this end, and so not before it is durable.
        self.concluded = True

        async def durable() -> None:
            await parts.around.journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)

        await persist(durable, "journal_full", self._id, away=(Overloaded,))

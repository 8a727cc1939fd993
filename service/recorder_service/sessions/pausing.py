"""Pausing a recording and going on: asked for by a stream or by an RPC, in force at once, told when it is durable."""

import asyncio
from collections.abc import Callable, Mapping

from recorder_service.domain.recording import PauseInterval, PauseMode, Recording
from recorder_service.errors import Conflict, Reason
from recorder_service.sessions import entries
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.pauses import Pauses
from recorder_service.sessions.rule_watch import RuleWatch
from recorder_service.sessions.story import Story
from recorder_service.sessions.surroundings import Surroundings

_DURABLE_TIMEOUT_S = 30.0
_TELL_TIMEOUT_S = 2.0


class Pausing:
    """The pauses of one recording, and what each does to its audio.

    Attributes:
        over: Whether the recording is ending: nothing can be paused any more.
    """

    def __init__(
        self,
        *,
        path: AudioPath,
        clock: MediaClock,
        watch: RuleWatch,
        story: Story,
        around: Surroundings,
        feeds: Mapping[int, Feed],
        write: Callable[[entries.Entry], int],
    ) -> None:
        """Start without pauses; `write` gives an entry to the journal."""
        self.pauses = Pauses()
        self.over = False
        self._path = path
        self._clock = clock
        self._watch = watch
        self._story = story
        self._around = around
        self._feeds = feeds
        self._write = write

    async def pause(self, mode: PauseMode, frame: int | None, sequence: int | None, feed: int) -> Recording:
        """Begin a pause, unless one is active; see `LiveRecording.pause`."""
        if not self._may_turn(sequence, feed, paused=False):
            return self._story.recording
        now_frame = self._clock.now_frame() if frame is None else frame
        begun = self.begin(max(now_frame, self._path.furthest_frame), mode)
        return await self._turn(entries.Pause(sequence or 0, begun, mode, feed))

    async def resume(self, frame: int | None, sequence: int | None, feed: int) -> Recording:
        """End the active pause, if there is one; see `LiveRecording.resume`."""
        if not self._may_turn(sequence, feed, paused=True):
            return self._story.recording
        ended = self.end(self._clock.now_frame() if frame is None else frame)
        return await self._turn(entries.Resume(sequence or 0, ended, feed))

    def begin(self, frame: int, mode: PauseMode) -> int:
        """Begin a pause, in the audio too, and return where."""
        begun = self.pauses.begin(frame, mode).start_frame
        self._watch.silence_counts = False
        if mode is PauseMode.CUT:
            self._path.begin_cut(begun)
        return begun

    def end(self, frame: int) -> int:
        """End the active pause, in the audio too, and return where."""
        pause = self.pauses.end(frame)
        ended = pause.end_frame or 0
        self._watch.silence_counts = True
        if pause.mode is PauseMode.CUT:
            self._path.end_cut(ended)
        # Nobody is asked to speak during a pause: silence counts from its end.
        self._path.hold_silence(ended)
        return ended

    def _may_turn(self, sequence: int | None, feed: int, *, paused: bool) -> bool:
        """Say whether a request to pause or resume changes anything; if not, it is done."""
        if sequence is not None and not self._feeds[feed].acks.is_due(sequence):
            return False
        if self.over:
            if sequence is None:
                recording_id = self._story.recording.recording_id
                raise Conflict(Reason.RECORDING_NOT_LIVE, f"recording {recording_id} has ended")
            self._feeds[feed].acks.pass_over()
            return False
        if self.pauses.active is not paused and sequence is not None:
            self._feeds[feed].acks.accept(self._write(entries.Skip(sequence, feed=feed)))
        return self.pauses.active is paused

    async def _turn(self, entry: entries.Pause | entries.Resume) -> Recording:
        lsn = self._write(entry)
        if entry.sequence:
            self._feeds[entry.feed].acks.accept(lsn)
        work = self._turned(lsn, self.pauses.intervals)
        return await self._around.background.run(work, name=f"turn:{self._story.recording.recording_id}")

    async def _turned(self, lsn: int, intervals: tuple[PauseInterval, ...]) -> Recording:
        """Make a pause or its end durable, then tell it."""
        await self._around.journal.wait_durable(lsn, _DURABLE_TIMEOUT_S)
        await asyncio.wait((self._story.turned(intervals),), timeout=_TELL_TIMEOUT_S)
        return self._story.recording

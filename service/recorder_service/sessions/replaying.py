"""Doing again, after a restart, what the journal holds of a recording."""

from collections.abc import Callable, Sequence
from functools import partial

from recorder_service.domain.recording import StopReason
from recorder_service.sessions import entries
from recorder_service.sessions.recording_parts import RecordingParts


class Replaying:
    """The replay of one recording. Renders as it goes: it belongs in a thread.

    Attributes:
        end: Why and where the journal says that the recording ended; None if it goes on.
    """

    def __init__(self, parts: RecordingParts) -> None:
        """Replay into `parts`, which nobody else uses meanwhile."""
        self.end: tuple[StopReason, int] | None = None
        self._parts = parts
        self._retell: list[Callable[[], object]] = []

    def retell(self) -> None:
        """Tell the catalog, once, what it may have missed."""
        retell, self._retell = self._retell, []
        for tell in retell:
            tell()

    def do(self, entry: entries.Entry) -> None:
        """Do what an entry says."""
        parts = self._parts
        match entry:
            case entries.Audio(_, chunks):
                self._end_pause(self._start_frame(chunks))
                parts.placing.place(chunks)
            case entries.Dtmf():
                self._press(entry)
            case entries.Pause(_, frame, mode):
                self._end_pause(frame)
                parts.pausing.begin(frame, mode)
                self._tell_turn()
            case entries.Resume(_, frame):
                self._end_pause(frame)
            case entries.Skip(_, frame):
                parts.intake.dropped_frame = max(parts.intake.dropped_frame, frame)
            case entries.Advance(_, frame):
                parts.path.advance(frame)
            case entries.Stop(_, frame, reason):
                self.end = (reason, frame)
            case _:
                parts.roster.apply(entry)
                self._retell += parts.roster.news(entry, parts.story)
        if parts.queue.congested:
            parts.path.run(parts.path.take_steps())

    def _press(self, entry: entries.Dtmf) -> None:
        press = entry.key_press
        self._parts.keys.is_new(press)
        self._retell.append(partial(self._parts.story.pressed, press, entry.sequence, entry.feed))
        if self._parts.rules.ends_on(press.digit):
            self.end = (StopReason.KEY, press.frame)

    def _end_pause(self, frame: int) -> None:
        """End the pause there is, if any: nothing is written down during one, so damage may have taken its end."""
        if self._parts.pausing.pauses.active:
            self._parts.pausing.end(frame)
            self._tell_turn()

    def _tell_turn(self) -> None:
        self._retell.append(partial(self._parts.story.turned, self._parts.pausing.pauses.intervals))

    def _start_frame(self, chunks: Sequence[entries.Chunk]) -> int:
        leg = self._parts.roster.stays.get(chunks[0].leg)
        if leg is None:
            return self._parts.path.furthest_frame
        return leg.recording_frame(chunks[0].start_frame)

"""Which stretches of a recording damage has taken: what the journal held of them cannot be read any more."""

from collections.abc import Mapping

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.domain.recording import FrameInterval

# A leg that is further behind the others, or not heard again for longer, sent nothing: nothing of it was lost.
PATIENCE_FRAMES = 5 * RECORDING_RATE_HZ


class LostStretches:
    """Follows each leg over the holes in its audio.

    A hole says how many entries are lost, not what was in them. So a leg counts as lost from where it was heard last
    to where it is heard again; a leg that is not, as long as the first one that is. All positions are recording frames.

    Attributes:
        open: Whether a hole waits for its end.
    """

    def __init__(self) -> None:
        """Start without holes."""
        self.open = False
        self._since: dict[str, int] = {}
        self._resumed_frame: int | None = None
        self._found: list[FrameInterval] = []

    def begin(self, ends: Mapping[str, int]) -> None:
        """Note a hole here.

        Args:
            ends: Where the audio of each leg ends so far.
        """
        furthest_frame = max(ends.values(), default=0)
        for leg_id, end_frame in ends.items():
            silent = furthest_frame - end_frame > PATIENCE_FRAMES
            self._since.setdefault(leg_id, furthest_frame if silent else end_frame)
        self._resumed_frame = None
        self.open = bool(self._since)

    def heard(self, leg_id: str, start_frame: int) -> None:
        """Note that a leg has audio at a frame; needed only while `open`."""
        if self._resumed_frame is None:
            self._resumed_frame = start_frame
        if leg_id in self._since:
            self._note(self._since.pop(leg_id), start_frame)
        if start_frame - self._resumed_frame > PATIENCE_FRAMES:
            self._note_silent(self._resumed_frame)
        self.open = bool(self._since)

    def at_end(self, end_frame: int) -> tuple[FrameInterval, ...]:
        """Return the stretches of a recording that ended at a frame: in order, none touching another.

        Where nobody was heard after a hole and the recording ends with the audio before it, the last stretch is empty:
        nobody knows how much is missing there.
        """
        unknown_tail = self.open and self._resumed_frame is None
        self._note_silent(end_frame if self._resumed_frame is None else self._resumed_frame)
        self.open = False
        merged: list[FrameInterval] = []
        for found in sorted(self._found, key=lambda interval: interval.start_frame):
            stretch_end = min(found.end_frame, end_frame)
            if merged and found.start_frame <= merged[-1].end_frame:
                last = merged.pop()
                merged.append(FrameInterval(last.start_frame, max(last.end_frame, stretch_end)))
            elif found.start_frame < stretch_end:
                merged.append(FrameInterval(found.start_frame, stretch_end))
        if unknown_tail and not (merged and merged[-1].end_frame == end_frame):
            merged.append(FrameInterval(end_frame, end_frame))
        return tuple(merged)

    def _note(self, start_frame: int, end_frame: int) -> None:
        if start_frame < end_frame:
            self._found.append(FrameInterval(start_frame, end_frame))

    def _note_silent(self, end_frame: int) -> None:
        """Give up on the legs that were not heard again."""
        while self._since:
            self._note(self._since.popitem()[1], end_frame)

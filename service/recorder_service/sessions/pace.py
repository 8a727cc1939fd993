"""Keeps live calls prompt while the event loop is late: senders that are ahead wait, and nobody new may begin."""

import asyncio
import time

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.errors import Overloaded, Reason

_TICK_S = 0.05
# A loop that comes round within this time acknowledges in time.
_LATE_S = 0.01
_FIRST_WAIT_S = 0.005
_LONGEST_WAIT_S = 1.0
_EASING = 0.8
_NO_WAIT_S = 0.001
# A loop that is this late for a second or two has as many calls as it can serve: one more would harm them all.
_TOO_LATE_S = 0.1
# Of the newest look in the mean of all: a single pause of less than a second turns nobody away.
_NEWEST = 0.1
_RETRY_AFTER_S = 5.0
# A sender may be ahead by what a jitter buffer or a short outage holds.
_FREE_FRAMES = 2 * RECORDING_RATE_HZ
# What a message counts as at least: two legs that send 20 ms each, apart, stay below real time.
_MESSAGE_FRAMES = RECORDING_RATE_HZ // 200
# Ahead of real time it never gets slower than this much faster than real time: it has to catch up.
_MOST_OF_MEDIA_TIME = 0.9


class Brake:
    """How long a sender that is ahead waits after each message, and whether calls may begin. One a node.

    The wait doubles while the loop is late and eases off when it is not, so it settles where the loop is just prompt:
    one sender that catches up on an idle machine is not slowed down at all. Where the loop is late all the same, it has
    more to do in real time than it can.

    Attributes:
        wait_s: The wait in force; 0 while nobody has to wait.
        late_s: How late the loop was of late.
    """

    def __init__(self) -> None:
        """Start without a wait."""
        self.wait_s = 0.0
        self.late_s = 0.0

    async def run(self) -> None:
        """Watch the loop for as long as the node lives."""
        while True:
            due_s = time.monotonic() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self.adapt(time.monotonic() - due_s)

    def adapt(self, late_s: float) -> None:
        """Take a look at how late the loop was."""
        self.late_s += (late_s - self.late_s) * _NEWEST
        if late_s > _LATE_S:
            self.wait_s = min(max(2 * self.wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
        else:
            eased_s = self.wait_s * _EASING
            self.wait_s = eased_s if eased_s > _NO_WAIT_S else 0.0

    def refusal(self) -> Overloaded | None:
        """Return why no recording may begin, or None."""
        if self.late_s < _TOO_LATE_S:
            return None
        message = f"the server is {self.late_s * 1000:.0f} ms late with what it records: begin elsewhere, or try again"
        return Overloaded(Reason.OVERLOADED, message, retry_after_s=_RETRY_AFTER_S)


class Pace:
    """How fast one stream is, against the clock on the wall."""

    __slots__ = ("_began_s", "_brake", "_first_frame", "_first_sequence", "_frame", "_sequence")

    def __init__(self, brake: Brake, frame: int, sequence: int) -> None:
        """Begin now, with the call at this recording frame and this sequence due."""
        self._brake = brake
        self._began_s = time.monotonic()
        self._first_frame = self._frame = frame
        self._first_sequence = self._sequence = sequence

    def waits(self, frame: int, sequence: int) -> bool:
        """Say whether the stream has to wait: the brake is on, and it is ahead of real time. Asked for every message.

        Args:
            frame: How far the call's audio reaches now, in recording frames.
            sequence: The sequence that is due now.
        """
        if not self._brake.wait_s:
            return False
        counted = max(frame - self._first_frame, (sequence - self._first_sequence) * _MESSAGE_FRAMES)
        return counted - (time.monotonic() - self._began_s) * RECORDING_RATE_HZ >= _FREE_FRAMES

    def wait_s(self, frame: int, sequence: int) -> float:
        """Say how long to wait before the next message is read; 0 for a stream that does not have to. See `waits`."""
        if not self.waits(frame, sequence):
            return 0.0
        new = max(frame - self._frame, (sequence - self._sequence) * _MESSAGE_FRAMES)
        self._frame, self._sequence = frame, sequence
        return min(self._brake.wait_s, _MOST_OF_MEDIA_TIME * new / RECORDING_RATE_HZ)

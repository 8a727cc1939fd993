"""Keeps live calls prompt while the event loop is late: senders that are ahead wait, and nobody new may begin."""

import asyncio
import contextlib
import math
import time
from collections import deque

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.errors import Overloaded, Reason

# How often the loop is looked at, and how often while senders wait in line.
_LOOK_S = 0.05
_TURN_S = 0.01
# A loop that comes round within this time acknowledges in time.
_LATE_S = 0.01
# Senders that go on at each turn: one more where the loop was prompt, half as many where it was not.
_FEWEST = 1.0
_MOST = 64.0
# A loop that is this late for a second or two has as many calls as it can serve: one more would harm them all.
_TOO_LATE_S = 0.1
# Of a look in the mean of all, or less if it took less than `_LOOK_S`: a single pause of a second turns nobody away.
_NEWEST = 0.1
_RETRY_AFTER_S = 5.0
# A sender may be ahead by what a jitter buffer or a short outage holds.
_FREE_FRAMES = 2 * RECORDING_RATE_HZ
# What a message counts as at least: two legs that send 20 ms each, apart, stay below real time.
_MESSAGE_FRAMES = RECORDING_RATE_HZ // 200
# Ahead of real time it never gets slower than this much faster than real time: it has to catch up.
_MOST_OF_MEDIA_TIME = 0.9
_LONGEST_WAIT_S = 1.0


class Brake:
    """Where senders that are ahead wait in line while the loop is late, and whether calls may begin. One a node.

    Some go on at each turn of ten milliseconds: so many that the loop is just prompt, and never all of them at once.
    One sender that catches up on an idle machine is not slowed down at all. Where the loop is late all the same, it has
    more to do in real time than it can.

    Attributes:
        late_s: How late the loop was of late.
    """

    def __init__(self) -> None:
        """Start without a line."""
        self.late_s = 0.0
        self._at_once: float | None = None
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def on(self) -> bool:
        """Whether senders that are ahead have to wait."""
        return self._at_once is not None

    async def run(self) -> None:
        """Watch the loop for as long as the node lives."""
        while True:
            tick_s = _TURN_S if self.on else _LOOK_S
            due_s = time.monotonic() + tick_s
            await asyncio.sleep(tick_s)
            self.adapt(time.monotonic() - due_s, tick_s)

    def adapt(self, late_s: float, tick_s: float = _LOOK_S) -> None:
        """Take a look at how late the loop was, `tick_s` after the one before, and let some of the line go on."""
        self.late_s += (late_s - self.late_s) * _NEWEST * min(1.0, (tick_s + late_s) / _LOOK_S)
        if late_s > _LATE_S:
            self._at_once = max(_FEWEST, (self._at_once or _MOST) / 2)
        elif self._at_once is not None:
            self._at_once = self._at_once + 1 if self._at_once < _MOST else None
        self._let_go()

    async def turn(self, most_s: float) -> None:
        """Wait until the line has come round to this sender, and no longer than `most_s`."""
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await place

    def refusal(self) -> Overloaded | None:
        """Return why no recording may begin, or None."""
        if self.late_s < _TOO_LATE_S:
            return None
        message = f"the server is {self.late_s * 1000:.0f} ms late with what it records: begin elsewhere, or try again"
        return Overloaded(Reason.OVERLOADED, message, retry_after_s=_RETRY_AFTER_S)

    def _let_go(self) -> None:
        left = math.inf if self._at_once is None else int(self._at_once)
        while self._line and left:
            place = self._line.popleft()
            # Who waited too long, or was cut off, has gone on already.
            if not place.done():
                place.set_result(None)
                left -= 1


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
        if not self._brake.on:
            return False
        counted = max(frame - self._first_frame, (sequence - self._first_sequence) * _MESSAGE_FRAMES)
        return counted - (time.monotonic() - self._began_s) * RECORDING_RATE_HZ >= _FREE_FRAMES

    async def keep(self, frame: int, sequence: int) -> None:
        """Wait before the next message is read, if the stream has to; see `waits`."""
        if not self.waits(frame, sequence):
            return
        new = max(frame - self._frame, (sequence - self._sequence) * _MESSAGE_FRAMES)
        self._frame, self._sequence = frame, sequence
        await self._brake.turn(min(_LONGEST_WAIT_S, _MOST_OF_MEDIA_TIME * new / RECORDING_RATE_HZ))

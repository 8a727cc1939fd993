"""Where a call is in media time, also while nothing arrives."""

import time

from recorder_service.audio.formats import RECORDING_RATE_HZ


class MediaClock:
    """Follows the audio as it arrives and runs on by itself when it does not.

    A sender that is faster than real time moves it ahead; it never goes back but by `restart`. It is asked only for
    decisions that are then written down (a pause begins here, the time-out has passed): a replay does not need it.

    Attributes:
        frame: The recording frame that the audio reached.
    """

    __slots__ = ("_seen_at_s", "frame")

    def __init__(self, frame: int = 0) -> None:
        """Start at a recording frame, now."""
        self.frame = frame
        self._seen_at_s = time.monotonic()

    def saw(self, end_frame: int) -> None:
        """Note that audio up to this recording frame arrived."""
        if end_frame > self.frame:
            self.frame = end_frame
            self._seen_at_s = time.monotonic()

    def restart(self, frame: int) -> None:
        """Go on from this recording frame, now: while no stream was there, media time stood still."""
        self.frame = frame
        self._seen_at_s = time.monotonic()

    def now_frame(self) -> int:
        """Return the recording frame of this instant."""
        return self.frame + int((time.monotonic() - self._seen_at_s) * RECORDING_RATE_HZ)

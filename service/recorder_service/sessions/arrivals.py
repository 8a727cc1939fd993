"""When a stream's audio arrives, looked at once a second."""

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.sessions.membership import Observe


class Arrivals:
    """Keeps the least late arrival of each second."""

    def __init__(self) -> None:
        """Start without arrivals."""
        self._best: tuple[int, int] | None = None
        self._since_frame = 0

    def saw(self, feed: int, media_frame: int, clock_frame: int) -> Observe | None:
        """Note that audio up to a media frame arrived; give the observation of the second before, if it is over.

        Args:
            feed: The stream.
            media_frame: Where the audio ends, in frames at 16 kHz since the stream's position 0.
            clock_frame: Where the conference's clock stands, in recording frames.
        """
        over = self._best if clock_frame - self._since_frame >= RECORDING_RATE_HZ else None
        if over is not None or self._best is None:
            self._best, self._since_frame = (media_frame, clock_frame), clock_frame
        elif clock_frame - media_frame < self._best[1] - self._best[0]:
            self._best = (media_frame, clock_frame)
        return None if over is None else Observe(0, feed, *over)

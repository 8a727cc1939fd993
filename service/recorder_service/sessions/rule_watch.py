"""Lets the clock act on the stop rules while nothing arrives."""

import asyncio
from collections.abc import Callable

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.stop_rules import GRACE_FRAMES, StopRules

_LEAST_WAIT_S = 0.05


class RuleWatch:
    """One timer that is set for the next moment at which a rule may act."""

    def __init__(
        self,
        rules: StopRules,
        clock: MediaClock,
        *,
        on_limit: Callable[[], None],
        on_silence: Callable[[int], None],
    ) -> None:
        """Start asleep.

        Args:
            rules: When to look.
            clock: Where the call is.
            on_limit: Called once the longest time has passed.
            on_silence: Called with the recording frame at which silence is due, as long as nobody has spoken.
        """
        self._rules = rules
        self._clock = clock
        self._on_limit = on_limit
        self._on_silence = on_silence
        self._timer: asyncio.TimerHandle | None = None
        self.silence_counts = True

    def start(self) -> None:
        """Watch from now on."""
        self.stop()
        frames = self._rules.next_frame + GRACE_FRAMES - self._clock.now_frame()
        wait_s = max(_LEAST_WAIT_S, frames / RECORDING_RATE_HZ)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        due_frame = self._clock.now_frame() - GRACE_FRAMES
        silence_frame = self._rules.silence_deadline_frame
        if due_frame >= self._rules.limit_frame:
            self._timer = None
            self._on_limit()
            return
        self.start()
        if self.silence_counts and silence_frame is not None and due_frame >= silence_frame:
            self._on_silence(silence_frame)

"""Rounds: what many streams bring within some milliseconds is dealt with at once."""

import asyncio
import time

# What is journaled so soon after a round began is what waited for it.
_ROUND_LASTS_S = 0.005
_SPACED = 1.5


class Rounds:
    """Where streams wait for each other before their audio is dealt with.

    A message alone finds the processor's caches full of what encoders left there: its way through the service then
    takes several times as long as right after another one. Belongs to the event loop; one a node.

    Attributes:
        spacing_s: Where messages come more often than this, each finds others there anyway.
    """

    def __init__(self, interval_s: float) -> None:
        """Hold rounds.

        Args:
            interval_s: How long the first stream waits for others; 0 holds none.
        """
        self._interval_s = interval_s
        self.spacing_s = _SPACED * interval_s
        self._waiting: list[asyncio.Future[None]] = []
        self._first_s = 0.0
        self._began_s = 0.0

    @property
    def held(self) -> bool:
        """Whether there are rounds at all."""
        return self._interval_s > 0

    def next(self) -> asyncio.Future[None]:
        """Return what is done when the next round begins; whoever waits may be cancelled."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._first_s = time.monotonic()
            loop.call_later(self._interval_s, self._begin)
        # One for each: a task that is cancelled cancels what it waits for.
        turn = loop.create_future()
        self._waiting.append(turn)
        return turn

    def arrival_s(self) -> float:
        """Say when what is dealt with now arrived at the latest, monotonic, s."""
        now_s = time.monotonic()
        return self._first_s if now_s - self._began_s < _ROUND_LASTS_S else now_s

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._began_s = time.monotonic()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

"""Rounds: what many streams bring within some milliseconds is dealt with at once."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

MessageT = TypeVar("MessageT")

# The second message of a stream takes a third of the first one's time if it is dealt with right after it; a stream that
# is behind does not wait for rounds.
_MOST = 2


class Rounds:
    """When what streams brought is dealt with: together, some milliseconds after the first of it came.

    A message alone finds the processor's caches full of what encoders left there: its way through the service then
    takes several times as long as right after another one. Belongs to the event loop; one a node.
    """

    def __init__(self, interval_s: float) -> None:
        """Hold rounds.

        Args:
            interval_s: How long the first message waits for others; 0 holds none.
        """
        self._interval_s = interval_s
        self._next: list[Callable[[], None]] = []
        self._since_s: float | None = None

    @property
    def held(self) -> bool:
        """Whether there are rounds at all."""
        return self._interval_s > 0

    def join(self, turn: Callable[[], None]) -> None:
        """Have `turn`, which must not raise, called in the next round."""
        if not self._next:
            asyncio.get_running_loop().call_later(self._interval_s, self._begin)
        self._next.append(turn)

    def deal(self, take: Callable[[MessageT], None], messages: list[MessageT], since_s: float) -> None:
        """Take messages of which the first has waited since a moment (monotonic, s)."""
        self._since_s = since_s
        try:
            for message in messages:
                take(message)
        finally:
            self._since_s = None

    def arrival_s(self) -> float:
        """Say when the first of what is dealt with now arrived, monotonic, s."""
        return time.monotonic() if self._since_s is None else self._since_s

    def _begin(self) -> None:
        turns, self._next = self._next, []
        for turn in turns:
            turn()


class Inbox(Generic[MessageT]):
    """The messages of one stream that wait for a round, in order."""

    def __init__(self, rounds: Rounds, take: Callable[[MessageT], None], failed: Callable[[Exception], object]) -> None:
        """Start empty.

        Args:
            rounds: When they are dealt with; where none are held, at once.
            take: Deals with one.
            failed: Told what it raised in a round.
        """
        self._rounds = rounds
        self._take = take
        self._failed = failed
        self._most = _MOST if rounds.held else 1
        self._messages: list[MessageT] = []
        self._since_s = 0.0
        self._joined = False

    def put(self, message: MessageT) -> None:
        """Have a message dealt with soon; with another one that waits already, now.

        Raises:
            Exception: What one met that was dealt with now.
        """
        if not self._messages:
            self._since_s = time.monotonic()
        self._messages.append(message)
        if len(self._messages) >= self._most:
            self.empty()
        elif not self._joined:
            self._joined = True
            self._rounds.join(self._round)

    def empty(self) -> None:
        """Deal with all that waits now.

        Raises:
            Exception: What one met; those after it are dropped.
        """
        if self._messages:
            messages, self._messages = self._messages, []
            self._rounds.deal(self._take, messages, self._since_s)

    def drop(self) -> None:
        """Deal with none of those that wait."""
        self._messages.clear()

    def _round(self) -> None:
        self._joined = False
        try:
            self.empty()
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream is ended with it
            self._failed(error)

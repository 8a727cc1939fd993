"""How long to wait before the next try, and when to stop trying."""

import asyncio
import random
import time

from recorder.errors import RecorderError

_FIRST_S = 0.1
_MOST_S = 5.0


class Backoff:
    """Waits between tries: doubling from 0.1 s to 5 s, with jitter, for a limited time since things last went well."""

    def __init__(self, give_up_after_s: float) -> None:
        """Start as if things went well just now.

        Args:
            give_up_after_s: How long to go on trying after the first failure.
        """
        self._give_up_after_s = give_up_after_s
        self._failing_since: float | None = None
        self._next_s = _FIRST_S

    def succeeded(self) -> None:
        """Forget the failures so far."""
        self._failing_since = None
        self._next_s = _FIRST_S

    async def wait(self, error: RecorderError) -> None:
        """Sleep before the next try: as long as the server asked for, or longer each time.

        Raises:
            RecorderError: `error` itself, where a retry does not help or the time is up.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        # Jitter keeps the calls of one media server from coming back in one burst.
        delay_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
        delay_s = max(delay_s, error.retry_after_s or 0.0)
        if not error.retryable or now + delay_s - self._failing_since > self._give_up_after_s:
            raise error
        self._next_s = min(2 * self._next_s, _MOST_S)
        await asyncio.sleep(delay_s)

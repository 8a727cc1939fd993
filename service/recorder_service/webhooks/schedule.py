"""When a webhook is tried again, and when it is given up."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

MINUTE_S = 60
HOUR_S = 3600
GONE = 410


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """The schedule.

    Attributes:
        waits_s: Waits after the first, second ... failed attempt; after the last wait comes the last attempt.
        jitter: Part of a wait by which it is made longer or shorter at random, so that retries spread out.
        max_retry_after_s: Longest wait an endpoint may ask for, unless the schedule's own is longer.
    """

    waits_s: tuple[float, ...] = (
        5,
        30,
        2 * MINUTE_S,
        10 * MINUTE_S,
        30 * MINUTE_S,
        HOUR_S,
        2 * HOUR_S,
        4 * HOUR_S,
        8 * HOUR_S,
        8 * HOUR_S,
        8 * HOUR_S,
    )
    jitter: float = 0.2
    max_retry_after_s: float = HOUR_S


class RetrySchedule:
    """Twelve attempts over 32 hours by default.

    No answer is final, because endpoints are mended: a 404 or a wrong certificate is tried again like a timeout. The
    one exception is 410 Gone, by which an endpoint says that it wants no more.
    """

    def __init__(
        self, settings: RetrySettings | None = None, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._settings = settings or RetrySettings()
        self._uniform = uniform

    def next_attempt_time(
        self, now: datetime, attempts: int, status: int, retry_after_s: float | None
    ) -> datetime | None:
        """Return when to try again after a failed attempt; None to give up.

        Args:
            now: When the attempt ended.
            attempts: Attempts so far, the failed one included.
            status: HTTP status of the answer, 0 for none.
            retry_after_s: The wait the endpoint asked for. It can make the wait longer, never shorter.
        """
        waits_s = self._settings.waits_s
        if status == GONE or attempts > len(waits_s):
            return None
        planned_s = waits_s[max(attempts, 1) - 1]
        wait_s = planned_s * self._uniform(1 - self._settings.jitter, 1 + self._settings.jitter)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, max(planned_s, self._settings.max_retry_after_s)))
        return now + timedelta(seconds=wait_s)

"""What came of one try."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SUCCESS = range(200, 206)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        error: Why it is not a success, for people; empty after a success. Holds nothing the endpoint wrote.
        retry_after_s: The wait the endpoint asked for, or None.
    """

    status: int = 0
    error: str = ""
    retry_after_s: float | None = None

    @property
    def success(self) -> bool:
        """Whether the endpoint has the event: a status from 200 to 205."""
        return self.status in _SUCCESS


def answer_of(status: int, retry_after: str | None, now: datetime) -> Answer:
    """Judge an HTTP status.

    Args:
        status: The final status.
        retry_after: Value of the Retry-After header.
        now: Current time, for a Retry-After that is a date.
    """
    if status in _SUCCESS:
        return Answer(status)
    kind = "redirects are not followed" if 300 <= status < 400 else "success is 200 to 205"
    return Answer(status, f"answered {status}; {kind}", _wait_s(retry_after, now))


def _wait_s(retry_after: str | None, now: datetime) -> float | None:
    """Read Retry-After: seconds or an HTTP date; None where it is neither. Source: RFC 9110 section 10.2.3."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())

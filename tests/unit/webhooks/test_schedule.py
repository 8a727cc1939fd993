from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.webhooks.answer import answer_of
from recorder_service.webhooks.schedule import RetrySchedule, RetrySettings

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EVEN = RetrySchedule(uniform=lambda low, high: (low + high) / 2)


def wait_s(schedule: RetrySchedule, attempts: int, status: int = 503, retry_after_s: float | None = None) -> float:
    time = schedule.next_attempt_time(NOW, attempts, status, retry_after_s)
    assert time is not None
    return (time - NOW).total_seconds()


def test_waits_grow_over_more_than_a_day() -> None:
    """Twelve attempts; the first retries within seconds, the last after more than 24 h."""
    waits = [wait_s(EVEN, attempts) for attempts in range(1, 12)]
    assert waits[:4] == [5, 30, 120, 600]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert timedelta(hours=24) < timedelta(seconds=sum(waits)) < timedelta(hours=33)


def test_twelfth_failure_is_the_last() -> None:
    """Then it is given up."""
    assert EVEN.next_attempt_time(NOW, 12, 503, None) is None


@pytest.mark.parametrize("status", [0, 301, 400, 401, 403, 404, 409, 429, 500, 503])
def test_no_status_but_gone_is_final(status: int) -> None:
    """Endpoints are mended; 410 says not to come again."""
    assert EVEN.next_attempt_time(NOW, 1, status, None) is not None
    assert EVEN.next_attempt_time(NOW, 1, 410, None) is None


@pytest.mark.parametrize(
    ("attempts", "asked_s", "expected_s"),
    [(1, 0, 5), (1, 4, 5), (1, 60, 60), (1, 3600, 3600), (1, 86400, 3600), (8, 86400, 14400), (9, 60, 28800)],
)
def test_retry_after_makes_a_wait_longer_within_bounds(attempts: int, asked_s: float, expected_s: float) -> None:
    """It never makes it shorter, and never longer than an hour or the planned wait."""
    assert wait_s(EVEN, attempts, 503, asked_s) == expected_s


@given(st.integers(1, 11), st.one_of(st.none(), st.floats(0, 1e9)))
def test_jitter_stays_within_a_fifth(attempts: int, asked_s: float | None) -> None:
    """Whatever chance says, the wait is near the planned one or what was asked for."""
    planned_s = RetrySettings().waits_s[attempts - 1]
    waited_s = wait_s(RetrySchedule(), attempts, 503, asked_s)
    assert 0.8 * planned_s - 1e-6 <= waited_s <= max(1.2 * planned_s, 3600) + 1e-6


def test_retries_are_spread_out() -> None:
    """A thousand deliveries that failed together do not come back together."""
    assert len({round(wait_s(RetrySchedule(), 3), 3) for _ in range(1000)}) > 900


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", None),
        ("1.5", None),
        ("9" * 400, 999_999_999.0),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("Sun, 99 Foo 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, expected_s: float | None) -> None:
    """Anything else is as if it was not there."""
    assert answer_of(503, header, NOW).retry_after_s == expected_s


@pytest.mark.parametrize("status", range(200, 206))
def test_200_to_205_is_success(status: int) -> None:
    """These and no others."""
    assert answer_of(status, None, NOW).success
    assert not answer_of(206, None, NOW).success
    assert "redirects are not followed" in answer_of(302, None, NOW).error

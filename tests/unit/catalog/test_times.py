"""Times as integers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.catalog.times import from_microseconds, to_microseconds


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_microsecond_comes_back(time: datetime) -> None:
    """No time is off by rounding."""
    assert from_microseconds(to_microseconds(time)) == time


def test_epoch_is_zero() -> None:
    """1970 began at 0."""
    assert to_microseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_naive_time_is_refused() -> None:
    """A time without zone names no instant."""
    with pytest.raises(ValueError, match="no time zone"):
        to_microseconds(datetime(2026, 1, 1))  # noqa: DTZ001

"""Times as the catalog stores them: whole microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """Return `time` as an integer, exactly.

    Raises:
        ValueError: `time` has no time zone: nobody could tell which instant it means.
    """
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no time zone; pass an aware datetime")
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=value)

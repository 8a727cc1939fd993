"""Cursors: places in the event feed as opaque text."""

import base64
import struct
import zlib

from recorder_service.errors import BadInput, Reason

_VERSION = 1
_HEAD = struct.Struct(">BI")
_POSITION_BYTES = 16


def format_cursor(feed_id: str, position: int) -> str:
    """Make the cursor of a position.

    It names its feed, so that a cursor of another database is refused instead of skipping events. A position has room
    for 128 bits: on a database whose commits are not serialised it takes two numbers of 64 to order events.
    """
    head = _HEAD.pack(_VERSION, zlib.crc32(feed_id.encode()))
    return base64.urlsafe_b64encode(head + position.to_bytes(_POSITION_BYTES, "big")).decode("ascii")


def parse_cursor(feed_id: str, cursor: str) -> int:
    """Return the position of a cursor.

    Raises:
        BadInput: INVALID_CURSOR, if it is none, or one of another feed.
    """
    try:
        data = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        version, feed_check = _HEAD.unpack_from(data)
    except (ValueError, struct.error):
        raise invalid_cursor(cursor) from None
    expected = (_VERSION, zlib.crc32(feed_id.encode()), _HEAD.size + _POSITION_BYTES)
    if (version, feed_check, len(data)) != expected:
        raise invalid_cursor(cursor)
    return int.from_bytes(data[_HEAD.size :], "big")


def invalid_cursor(cursor: str) -> BadInput:
    """Make the error for text that is no cursor of this feed."""
    return BadInput(
        Reason.INVALID_CURSOR,
        "cursor is not one that this event feed gave; pass the cursor of an event or heartbeat as it came, "
        "or begin without one",
        field="cursor",
        value=cursor,
    )


def cursor_expired(cursor: str) -> BadInput:
    """Make the error for a place whose following events are no longer kept."""
    return BadInput(
        Reason.CURSOR_EXPIRED,
        "events after this cursor are no longer kept; begin with from_oldest and reconcile with ListRecordings",
        field="cursor",
        value=cursor,
    )

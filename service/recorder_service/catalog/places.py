"""Places in the feed: (transaction, row), as one number outside the database."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from recorder_service.catalog.tables import events, feed
from recorder_service.catalog.transactions import horizon

_ROW_BITS = 64
_ROW_MASK = (1 << _ROW_BITS) - 1
# Both parts of a place are stored as signed 64-bit integers.
_LIMIT = 1 << 63

PLACE = sa.tuple_(events.c.transaction_id, events.c.position)
ORDER = (events.c.transaction_id, events.c.position)
OVER = events.c.transaction_id < horizon()


def join_place(transaction_id: int, row: int) -> int:
    """Return a place as one number; on SQLite, whose transactions are all 0, the row's number."""
    return transaction_id << _ROW_BITS | row


def split_place(position: int) -> tuple[int, int]:
    """Return transaction and row of a place, as `PLACE` is compared with; what cannot be stored becomes the last."""
    transaction_id, row = position >> _ROW_BITS, position & _ROW_MASK
    if transaction_id >= _LIMIT:
        return _LIMIT - 1, _LIMIT - 1
    return transaction_id, min(row, _LIMIT - 1)


def _newest(column: sa.Column[int]) -> sa.ScalarSelect[int]:
    descending = [part.desc() for part in ORDER]
    return sa.select(column).where(OVER).order_by(*descending).limit(1).scalar_subquery()


NEWEST = (
    _newest(events.c.transaction_id).label("newest_transaction_id"),
    _newest(events.c.position).label("newest_position"),
)
# Whether something is committed that must wait for a transaction that began earlier.
_HIDDEN = sa.exists(sa.select(sa.literal(1)).select_from(events).where(events.c.transaction_id >= horizon()))
EXTENT_COLUMNS = (
    feed.c.purged_transaction_id,
    feed.c.purged_position,
    feed.c.reached_transaction_id,
    feed.c.reached_position,
    *NEWEST,
    _HIDDEN.label("hidden"),
    horizon().label("horizon"),
)
EXTENT = sa.select(*EXTENT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the feed reaches.

    Attributes:
        purged: Events up to here are gone.
        last: The place after everything that can be read.
        hidden: Whether more is committed, and can be read when transactions that began earlier are over.
        horizon: Every transaction with a lower number is over; 1 where there is only one number.
    """

    purged: int
    last: int
    hidden: bool
    horizon: int

    def gave(self, position: int) -> bool:
        """Whether a place can be one that this feed gave: it lies behind what exists, or did once."""
        return position <= self.last or 0 < position >> _ROW_BITS < self.horizon


def read_extent(row: sa.Row[Any]) -> Extent:
    """Make the value of a row that has `EXTENT_COLUMNS`."""
    purged = join_place(row.purged_transaction_id, row.purged_position)
    reached = join_place(row.reached_transaction_id, row.reached_position)
    newest = join_place(row.newest_transaction_id or 0, row.newest_position or 0)
    return Extent(purged, max(purged, reached, newest), row.hidden, row.horizon)

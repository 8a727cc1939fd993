"""The event feed: reading on from a place without missing anything."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from recorder_service.catalog.cursors import cursor_expired, format_cursor, invalid_cursor, parse_cursor
from recorder_service.catalog.engine import Database
from recorder_service.catalog.event_rows import read_event
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.places import (
    EXTENT,
    EXTENT_COLUMNS,
    NEWEST,
    ORDER,
    OVER,
    PLACE,
    Extent,
    join_place,
    read_extent,
    split_place,
)
from recorder_service.catalog.tables import events, feed
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.domain.event import Event

# Positions one query looks at: a filter that matches nothing must not hold a connection for long.
_SPAN = 20_000
_PURGE_ROWS = 2_000

# Waits for transactions that began earlier, while they keep committed events from being read.
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """What was found after a position.

    Attributes:
        events: In feed order.
        position: Everything up to here was looked at: go on from here.
        complete: Whether that was all there is; if not, there may be more at once.
        hidden: Whether more is committed that comes into its place when transactions that began earlier are over.
    """

    events: tuple[Event, ...]
    position: int
    complete: bool
    hidden: bool = False


class EventLog:
    """The feed of all applications' events.

    Attributes:
        changed: Notified after each commit that told an event, also soon after those of other processes, and when
            events that were committed come into their place.
    """

    def __init__(self, database: Database, changed: Wakeup) -> None:
        self._database = database
        self._feed_id = ""
        self._timer: asyncio.TimerHandle | None = None
        self._wait_s = _FIRST_WAIT_S
        self.changed = changed

    async def open(self) -> None:
        """Learn the feed's name; before that there are no cursors."""
        name = sa.select(feed.c.feed_id)
        self._feed_id = await self._database.read(lambda connection: connection.execute(name).scalar_one())

    async def since(self, position: int, criteria: EventFilter, limit: int) -> Batch:
        """Return the events after a position, at most `limit` (1 or more).

        Raises:
            BadInput: CURSOR_EXPIRED, if events after `position` are no longer kept.
        """

        def work(connection: sa.Connection) -> Batch | None:
            # Most looks find nothing new: the cheap query first.
            extent = read_extent(connection.execute(EXTENT).one())
            if extent.purged <= position == extent.last:
                return Batch((), position, complete=True, hidden=extent.hidden)
            return _look(connection, position, criteria, limit)

        batch = await self._database.read(work)
        if batch is None:
            raise cursor_expired(self.cursor(position))
        self._look_again(batch)
        return batch

    async def last_position(self) -> int:
        """Return the place after everything told so far."""
        return (await self._extent()).last

    async def oldest_position(self) -> int:
        """Return the place before the oldest event that is kept."""
        return (await self._extent()).purged

    def cursor(self, position: int) -> str:
        """Return a position as opaque text."""
        return format_cursor(self._feed_id, position)

    async def position_of(self, cursor: str) -> int:
        """Return the position of a cursor.

        Raises:
            BadInput: INVALID_CURSOR, if this feed never gave it, also where the database was put back to a backup from
                before that; CURSOR_EXPIRED, if events after it are no longer kept.
        """
        position = parse_cursor(self._feed_id, cursor)
        extent = await self._extent()
        if not extent.gave(position):
            raise invalid_cursor(cursor)
        if position < extent.purged:
            raise cursor_expired(cursor)
        return position

    async def purge(self, before: datetime) -> int:
        """Remove the oldest events up to the first that happened at `before` or later; return how many.

        Works in short transactions, so that writers wait for none of it long.
        """
        removed = 0
        while part := await self._database.write(lambda connection: _purge_part(connection, before)):
            removed += part
        return removed

    async def _extent(self) -> Extent:
        return await self._database.read(lambda connection: read_extent(connection.execute(EXTENT).one()))

    def _look_again(self, batch: Batch) -> None:
        """Wake who waits when hidden events may have come into their place: their own commit woke too early."""
        if not batch.hidden or batch.events:
            self._wait_s = _FIRST_WAIT_S
        if not batch.hidden or self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._wake)
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)

    def _wake(self) -> None:
        self._timer = None
        self.changed.notify()


def keep_reached_place(connection: sa.Connection) -> None:
    """Remember how far the feed had come; to be called before the newest events may be removed."""
    row = connection.execute(sa.select(feed.c.reached_transaction_id, feed.c.reached_position, *NEWEST)).one()
    newest = join_place(row.newest_transaction_id or 0, row.newest_position or 0)
    if newest > join_place(row.reached_transaction_id, row.reached_position):
        transaction_id, position = split_place(newest)
        connection.execute(feed.update().values(reached_transaction_id=transaction_id, reached_position=position))


def _purge_part(connection: sa.Connection, before: datetime) -> int:
    # Locked, so that nodes that purge at once take turns.
    connection.execute(sa.select(feed.c.feed_id).with_for_update())
    oldest = sa.select(*ORDER, events.c.time).where(OVER).order_by(*ORDER).limit(_PURGE_ROWS)
    through = None
    for row in connection.execute(oldest):
        if row.time >= before:
            break
        through = (row.transaction_id, row.position)
    if through is None:
        return 0
    keep_reached_place(connection)
    removed = connection.execute(events.delete().where(through >= PLACE))
    connection.execute(feed.update().values(purged_transaction_id=through[0], purged_position=through[1]))
    return removed.rowcount


def _look(connection: sa.Connection, position: int, criteria: EventFilter, limit: int) -> Batch | None:
    """Read one batch; None if events after `position` are no longer kept."""
    after = split_place(position)
    end = _span_end(connection, after) if criteria.sparse else None
    within = [] if end is None else [end >= PLACE]
    wanted = (
        sa.select(events)
        .where(after < PLACE, OVER, *within, *criteria.conditions())
        .order_by(*ORDER)
        .limit(limit)
        .subquery()
    )
    # One statement, so that what is left of the feed and what is in it are seen at the same moment.
    query = sa.select(*EXTENT_COLUMNS, wanted).select_from(feed.outerjoin(wanted, sa.true()))
    rows = connection.execute(query.order_by(wanted.c.transaction_id, wanted.c.position)).all()
    extent = read_extent(rows[0])
    if position < extent.purged:
        return None
    found = tuple(read_event(row) for row in rows if row.event_id is not None)
    if len(found) == limit:
        return Batch(found, found[-1].position, complete=False)
    if end is not None:
        return Batch(found, join_place(*end), complete=False)
    return Batch(found, max(position, extent.last), complete=True, hidden=extent.hidden)


def _span_end(connection: sa.Connection, after: tuple[int, int]) -> tuple[int, int] | None:
    """Return the last place that one query looks at; None if it may look at all there is."""
    query = sa.select(*ORDER).where(after < PLACE, OVER).order_by(*ORDER).limit(1).offset(_SPAN - 1)
    row = connection.execute(query).first()
    return None if row is None else (row.transaction_id, row.position)

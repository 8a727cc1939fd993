"""The event feed: reading on from a place without missing anything."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from recorder_service.catalog.cursors import cursor_expired, format_cursor, invalid_cursor, parse_cursor
from recorder_service.catalog.engine import Database
from recorder_service.catalog.event_rows import read_event
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.tables import events, feed
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.domain.event import Event

# Positions one query looks at: a filter that matches nothing must not hold a connection for long.
_SPAN = 20_000
_PURGE_ROWS = 2_000

_NEWEST = sa.select(sa.func.max(events.c.position)).scalar_subquery()
_PLACE_COLUMNS = (feed.c.purged_position, feed.c.reached_position, _NEWEST.label("newest_position"))
_PLACE = sa.select(*_PLACE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was found after a position.

    Attributes:
        events: In feed order.
        position: Everything up to here was looked at: go on from here.
        complete: Whether that was all there is; if not, there may be more at once.
    """

    events: tuple[Event, ...]
    position: int
    complete: bool


class EventLog:
    """The feed of all applications' events.

    Attributes:
        changed: Notified after each commit of this process that told an event.
    """

    def __init__(self, database: Database, changed: Wakeup) -> None:
        self._database = database
        self._feed_id = ""
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
            purged, last = _place(connection.execute(_PLACE).one())
            if purged <= position == last:
                return Batch((), position, complete=True)
            return _look(connection, position, criteria, limit)

        batch = await self._database.read(work)
        if batch is None:
            raise cursor_expired(self.cursor(position))
        return batch

    async def last_position(self) -> int:
        """Return the place after everything told so far."""
        return (await self._read_place())[1]

    async def oldest_position(self) -> int:
        """Return the place before the oldest event that is kept."""
        return (await self._read_place())[0]

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
        purged, last = await self._read_place()
        if position > last:
            raise invalid_cursor(cursor)
        if position < purged:
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

    async def _read_place(self) -> tuple[int, int]:
        return await self._database.read(lambda connection: _place(connection.execute(_PLACE).one()))


def keep_reached_position(connection: sa.Connection) -> None:
    """Remember how far the feed had come; to be called before the newest events may be removed."""
    connection.execute(feed.update().where(feed.c.reached_position < _NEWEST).values(reached_position=_NEWEST))


def _purge_part(connection: sa.Connection, before: datetime) -> int:
    oldest = sa.select(events.c.position, events.c.time).order_by(events.c.position).limit(_PURGE_ROWS)
    through = 0
    for row in connection.execute(oldest):
        if row.time >= before:
            break
        through = row.position
    if not through:
        return 0
    keep_reached_position(connection)
    removed = connection.execute(events.delete().where(events.c.position <= through))
    connection.execute(feed.update().values(purged_position=through))
    return removed.rowcount


def _look(connection: sa.Connection, position: int, criteria: EventFilter, limit: int) -> Batch | None:
    """Read one batch; None if events after `position` are no longer kept."""
    end = position + _SPAN
    wanted = (
        sa.select(events)
        .where(events.c.position > position, events.c.position <= end, *criteria.conditions())
        .order_by(events.c.position)
        .limit(limit)
        .subquery()
    )
    # One statement, so that what is left of the feed and what is in it are seen at the same moment.
    query = sa.select(*_PLACE_COLUMNS, wanted).select_from(feed.outerjoin(wanted, sa.true()))
    rows = connection.execute(query.order_by(wanted.c.position)).all()
    purged, last = _place(rows[0])
    if position < purged:
        return None
    found = tuple(read_event(row) for row in rows if row.position is not None)
    if len(found) == limit:
        return Batch(found, found[-1].position, complete=False)
    return Batch(found, max(position, min(end, last)), complete=end >= last)


def _place(row: sa.Row[Any, Any, Any]) -> tuple[int, int]:
    return row.purged_position, max(row.reached_position, row.newest_position or 0)

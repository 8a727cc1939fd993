"""Recordings: each change of one is committed together with the event that tells of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Self
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.delivery_rows import delivery_values
from recorder_service.catalog.engine import Database
from recorder_service.catalog.event_rows import Detail, find_event, insert_event
from recorder_service.catalog.filters import RecordingFilter, of_tenant
from recorder_service.catalog.paging import Page, PageTokens, check_page_size, cut_page
from recorder_service.catalog.recording_rows import (
    LIVE,
    UNFINISHED,
    check_new,
    count_event,
    read_recording,
    recording_not_found,
    recording_values,
    take_recording,
    update_recording,
)
from recorder_service.catalog.tables import deliveries, recordings
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import Event, EventType, KeyPress, LegChange
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import NotFound, Reason

Guard = Callable[[sa.Connection], None]


class Recordings:
    """The recordings of all applications. `application_id` narrows to one tenant, None means all of them."""

    def __init__(
        self, database: Database, events_changed: Wakeup, deliveries_changed: Wakeup, guard: Guard | None = None
    ) -> None:
        self._database = database
        self._events_changed = events_changed
        self._deliveries_changed = deliveries_changed
        self._guard = guard or _unguarded

    def guarded(self, guard: Guard) -> Self:
        """Return the same recordings for an owner: each write first asks `guard`, in its own transaction.

        Args:
            guard: Raises what the write is to be refused with; the transaction then changes nothing.
        """
        return type(self)(self._database, self._events_changed, self._deliveries_changed, guard)

    async def begin(self, recording: Recording, *, event_id: UUID | None = None) -> Event:
        """Insert a recording and tell RECORDING_STARTED, at its start time.

        Raises:
            Conflict: RECORDING_EXISTS, also where another application has it.
            NotFound: APPLICATION_NOT_FOUND.
        """

        def work(connection: sa.Connection) -> Event:
            self._guard(connection)
            check_new(connection, recording)
            first = replace(recording, event_count=1)
            keys = {"recording_id": recording.recording_id, "application_id": recording.application_id}
            connection.execute(recordings.insert().values(**keys, event_count=1, **recording_values(recording)))
            started = EventType.RECORDING_STARTED
            return insert_event(
                connection, first, started, time=recording.start_time, event_id=event_id, detail=Detail()
            )

        return await self._database.write(work, [self._events_changed])

    async def change(
        self,
        recording: Recording,
        event_type: EventType,
        *,
        expect: frozenset[RecordingState],
        time: datetime,
        event_id: UUID | None = None,
        key_press: KeyPress | None = None,
        leg: LegChange | None = None,
        delivery: Delivery | None = None,
    ) -> Event:
        """Give a recording its new value, tell the event and queue the webhook, all or nothing.

        Args:
            recording: The new value; its `event_count` is ignored, since the database counts.
            event_type: What happened.
            expect: The stored state must be one of these.
            time: When it happened.
            event_id: Makes the call repeatable: if this event was told before, nothing changes and it is returned.
            key_press: Told with the event.
            leg: Told with the event.
            delivery: The webhook that is to tell of this event; its `event_id` is the event's.

        Raises:
            NotFound: RECORDING_NOT_FOUND, also where it is another application's.
            Conflict: RECORDING_LIVE or RECORDING_NOT_LIVE, naming the stored state, if that is none of `expect`.
            ValueError: `delivery` tells of another event, recording or application.
        """
        identity = _checked_event_id(recording, event_id, delivery)

        def work(connection: sa.Connection) -> Event:
            take_recording(connection, recording.recording_id)
            self._guard(connection)
            known = find_event(connection, identity, recording.recording_id)
            if known is not None:
                return known
            count = update_recording(connection, recording, expect)
            changed = replace(recording, event_count=count)
            detail = Detail(key_press=key_press, leg=leg)
            event = insert_event(connection, changed, event_type, time=time, event_id=identity, detail=detail)
            if delivery is not None:
                connection.execute(deliveries.insert(), delivery_values(delivery))
            return event

        wakes = [self._events_changed] if delivery is None else [self._events_changed, self._deliveries_changed]
        return await self._database.write(work, wakes)

    async def append_event(
        self,
        recording_id: UUID,
        event_type: EventType,
        *,
        time: datetime,
        event_id: UUID | None = None,
        key_press: KeyPress | None = None,
    ) -> Event:
        """Tell an event that changes nothing, such as a key press; repeatable by `event_id` as `change` is.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
        """

        def work(connection: sa.Connection) -> Event:
            take_recording(connection, recording_id)
            self._guard(connection)
            known = find_event(connection, event_id, recording_id)
            if known is not None:
                return known
            recording = count_event(connection, recording_id)
            detail = Detail(key_press=key_press)
            return insert_event(connection, recording, event_type, time=time, event_id=event_id, detail=detail)

        return await self._database.write(work, [self._events_changed])

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording.

        Raises:
            NotFound: RECORDING_NOT_FOUND.
        """
        found = await self._select(recordings.c.recording_id == recording_id, of_tenant(recordings, application_id))
        if not found:
            raise recording_not_found(recording_id)
        return found[0]

    async def by_file(self, file_id: UUID, application_id: UUID | None) -> Recording:
        """Return the recording that this file is of; its state says whether the file is there yet, or still.

        Raises:
            NotFound: FILE_NOT_FOUND.
        """
        found = await self._select(recordings.c.file_id == file_id, of_tenant(recordings, application_id))
        if not found:
            raise NotFound(
                Reason.FILE_NOT_FOUND, f"there is no file {file_id}; check its id", details={"file_id": str(file_id)}
            )
        return found[0]

    async def list(self, criteria: RecordingFilter, page_size: int = 0, page_token: str = "") -> Page[Recording]:
        """Return a page of recordings, newest start first.

        Items neither repeat nor go missing between pages while recordings are added.

        Args:
            criteria: Which.
            page_size: 0 means the default; lowered to the maximum.
            page_token: The page before's `next_page_token`, under the same criteria.

        Raises:
            BadInput: INVALID_PAGE_TOKEN or INVALID_FIELD.
        """
        size = check_page_size(page_size)
        tokens = PageTokens("recordings", criteria.bound_values())
        key = sa.tuple_(recordings.c.start_time, recordings.c.recording_id)
        query = sa.select(recordings.c.document, recordings.c.event_count).where(*criteria.conditions())
        if page_token:
            query = query.where(key < tokens.after_time(page_token))
        query = query.order_by(recordings.c.start_time.desc(), recordings.c.recording_id.desc()).limit(size + 1)
        found = await self._read(query)
        return cut_page(found, size, tokens, lambda item: (item.start_time, item.recording_id))

    async def unfinished(self, node_id: str) -> tuple[Recording, ...]:
        """Return what the node had not finished, oldest first: live ones and those being finished."""
        return await self._select(recordings.c.state.in_(UNFINISHED), recordings.c.node_id == node_id)

    async def count_live(self, application_id: UUID | None) -> int:
        """Count the recordings that still take audio."""
        live = recordings.c.state.in_(LIVE)
        query = sa.select(sa.func.count()).where(live, of_tenant(recordings, application_id))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def expired(self, now: datetime, limit: int) -> tuple[Recording, ...]:
        """Return available recordings whose retention is over, longest over first."""
        query = (
            sa.select(recordings.c.document, recordings.c.event_count)
            .where(recordings.c.state == RecordingState.AVAILABLE.value, recordings.c.expire_time <= now)
            .order_by(recordings.c.expire_time)
            .limit(limit)
        )
        return await self._read(query)

    async def _select(self, *conditions: sa.ColumnElement[bool]) -> tuple[Recording, ...]:
        query = sa.select(recordings.c.document, recordings.c.event_count).where(*conditions)
        return await self._read(query.order_by(recordings.c.start_time))

    async def _read(self, query: sa.Select[tuple[str, int]]) -> tuple[Recording, ...]:
        return await self._database.read(
            lambda connection: tuple(read_recording(row) for row in connection.execute(query))
        )


def _unguarded(_connection: sa.Connection) -> None:
    """Let everybody write."""


def _checked_event_id(recording: Recording, event_id: UUID | None, delivery: Delivery | None) -> UUID | None:
    if delivery is None:
        return event_id
    told = (delivery.event_id, delivery.recording_id, delivery.application_id)
    if told != (event_id or delivery.event_id, recording.recording_id, recording.application_id):
        raise ValueError(f"delivery {delivery.delivery_id} tells of another event, recording or application")
    return delivery.event_id

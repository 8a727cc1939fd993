"""Rows of events, and the one way an event gets into the feed."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.documents import dump, dump_recording, load, load_recording
from recorder_service.catalog.places import join_place
from recorder_service.catalog.tables import events
from recorder_service.catalog.transactions import current_transaction
from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import Event, EventType, KeyPress, LegChange
from recorder_service.domain.recording import Recording

# Made once: putting a statement together costs as much as running it.
_FIND = sa.select(events).where(
    events.c.event_id == sa.bindparam("this_event"), events.c.recording_id == sa.bindparam("this_recording")
)
_INSERT = (
    events.insert().values(transaction_id=current_transaction()).returning(events.c.transaction_id, events.c.position)
)


@dataclass(frozen=True, slots=True)
class Detail:
    """What an event tells beyond its recording."""

    key_press: KeyPress | None = None
    delivery: Delivery | None = None
    leg: LegChange | None = None


def read_event(row: sa.Row[Any]) -> Event:
    """Make the value of a row of `events`."""
    detail = load(Detail, row.detail) if row.detail else Detail()
    return Event(
        event_id=row.event_id,
        type=EventType(row.type),
        time=row.time,
        application_id=row.application_id,
        recording_sequence=row.recording_sequence,
        recording=load_recording(row.recording, row.recording_sequence),
        key_press=detail.key_press,
        delivery=detail.delivery,
        leg=detail.leg,
        position=join_place(row.transaction_id, row.position),
    )


def find_event(connection: sa.Connection, event_id: UUID | None, recording_id: UUID) -> Event | None:
    """Return the recording's event of this id if it was told before."""
    if event_id is None:
        return None
    row = connection.execute(_FIND, {"this_event": event_id, "this_recording": recording_id}).first()
    return read_event(row) if row else None


def insert_event(
    connection: sa.Connection,
    recording: Recording,
    event_type: EventType,
    *,
    time: datetime,
    event_id: UUID | None,
    detail: Detail,
) -> Event:
    """Append an event to the feed.

    Args:
        connection: In the transaction that made the change, which has taken the recording's turn.
        recording: As it stands now, `event_count` being the number of this event.
        event_type: What happened.
        time: When.
        event_id: None makes one.
        detail: What else is told.
    """
    event = Event(
        event_id=event_id or uuid.uuid4(),
        type=event_type,
        time=time,
        application_id=recording.application_id,
        recording_sequence=recording.event_count,
        recording=recording,
        key_press=detail.key_press,
        delivery=detail.delivery,
        leg=detail.leg,
    )
    values = {
        "event_id": event.event_id,
        "type": event_type.value,
        "time": time,
        "application_id": recording.application_id,
        "recording_id": recording.recording_id,
        "conversation_id": recording.conversation_id,
        "recording_sequence": recording.event_count,
        "recording": dump_recording(recording),
        "detail": None if detail == Detail() else dump(detail),
    }
    place = connection.execute(_INSERT, values).one()
    return replace(event, position=join_place(place.transaction_id, place.position))

"""Rows of recordings: reading, checking and changing them inside a transaction."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.documents import dump_recording, load_recording
from recorder_service.catalog.tables import applications, recordings
from recorder_service.catalog.transactions import take_turn
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import Conflict, NotFound, Reason, RecorderError

LIVE = tuple(state.value for state in RecordingState if state.live)
UNFINISHED = (*LIVE, RecordingState.FINISHING.value)

# Made once: putting a statement together costs as much as running it.
_THIS = recordings.c.recording_id == sa.bindparam("this_recording")
_MINE = sa.and_(_THIS, recordings.c.application_id == sa.bindparam("this_application"))
_NEXT_COUNT = recordings.c.event_count + 1
_STATE = sa.select(recordings.c.state).where(_MINE)
_UPDATE = (
    recordings.update()
    .where(_MINE, recordings.c.state.in_(sa.bindparam("expected", expanding=True)))
    .values(event_count=_NEXT_COUNT)
    .returning(recordings.c.event_count)
)
_COUNT = (
    recordings.update()
    .where(_THIS)
    .values(event_count=_NEXT_COUNT)
    .returning(recordings.c.document, recordings.c.event_count)
)


def recording_values(recording: Recording) -> dict[str, Any]:
    """Return the columns that follow a recording's value; ids and `event_count` are not among them."""
    return {
        "state": recording.state.value,
        "conversation_id": recording.conversation_id,
        "start_time": recording.start_time,
        "expire_time": recording.expire_time,
        "file_id": recording.file_id,
        "node_id": recording.node_id,
        "document": dump_recording(recording),
    }


def read_recording(row: sa.Row[Any]) -> Recording:
    """Make the value of a row that has `document` and `event_count`."""
    return load_recording(row.document, row.event_count)


def recording_not_found(recording_id: UUID) -> NotFound:
    """Make the error for a recording that does not exist, or not for this caller."""
    return NotFound(
        Reason.RECORDING_NOT_FOUND,
        f"there is no recording {recording_id}; check recording_id",
        details={"recording_id": str(recording_id)},
    )


def take_recording(connection: sa.Connection, recording_id: UUID) -> None:
    """Wait for the recording's turn: the first thing in every transaction that tells an event of it."""
    take_turn(connection, f"recording {recording_id}")


def count_event(connection: sa.Connection, recording_id: UUID) -> Recording:
    """Give the recording, whose turn is taken, its next event number.

    Raises:
        NotFound: RECORDING_NOT_FOUND.
    """
    row = connection.execute(_COUNT, {"this_recording": recording_id}).first()
    if row is None:
        raise recording_not_found(recording_id)
    return read_recording(row)


def check_new(connection: sa.Connection, recording: Recording) -> None:
    """Check that the recording may be inserted.

    Raises:
        Conflict: RECORDING_EXISTS, also where another application has it.
        NotFound: APPLICATION_NOT_FOUND.
    """
    same = sa.select(recordings.c.recording_id).where(recordings.c.recording_id == recording.recording_id)
    if connection.execute(same).first() is not None:
        raise Conflict(
            Reason.RECORDING_EXISTS,
            f"recording {recording.recording_id} exists; choose another recording_id or resume that one",
            details={"recording_id": str(recording.recording_id)},
        )
    # Locked on PostgreSQL, so that the application cannot go while its recording comes; SQLite has one writer.
    owner = sa.select(applications.c.application_id).where(applications.c.application_id == recording.application_id)
    if connection.execute(owner.with_for_update(read=True)).first() is None:
        raise application_not_found(recording.application_id)


def application_not_found(application_id: UUID) -> NotFound:
    """Make the error for an application that does not exist."""
    return NotFound(
        Reason.APPLICATION_NOT_FOUND,
        f"there is no application {application_id}; check application_id",
        details={"application_id": str(application_id)},
    )


def update_recording(connection: sa.Connection, recording: Recording, expect: Iterable[RecordingState]) -> int:
    """Write the new value and return the number of its event."""
    names = {"this_recording": recording.recording_id, "this_application": recording.application_id}
    values = {**names, "expected": [state.value for state in expect], **recording_values(recording)}
    count: int | None = connection.execute(_UPDATE, values).scalar()
    if count is None:
        state = connection.execute(_STATE, names).scalar()
        raise recording_not_found(recording.recording_id) if state is None else _wrong_state(recording, state)
    return count


def _wrong_state(recording: Recording, state: str) -> RecorderError:
    reason = Reason.RECORDING_LIVE if RecordingState(state).live else Reason.RECORDING_NOT_LIVE
    return Conflict(
        reason,
        f"recording {recording.recording_id} is {state}, which does not allow this; get it to see how it stands",
        details={"recording_id": str(recording.recording_id), "state": state},
    )

"""What lists are narrowed to, as values and as conditions of a query."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.tables import deliveries, events, recordings
from recorder_service.domain.delivery import DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.domain.recording import RecordingState


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """Narrows a list of recordings; what is set must all match.

    Attributes:
        states: Only in one of these; empty means in any.
        start_time_from: Only those that began then or later.
        start_time_before: Only those that began earlier.
    """

    application_id: UUID | None = None
    conversation_id: str = ""
    states: frozenset[RecordingState] = frozenset()
    start_time_from: datetime | None = None
    start_time_before: datetime | None = None

    def bound_values(self) -> dict[str, object]:
        """Return what a page token is bound to."""
        return {
            "application_id": self.application_id,
            "conversation_id": self.conversation_id,
            "states": sorted(state.value for state in self.states),
            "start_time_from": self.start_time_from,
            "start_time_before": self.start_time_before,
        }

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that a row must meet."""
        conditions = [of_tenant(recordings, self.application_id)]
        if self.conversation_id:
            conditions.append(recordings.c.conversation_id == self.conversation_id)
        if self.states:
            conditions.append(recordings.c.state.in_(sorted(state.value for state in self.states)))
        if self.start_time_from is not None:
            conditions.append(recordings.c.start_time >= self.start_time_from)
        if self.start_time_before is not None:
            conditions.append(recordings.c.start_time < self.start_time_before)
        return conditions


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Narrows a list of deliveries; what is set must all match.

    Attributes:
        states: Only in one of these; empty means in any.
    """

    application_id: UUID | None = None
    recording_id: UUID | None = None
    states: frozenset[DeliveryState] = frozenset()

    def bound_values(self) -> dict[str, object]:
        """Return what a page token is bound to."""
        return {
            "application_id": self.application_id,
            "recording_id": self.recording_id,
            "states": sorted(state.value for state in self.states),
        }

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that a row must meet."""
        conditions = [of_tenant(deliveries, self.application_id)]
        if self.recording_id is not None:
            conditions.append(deliveries.c.recording_id == self.recording_id)
        if self.states:
            conditions.append(deliveries.c.state.in_(sorted(state.value for state in self.states)))
        return conditions


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Narrows the feed; what is set must all match.

    Attributes:
        types: Only of one of these; empty means of any.
    """

    application_id: UUID | None = None
    types: frozenset[EventType] = frozenset()
    recording_id: UUID | None = None
    conversation_id: str = ""

    @property
    def sparse(self) -> bool:
        """Whether many events may lie between two that match: no index leads from one to the next."""
        return bool(self.types or self.recording_id or self.conversation_id)

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that a row must meet."""
        conditions = [of_tenant(events, self.application_id)]
        if self.types:
            conditions.append(events.c.type.in_(sorted(kind.value for kind in self.types)))
        if self.recording_id is not None:
            conditions.append(events.c.recording_id == self.recording_id)
        if self.conversation_id:
            conditions.append(events.c.conversation_id == self.conversation_id)
        return conditions


def of_tenant(table: sa.Table, application_id: UUID | None) -> sa.ColumnElement[bool]:
    """Return the condition that keeps tenants apart; None is the admin, who sees all."""
    return sa.true() if application_id is None else table.c.application_id == application_id

"""EventService: the event feed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Protocol

from recorder.v1 import event_service_pb2 as messages
from recorder.v1 import event_service_pb2_grpc
from recorder_service.api.caller import tenant
from recorder_service.api.conversions import FileUrls, event_message, event_type_message
from recorder_service.api.requests import choice, optional_uuid
from recorder_service.catalog.events import Batch
from recorder_service.catalog.filters import EventFilter
from recorder_service.domain.event import EventType
from recorder_service.errors import BadInput, Overloaded, Reason

_TYPES = {int(event_type_message(event_type)): event_type for event_type in EventType}
_BATCH = 100
_HEARTBEAT_S = 15.0
# How long a commit of another process may go unnoticed.
_LOOK_AGAIN_S = 1.0


class Changes(Protocol):
    """Says when something was committed."""

    @property
    def count(self) -> int:
        """Commits so far."""

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until there were more than `seen`."""


class EventLog(Protocol):
    """The catalog's events."""

    @property
    def changed(self) -> Changes:
        """Notified after each commit."""

    async def since(self, position: int, criteria: EventFilter, limit: int) -> Batch:
        """Return the events after a position."""

    async def last_position(self) -> int:
        """Return the place after everything."""

    async def oldest_position(self) -> int:
        """Return the place before everything that is kept."""

    async def position_of(self, cursor: str) -> int:
        """Return the place of a cursor."""

    def cursor(self, position: int) -> str:
        """Return a place as text."""


class Meter(Protocol):
    """Counts subscriptions and what they are told, for metrics."""

    def subscribed(self) -> None:
        """Count a subscription."""

    def left(self) -> None:
        """Count it no more."""

    def sent(self, lag_s: float | None) -> None:
        """Count an event, with its age where the subscriber had everything before it."""


class Unmetered:
    """Counts nothing."""

    def subscribed(self) -> None:
        """Count nothing."""

    def left(self) -> None:
        """Count nothing."""

    def sent(self, lag_s: float | None) -> None:
        """Count nothing."""


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """Serves the feed. A subscriber is one place in the log and one batch: slow ones cost no memory."""

    def __init__(
        self,
        log: EventLog,
        urls: FileUrls,
        *,
        max_subscribers: int,
        heartbeat_s: float = _HEARTBEAT_S,
        meter: Meter | None = None,
    ) -> None:
        """Serve from `log` to at most `max_subscribers` at once."""
        self._meter = meter or Unmetered()
        self._log = log
        self._urls = urls
        self._max_subscribers = max_subscribers
        self._heartbeat_s = heartbeat_s
        self._subscribers = 0

    async def SubscribeEvents(
        self, request: messages.SubscribeEventsRequest, context: Any
    ) -> AsyncIterator[messages.SubscribeEventsResponse]:
        """Send events since the cursor, then live ones."""
        criteria = EventFilter(
            application_id=tenant(request.application_id, "application_id"),
            types=frozenset(choice(event_type, _TYPES, "types") for event_type in request.types),
            recording_id=optional_uuid(request.recording_id, "recording_id"),
            conversation_id=request.conversation_id,
        )
        position = await self._begin(request)
        if self._subscribers >= self._max_subscribers:
            message = f"{self._max_subscribers} subscriptions are open, as many as are allowed: end one"
            raise Overloaded(Reason.TOO_MANY_SUBSCRIBERS, message, retry_after_s=5.0)
        self._subscribers += 1
        self._meter.subscribed()
        try:
            async for response in self._follow(position, criteria):
                yield response
        finally:
            self._subscribers -= 1
            self._meter.left()

    async def _begin(self, request: messages.SubscribeEventsRequest) -> int:
        match request.WhichOneof("begin"):
            case "cursor":
                return await self._log.position_of(request.cursor)
            case "from_oldest":
                if not request.from_oldest:
                    message = "from_oldest must be true, or left out to begin with what happens from now on"
                    raise BadInput(Reason.INVALID_FIELD, message, field="from_oldest", value="false")
                return await self._log.oldest_position()
        return await self._log.last_position()

    async def _follow(self, position: int, criteria: EventFilter) -> AsyncIterator[messages.SubscribeEventsResponse]:
        yield self._heartbeat(position)
        quiet_s = 0.0
        caught_up = False
        while True:
            seen = self._log.changed.count
            batch = await self._log.since(position, criteria, _BATCH)
            position = batch.position
            for event in batch.events:
                message = event_message(event, self._log.cursor(event.position), self._urls)
                yield messages.SubscribeEventsResponse(event=message)
                self._meter.sent((datetime.now(UTC) - event.time).total_seconds() if caught_up else None)
            caught_up = caught_up or batch.complete
            if batch.events or not batch.complete:
                quiet_s = 0.0
                continue
            if quiet_s >= self._heartbeat_s:
                yield self._heartbeat(position)
                quiet_s = 0.0
            if not await self._log.changed.wait(seen, _LOOK_AGAIN_S):
                quiet_s += _LOOK_AGAIN_S

    def _heartbeat(self, position: int) -> messages.SubscribeEventsResponse:
        return messages.SubscribeEventsResponse(heartbeat=messages.Heartbeat(cursor=self._log.cursor(position)))

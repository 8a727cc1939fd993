"""What the dispatcher asks of the place where deliveries wait."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from recorder_service.domain.delivery import Delivery
from recorder_service.domain.event import EventType


class Lease(Protocol):
    """The right to send one delivery, for a while."""

    @property
    def delivery(self) -> Delivery:
        """The delivery as it stood when it was claimed."""
        ...


LeaseT = TypeVar("LeaseT", bound=Lease)


class Outbox(Protocol[LeaseT]):
    """Where deliveries wait."""

    async def due(
        self, now: datetime, limit: int, *, endpoint_limit: int, busy_endpoints: Collection[str] = ()
    ) -> Sequence[Delivery]:
        """Return deliveries that may be claimed now, fairly, none of them for a busy endpoint."""
        ...

    async def next_due_time(self) -> datetime | None:
        """Return when the next one is due, or None."""
        ...

    async def claim(self, delivery_id: UUID, *, now: datetime, lease_until: datetime) -> LeaseT | None:
        """Take a due delivery; None if it is not due or somebody has it."""
        ...

    async def record_attempt(
        self,
        lease: LeaseT,
        delivery: Delivery,
        *,
        time: datetime,
        event_type: EventType | None,
        event_id: UUID | None = None,
    ) -> object:
        """Write what came of an attempt and give the lease back.

        Raises:
            Conflict: The lease went to somebody else.
        """
        ...


class Wakeup(Protocol):
    """Tells of commits that made a delivery or changed when one is due."""

    @property
    def count(self) -> int:
        """Commits so far."""
        ...

    async def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until the count is no longer `seen`, or until `timeout_s` has passed."""
        ...

"""A delivery: one record event on its way to a webhook."""

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from recorder_service.domain.options import HttpMethod


class DeliveryState(enum.Enum):
    """Where a delivery stands; names equal those of the contract."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send.

    Attributes:
        delivery_id: The `jti` of its signature, the same on every try.
        body: The exact JSON bytes of the event; for GET its keys become the query string in their order.
        next_attempt_time: When it is due; None once it is DELIVERED or FAILED.
        attempts: Tries so far.
        last_status: HTTP status of the last answer; 0 where there was none.
    """

    delivery_id: UUID
    application_id: UUID
    recording_id: UUID
    event_id: UUID
    url: str
    method: HttpMethod
    body: bytes
    state: DeliveryState
    create_time: datetime
    next_attempt_time: datetime | None
    attempts: int = 0
    last_attempt_time: datetime | None = None
    last_status: int = 0
    last_error: str = ""

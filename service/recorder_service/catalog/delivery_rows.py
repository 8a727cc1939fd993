"""Rows of deliveries."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.options import HttpMethod
from recorder_service.errors import NotFound, Reason

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """Return scheme, host and port of a URL: the endpoint that slots are shared out by."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}"


def lane(delivery: Delivery) -> str:
    """Return whom the picker is fair between: the application at the endpoint."""
    return f"{delivery.application_id.hex} {origin(delivery.url)}"


def lane_endpoint(value: str) -> str:
    """Return the endpoint in a lane."""
    return value.partition(" ")[2]


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """Return every column of a new row."""
    return {
        "delivery_id": delivery.delivery_id,
        "application_id": delivery.application_id,
        "recording_id": delivery.recording_id,
        "event_id": delivery.event_id,
        "url": delivery.url,
        "method": delivery.method.value,
        "body": delivery.body,
        "create_time": delivery.create_time,
        "lane": lane(delivery),
        "lease_token": 0,
        **progress_values(delivery),
    }


def progress_values(delivery: Delivery) -> dict[str, Any]:
    """Return the columns that an attempt changes; nobody holds a lease afterwards."""
    return {
        "state": delivery.state.value,
        "next_attempt_time": delivery.next_attempt_time,
        "due_time": delivery.next_attempt_time,
        "attempts": delivery.attempts,
        "last_attempt_time": delivery.last_attempt_time,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }


def read_delivery(row: sa.Row[Any]) -> Delivery:
    """Make the value of a row."""
    return Delivery(
        delivery_id=row.delivery_id,
        application_id=row.application_id,
        recording_id=row.recording_id,
        event_id=row.event_id,
        url=row.url,
        method=HttpMethod(row.method),
        body=row.body,
        state=DeliveryState(row.state),
        create_time=row.create_time,
        next_attempt_time=row.next_attempt_time,
        attempts=row.attempts,
        last_attempt_time=row.last_attempt_time,
        last_status=row.last_status,
        last_error=row.last_error,
    )


def delivery_not_found(delivery_id: UUID) -> NotFound:
    """Make the error for a delivery that does not exist, or not for this caller."""
    return NotFound(
        Reason.DELIVERY_NOT_FOUND,
        f"there is no delivery {delivery_id}; check delivery_id",
        details={"delivery_id": str(delivery_id)},
    )

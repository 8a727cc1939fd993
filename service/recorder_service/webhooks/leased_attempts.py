"""An attempt under a lease: claimed, made, and written down."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol
from uuid import UUID, uuid4

import structlog

from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.errors import Conflict, RecorderError
from recorder_service.webhooks.outbox import LeaseT, Outbox
from recorder_service.webhooks.sender import WebhookSender

log = structlog.get_logger(__name__)

_EVENTS = {DeliveryState.DELIVERED: EventType.WEBHOOK_DELIVERED, DeliveryState.FAILED: EventType.WEBHOOK_FAILED}


class Meter(Protocol):
    """Counts tries, for metrics."""

    def tried(self, after: Delivery, elapsed_s: float) -> None:
        """Count one; `after` is the delivery as it stands then."""


class Unmetered:
    """Counts nothing."""

    def tried(self, after: Delivery, elapsed_s: float) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Times of a lease.

    Attributes:
        lease_s: How long a claimed delivery is left alone by other nodes; longer than the longest request.
        retry_s: Wait before the catalog is asked again after it failed.
    """

    lease_s: float = 60.0
    retry_s: float = 0.5


class LeasedAttempts(Generic[LeaseT]):
    """Makes attempts that no other node makes at the same time. Trouble with the catalog is logged, never raised."""

    def __init__(
        self,
        outbox: Outbox[LeaseT],
        sender: WebhookSender,
        clock: Callable[[], datetime],
        settings: LeaseSettings | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Unmetered()
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._settings = settings or LeaseSettings()

    async def claim(self, delivery_id: UUID) -> LeaseT | None:
        """Take a delivery; None if it is not due, somebody has it, or the catalog is away."""
        now = self._clock()
        lease_until = now + timedelta(seconds=self._settings.lease_s)
        try:
            return await self._outbox.claim(delivery_id, now=now, lease_until=lease_until)
        except RecorderError as error:
            log.warning("webhook_not_claimed", delivery_id=str(delivery_id), reason=error.reason.value)
            await asyncio.sleep(self._settings.retry_s)  # or whoever picks would try again in a tight loop
            return None

    async def give_back(self, lease: LeaseT) -> None:
        """End a lease without an attempt."""
        await self._record(lease, lease.delivery, None)

    async def attempt(self, lease: LeaseT) -> Delivery | None:
        """Try once and write down what came of it.

        Returns:
            The delivery as it stands now; None if it was not sent or what came of it could not be written: then it is
            sent again when the lease ends.
        """
        began_s = time.monotonic()
        try:
            after = await self._sender.try_once(lease.delivery)
        except RecorderError as error:
            log.warning("webhook_not_sent", delivery_id=str(lease.delivery.delivery_id), reason=error.reason.value)
            return None
        self._meter.tried(after, time.monotonic() - began_s)
        log.info(
            "webhook_tried",
            recording_id=str(after.recording_id),
            delivery_id=str(after.delivery_id),
            state=after.state.value,
            attempts=after.attempts,
            status=after.last_status,
        )
        return after if await self._record(lease, after, _EVENTS.get(after.state)) else None

    async def _record(self, lease: LeaseT, after: Delivery, event_type: EventType | None) -> bool:
        """Write; while the catalog is away, again and again until half the lease is over."""
        event_id = None if event_type is None else uuid4()
        time = self._clock()
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._settings.lease_s / 2
        while True:
            try:
                await self._outbox.record_attempt(lease, after, time=time, event_type=event_type, event_id=event_id)
            except Conflict:
                log.info("webhook_lease_lost", delivery_id=str(after.delivery_id))
                return False
            except RecorderError as error:
                log.warning("webhook_not_recorded", delivery_id=str(after.delivery_id), reason=error.reason.value)
                if loop.time() >= give_up_s:
                    return False
                await asyncio.sleep(self._settings.retry_s)
            else:
                return True

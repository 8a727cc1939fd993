"""A dispatcher over a real SQLite catalog, with what tests need to queue deliveries and look at them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from tests.unit.webhooks.webhook_values import APPLICATION, FILE, RECORDING

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.deliveries import Lease
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.filters import EventFilter
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.domain.options import HttpMethod
from recorder_service.domain.recording import RecordingState
from recorder_service.errors import Conflict, Reason, Unavailable
from recorder_service.webhooks.addresses import AddressGuard, SystemResolver
from recorder_service.webhooks.dispatcher import DispatcherSettings, WebhookDispatcher
from recorder_service.webhooks.leased_attempts import LeasedAttempts, LeaseSettings
from recorder_service.webhooks.networks import AddressRules
from recorder_service.webhooks.outbox import Outbox
from recorder_service.webhooks.record_event import record_event_body
from recorder_service.webhooks.schedule import RetrySchedule, RetrySettings
from recorder_service.webhooks.sender import WebhookSender
from recorder_service.webhooks.transport import TransportSettings, WebhookTransport


def now() -> datetime:
    return datetime.now(UTC)


class FailingOutbox:
    """The catalog's deliveries, with failures of the database in front."""

    def __init__(self, catalog: Catalog) -> None:
        self._deliveries = catalog.deliveries
        self.failures_left: dict[str, int] = {}

    async def due(
        self, now: datetime, limit: int, *, endpoint_limit: int, busy_endpoints: Collection[str] = ()
    ) -> Sequence[Delivery]:
        self._fail("due")
        return await self._deliveries.due(now, limit, endpoint_limit=endpoint_limit, busy_endpoints=busy_endpoints)

    async def next_due_time(self) -> datetime | None:
        return await self._deliveries.next_due_time()

    async def claim(self, delivery_id: UUID, *, now: datetime, lease_until: datetime) -> Lease | None:
        self._fail("claim")
        return await self._deliveries.claim(delivery_id, now=now, lease_until=lease_until)

    async def record_attempt(
        self,
        lease: Lease,
        delivery: Delivery,
        *,
        time: datetime,
        event_type: EventType | None,
        event_id: UUID | None = None,
    ) -> object:
        self._fail("record_attempt")
        return await self._deliveries.record_attempt(
            lease, delivery, time=time, event_type=event_type, event_id=event_id
        )

    def _fail(self, name: str) -> None:
        if self.failures_left.get(name, 0) > 0:
            self.failures_left[name] -= 1
            raise Unavailable(Reason.CATALOG_FAILED, "away", retry_after_s=0.05)


@dataclass
class Mailroom:
    """A catalog and one dispatcher over it."""

    catalog: Catalog
    dispatcher: WebhookDispatcher[Lease]
    outbox: FailingOutbox

    async def queue(self, url: str, method: HttpMethod = HttpMethod.POST) -> Delivery:
        """Finish a recording and commit its delivery, due now, as the service does."""
        file = replace(FILE, file_id=uuid.uuid4())
        recording = replace(
            RECORDING, recording_id=uuid.uuid4(), file_id=file.file_id, file=file, state=RecordingState.RECORDING
        )
        await self.catalog.recordings.begin(recording)
        finished = replace(recording, state=RecordingState.AVAILABLE)
        delivery = Delivery(
            delivery_id=uuid.uuid4(),
            application_id=recording.application_id,
            recording_id=recording.recording_id,
            event_id=uuid.uuid4(),
            url=url,
            method=method,
            body=record_event_body(finished, public_url="https://rec.example", time=now()),
            state=DeliveryState.PENDING,
            create_time=now(),
            next_attempt_time=now(),
        )
        await self.catalog.recordings.change(
            finished,
            EventType.RECORDING_COMPLETED,
            expect=frozenset({RecordingState.RECORDING}),
            time=now(),
            event_id=delivery.event_id,
            delivery=delivery,
        )
        return delivery

    async def stored(self, delivery: Delivery) -> Delivery:
        return await self.catalog.deliveries.get(delivery.delivery_id, None)

    async def settled(self, *deliveries: Delivery, timeout_s: float = 10.0) -> list[Delivery]:
        """Wait until none of the deliveries is pending."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = [await self.stored(delivery) for delivery in deliveries]
                if all(delivery.state is not DeliveryState.PENDING for delivery in found):
                    return found
                await asyncio.sleep(0.02)

    async def told(self) -> list[EventType]:
        """Return the types of all events, in the order of the feed."""
        return [event.type for event in (await self.catalog.events.since(0, EventFilter(), 100)).events]


@dataclass(frozen=True)
class Timing:
    """How a mailroom differs from the defaults."""

    waits_s: tuple[float, ...] = (0.05, 0.05, 0.05)
    lease_s: float = 30.0
    total_timeout_s: float = 5.0
    workers: int = 32
    per_endpoint: int = 4


@contextlib.asynccontextmanager
async def mailroom(
    directory: Path, timing: Timing | None = None, *, running: bool = True, url: str | None = None
) -> AsyncIterator[Mailroom]:
    """Open the catalog in `directory` or at `url`, which several mailrooms may share, and run a dispatcher over it."""
    timing = timing or Timing()
    catalog = await Catalog.open(url or f"sqlite:///{directory}/catalog.db", DatabaseOptions(migrate=True))
    resolver = SystemResolver(threads=1)
    guard = AddressGuard(AddressRules(["127.0.0.0/8"]), resolver)
    try:
        with contextlib.suppress(Conflict):
            await catalog.applications.create(APPLICATION)
        async with WebhookTransport(guard, TransportSettings(total_timeout_s=timing.total_timeout_s)) as transport:
            outbox = FailingOutbox(catalog)
            sender = WebhookSender(
                catalog.applications, transport, RetrySchedule(RetrySettings(waits_s=timing.waits_s)), now
            )
            dispatcher = new_dispatcher(catalog, outbox, sender, timing)
            task = asyncio.create_task(dispatcher.run()) if running else None
            yield Mailroom(catalog, dispatcher, outbox)
            await dispatcher.stop(grace_s=0.2)
            if task is not None:
                async with asyncio.timeout(2):
                    await task
    finally:
        resolver.close()
        await catalog.aclose()


def new_dispatcher(
    catalog: Catalog, outbox: Outbox[Lease], sender: WebhookSender, timing: Timing
) -> WebhookDispatcher[Lease]:
    attempts = LeasedAttempts(outbox, sender, now, LeaseSettings(lease_s=timing.lease_s, retry_s=0.05))
    settings = DispatcherSettings(workers=timing.workers, per_endpoint=timing.per_endpoint, poll_s=0.2)
    return WebhookDispatcher(outbox, catalog.deliveries.changed, attempts, now, settings)

"""Webhooks are sent by one sender at a time, fairly, and told of."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.catalog.values import NOW, RUNNING, a_delivery, a_recording, an_application

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.deliveries import Lease, LeaseLost
from recorder_service.catalog.filters import DeliveryFilter, EventFilter
from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.domain.recording import Recording
from recorder_service.errors import BadInput, NotFound, Reason

SECOND = timedelta(seconds=1)
LEASE_END = NOW + 30 * SECOND


async def queue(catalog: Catalog, application: Application, **changes: Any) -> Delivery:
    """Store a recording and a webhook of it."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    delivery = a_delivery(recording, **changes)
    await add(catalog, recording, delivery)
    return delivery


async def add(catalog: Catalog, recording: Recording, delivery: Delivery) -> None:
    await catalog.recordings.change(recording, EventType.RECORDING_RESUMED, expect=RUNNING, time=NOW, delivery=delivery)


async def claimed(catalog: Catalog, delivery: Delivery) -> Lease:
    lease = await catalog.deliveries.claim(delivery.delivery_id, now=NOW, lease_until=LEASE_END)
    assert lease is not None
    return lease


def delivered(delivery: Delivery) -> Delivery:
    return replace(
        delivery,
        state=DeliveryState.DELIVERED,
        next_attempt_time=None,
        attempts=delivery.attempts + 1,
        last_attempt_time=NOW + SECOND,
        last_status=204,
    )


async def due(catalog: Catalog, now: object = NOW) -> list[uuid.UUID]:
    found = await catalog.deliveries.due(NOW if now is NOW else now, 10, endpoint_limit=10)  # type: ignore[arg-type]
    return [delivery.delivery_id for delivery in found]


async def test_delivery_is_due_from_its_time_on(catalog: Catalog, application: Application) -> None:
    """A delivery is offered when its time has come, not before; the next time is known."""
    assert await catalog.deliveries.next_due_time() is None
    delivery = await queue(catalog, application, next_attempt_time=NOW + SECOND)
    assert await due(catalog, NOW) == []
    assert await due(catalog, NOW + SECOND) == [delivery.delivery_id]
    assert await catalog.deliveries.next_due_time() == NOW + SECOND


async def test_delivery_is_claimed_by_one_of_many(catalog: Catalog, application: Application) -> None:
    """Of ten claims at once one succeeds; the delivery is offered again only when its lease is over."""
    delivery = await queue(catalog, application)
    claims = (catalog.deliveries.claim(delivery.delivery_id, now=NOW, lease_until=LEASE_END) for _ in range(10))
    (lease,) = [lease for lease in await asyncio.gather(*claims) if lease is not None]
    assert lease.delivery == delivery
    assert await due(catalog, LEASE_END - SECOND) == []
    assert await catalog.deliveries.next_due_time() == LEASE_END
    assert await due(catalog, LEASE_END) == [delivery.delivery_id]


async def test_attempt_and_its_event_are_written_together(catalog: Catalog, application: Application) -> None:
    """A delivered webhook is stored as such and told with the recording as it stands and the delivery."""
    lease = await claimed(catalog, await queue(catalog, application))
    done = delivered(lease.delivery)
    event = await catalog.deliveries.record_attempt(
        lease, done, time=NOW + SECOND, event_type=EventType.WEBHOOK_DELIVERED
    )
    assert event is not None
    assert (event.type, event.recording_sequence) == (EventType.WEBHOOK_DELIVERED, 3)
    assert event.delivery == replace(done, body=b"")
    assert (await catalog.events.since(event.position - 1, EventFilter(), 5)).events == (event,)
    assert await catalog.deliveries.get(done.delivery_id, application.application_id) == done
    assert await catalog.deliveries.next_due_time() is None
    assert (await catalog.recordings.get(done.recording_id, None)).event_count == 3


async def test_retry_is_due_at_its_new_time(catalog: Catalog, application: Application) -> None:
    """An attempt that is to be repeated tells nothing and is due when it says, without waiting for the lease."""
    lease = await claimed(catalog, await queue(catalog, application))
    retry = replace(lease.delivery, attempts=1, next_attempt_time=NOW + 5 * SECOND, last_error="timed out")
    before = await catalog.events.last_position()
    assert await catalog.deliveries.record_attempt(lease, retry, time=NOW, event_type=None) is None
    assert await catalog.events.last_position() == before
    assert await due(catalog, NOW + 4 * SECOND) == []
    assert await due(catalog, NOW + 5 * SECOND) == [retry.delivery_id]


async def test_stale_holder_changes_nothing(catalog: Catalog, application: Application) -> None:
    """A sender whose lease ran out and was taken by another cannot write its result, nor can one write twice."""
    stale = await claimed(catalog, await queue(catalog, application))
    fresh = await catalog.deliveries.claim(
        stale.delivery.delivery_id, now=LEASE_END, lease_until=LEASE_END + 30 * SECOND
    )
    assert fresh is not None
    before = await catalog.events.last_position()
    delivered_type = EventType.WEBHOOK_DELIVERED
    with pytest.raises(LeaseLost):
        await catalog.deliveries.record_attempt(stale, delivered(stale.delivery), time=NOW, event_type=delivered_type)
    assert await catalog.events.last_position() == before
    assert (await catalog.deliveries.get(stale.delivery.delivery_id, None)).state is DeliveryState.PENDING
    await catalog.deliveries.record_attempt(fresh, delivered(fresh.delivery), time=NOW, event_type=delivered_type)
    with pytest.raises(LeaseLost):
        await catalog.deliveries.record_attempt(fresh, delivered(fresh.delivery), time=NOW, event_type=delivered_type)


async def test_attempt_repeated_with_its_event_id_is_told_once(catalog: Catalog, application: Application) -> None:
    """Recording an attempt again with the same event id returns the first event."""
    lease = await claimed(catalog, await queue(catalog, application))
    identity = uuid.uuid4()
    first, again = [
        await catalog.deliveries.record_attempt(
            lease, delivered(lease.delivery), time=NOW, event_type=EventType.WEBHOOK_DELIVERED, event_id=identity
        )
        for _ in range(2)
    ]
    assert first is not None
    assert first == again


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED])
async def test_settled_delivery_is_redelivered_under_its_id(
    catalog: Catalog, application: Application, state: DeliveryState
) -> None:
    """A delivery that arrived or was given up is due again at once with a fresh schedule and the same id."""
    lease = await claimed(catalog, await queue(catalog, application))
    settled = replace(delivered(lease.delivery), state=state, attempts=7, last_error="gone")
    await catalog.deliveries.record_attempt(lease, settled, time=NOW, event_type=None)
    later = NOW + timedelta(days=1)
    again = await catalog.deliveries.redeliver(settled.delivery_id, application.application_id, later)
    assert (again.state, again.next_attempt_time, again.attempts) == (DeliveryState.PENDING, later, 0)
    assert again.body == settled.body
    assert again == await catalog.deliveries.get(settled.delivery_id, None)
    assert await due(catalog, later) == [settled.delivery_id]


async def test_redelivery_waits_for_a_running_attempt(catalog: Catalog, application: Application) -> None:
    """Asked for while somebody sends: their result no longer counts, and nobody sends before their lease ends."""
    lease = await claimed(catalog, await queue(catalog, application))
    await catalog.deliveries.redeliver(lease.delivery.delivery_id, None, NOW + SECOND)
    with pytest.raises(LeaseLost):
        await catalog.deliveries.record_attempt(lease, delivered(lease.delivery), time=NOW, event_type=None)
    assert await due(catalog, LEASE_END - SECOND) == []
    assert await due(catalog, LEASE_END) == [lease.delivery.delivery_id]


async def test_waiting_retry_is_redelivered_now(catalog: Catalog, application: Application) -> None:
    """A delivery that waits hours for its next try is due at once when asked for."""
    delivery = await queue(catalog, application, next_attempt_time=NOW + timedelta(hours=5), attempts=4)
    await catalog.deliveries.redeliver(delivery.delivery_id, None, NOW)
    assert await due(catalog, NOW) == [delivery.delivery_id]


async def test_one_endpoint_does_not_take_all_slots(catalog: Catalog, application: Application) -> None:
    """A long queue for one endpoint leaves room for others, in other applications too."""
    other = an_application("Other")
    await catalog.applications.create(other)
    recording = a_recording(application.application_id)
    theirs = a_recording(other.application_id)
    await catalog.recordings.begin(recording)
    await catalog.recordings.begin(theirs)
    for index in range(40):
        early = NOW - timedelta(minutes=40 - index)
        await add(catalog, recording, a_delivery(recording, url=f"https://slow.test/{index}", next_attempt_time=early))
    healthy = a_delivery(recording, url="https://healthy.test:8443/")
    shared = a_delivery(theirs, url="https://SLOW.test:443/theirs")
    await add(catalog, recording, healthy)
    await add(catalog, theirs, shared)
    found = await catalog.deliveries.due(NOW, 10, endpoint_limit=4)
    assert sum("slow" in item.url.lower() for item in found) == 4
    assert {healthy.delivery_id, shared.delivery_id} <= {item.delivery_id for item in found}
    assert found[0].url == "https://slow.test/0"
    without = await catalog.deliveries.due(NOW, 10, endpoint_limit=4, busy_endpoints={"https://slow.test:443"})
    assert [item.delivery_id for item in without] == [healthy.delivery_id]
    assert len(await catalog.deliveries.due(NOW, 2, endpoint_limit=4)) == 2


async def test_tenants_see_only_their_own_deliveries(catalog: Catalog, application: Application) -> None:
    """Get, list and redeliver answer another application as if there were nothing."""
    delivery = await queue(catalog, application)
    stranger = uuid.uuid4()
    for attempt in (
        catalog.deliveries.get(delivery.delivery_id, stranger),
        catalog.deliveries.redeliver(delivery.delivery_id, stranger, NOW),
        catalog.deliveries.get(uuid.uuid4(), None),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.reason is Reason.DELIVERY_NOT_FOUND
    assert (await catalog.deliveries.list(DeliveryFilter(application_id=stranger))).items == ()


async def test_deliveries_are_listed_newest_first_in_pages(catalog: Catalog, application: Application) -> None:
    """Pages give every delivery once, newest first; recording and state narrow the list."""
    made = [await queue(catalog, application, create_time=NOW + index * SECOND) for index in range(5)]
    seen, token = [], ""
    while True:
        page = await catalog.deliveries.list(DeliveryFilter(), 2, token)
        seen += [item.delivery_id for item in page.items]
        token = page.next_page_token
        if not token:
            break
    assert seen == [item.delivery_id for item in reversed(made)]
    one = await catalog.deliveries.list(DeliveryFilter(recording_id=made[2].recording_id))
    assert one.items == (made[2],)
    failed = DeliveryFilter(states=frozenset({DeliveryState.FAILED}))
    assert (await catalog.deliveries.list(failed)).items == ()
    token = (await catalog.deliveries.list(DeliveryFilter(), 2)).next_page_token
    with pytest.raises(BadInput):
        await catalog.deliveries.list(failed, 2, token)


async def test_dispatcher_is_woken_by_what_becomes_due(catalog: Catalog, application: Application) -> None:
    """A new delivery and a redelivery wake the dispatcher; a change without a webhook does not."""
    changed, woken = catalog.deliveries.changed, []
    for _ in range(5):
        count = changed.count
        await catalog.recordings.begin(a_recording(application.application_id))
        woken.append(await changed.wait(count, timeout_s=0.01))
    # A watch on other processes that has just begun wakes everybody once: somebody may have written before.
    assert not all(woken)
    count = changed.count
    delivery = await queue(catalog, application)
    assert await changed.wait(count, timeout_s=5)
    count = changed.count
    await catalog.deliveries.redeliver(delivery.delivery_id, None, NOW)
    assert await changed.wait(count, timeout_s=5)


async def test_old_settled_deliveries_are_purged(catalog: Catalog, application: Application) -> None:
    """Purge removes what is old and settled; what still waits stays however old it is."""
    waiting = await queue(catalog, application)
    lease = await claimed(catalog, await queue(catalog, application))
    await catalog.deliveries.record_attempt(lease, delivered(lease.delivery), time=NOW, event_type=None)
    assert await catalog.deliveries.purge(NOW) == 0
    assert await catalog.deliveries.purge(NOW + SECOND) == 1
    assert (await catalog.deliveries.list(DeliveryFilter())).items == (waiting,)

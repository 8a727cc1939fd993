import asyncio
import hashlib
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from tests.integration.webhooks.endpoints import Endpoint, answering, answering_in_turn, hang, listening, slowly
from tests.integration.webhooks.mailroom import Timing, mailroom
from tests.unit.webhooks.webhook_values import SECRET

from recorder_service.domain.delivery import DeliveryState
from recorder_service.domain.event import EventType
from recorder_service.domain.options import HttpMethod


def ids(endpoint: Endpoint) -> Counter[str]:
    """Count requests by the id in their signature, which is verified."""
    return Counter(str(jwt.decode(got.token, SECRET, algorithms=["HS256"])["jti"]) for got in endpoint.received)


async def test_new_delivery_is_sent_at_once_and_told(tmp_path: Path) -> None:
    """The commit wakes the dispatcher; what came of it is in the row and in the feed."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        await asyncio.sleep(0.1)
        start_s = time.monotonic()
        delivery = await room.queue(endpoint.url())
        (after,) = await room.settled(delivery)
        assert time.monotonic() - start_s < 0.5
        told = await room.told()
    assert (after.state, after.attempts, after.last_status, after.last_error) == (DeliveryState.DELIVERED, 1, 200, "")
    assert after.next_attempt_time is None
    assert endpoint.received[0].body == delivery.body
    assert told[-1] is EventType.WEBHOOK_DELIVERED


async def test_every_try_has_the_same_id_and_the_same_bytes(tmp_path: Path) -> None:
    """So that receivers can tell a repeat from a new event."""
    behaviour = answering_in_turn(answering(500), answering(404), answering(503), answering(200))
    async with listening(behaviour) as endpoint, mailroom(tmp_path) as room:
        delivery = await room.queue(endpoint.url())
        (after,) = await room.settled(delivery)
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 4)
    assert ids(endpoint) == {str(delivery.delivery_id): 4}
    assert {got.body for got in endpoint.received} == {delivery.body}


async def test_get_delivery_is_sent_as_query(tmp_path: Path) -> None:
    """The method of the delivery counts."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        await room.settled(await room.queue(endpoint.url(), HttpMethod.GET))
    assert endpoint.received[0].method == "GET"
    assert "&size=162558&" in endpoint.received[0].target


async def test_delivery_is_given_up_when_the_schedule_ends(tmp_path: Path) -> None:
    """Then it is FAILED, and the feed tells so."""
    async with listening(answering(503)) as endpoint, mailroom(tmp_path, Timing(waits_s=(0.02,))) as room:
        (after,) = await room.settled(await room.queue(endpoint.url()))
        told = await room.told()
    assert (after.state, after.attempts, after.last_status) == (DeliveryState.FAILED, 2, 503)
    assert len(endpoint.received) == 2
    assert told[-1] is EventType.WEBHOOK_FAILED


async def test_gone_stops_at_once(tmp_path: Path) -> None:
    """410 is the one final answer."""
    async with listening(answering(410)) as endpoint, mailroom(tmp_path) as room:
        (after,) = await room.settled(await room.queue(endpoint.url()))
    assert (after.state, after.attempts) == (DeliveryState.FAILED, 1)


async def test_refused_address_is_retried_like_any_failure(tmp_path: Path) -> None:
    """The operator may allow the network before the schedule ends."""
    async with mailroom(tmp_path, Timing(waits_s=(0.02,))) as room:
        (after,) = await room.settled(await room.queue("http://10.255.255.1/hook"))
    assert (after.state, after.attempts, after.last_status) == (DeliveryState.FAILED, 2, 0)
    assert "private" in after.last_error


async def test_broken_url_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    """One bad row holds up nobody."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path, Timing(waits_s=())) as room:
        bad = await room.queue("http://[broken")
        good = await room.queue(endpoint.url())
        states = [delivery.state for delivery in await room.settled(bad, good)]
    assert states == [DeliveryState.FAILED, DeliveryState.DELIVERED]


async def test_attempt_now_waits_for_the_outcome(tmp_path: Path) -> None:
    """A synchronous recording hears what came of its webhook, with and without a running loop."""
    async with listening(answering(204, body=b"")) as endpoint, mailroom(tmp_path, running=False) as room:
        delivery = await room.queue(endpoint.url())
        after = await room.dispatcher.attempt_now(delivery.delivery_id, 2)
    assert after is not None
    assert (after.state, after.last_status) == (DeliveryState.DELIVERED, 204)


async def test_attempt_now_and_the_loop_send_once_between_them(tmp_path: Path) -> None:
    """Whoever is first, there is one request for each delivery."""
    async with listening(slowly(0.01, answering(200))) as endpoint, mailroom(tmp_path) as room:
        for _ in range(25):
            delivery = await room.queue(endpoint.url())
            await asyncio.gather(*(room.dispatcher.attempt_now(delivery.delivery_id, 2) for _ in range(3)))
            await room.settled(delivery)
        await asyncio.sleep(0.1)
    assert len(ids(endpoint)) == 25
    assert set(ids(endpoint).values()) == {1}


async def test_attempt_now_ends_in_time_and_the_attempt_goes_on(tmp_path: Path) -> None:
    """The caller is not held up by a slow endpoint; the event still arrives, once."""
    async with listening(slowly(0.6, answering(200))) as endpoint, mailroom(tmp_path) as room:
        delivery = await room.queue(endpoint.url())
        start_s = time.monotonic()
        assert await room.dispatcher.attempt_now(delivery.delivery_id, 0.2) is None
        assert time.monotonic() - start_s < 0.4
        (after,) = await room.settled(delivery)
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 1)
    assert ids(endpoint) == {str(delivery.delivery_id): 1}


async def test_attempt_now_that_finds_no_slot_leaves_the_delivery_to_the_loop(tmp_path: Path) -> None:
    """Its lease is given back, so it is sent as soon as the endpoint has room."""
    async with listening(slowly(0.5, answering(200))) as endpoint, mailroom(tmp_path, Timing(per_endpoint=1)) as room:
        first = await room.queue(endpoint.url())
        await endpoint.busy.wait()
        second = await room.queue(endpoint.url())
        assert await room.dispatcher.attempt_now(second.delivery_id, 0.1) is None
        start_s = time.monotonic()
        settled = await room.settled(first, second)
        assert time.monotonic() - start_s < 2
    assert [delivery.attempts for delivery in settled] == [1, 1]
    assert endpoint.most_at_once == 1


async def test_settled_or_unknown_delivery_is_not_attempted(tmp_path: Path) -> None:
    """None, and nothing else happens."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        delivery = await room.queue(endpoint.url())
        await room.settled(delivery)
        async with asyncio.timeout(5):
            # The attempt is over a moment after its outcome is stored; until then its outcome is the answer.
            while await room.dispatcher.attempt_now(delivery.delivery_id, 1) is not None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert await room.dispatcher.attempt_now(uuid4(), 1) is None
    assert len(endpoint.received) == 1


async def test_one_endpoint_gets_a_bounded_number_at_once(tmp_path: Path) -> None:
    """However many wait for it."""
    async with listening(slowly(0.2, answering(200))) as endpoint, mailroom(tmp_path, running=False) as room:
        deliveries = [await room.queue(endpoint.url()) for _ in range(12)]
        running = asyncio.create_task(room.dispatcher.run())
        await room.settled(*deliveries)
        await room.dispatcher.stop()
        await running
    assert endpoint.most_at_once == 4
    assert set(ids(endpoint).values()) == {1}


async def test_dead_endpoint_harms_no_one(tmp_path: Path) -> None:
    """With two hundred events waiting for an endpoint that hangs, others are served at once."""
    async with (
        listening(hang) as dead,
        listening(answering(200)) as healthy,
        mailroom(tmp_path, Timing(workers=8)) as room,
    ):
        for _ in range(200):
            await room.queue(dead.url())
        start_s = time.monotonic()
        await room.settled(*[await room.queue(healthy.url()) for _ in range(20)], timeout_s=4)
        assert time.monotonic() - start_s < 3
        assert dead.most_at_once == 4


async def test_stop_waits_and_then_cuts_off(tmp_path: Path) -> None:
    """What is nearly done is done; what hangs is sent again by the next process, with the same id."""
    async with (
        listening(slowly(0.2, answering(200))) as quick,
        listening(answering_in_turn(hang, answering(200))) as slow,
    ):
        async with mailroom(tmp_path, Timing(lease_s=1.0)) as room:
            nearly, cut = await room.queue(quick.url()), await room.queue(slow.url())
            await asyncio.gather(quick.busy.wait(), slow.busy.wait())
            start_s = time.monotonic()
            await room.dispatcher.stop(grace_s=0.5)
            assert time.monotonic() - start_s < 1
            assert room.dispatcher.under_way == 0
            assert (await room.stored(nearly)).state is DeliveryState.DELIVERED
            assert (await room.stored(cut)).attempts == 0
            assert await room.dispatcher.attempt_now(cut.delivery_id, 1) is None
        async with mailroom(tmp_path, Timing(lease_s=1.0)) as room:
            await room.settled(cut)
        assert ids(slow) == {str(cut.delivery_id): 2}


async def test_cancelled_dispatcher_ends(tmp_path: Path) -> None:
    """Cancelling `run` ends it, as a TaskGroup does when a sibling fails."""
    async with mailroom(tmp_path, running=False) as room:
        task = asyncio.create_task(room.dispatcher.run())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_two_nodes_send_each_delivery_once(tmp_path: Path) -> None:
    """Leases in the shared catalog keep two processes from sending the same."""
    async with (
        listening(slowly(0.01, answering(200))) as endpoint,
        mailroom(tmp_path) as one,
        mailroom(tmp_path) as other,
    ):
        deliveries = [await (one, other)[index % 2].queue(endpoint.url()) for index in range(60)]
        await one.settled(*deliveries)
        await asyncio.sleep(0.3)
        assert other.dispatcher.under_way == 0
    assert len(ids(endpoint)) == 60
    assert set(ids(endpoint).values()) == {1}


async def test_outcome_is_written_when_the_catalog_is_back(tmp_path: Path) -> None:
    """A database that is away after the request does not make the request go out twice."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        room.outbox.failures_left = {"record_attempt": 5}
        (after,) = await room.settled(await room.queue(endpoint.url()))
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 1)
    assert len(endpoint.received) == 1


async def test_dispatcher_outlives_failures_of_the_catalog(tmp_path: Path) -> None:
    """Looking and claiming fail for a while; then everything is sent."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        room.outbox.failures_left = {"due": 4, "claim": 4}
        await room.settled(*[await room.queue(endpoint.url()) for _ in range(3)])
    assert set(ids(endpoint).values()) == {1}


async def test_redelivery_keeps_the_id(tmp_path: Path) -> None:
    """An application that asks again gets the same event under the same id, with a new schedule."""
    behaviour = answering_in_turn(answering(410), answering(500), answering(200))
    async with listening(behaviour) as endpoint, mailroom(tmp_path) as room:
        delivery = await room.queue(endpoint.url())
        await room.settled(delivery)
        await room.catalog.deliveries.redeliver(delivery.delivery_id, None, delivery.create_time)
        (after,) = await room.settled(delivery)
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 2)
    assert ids(endpoint) == {str(delivery.delivery_id): 3}


async def test_redelivery_during_an_attempt_is_sent_again(tmp_path: Path) -> None:
    """What came of the first no longer counts; the second goes out when its lease is over."""
    async with listening(slowly(0.3, answering(200))) as endpoint, mailroom(tmp_path, Timing(lease_s=1.0)) as room:
        delivery = await room.queue(endpoint.url())
        await endpoint.busy.wait()
        await room.catalog.deliveries.redeliver(delivery.delivery_id, None, delivery.create_time)
        (after,) = await room.settled(delivery)
    assert (after.state, after.attempts) == (DeliveryState.DELIVERED, 1)
    assert ids(endpoint) == {str(delivery.delivery_id): 2}


async def test_body_hash_is_that_of_the_stored_bytes(tmp_path: Path) -> None:
    """From the row to the wire nothing is written anew."""
    async with listening(answering(200)) as endpoint, mailroom(tmp_path) as room:
        delivery = await room.queue(endpoint.url())
        await room.settled(delivery)
    claims = jwt.decode(endpoint.received[0].token, SECRET, algorithms=["HS256"])
    assert claims["payload_hash"] == hashlib.sha256(delivery.body).hexdigest()

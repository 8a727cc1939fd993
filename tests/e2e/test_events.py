"""The event feed: in order, without holes, to whom it belongs."""

import asyncio

import grpc
import pytest
from tests.harness.client import Client, Tenant, bearer, leg, reason
from tests.harness.receiver import Receiver
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, recording_pb2

STARTED = event_pb2.EVENT_TYPE_RECORDING_STARTED
STOPPED = event_pb2.EVENT_TYPE_RECORDING_STOPPED
COMPLETED = event_pb2.EVENT_TYPE_RECORDING_COMPLETED
DTMF = event_pb2.EVENT_TYPE_DTMF
DELIVERED = event_pb2.EVENT_TYPE_WEBHOOK_DELIVERED
FAILED = event_pb2.EVENT_TYPE_WEBHOOK_FAILED
PCM = speech(1).tobytes()
CONVERSATION = "CON-3c1f0a52-5a0f-4d53-8a3c-7f5a2a1f0b6d"


async def short_call(client: Client, tenant: Tenant, **start: object) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=[leg()], **{"ncco": {"action": "record"}, **start})
    await call.stream(caller=PCM)
    return await call.hang_up()


async def test_live_subscriber_hears_a_call_as_it_happens(client: Client, tenant: Tenant) -> None:
    """Each event comes while the call runs, with the recording as it stood then, labels included."""
    async with client.subscribe(tenant.metadata) as feed:
        call = await client.call(tenant, legs=[leg()], metadata={"agent": "7"}, conversation_id=CONVERSATION)
        started = await feed.next()
        assert (started.type, started.recording_sequence) == (STARTED, 1)
        assert started.recording.state == recording_pb2.RECORDING_STATE_RECORDING
        assert started.recording.metadata == {"agent": "7"}
        assert started.recording.conversation_id == CONVERSATION
        await call.stream(caller=PCM)
        await call.press("9", 4000)
        key = await feed.next()
        assert (key.type, key.recording_sequence) == (DTMF, 2)
        assert (key.dtmf.leg_id, key.dtmf.digit, key.dtmf.frame) == ("caller", "9", 4000)
        assert not key.dtmf.HasField("duration")
        recording = await call.hang_up()
        stopped, completed = await feed.next(), await feed.next()
        assert [stopped.type, completed.type] == [STOPPED, COMPLETED]
        assert stopped.recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
        assert completed.recording == recording
        assert completed.application_id == tenant.application_id


async def test_subscriber_from_a_cursor_gets_what_followed(client: Client, tenant: Tenant) -> None:
    """Every cursor of the feed, heartbeats included, is a place to come back to: no event is lost or told twice."""
    async with client.subscribe(tenant.metadata) as feed:
        first_cursor = feed.first_cursor
        await short_call(client, tenant)
        await short_call(client, tenant)
        everything = [await feed.next() for _ in range(6)]
    cursors = [first_cursor, *(event.cursor for event in everything)]
    for count, cursor in enumerate(cursors):
        async with client.subscribe(tenant.metadata, cursor=cursor) as feed:
            rest = [await feed.next() for _ in range(6 - count)]
        assert rest == everything[count:]
    assert len(set(cursors)) == 7


async def test_subscriber_from_the_oldest_gets_the_past_and_then_the_present(client: Client, tenant: Tenant) -> None:
    """History and live events join without a hole."""
    await short_call(client, tenant)
    async with client.subscribe(tenant.metadata, from_oldest=True) as feed:
        running = asyncio.create_task(short_call(client, tenant))
        told = await feed.until(COMPLETED) + await feed.until(COMPLETED)
        await running
    assert [event.type for event in told] == [STARTED, STOPPED, COMPLETED] * 2
    assert [event.recording_sequence for event in told] == [1, 2, 3] * 2


async def test_many_calls_at_once_are_told_in_one_order_to_all(client: Client, tenant: Tenant) -> None:
    """Two live subscribers and one that comes later see the same sequence; each recording counts 1, 2, 3 ..."""
    async with client.subscribe(tenant.metadata) as one, client.subscribe(tenant.metadata) as two:
        await asyncio.gather(*(short_call(client, tenant) for _ in range(12)))
        first = [await one.next() for _ in range(36)]
        second = [await two.next() for _ in range(36)]
    async with client.subscribe(tenant.metadata, from_oldest=True) as late:
        third = [await late.next() for _ in range(36)]
    assert first == second == third
    by_recording: dict[str, list[int]] = {}
    for event in first:
        by_recording.setdefault(event.recording.recording_id, []).append(event.recording_sequence)
    assert list(by_recording.values()) == [[1, 2, 3]] * 12


async def test_filters_leave_out_what_does_not_match(client: Client, tenant: Tenant) -> None:
    """By type, by recording, by conversation: all that are set must match."""
    one = await short_call(client, tenant, conversation_id=CONVERSATION)
    other = await short_call(client, tenant)
    wanted = (
        ({"types": [COMPLETED]}, [(one, COMPLETED), (other, COMPLETED)]),
        ({"recording_id": other.recording_id, "types": [STARTED, STOPPED]}, [(other, STARTED), (other, STOPPED)]),
        ({"conversation_id": CONVERSATION, "types": [STOPPED]}, [(one, STOPPED)]),
    )
    for request, expected in wanted:
        async with client.subscribe(tenant.metadata, from_oldest=True, **request) as feed:
            told = [await feed.next() for _ in expected]
            with pytest.raises(TimeoutError):
                await feed.next(timeout_s=0.3)
        found = [(event.recording.recording_id, event.type) for event in told]
        assert found == [(recording.recording_id, kind) for recording, kind in expected]


async def test_application_hears_of_its_own_recordings_only(server: Server, client: Client, tenant: Tenant) -> None:
    """The admin hears of all, or of the one that is asked for; asking for another's is refused."""
    stranger = await client.create_tenant(server.admin_token)
    admin = bearer(server.admin_token)
    async with (
        client.subscribe(stranger.metadata) as strangers,
        client.subscribe(admin) as all_of_them,
        client.subscribe(admin, application_id=stranger.application_id) as one_of_them,
    ):
        mine = await short_call(client, tenant)
        theirs = await short_call(client, stranger)
        assert {event.recording.recording_id for event in await strangers.until(COMPLETED)} == {theirs.recording_id}
        told = await all_of_them.until(COMPLETED) + await all_of_them.until(COMPLETED)
        assert {event.recording.recording_id for event in told} == {mine.recording_id, theirs.recording_id}
        assert {event.recording.recording_id for event in await one_of_them.until(COMPLETED)} == {theirs.recording_id}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with client.subscribe(stranger.metadata, application_id=tenant.application_id):
            pass
    assert refused.value.code() in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND}


async def test_delivered_webhook_is_an_event(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """WEBHOOK_DELIVERED follows COMPLETED and holds the delivery."""
    recording = await short_call(client, tenant, ncco={"action": "record", "eventUrl": [receiver.url]})
    told = await client.told(tenant, recording.recording_id, DELIVERED)
    assert [event.type for event in told] == [STARTED, STOPPED, COMPLETED, DELIVERED]
    assert [event.recording_sequence for event in told] == [1, 2, 3, 4]
    delivery = told[-1].delivery
    assert (delivery.recording_id, delivery.event_id) == (recording.recording_id, told[2].event_id)
    assert (delivery.attempts, delivery.last_status, delivery.last_error) == (1, 200, "")


async def test_webhook_that_is_given_up_is_an_event(client: Client, tenant: Tenant) -> None:
    """410 Gone is the one answer that ends the tries at once: WEBHOOK_FAILED."""
    with Receiver(lambda _count: 410) as receiver:
        recording = await short_call(client, tenant, ncco={"action": "record", "eventUrl": [receiver.url]})
        told = await client.told(tenant, recording.recording_id, FAILED)
    assert told[-1].delivery.last_status == 410
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("cursor", ["", "nonsense", "AAAA", "999999999999"])
async def test_cursor_that_was_never_given_out_is_refused(client: Client, tenant: Tenant, cursor: str) -> None:
    """INVALID_CURSOR."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with client.subscribe(tenant.metadata, cursor=cursor):
            pass
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(refused.value) == "INVALID_CURSOR"

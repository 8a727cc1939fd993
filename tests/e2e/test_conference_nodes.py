"""A conference whose streams land on several nodes is one conference: one owner, one recording, one file."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tests.e2e.test_conference_control import put_to
from tests.harness.client import Client, Tenant, reason
from tests.harness.conference import Stream, participant
from tests.harness.files import fetch, wav_channels
from tests.harness.ring import Node, Ring, own_nodes, workers
from tests.harness.speech import speech

from recorder.v1 import recorder_service_pb2, recording_pb2, recording_service_pb2

SECOND = 16_000
CHUNK = 1600
VOICES = [speech(4, first=5 * number) for number in range(3)]
SPLIT: dict[str, Any] = {"action": "record", "format": "wav", "split": "conversation", "channels": 3}
ON_DEMAND = recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND
AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE


@pytest.fixture(scope="module", params=["postgresql", "workers"])
def ring(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    """Three nodes on PostgreSQL; two workers of one process on SQLite."""
    root = tmp_path_factory.mktemp("ring")
    with own_nodes(root, 3) if request.param == "postgresql" else workers(root, 2) as ring:
        yield ring


@pytest.fixture
async def clients(ring: Ring) -> AsyncIterator[list[Client]]:
    """One client a node."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(node.grpc_port)) for node in ring.nodes]


@pytest.fixture
async def tenant(ring: Ring, clients: list[Client]) -> Tenant:
    """A fresh application."""
    return await clients[0].create_tenant(ring.admin_token)


def channels_of(node: Node, recording: recording_pb2.Recording, tenant: Tenant) -> "np.ndarray":
    """Fetch a file from this node, whichever one its URL names."""
    path = recording.file.url.split("/", 3)[3]
    answer = fetch(f"http://127.0.0.1:{node.http_port}/{path}", tenant.token())
    assert answer.status == 200
    return wav_channels(answer.body)


async def say(stream: Stream, leg_id: str, voice: int, start: int = 0, end: int = 4 * SECOND) -> None:
    for at in range(start, end, CHUNK):
        await stream.audio(**{leg_id: (at, VOICES[voice][at : min(end, at + CHUNK)].tobytes())})


async def close_all(streams: list[Stream]) -> recording_pb2.Recording:
    """Close one stream after the other; the last one hears of the file."""
    for stream in streams[:-1]:
        await stream.close()
        await stream.until("ended")
    await streams[-1].close()
    return await streams[-1].completed()


async def refusal(stream: Stream, *, join: str = "", resume: str = "") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (stream.join(join, [participant("late")], ncco=SPLIT) if join else stream.resume(resume))
    return refused.value.code(), reason(refused.value)


async def test_legs_that_join_by_different_nodes_are_in_one_file(
    ring: Ring, clients: list[Client], tenant: Tenant
) -> None:
    """One conversation, one recording; each channel equals its leg, sample for sample."""
    name = f"room {uuid.uuid4()}"
    streams, opened = [], []
    for number in range(3):
        stream = Stream(clients[number % len(clients)], tenant.metadata)
        opened.append(await stream.join(name, [participant(f"leg{number}")], ncco=SPLIT, origin_frame=0))
        streams.append(stream)
    assert len({one.conversation_id for one in opened}) == len({one.recording.recording_id for one in opened}) == 1
    for at in range(0, 4 * SECOND, CHUNK):
        for number, stream in enumerate(streams):
            await say(stream, f"leg{number}", number, at, at + CHUNK)
    recording = await close_all(streams)
    assert recording.state == AVAILABLE
    np.testing.assert_array_equal(channels_of(ring.nodes[0], recording, tenant), np.stack(VOICES))


async def test_stream_is_resumed_through_any_node(ring: Ring, clients: list[Client], tenant: Tenant) -> None:
    """Cut three times and resumed here and there, by its stream id alone: not a sample is missing or there twice."""
    name = f"room {uuid.uuid4()}"
    stays, moves = Stream(clients[0], tenant.metadata), Stream(clients[1], tenant.metadata)
    await stays.join(name, [participant("leg0")], ncco=SPLIT, origin_frame=0)
    await moves.join(name, [participant("leg1")], origin_frame=0)
    for part, client in enumerate((clients[0], clients[-1], clients[1], clients[0])):
        await say(stays, "leg0", 0, part * SECOND, (part + 1) * SECOND)
        await say(moves, "leg1", 1, part * SECOND, (part + 1) * SECOND)
        sent = moves.sent
        moves.cancel()
        again = Stream(client, tenant.metadata)
        await again.resume(moves.stream_id)
        for sequence in range(again.sequence, max(sent) + 1):
            await again.write(sent[sequence])
        again.sequence, again.sent, moves = max(sent) + 1, sent, again
    recording = await close_all([stays, moves])
    expected = np.stack([VOICES[0], VOICES[1], np.zeros_like(VOICES[0])])
    np.testing.assert_array_equal(channels_of(ring.nodes[0], recording, tenant), expected)


async def test_join_that_is_repeated_on_another_node_goes_on_with_the_first(
    clients: list[Client], tenant: Tenant
) -> None:
    """The answer was lost: sent again it makes no second stream."""
    name = f"room {uuid.uuid4()}"
    first = Stream(clients[0], tenant.metadata)
    opened = await first.join(name, [participant("leg0")], ncco=SPLIT, origin_frame=0)
    first.cancel()
    again = Stream(clients[1], tenant.metadata)
    same = await again.join(name, [participant("leg0")], stream_id=first.stream_id, ncco=SPLIT, origin_frame=0)
    assert (same.conversation_id, same.next_sequence) == (opened.conversation_id, 2)
    await close_all([again])


async def test_nodes_that_begin_the_same_conference_at_the_same_instant_yield_one_owner(
    clients: list[Client], tenant: Tenant
) -> None:
    """Ten times two streams on every node at once: one conversation each time."""
    for _ in range(10):
        name = f"room {uuid.uuid4()}"
        streams = [Stream(client, tenant.metadata) for client in (*clients, *clients)]
        joins = [
            stream.join(name, [participant(f"leg{number}")], ncco=SPLIT, origin_frame=0)
            for number, stream in enumerate(streams)
        ]
        opened = await asyncio.gather(*joins)
        assert len({one.conversation_id for one in opened}) == len({one.recording.recording_id for one in opened}) == 1
        await close_all(streams)


async def test_name_that_is_free_again_belongs_to_the_next_node(clients: list[Client], tenant: Tenant) -> None:
    """One conference after the other under one name, on one node after the other; nobody waits for the former one."""
    name, seen = f"room {uuid.uuid4()}", set()
    for client in (*clients, *clients):
        stream = Stream(client, tenant.metadata)
        opened = await stream.join(name, [participant("leg0")], ncco=SPLIT, origin_frame=0)
        await say(stream, "leg0", 0, 0, CHUNK)
        assert (await close_all([stream])).state == AVAILABLE
        await stream.until("ended")
        seen.add(opened.conversation_id)
    assert len(seen) == 2 * len(clients)


async def test_recording_on_demand_is_started_and_stopped_on_any_node(
    ring: Ring, clients: list[Client], tenant: Tenant
) -> None:
    """By RPC and by PUT; another application's conference is not found anywhere."""
    stream = Stream(clients[0], tenant.metadata)
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("leg0")], record=ON_DEMAND)
    there = opened.conversation_id
    for client in clients[1:]:
        start = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=there)
        start.ncco.update(SPLIT)
        started = await client.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
        assert (await stream.until("started")).started.recording.recording_id == started.recording.recording_id
        stop = recording_service_pb2.StopConferenceRecordingRequest(conversation_id=there)
        await client.recordings.StopConferenceRecording(stop, metadata=tenant.metadata)
        assert (await stream.completed()).options.format == recording_pb2.FILE_FORMAT_WAV
    stranger = (await clients[1].create_tenant(ring.admin_token)).token()
    # A new connection each time: workers share the port.
    for node in ring.nodes * 3:
        put = {"action": "start", "format": "wav", "split": "conversation"}
        assert await asyncio.to_thread(put_to, node.http_port, there, tenant.token(), put) == (204, {})
        assert (await stream.until("started")).started.recording.options.channels == 2
        stop_it = {"action": "stop"}
        assert await asyncio.to_thread(put_to, node.http_port, there, tenant.token(), stop_it) == (204, {})
        await stream.completed()
        for token, body, expected in (
            (tenant.token(), stop_it, "RECORDING_NOT_FOUND"),
            (stranger, put, "CONFERENCE_NOT_FOUND"),
        ):
            status, problem = await asyncio.to_thread(put_to, node.http_port, there, token, body)
            assert (status, problem["reason"]) == (404, expected)
    await stream.close()
    await stream.until("ended")


async def test_stream_and_conference_of_another_application_are_not_found_on_any_node(
    ring: Ring, clients: list[Client], tenant: Tenant
) -> None:
    """The same name is another conference; a stream id cannot be resumed by a stranger."""
    name = f"room {uuid.uuid4()}"
    stream = Stream(clients[0], tenant.metadata)
    opened = await stream.join(name, [participant("leg0")], ncco=SPLIT)
    stranger = await clients[1].create_tenant(ring.admin_token)
    for client in clients:
        not_found = (grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")
        assert await refusal(Stream(client, stranger.metadata), resume=stream.stream_id) == not_found
    own = Stream(clients[1], stranger.metadata)
    assert (await own.join(name, [participant("leg0")], ncco=SPLIT)).conversation_id != opened.conversation_id
    await close_all([own])
    await close_all([stream])

"""The node that has a conference is killed, stopped in order, or gone for good."""

import asyncio
import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.e2e.test_conference_control import put_to
from tests.e2e.test_conference_nodes import SECOND, SPLIT, VOICES, channels_of, close_all, say
from tests.harness.client import Client, Tenant, reason, retry_after_s
from tests.harness.conference import Stream, participant
from tests.harness.fleet import Fleet
from tests.harness.ring import Ring, own_nodes, shared_settings
from tests.harness.server import Server

from recorder.v1 import recorder_service_pb2, recording_pb2, recording_service_pb2

LEASE_S = 2.0
AWAY = (grpc.StatusCode.UNAVAILABLE, "OWNER_AWAY")
ON_DEMAND = recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    """Two nodes on PostgreSQL that may be killed."""
    with own_nodes(tmp_path, 2) as ring:
        yield ring


@pytest.fixture
async def clients(ring: Ring) -> AsyncIterator[list[Client]]:
    """One client a node."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(node.grpc_port)) for node in ring.nodes]


@pytest.fixture
async def tenant(ring: Ring, clients: list[Client]) -> Tenant:
    """A fresh application."""
    return await clients[1].create_tenant(ring.admin_token)


def server(ring: Ring, index: int) -> Server:
    found = ring.nodes[index].server
    assert found is not None
    return found


async def begun(clients: list[Client], tenant: Tenant, name: str) -> list[Stream]:
    """Let one stream in by each node, the owner's first, and talk for a second."""
    streams = [Stream(client, tenant.metadata) for client in clients]
    for number, stream in enumerate(streams):
        await stream.join(name, [participant(f"leg{number}")], ncco=SPLIT, origin_frame=0)
    for number, stream in enumerate(streams):
        await say(stream, f"leg{number}", number, 0, SECOND)
        await stream.until_acknowledged(stream.sequence - 1)
    return streams


async def refused(error: "asyncio.Future[object] | object") -> tuple[grpc.StatusCode, str]:
    """Return code and reason of a refusal that says when to try again."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await error  # type: ignore[misc] # an awaitable of any kind
    assert retry_after_s(caught.value) > 0
    return caught.value.code(), reason(caught.value)


async def resumed(client: Client, tenant: Tenant, before: Stream) -> Stream:
    """Resume, as often as it takes, and send again what is asked for."""
    while True:
        stream = Stream(client, tenant.metadata)
        try:
            await stream.resume(before.stream_id)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            continue
        assert stream.sequence > before.acknowledged
        for sequence in range(stream.sequence, max(before.sent) + 1):
            await stream.write(before.sent[sequence])
        stream.sequence, stream.sent = max(before.sent) + 1, before.sent
        return stream


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_conference_of_a_node_that_comes_back_goes_on_where_it_was(
    ring: Ring, clients: list[Client], tenant: Tenant, how: signal.Signals
) -> None:
    """Meanwhile whatever concerns it is UNAVAILABLE with RetryInfo on the other node; then all is as before."""
    name = f"room {uuid.uuid4()}"
    streams = await begun(clients, tenant, name)
    there = (await Stream(clients[1], tenant.metadata).join(name, [participant("third")])).conversation_id
    server(ring, 0).send_signal(how)
    await asyncio.to_thread(server(ring, 0).wait)
    for stream in streams:
        stream.cancel()
    late = Stream(clients[1], tenant.metadata)
    assert await refused(late.join(name, [participant("late")])) == AWAY
    assert await refused(Stream(clients[1], tenant.metadata).resume(streams[1].stream_id)) == AWAY
    start = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=there)
    assert await refused(clients[1].recordings.StartConferenceRecording(start, metadata=tenant.metadata)) == AWAY
    put = {"action": "stop"}
    status, problem = await asyncio.to_thread(put_to, ring.nodes[1].http_port, there, tenant.token(), put)
    assert (status, problem["reason"]) == (503, "OWNER_AWAY")
    assert server(ring, 0).start(keep_ports=True)["recovered_recordings"] == 1
    async with Client(server(ring, 0).ports.grpc) as back, asyncio.timeout(60):
        # Crosswise: each by the node that it was not on.
        again = [
            await resumed(client, tenant, stream) for client, stream in zip((clients[1], back), streams, strict=True)
        ]
        late = Stream(clients[1], tenant.metadata)
        assert (await late.join(name, [participant("late")], ncco=SPLIT)).conversation_id == there
        for number, stream in enumerate(again):
            await say(stream, f"leg{number}", number, SECOND, 2 * SECOND)
        await late.close()
        stop = recording_service_pb2.StopConferenceRecordingRequest(conversation_id=there)
        for stream in again:
            await stream.until_acknowledged(stream.sequence - 1)
        await clients[1].recordings.StopConferenceRecording(stop, metadata=tenant.metadata)
        recording = await again[0].completed()
    channels = channels_of(ring.nodes[1], recording, tenant)
    for number in range(2):
        np.testing.assert_array_equal(channels[number, : 2 * SECOND], VOICES[number][: 2 * SECOND])


async def test_name_of_a_node_that_stays_away_is_free_when_its_lease_is_over(
    ring: Ring, clients: list[Client], tenant: Tenant
) -> None:
    """Until then OWNER_AWAY; then another conference. What was acknowledged is finished when the first node is back."""
    name = f"room {uuid.uuid4()}"
    streams = await begun(clients, tenant, name)
    first = streams[0].responses[0].opened
    server(ring, 0).kill()
    answers = []
    async with asyncio.timeout(30):
        while True:
            again = Stream(clients[1], tenant.metadata)
            try:
                opened = await again.join(name, [participant("leg1")], ncco=SPLIT, origin_frame=0)
            except grpc.aio.AioRpcError as error:
                answers.append((error.code(), reason(error)))
                await asyncio.sleep(0.1)
            else:
                break
    assert set(answers) == {AWAY}
    assert opened.conversation_id != first.conversation_id
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await Stream(clients[1], tenant.metadata).resume(streams[0].stream_id)
    assert reason(gone.value) == "STREAM_NOT_FOUND"
    server(ring, 0).start(keep_ports=True)
    interrupted = await clients[1].ended(tenant, first.recording.recording_id, timeout_s=30)
    assert interrupted.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    channels = channels_of(ring.nodes[1], interrupted, tenant)
    for number in range(2):
        np.testing.assert_array_equal(channels[number], VOICES[number][:SECOND])
    # The one that was away asks the new owner, too.
    async with Client(server(ring, 0).ports.grpc) as back:
        stream = Stream(back, tenant.metadata)
        there = await stream.join(name, [participant("leg0")], ncco=SPLIT, origin_frame=0)
        assert there.conversation_id == opened.conversation_id
        await say(stream, "leg0", 0, 0, SECOND)
        await say(again, "leg1", 1, 0, SECOND)
        recording = await close_all([stream, again])
    np.testing.assert_array_equal(
        channels_of(ring.nodes[1], recording, tenant)[:2], np.stack([VOICES[1], VOICES[0]])[:, :SECOND]
    )


async def test_conference_of_a_killed_worker_goes_on_when_it_is_back(tmp_path: Path) -> None:
    """`--workers 2`: the supervisor starts it again; both streams resume by the other worker, into one file."""
    environment = {"RECORDER_LEASE_S": "2", "RECORDER_DRAIN_GRACE_S": "0.5", "RECORDER_RENDER_THREADS": "1"}
    with Fleet(tmp_path / "data", 2, environment=environment) as fleet:
        async with Client(fleet.workers[0].port) as owner, Client(fleet.workers[1].port) as other:
            tenant = await other.create_tenant(fleet.admin_token)
            streams = await begun([owner, other], tenant, f"room {uuid.uuid4()}")
            fleet.kill_worker(0)
            for stream in streams:
                stream.cancel()
            async with asyncio.timeout(60):
                again = [await resumed(other, tenant, stream) for stream in streams]
            for number, stream in enumerate(again):
                await say(stream, f"leg{number}", number, SECOND, 2 * SECOND)
            recording = await close_all(again)
            assert recording.file.frames == 2 * SECOND
            assert [leg.frames for leg in recording.legs] == [2 * SECOND, 2 * SECOND]


async def test_put_on_a_node_that_does_not_record_reaches_the_one_that_does(tmp_path: Path) -> None:
    """`--role http`: 204 and the recording runs; a conference that no node has is 404 there, too."""
    settings = shared_settings(tmp_path)
    url = {"RECORDER_PUBLIC_URL": "http://127.0.0.1:1"}
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(Server(tmp_path / "http", arguments=["--role", "http"], environment=settings))
        ingest = Server(tmp_path / "ingest", arguments=["--role", "ingest"], environment=settings | url)
        stack.enter_context(ingest)
        async with Client(ingest.ports.grpc) as sender, Client(http.ports.grpc) as reader:
            tenant = await reader.create_tenant(settings["RECORDER_ADMIN_TOKEN"])
            stream = Stream(sender, tenant.metadata)
            opened = await stream.join(f"room {uuid.uuid4()}", [participant("leg0")], record=ON_DEMAND)
            there, token = opened.conversation_id, tenant.token()

            async def put(conversation_id: str, **body: str) -> tuple[int, str]:
                status, problem = await asyncio.to_thread(put_to, http.ports.http, conversation_id, token, body)
                return status, problem.get("reason", "")

            assert await put(f"CON-{uuid.uuid4()}", action="start") == (404, "CONFERENCE_NOT_FOUND")
            assert await put(there, action="start", format="wav") == (204, "")
            started = (await stream.until("started")).started.recording
            assert started.options.format == recording_pb2.FILE_FORMAT_WAV
            assert await put(there, action="stop") == (204, "")
            assert (await stream.completed()).recording_id == started.recording_id
            assert await put(there, action="stop") == (404, "RECORDING_NOT_FOUND")
            start = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=there)
            await reader.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
            await stream.until("started")
            ingest.kill()
            assert await put(there, action="stop") == (503, "OWNER_AWAY")

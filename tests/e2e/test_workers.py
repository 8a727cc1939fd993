"""Several nodes behind one port: a call may land anywhere, and whatever concerns it reaches the node that has it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.harness.client import Call, Client, Tenant, bearer, leg, pieces, reason
from tests.harness.fleet import Fleet, resumed
from tests.harness.speech import speech

from recorder.v1 import event_pb2, recording_pb2, recording_service_pb2

WAV = {"action": "record", "format": "wav"}
PCM = speech(4)
SCRIPT = list(pieces({"caller": (16_000, 2)}, chunk_ms=20, caller=PCM.tobytes()))
AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE
ENVIRONMENT = {"RECORDER_LEASE_S": "2", "RECORDER_DRAIN_GRACE_S": "5", "RECORDER_RENDER_THREADS": "1"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three workers; in the end they go down in order."""
    with Fleet(tmp_path_factory.mktemp("fleet") / "data", 3, environment=ENVIRONMENT) as fleet:
        yield fleet
        assert fleet.terminate() == 0


@pytest.fixture
async def nodes(fleet: Fleet) -> AsyncIterator[list[Client]]:
    """A client of each of the first two workers, by their own ports."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(worker.port)) for worker in fleet.workers[:2]]


@pytest.fixture
async def tenant(fleet: Fleet) -> Tenant:
    """A fresh application, made on any node."""
    async with Client(fleet.ports.grpc) as client:
        return await client.create_tenant(fleet.admin_token)


async def undisturbed(client: Client, tenant: Tenant) -> str:
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.follow(SCRIPT)
    return (await call.hang_up()).file.sha256


def request(kind: str, call: Call) -> Any:
    return getattr(recording_service_pb2, f"{kind}RecordingRequest")(recording_id=call.recording_id)


async def test_calls_spread_over_the_workers(fleet: Fleet, tenant: Tenant) -> None:
    """Of 24 connections to the one port each worker gets some; every call is counted once."""
    async with contextlib.AsyncExitStack() as stack:
        calls = []
        for _ in range(24):
            client = await stack.enter_async_context(Client(fleet.ports.grpc))
            calls.append(await client.call(tenant, legs=[leg()], ncco=WAV))
        live = await asyncio.to_thread(fleet.samples, "recorder_live_recordings")
        assert sum(live.values()) == 24
        assert set(live) == {"1", "2", "3"}
        assert min(live.values()) > 0
        for call in calls:
            await call.hang_up()


async def test_stop_pause_and_resume_reach_the_owner_from_another_node(nodes: list[Client], tenant: Tenant) -> None:
    """The call's own stream is told, and what the pause covers is not in the file."""
    owner, other = nodes
    call = await owner.call(tenant, legs=[leg()], ncco=WAV)
    await call.follow(SCRIPT, upto=50)
    await call.acknowledged(51)
    paused = await other.recordings.PauseRecording(request("Pause", call), metadata=tenant.metadata)
    assert paused.recording.state == recording_pb2.RECORDING_STATE_PAUSED
    gone_on = await other.recordings.ResumeRecording(request("Resume", call), metadata=tenant.metadata)
    assert gone_on.recording.state == recording_pb2.RECORDING_STATE_RECORDING
    assert len(gone_on.recording.pauses) == 1
    await other.recordings.StopRecording(request("Stop", call), metadata=tenant.metadata)
    recording = await call.completed()
    assert (recording.state, recording.stop_reason) == (AVAILABLE, recording_pb2.STOP_REASON_REQUESTED)
    again = await other.recordings.StopRecording(request("Stop", call), metadata=tenant.metadata)
    assert again.recording.state == AVAILABLE


async def test_refusal_of_the_owner_comes_back_as_it_is(nodes: list[Client], tenant: Tenant) -> None:
    """Code, message, reason and details; a live recording cannot be deleted from anywhere."""
    owner, other = nodes
    call = await owner.call(tenant, legs=[leg()], ncco=WAV)
    for client in nodes:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.recordings.DeleteRecording(request("Delete", call), metadata=tenant.metadata)
        assert reason(refused.value) == "RECORDING_LIVE"
    wrong = recording_service_pb2.PauseRecordingRequest(recording_id=call.recording_id, mode=99)  # type: ignore[arg-type]
    refusals = []
    for client in nodes:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.recordings.PauseRecording(wrong, metadata=tenant.metadata)
        refusals.append((refused.value.code(), refused.value.details(), reason(refused.value)))
    assert refusals[0] == refusals[1]
    await call.hang_up()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await other.recordings.PauseRecording(request("Pause", call), metadata=tenant.metadata)
    assert reason(ended.value) == "RECORDING_NOT_LIVE"


async def test_tenants_stay_apart_across_nodes(nodes: list[Client], fleet: Fleet, tenant: Tenant) -> None:
    """Another application's recording is not found, wherever it is asked for."""
    owner, other = nodes
    call = await owner.call(tenant, legs=[leg()], ncco=WAV)
    stranger = await other.create_tenant(fleet.admin_token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await other.recordings.StopRecording(request("Stop", call), metadata=stranger.metadata)
    assert reason(refused.value) == "RECORDING_NOT_FOUND"
    thief = Call(other, stranger.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await thief.resume(call.recording_id)
    assert reason(refused.value) == "RECORDING_NOT_FOUND"
    await call.hang_up()


async def test_stream_resumed_on_another_node_is_passed_on_to_its_owner(nodes: list[Client], tenant: Tenant) -> None:
    """Cut three times, resumed here and there: the file is bit for bit the undisturbed one."""
    call = await nodes[0].call(tenant, legs=[leg()], ncco=WAV)
    recording_id = call.recording_id
    for upto, client in ((30, nodes[1]), (80, nodes[0]), (140, nodes[1])):
        await call.follow(SCRIPT, upto=upto)
        call.cancel()
        call = Call(client, tenant.metadata)
        await call.resume(recording_id)
    await call.follow(SCRIPT)
    recording = await call.hang_up()
    assert recording.file.sha256 == await undisturbed(nodes[0], tenant)


async def test_start_repeated_on_another_node_goes_on_with_the_first(nodes: list[Client], tenant: Tenant) -> None:
    """The answer to a start was lost: sent again it makes no second recording."""
    first = await nodes[0].call(tenant, legs=[leg()], ncco=WAV)
    first.cancel()
    again = Call(nodes[1], tenant.metadata)
    opened = await again.open(legs=[leg()], ncco=WAV, recording_id=first.recording_id)
    assert opened.next_sequence == 2
    await again.follow(SCRIPT)
    assert (await again.hang_up()).file.sha256 == await undisturbed(nodes[1], tenant)


async def test_events_of_every_node_are_seen_on_every_node(nodes: list[Client], tenant: Tenant) -> None:
    """A subscription on each node shows the recordings of both, each in order."""
    ends: list[str] = []
    async with (
        nodes[0].subscribe(tenant.metadata) as first,
        nodes[1].subscribe(tenant.metadata) as second,
    ):
        for client in nodes:
            call = await client.call(tenant, legs=[leg()], ncco=WAV)
            await call.follow(SCRIPT, upto=20)
            ends.append((await call.hang_up()).recording_id)
        for feed in (first, second):
            seen: dict[str, list[int]] = {recording_id: [] for recording_id in ends}
            while not all(types[-1:] == [event_pb2.EVENT_TYPE_RECORDING_COMPLETED] for types in seen.values()):
                event = await feed.next()
                seen[event.recording.recording_id].append(event.type)
            assert all(types == sorted(types) and len(types) == 3 for types in seen.values()), seen


async def test_word_of_a_node_without_the_secret_is_refused(nodes: list[Client], tenant: Tenant) -> None:
    """Nobody can speak for a caller by sending what nodes send each other."""
    listing = recording_service_pb2.ListRecordingsRequest()
    for metadata in ((("recorder-cluster", "x"),), (("recorder-cluster", "x"), *tenant.metadata)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await nodes[0].recordings.ListRecordings(listing, metadata=metadata)
        assert reason(refused.value) == "INVALID_TOKEN"


async def test_killed_worker_comes_back_and_its_calls_go_on_bit_for_bit(fleet: Fleet, tenant: Tenant) -> None:
    """SIGKILL in the middle of a call; until the owner is back a resume is UNAVAILABLE and says when to try again."""
    async with Client(fleet.workers[2].port) as owner, Client(fleet.workers[0].port) as other:
        call = await owner.call(tenant, legs=[leg()], ncco=WAV)
        await call.follow(SCRIPT, upto=90)
        await call.acknowledged(60)
        before = len(fleet.came_back())
        fleet.kill_worker(2)
        call.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await Call(other, tenant.metadata).resume(call.recording_id)
        assert (away.value.code(), reason(away.value)) == (grpc.StatusCode.UNAVAILABLE, "OWNER_AWAY")
        assert _retry_after_s(away.value) > 0
        expected = await undisturbed(other, tenant)
    async with asyncio.timeout(30):
        client, resumption, reasons = await resumed(fleet.ports.grpc, tenant, call.recording_id, call.ledger)
    assert set(reasons) <= {"OWNER_AWAY", ""}
    assert resumption.sequence > call.ledger.acknowledged
    async with client:
        await resumption.follow(SCRIPT)
        assert (await resumption.hang_up()).file.sha256 == expected
    assert len(fleet.came_back()) == before + 1


async def test_fleet_drains_and_its_recordings_go_on_after_the_next_start(tmp_path: Path) -> None:
    """SIGTERM to the supervisor alone: a call that hangs up completes, the other is resumed after the restart."""
    with Fleet(tmp_path / "data", 2, environment=ENVIRONMENT | {"RECORDER_DRAIN_GRACE_S": "3"}) as fleet:
        async with contextlib.AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Client(worker.port)) for worker in fleet.workers]
            tenant = await nodes[0].create_tenant(fleet.admin_token)
            ending, staying = [await client.call(tenant, legs=[leg()], ncco=WAV) for client in nodes]
            for call in (ending, staying):
                await call.follow(SCRIPT, upto=100)
            fleet.send_signal(signal.SIGTERM)
            await ending.until("drain")
            await ending.follow(SCRIPT)
            whole = await ending.hang_up()
            assert whole.state == AVAILABLE
            assert await asyncio.to_thread(fleet.wait) == 0
        fleet.start(keep_ports=True)
        client, call, _ = await resumed(fleet.ports.grpc, tenant, staying.recording_id, staying.ledger)
        async with client:
            await call.follow(SCRIPT)
            assert (await call.hang_up()).file.sha256 == whole.file.sha256
        began_s = time.monotonic()
        assert fleet.terminate() == 0
        assert time.monotonic() - began_s < 10


async def test_admin_sees_all_nodes_as_one_service(fleet: Fleet, nodes: list[Client], tenant: Tenant) -> None:
    """A recording of one node is listed on the other."""
    call = await nodes[0].call(tenant, legs=[leg()], ncco=WAV)
    listing = recording_service_pb2.ListRecordingsRequest(application_id=tenant.application_id)
    listed = await nodes[1].recordings.ListRecordings(listing, metadata=bearer(fleet.admin_token))
    assert [recording.recording_id for recording in listed.recordings] == [call.recording_id]
    await call.hang_up()


def _retry_after_s(error: grpc.aio.AioRpcError) -> float:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # the stubs know only the calls of threads
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)


async def test_smaller_fleet_finishes_what_the_workers_before_it_left(tmp_path: Path) -> None:
    """Of three workers two are left: the journal of the third is finished by itself."""
    environment = ENVIRONMENT | {"RECORDER_DRAIN_GRACE_S": "0"}
    with Fleet(tmp_path / "data", 3, environment=environment) as fleet:
        async with Client(fleet.workers[2].port) as client:
            tenant = await client.create_tenant(fleet.admin_token)
            call = await client.call(tenant, legs=[leg()], ncco=WAV)
            await call.follow(SCRIPT, upto=100)
            await call.acknowledged(101)
        assert await asyncio.to_thread(fleet.terminate) == 0
    with Fleet(tmp_path / "data", 2, environment=environment) as smaller:
        async with Client(smaller.ports.grpc) as client:
            recording = await client.ended(tenant, call.recording_id, timeout_s=60)
        assert (recording.state, recording.file.duration.ToMilliseconds()) == (AVAILABLE, 2000)

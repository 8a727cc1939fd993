"""Streams of conferences that nobody knows any more: after a kill while nothing was recorded, and after the end."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.harness.client import Client as RawClient
from tests.harness.client import Tenant, reason
from tests.harness.conference import Stream, participant
from tests.harness.fault_proxy import FaultProxy
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.channel import connect
from recorder.conference import Conference
from recorder.resuming import CallSettings
from recorder.v1 import recorder_service_pb2, recording_service_pb2

SECOND = 16_000
A, B, C = (speech(8, first=first)[: 8 * SECOND] for first in (0, 7, 14))
ON_DEMAND = recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND
SETTINGS = CallSettings(ack_interval_ms=50, reconnect_for_s=40)
SPLIT: dict[str, Any] = {"action": "record", "format": "wav", "split": "conversation", "channels": 3}


def joining(name: str, *legs: recorder_service_pb2.JoinLeg, **how: object) -> recorder_service_pb2.JoinConference:
    """Describe a stream whose positions are those of the conference."""
    join = recorder_service_pb2.JoinConference(name=name, legs=legs, origin_frame=0, **how)  # type: ignore[arg-type]
    join.ncco.update(SPLIT)
    return join


async def until_opened(conference: Conference) -> recorder_service_pb2.ConferenceOpened:
    """Wait for the server's next answer to an opening."""
    async with asyncio.timeout(40):
        async for event in conference:
            if event.HasField("opened"):
                return event.opened
    raise AssertionError("the stream ended")


async def tenant_of(server: Server) -> Tenant:
    """Create an application."""
    async with RawClient(server.ports.grpc) as client:
        return await client.create_tenant(server.admin_token)


async def left(client: RawClient, tenant: Tenant, recording_id: str, leg_id: str) -> None:
    """Wait until a leg has left."""
    wanted = recording_service_pb2.GetRecordingRequest(recording_id=recording_id)
    async with asyncio.timeout(20):
        while True:
            found = await client.recordings.GetRecording(wanted, metadata=tenant.metadata)
            [stay] = next(leg.stays for leg in found.recording.legs if leg.leg.leg_id == leg_id)
            if stay.HasField("left_frame"):
                return
            await asyncio.sleep(0.1)


async def kill(server: Server) -> None:
    """Kill the server and start it again where it was."""
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(partial(server.start, keep_ports=True))


async def test_conference_without_a_recording_comes_back_after_a_kill(tmp_path: Path) -> None:
    """By itself, with its legs as they were, on its own timeline; what was said meanwhile has its place too."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "data"))
        tenant = await tenant_of(server)
        client = await stack.enter_async_context(connect(f"127.0.0.1:{server.ports.grpc}", token=tenant.token()))
        first = await stack.enter_async_context(
            client.record_conference(joining("room", participant("a"), record=ON_DEMAND), SETTINGS)
        )
        second = await stack.enter_async_context(client.record_conference(joining("room", participant("b")), SETTINGS))
        before = [await until_opened(stream) for stream in (first, second)]
        ids = {first.stream_id, second.stream_id}
        await first.write({"a": A[:SECOND].tobytes()})
        await second.write({"b": B[:SECOND].tobytes()})
        await second.mute("b")
        await second.join(participant("c").leg, frame=SECOND)
        for stream in (first, second):
            await stream.durable()
        await kill(server)
        await first.write({"a": A[SECOND : 2 * SECOND].tobytes()})
        await second.write({"b": B[SECOND : 2 * SECOND].tobytes(), "c": C[SECOND : 2 * SECOND].tobytes()})
        after = [await until_opened(stream) for stream in (first, second)]
        assert {opened.conversation_id for opened in (*before, *after)} == {before[0].conversation_id}
        assert not ids & {first.stream_id, second.stream_id}
        assert [opened.origin_frame for opened in after] == [0, 0]
        async with RawClient(server.ports.grpc) as raw:
            start = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=after[0].conversation_id)
            await raw.recordings.StartConferenceRecording(start, metadata=tenant.metadata)
        await first.write({"a": A[2 * SECOND :].tobytes()})
        await second.write({"b": B[2 * SECOND :].tobytes(), "c": C[2 * SECOND :].tobytes()})
        await second.close()
        await first.close()
        assert (await first.ended()).conference_ended
        [recording] = first.recordings
        heard = wav_channels(await asyncio.to_thread(download, recording, tenant))
    channels = {leg.leg.leg_id: leg.channel for leg in recording.legs}
    # Whichever stream comes back first has the first channels.
    assert sorted(channels.values()) == [0, 1, 2]
    began_frame = 8 * SECOND - heard.shape[1]
    assert SECOND <= began_frame < 8 * SECOND
    for leg_id, said in {"a": A, "b": np.zeros_like(A), "c": C}.items():
        np.testing.assert_array_equal(heard[channels[leg_id]], said[began_frame:])


async def test_conference_whose_recording_was_stopped_is_not_recorded_again_after_a_kill(tmp_path: Path) -> None:
    """It comes back as the same conversation, and no recording begins by itself."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "data"))
        tenant = await tenant_of(server)
        client = await stack.enter_async_context(connect(f"127.0.0.1:{server.ports.grpc}", token=tenant.token()))
        stream = await stack.enter_async_context(client.record_conference(joining("room", participant("a")), SETTINGS))
        before = await until_opened(stream)
        assert before.HasField("recording")
        await stream.write({"a": A[:SECOND].tobytes()})
        await stream.stop()
        async with asyncio.timeout(20):
            async for event in stream:
                if event.HasField("completed"):
                    break
        await kill(server)
        after = await until_opened(stream)
        assert after.conversation_id == before.conversation_id
        assert not after.HasField("recording")
        await stream.write({"a": A[SECOND : 2 * SECOND].tobytes()})
        await stream.close()
        assert (await stream.ended()).conference_ended
        assert len(stream.recordings) == 1


async def test_stream_that_was_away_for_too_long_joins_the_conference_that_lives_on(tmp_path: Path) -> None:
    """Its leg left with the resume window and comes back into its channel; what it said meanwhile is there."""
    arguments = ["--resume-window-s", "0.5"]
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "data", arguments=arguments))
        proxy = stack.enter_context(FaultProxy(server.ports.grpc))
        tenant = await tenant_of(server)
        raw = await stack.enter_async_context(RawClient(server.ports.grpc))
        host = Stream(raw, tenant.metadata)
        opened = await host.join("room", [participant("host")], ncco=SPLIT, origin_frame=0)
        client = await stack.enter_async_context(connect(f"127.0.0.1:{proxy.port}", token=tenant.token()))
        guest = await stack.enter_async_context(
            client.record_conference(joining("room", participant("guest")), SETTINGS)
        )
        await until_opened(guest)
        await guest.write({"guest": A[:SECOND].tobytes()})
        await guest.durable()
        proxy.refuse()
        proxy.reset()
        await left(raw, tenant, opened.recording.recording_id, "guest")
        await guest.write({"guest": A[SECOND : 2 * SECOND].tobytes()})
        proxy.pass_through()
        await until_opened(guest)
        await guest.write({"guest": A[2 * SECOND : 3 * SECOND].tobytes()})
        await guest.close()
        await host.audio(host=(0, B[:SECOND].tobytes()))
        await host.close()
        recording = await host.completed()
        heard = wav_channels(await asyncio.to_thread(download, recording, tenant))
    assert [(leg.leg.leg_id, leg.channel, len(leg.stays)) for leg in recording.legs] == [
        ("host", 0, 1),
        ("guest", 1, 2),
    ]
    np.testing.assert_array_equal(heard[1], A[: 3 * SECOND])


async def test_stream_whose_conference_ended_without_it_learns_that(
    server: Server, client: RawClient, tenant: Tenant
) -> None:
    """It must not open another conference of that name; nobody else is told."""
    lost, moderator = Stream(client, tenant.metadata), Stream(client, tenant.metadata)
    await lost.join("room that ends", [participant("a")], origin_frame=0)
    await moderator.join("room that ends", [participant("m", end_on_exit=True)], origin_frame=0)
    lost.cancel()
    await moderator.leave("m", 0)
    assert (await moderator.until("ended")).ended.conference_ended
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await Stream(client, tenant.metadata).resume(lost.stream_id)
    assert reason(ended.value) == "CONFERENCE_NOT_FOUND"
    other = await client.create_tenant(server.admin_token)
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await Stream(client, other.metadata).resume(lost.stream_id)
    assert reason(foreign.value) == "STREAM_NOT_FOUND"

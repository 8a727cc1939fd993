"""The server is killed in the middle of a conference with ten senders: all resume, and nothing is missing."""

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.harness.client import Client, Tenant
from tests.harness.conference import Request, Stream, participant
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, media_pb2, recorder_service_pb2, recording_pb2

SENDERS = 10
SECONDS = 6
CHUNK = 1600
LEGS = [speech(SECONDS, first=3 * number) // 4 for number in range(SENDERS)]
NCCO = {"action": "record", "format": "wav", "split": "conversation", "channels": 12}


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that may be killed; its journal commits rarely, so that an early acknowledgement is found out."""
    environment = {"RECORDER_DRAIN_GRACE_S": "0.5", "RECORDER_COMMIT_INTERVAL_S": "0.3"}
    with Server(tmp_path / "data", environment=environment) as server:
        yield server


def script(number: int) -> list[Request]:
    """Return what one sender sends after `open`: audio, a leg that goes and comes back, a mute, `close`."""
    leg_id = f"leg{number}"
    requests = []
    for at in range(0, SECONDS * 16_000, CHUNK):
        if number == 4 and at == 3 * 16_000:
            requests.append(Request(leave_leg=recorder_service_pb2.LeaveLeg(leg_id=leg_id, frame=at)))
            requests.append(Request(join_leg=participant(leg_id, frame=at)))
        if number == 5 and at in {2 * 16_000, 4 * 16_000}:
            mute = recorder_service_pb2.MuteLeg(leg_id=leg_id, muted=at == 2 * 16_000, frame=at)
            requests.append(Request(mute_leg=mute))
        payload = LEGS[number][at : at + CHUNK].astype("<i2").tobytes()
        chunk = media_pb2.AudioChunk(leg_id=leg_id, start_frame=at, payload=payload)
        requests.append(Request(audio=media_pb2.Audio(chunks=[chunk])))
    requests.append(Request(close=recorder_service_pb2.CloseConference()))
    for index, request in enumerate(requests):
        request.sequence = index + 2
    return requests


SCRIPTS = [script(number) for number in range(SENDERS)]


async def opened(client: Client, tenant: Tenant, name: str) -> list[Stream]:
    streams = []
    for number in range(SENDERS):
        stream = Stream(client, tenant.metadata)
        # The last sender's leg also ends what nobody else ended.
        await stream.join(name, [participant(f"leg{number}")], ncco=NCCO, origin_frame=0)
        streams.append(stream)
    return streams


async def follow(streams: list[Stream], first: list[int], upto: int) -> None:
    """Send the scripts side by side from each stream's own place on."""
    for index in range(min(first), upto):
        for number, stream in enumerate(streams):
            if first[number] <= index < len(SCRIPTS[number]) - 1:
                await stream.write(SCRIPTS[number][index])


async def finish(streams: list[Stream]) -> recording_pb2.Recording:
    """Close one stream after the other; the last one hears of the file."""
    for number, stream in enumerate(streams[:-1]):
        await stream.write(SCRIPTS[number][-1])
        await stream.until("ended")
    await streams[-1].write(SCRIPTS[-1][-1])
    return await streams[-1].completed()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_killed_conference_gives_the_file_of_an_undisturbed_one(own_server: Server, how: signal.Signals) -> None:
    """Same bytes, same channel map, same story; nothing acknowledged is asked for again."""
    async with Client(own_server.ports.grpc) as client:
        tenant = await client.create_tenant(own_server.admin_token)
        calm = await opened(client, tenant, "calm")
        await follow(calm, [0] * SENDERS, 1000)
        expected = await finish(calm)
        streams = await opened(client, tenant, f"room {uuid.uuid4()}")
        await follow(streams, [0] * SENDERS, 35)
        await streams[0].until_acknowledged(20)
        own_server.send_signal(how)
        await asyncio.gather(*(down(stream) for stream in streams))
        own_server.wait()
    line = own_server.start(keep_ports=True)
    assert line["recovered_recordings"] == 1
    async with Client(own_server.ports.grpc) as client:
        resumed, first = [], []
        for stream in streams:
            again = Stream(client, tenant.metadata)
            answer = await again.resume(stream.stream_id)
            assert answer.next_sequence > stream.acknowledged
            first.append(answer.next_sequence - 2)
            resumed.append(again)
        await follow(resumed, first, 1000)
        recording = await finish(resumed)
        assert recording.file.frames == SECONDS * 16_000
        channels = wav_channels(download(recording, tenant))
        for number in range(SENDERS):
            if number != 5:
                np.testing.assert_array_equal(channels[number], LEGS[number])
        assert recording.file.sha256 == expected.file.sha256
        assert recording.legs == expected.legs
        told = await client.told(tenant, recording.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
        assert [event.recording_sequence for event in told] == list(range(1, len(told) + 1))
        joined = [event.leg.leg_id for event in told if event.type == event_pb2.EVENT_TYPE_LEG_JOINED]
        assert sorted(joined) == sorted([f"leg{number}" for number in range(SENDERS)] + ["leg4"])


async def down(stream: Stream) -> None:
    """Receive until the server is gone; whatever it acknowledges on the way counts."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while await stream.receive() is not None:
            pass

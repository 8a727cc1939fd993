"""Playing legs into a call, against a real gRPC server of the contract."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.clients.contract_server import ContractServer, serve

from recorder.channel import connect
from recorder.v1.recorder_service_pb2 import RecordCallRequest, StartCall
from recorder.wav import WavAudio
from recorder_service.cli.call_player import KeyPress, Script, play
from recorder_service.cli.record import announced

CALLER = WavAudio("linear16", 44_100, bytes(range(256)) * 345)
"""44160 frames: 1.0014 s."""
CALLEE = WavAudio("mulaw", 8000, bytes(range(250)) * 16)
"""4000 frames: 0.5 s."""


@pytest.fixture
async def server() -> AsyncIterator[ContractServer]:
    async for running in serve():
        yield running


async def played(
    server: ContractServer, script: Script, hang_up: asyncio.Event | None = None
) -> list[RecordCallRequest]:
    progress: list[int] = []
    start = StartCall(legs=announced(dict(script.legs)))
    async with connect(server.target, token="x") as client, client.record_call(start) as call:
        await play(call, script, hang_up or asyncio.Event(), progress.append)
        await call.completed()
    assert progress == sorted(progress)
    requests = server.recorder.recordings[call.recording_id].requests
    return [requests[sequence] for sequence in sorted(requests)]


def joined(requests: list[RecordCallRequest], leg_id: str, frame_bytes: int) -> bytes:
    data = bytearray()
    for request in requests:
        for chunk in request.audio.chunks:
            if chunk.leg_id == leg_id:
                assert chunk.start_frame * frame_bytes == len(data)
                data += chunk.payload
    return bytes(data)


@pytest.mark.parametrize("message_ms", [20, 100, 333])
async def test_every_sample_of_both_legs_is_sent_once(server: ContractServer, message_ms: int) -> None:
    """Legs of odd rates and lengths arrive whole, and the call is closed at the end of the longer one."""
    script = Script({"caller": CALLER, "callee": CALLEE}, message_ms=message_ms, speed=None)
    requests = await played(server, script)
    assert joined(requests, "caller", 2) == CALLER.payload
    assert joined(requests, "callee", 1) == CALLEE.payload
    assert requests[-1].close.frame == -(-44_160 * 16_000 // 44_100)


async def test_keys_are_sent_at_their_frames(server: ContractServer) -> None:
    """A key at 0.5 s of a 44.1 kHz leg is at frame 22050."""
    script = Script({"caller": CALLER}, [KeyPress(500, "#"), KeyPress(0, "1")], speed=None)
    keys = [request.dtmf for request in await played(server, script) if request.HasField("dtmf")]
    assert [(key.digit, key.frame, key.leg_id) for key in keys] == [("1", 0, "caller"), ("#", 22_050, "caller")]


async def test_speed_is_that_of_the_line(server: ContractServer) -> None:
    """One second of audio takes half a second at double speed."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await played(server, Script({"caller": CALLER}, speed=2.0))
    assert 0.5 <= loop.time() - began_s < 2.0


async def test_hang_up_ends_the_call_there_and_then(server: ContractServer) -> None:
    """What was not spoken yet is not sent, and close is at what was."""
    hang_up = asyncio.Event()
    asyncio.get_running_loop().call_later(0.35, hang_up.set)
    requests = await played(server, Script({"caller": CALLER}), hang_up)
    sent_frames = len(joined(requests, "caller", 2)) // 2
    assert 0 < sent_frames < 30_000
    assert requests[-1].close.frame == sent_frames * 16_000 // 44_100


async def test_recording_that_stopped_gets_nothing_more(server: ContractServer) -> None:
    """After `stopped` neither audio nor close is sent."""
    server.recorder.behaviour.stop_at = 3
    requests = await played(server, Script({"caller": CALLER}, speed=4.0))
    assert not any(request.HasField("close") for request in requests)
    assert len(requests) < 8

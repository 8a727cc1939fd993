"""Vonage's dial-in: real sockets, a real bridge, a real recorder."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.clients.bridges.bridge_process import (
    WAV,
    BridgeProcess,
    begun,
    capture,
    channels,
    conversation_id,
    ended,
    reference_sha256,
)
from tests.clients.conformance import Bench
from tests.harness.speech import speech
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from recorder.v1 import recording_pb2

FRAME_MS = 20


def greeting(conversation: str, rate_hz: int = 16_000, **headers: str) -> str:
    told = {"event": "websocket:connected", "content-type": f"audio/l16;rate={rate_hz}"}
    return json.dumps({**told, "conversation_uuid": conversation, **headers})


async def send_paced(connection: ClientConnection, pcm: bytes, rate_hz: int) -> None:
    """Send frames of 20 ms when they would have been spoken."""
    step = rate_hz * FRAME_MS // 1000 * 2
    began_s = asyncio.get_running_loop().time()
    for number, at in enumerate(range(0, len(pcm), step)):
        await asyncio.sleep(began_s + number * FRAME_MS / 1000 - asyncio.get_running_loop().time())
        await connection.send(pcm[at : at + step])


async def close_code(connection: ClientConnection) -> int | None:
    """Wait until the bridge closes."""
    async with asyncio.timeout(20):
        await connection.wait_closed()
    return connection.close_code


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000])
async def test_call_is_recorded_as_it_was_sent(bench: Bench, rate_hz: int) -> None:
    """Frames of 320, 640 and 960 bytes end up in the file that the same audio gives without a bridge."""
    pcm, conversation = speech(2, sample_rate_hz=rate_hz).tobytes(), conversation_id()
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        async with connect(bridge.url) as connection:
            await connection.send(greeting(conversation, rate_hz, customer="42"))
            for at in range(0, len(pcm), rate_hz // 25):
                await connection.send(pcm[at : at + rate_hz // 25])
        recording = await ended(bench, conversation)
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert recording.file.sha256 == await reference_sha256(
        bench, action=WAV, legs={"caller": pcm}, sample_rate_hz=rate_hz
    )
    assert (recording.metadata["customer"], recording.conversation_id) == ("42", conversation)


async def test_capture_from_the_documentation_is_recorded(bench: Bench) -> None:
    """Odd frame sizes, a key and notices in between leave the audio as it is."""
    pcm, conversation = speech(2).tobytes(), conversation_id()
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        async with connect(bridge.url) as connection:
            at = 0
            for message in capture("vonage"):
                if "text" in message:
                    await connection.send(json.dumps(message["text"]).replace("CONVERSATION", conversation))
                for _ in range(message.get("repeat", 1) if "audio_bytes" in message else 0):
                    await connection.send(pcm[at : at + message["audio_bytes"]])
                    at += message["audio_bytes"]
        recording = await ended(bench, conversation)
        assert "447700900000" not in bridge.log
    assert recording.file.sha256 == await reference_sha256(
        bench, action=WAV, legs={"caller": pcm[:at]}, sample_rate_hz=16_000
    )
    assert recording.metadata["prop1"] == "value1"


async def test_silence_of_the_sender_is_silence_in_the_file(bench: Bench) -> None:
    """A sender that sends nothing for a second leaves a second of zeros; what follows is whole."""
    pcm, conversation = speech(2), conversation_id()
    first, second = pcm[:16_000], pcm[16_000:]
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        async with connect(bridge.url) as connection:
            await connection.send(greeting(conversation))
            await send_paced(connection, first.tobytes(), 16_000)
            await asyncio.sleep(1.0)
            await send_paced(connection, second.tobytes(), 16_000)
        found = channels(bench, await ended(bench, conversation))[0]
    silent_frames = len(found) - len(pcm)
    # A busy machine may hold either side up; it never shortens the silence.
    assert 0.9 * 16_000 < silent_frames < 2.0 * 16_000
    np.testing.assert_array_equal(found[: len(first)], first)
    np.testing.assert_array_equal(found[len(first) + silent_frames :], second)
    assert not found[len(first) : len(first) + silent_frames].any()


async def test_key_ends_a_recording_and_the_bridge_hangs_up(bench: Bench) -> None:
    """With endOnKey the bridge closes in order once the recording has stopped."""
    conversation = conversation_id()
    with BridgeProcess(bench, "vonage", {**WAV, "endOnKey": "#"}) as bridge:
        async with connect(bridge.url) as connection:
            await connection.send(greeting(conversation))
            await send_paced(connection, speech(1).tobytes(), 16_000)
            await connection.send(json.dumps({"event": "websocket:dtmf", "digit": "#", "duration": 100}))
            assert await close_code(connection) == 1000
        recording = await ended(bench, conversation)
    assert recording.stop_reason == recording_pb2.STOP_REASON_KEY
    assert 15_000 <= recording.file.frames <= 32_000


async def test_broken_socket_interrupts_the_recording(bench: Bench) -> None:
    """What was sent before the break is in the file."""
    pcm, conversation = speech(1), conversation_id()
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        connection = await connect(bridge.url)
        await connection.send(greeting(conversation))
        await connection.send(pcm.tobytes())
        await begun(bench, conversation)
        connection.transport.abort()
        recording = await ended(bench, conversation)
        await connection.wait_closed()
    assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    np.testing.assert_array_equal(channels(bench, recording)[0], pcm)


GARBAGE: list[Sequence[str | bytes]] = [
    ["{"],
    ["[]"],
    [b"\x00\x01"],
    ["[" * 5000],
    [json.dumps({"event": "websocket:connected", "content-type": "audio/mp3"})],
    [json.dumps({"event": "websocket:connected", "content-type": "audio/l16;rate=44100"})],
    [json.dumps({"event": "start"})],
    [greeting("CON-x"), json.dumps({"event": "websocket:dtmf", "digit": "12"})],
    [greeting("CON-x"), "no JSON"],
]


async def test_garbage_is_refused_while_another_call_goes_on(bench: Bench) -> None:
    """Each is closed with 1008, and a message that is too large with 1009; the call beside is untouched."""
    pcm, conversation = speech(2).tobytes(), conversation_id()
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        async with connect(bridge.url) as good:
            await good.send(greeting(conversation))
            await good.send(pcm[:32_000])
            for messages in GARBAGE:
                async with connect(bridge.url) as bad:
                    for message in messages:
                        await bad.send(message)
                    assert await close_code(bad) == 1008
            async with connect(bridge.url) as large:
                await large.send(greeting("CON-x"))
                await large.send(bytes(100_000))
                assert await close_code(large) == 1009
            await good.send(pcm[32_000:])
        recording = await ended(bench, conversation)
    found = channels(bench, recording)[0].tobytes()
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert (found[:32_000], found[-len(pcm) + 32_000 :]) == (pcm[:32_000], pcm[32_000:])


async def test_full_bridge_answers_503(bench: Bench) -> None:
    """A server without room for more senders says 503 at once."""
    with BridgeProcess(bench, "vonage", WAV, ["--max-connections", "1"]) as bridge:
        async with connect(bridge.url) as first:
            conversation = conversation_id()
            await first.send(greeting(conversation))
            await begun(bench, conversation)
            with pytest.raises(Exception, match="503"):
                await connect(bridge.url)


async def test_server_that_refuses_closes_the_sender(bench: Bench) -> None:
    """An action that Recorder does not take ends the connection, and the log tells why."""
    with BridgeProcess(bench, "vonage", {"action": "record", "format": "ogg"}) as bridge:
        async with connect(bridge.url) as connection:
            await connection.send(greeting(conversation_id()))
            assert await close_code(connection) == 1008
        assert "UNSUPPORTED_FORMAT" in bridge.log or "INVALID_OPTION" in bridge.log


async def test_stopping_the_bridge_saves_what_runs(bench: Bench) -> None:
    """SIGTERM closes senders; what they sent is in the file."""
    pcm, conversation = speech(1), conversation_id()
    with BridgeProcess(bench, "vonage", WAV) as bridge:
        connection = await connect(bridge.url)
        await connection.send(greeting(conversation))
        await connection.send(pcm.tobytes())
        await begun(bench, conversation)
    with pytest.raises(ConnectionClosed):
        await connection.recv()
    np.testing.assert_array_equal(channels(bench, await ended(bench, conversation))[0][: len(pcm)], pcm)


def test_recorder_killed_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL and restart twice while a call goes on: every byte is in the file, and the sender notices nothing."""
    pcm, conversation = speech(6).tobytes(), conversation_id()

    async def send(own: Bench, bridge: BridgeProcess) -> None:
        async with connect(bridge.url) as connection:
            await connection.send(greeting(conversation))
            paced = asyncio.create_task(send_paced(connection, pcm, 16_000))
            for _ in range(2):
                await asyncio.sleep(1)
                await asyncio.to_thread(own.do, "kill_server")
            await paced

    async def call(own: Bench) -> recording_pb2.Recording:
        with BridgeProcess(own, "vonage", WAV) as bridge:
            await send(own, bridge)
            return await ended(own, conversation)

    with Bench(tmp_path) as own:
        recording = asyncio.run(call(own))
        found = channels(own, recording)[0].tobytes()
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    # What a busy machine delayed the sender by is silence; every byte is there, in order.
    assert not without_gaps(found, pcm).strip(b"\0")


def without_gaps(found: bytes, pcm: bytes) -> bytes:
    """Follow a file along what was sent, jumping over inserted silence; gives what is left of the file."""
    at = 0
    while at < len(pcm):
        if found[:640] == pcm[at : at + 640]:
            found, at = found[640:], at + 640
        else:
            gap = len(found) - len(found.lstrip(b"\0"))
            assert gap > 640, f"the file differs at {at} of {len(pcm)}"
            found = found[gap - gap % 2 :]
    return found

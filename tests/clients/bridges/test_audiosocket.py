"""Asterisk's AudioSocket: real sockets, a real bridge, a real recorder."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from tests.clients.bridges.bridge_process import WAV, BridgeProcess, capture, channels, reference_sha256
from tests.clients.conformance import Bench
from tests.harness.client import Client
from tests.harness.speech import speech

from recorder.v1 import recording_pb2

HANGUP, UUID, DTMF, SLIN8, SLIN16, ERROR = 0x00, 0x01, 0x03, 0x10, 0x12, 0xFF


def frame(kind: int, payload: bytes = b"") -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


@asynccontextmanager
async def dialled(bridge: BridgeProcess) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    yield reader, writer
    writer.transport.abort()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Wait until the bridge hangs up; gives what it said."""
    async with asyncio.timeout(20):
        return await reader.read()


async def ended(bench: Bench, recording_id: uuid.UUID) -> recording_pb2.Recording:
    async with Client(bench.server.ports.grpc) as client:
        return await client.ended(bench.tenant, str(recording_id), 30)


async def begun(bench: Bench, recording_id: uuid.UUID) -> None:
    async with Client(bench.server.ports.grpc) as client, asyncio.timeout(30):
        while True:
            try:
                await client.recording(bench.tenant, str(recording_id))
            except Exception:  # noqa: BLE001 - not there yet
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize(("kind", "rate_hz"), [(SLIN8, 8_000), (SLIN16, 16_000), (0x16, 48_000)])
async def test_call_is_recorded_under_its_uuid(bench: Bench, kind: int, rate_hz: int) -> None:
    """The file is the one that the same audio gives without a bridge."""
    pcm, call_id = speech(2, sample_rate_hz=rate_hz).tobytes(), uuid.uuid4()
    with BridgeProcess(bench, "audiosocket", WAV) as bridge:
        async with dialled(bridge) as (reader, writer):
            writer.write(frame(UUID, call_id.bytes))
            for at in range(0, len(pcm), rate_hz // 25):
                writer.write(frame(kind, pcm[at : at + rate_hz // 25]))
            writer.write(frame(HANGUP))
            assert await until_closed(reader) == frame(HANGUP)
        recording = await ended(bench, call_id)
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert recording.file.sha256 == await reference_sha256(
        bench, action=WAV, legs={"caller": pcm}, sample_rate_hz=rate_hz
    )


async def test_capture_from_the_documentation_is_recorded(bench: Bench) -> None:
    """UUID, audio, a key, audio, hang-up."""
    pcm, call_id, at = speech(4, sample_rate_hz=8_000).tobytes(), uuid.uuid4(), 0
    with BridgeProcess(bench, "audiosocket", WAV) as bridge:
        async with dialled(bridge) as (reader, writer):
            for message in capture("audiosocket"):
                for _ in range(message.get("repeat", 1)):
                    size = message.get("audio_bytes", 0)
                    payload = pcm[at : at + size] if size else bytes.fromhex(message.get("hex", ""))
                    writer.write(frame(message["kind"], call_id.bytes if "uuid" in message else payload))
                    at += size
            await until_closed(reader)
        recording = await ended(bench, call_id)
    assert recording.file.sha256 == await reference_sha256(
        bench, action=WAV, legs={"caller": pcm[:at]}, sample_rate_hz=8_000
    )


async def test_key_ends_a_recording_and_the_bridge_hangs_up(bench: Bench) -> None:
    """Asterisk sees a hang-up frame, and goes on in its dialplan."""
    call_id = uuid.uuid4()
    with BridgeProcess(bench, "audiosocket", {**WAV, "endOnKey": "#"}) as bridge:
        async with dialled(bridge) as (reader, writer):
            writer.write(frame(UUID, call_id.bytes) + frame(SLIN8, speech(1, sample_rate_hz=8_000).tobytes()))
            writer.write(frame(DTMF, b"#"))
            assert await until_closed(reader) == frame(HANGUP)
        recording = await ended(bench, call_id)
    assert recording.stop_reason == recording_pb2.STOP_REASON_KEY


@pytest.mark.parametrize("end", [b"", frame(ERROR, b"\x01"), b"\x10\x01"], ids=["reset", "error", "half a frame"])
async def test_broken_connection_interrupts_the_recording(bench: Bench, end: bytes) -> None:
    """What was sent before is in the file."""
    pcm, call_id = speech(1, sample_rate_hz=16_000), uuid.uuid4()
    with BridgeProcess(bench, "audiosocket", WAV) as bridge:
        async with dialled(bridge) as (_, writer):
            writer.write(frame(UUID, call_id.bytes) + frame(SLIN16, pcm.tobytes()) + end)
            await begun(bench, call_id)
        recording = await ended(bench, call_id)
    assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    np.testing.assert_array_equal(channels(bench, recording)[0], pcm)


async def test_garbage_is_refused_while_another_call_goes_on(bench: Bench) -> None:
    """HTTP, unknown kinds, half a UUID, another's UUID, and rates that nobody records end their connections only."""
    pcm, call_id = speech(2).tobytes(), uuid.uuid4()
    new = frame(UUID, uuid.uuid4().bytes)
    garbage = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        frame(0x55, b"abc"),
        frame(UUID, b"short"),
        frame(SLIN8, bytes(320)),
        frame(UUID, call_id.bytes),
        new + frame(0x18, bytes(320)),
        new + frame(SLIN8, bytes(320)) + frame(SLIN16, bytes(320)),
        frame(UUID, uuid.uuid4().bytes) + frame(SLIN8, bytes(320)) + frame(DTMF, b"12"),
    ]
    with BridgeProcess(bench, "audiosocket", WAV) as bridge:
        async with dialled(bridge) as (reader, writer):
            writer.write(frame(UUID, call_id.bytes) + frame(SLIN16, pcm[:32_000]))
            await begun(bench, call_id)
            for data in garbage:
                async with dialled(bridge) as (other_reader, other_writer):
                    other_writer.write(data)
                    other_writer.write_eof()
                    assert await until_closed(other_reader) == frame(HANGUP)
            writer.write(frame(SLIN16, pcm[32_000:]) + frame(HANGUP))
            await until_closed(reader)
        recording = await ended(bench, call_id)
    found = channels(bench, recording)[0].tobytes()
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert (found[:32_000], found[-32_000:]) == (pcm[:32_000], pcm[32_000:])


async def test_stopping_the_bridge_saves_what_runs(bench: Bench) -> None:
    """SIGTERM ends the call as a lost one; what was sent is in the file."""
    pcm, call_id = speech(1), uuid.uuid4()
    with BridgeProcess(bench, "audiosocket", WAV) as bridge:
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        writer.write(frame(UUID, call_id.bytes) + frame(SLIN16, pcm.tobytes()))
        await begun(bench, call_id)
    assert await until_closed(reader) == frame(HANGUP)
    writer.close()
    np.testing.assert_array_equal(channels(bench, await ended(bench, call_id))[0], pcm)

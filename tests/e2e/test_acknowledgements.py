"""Acknowledgements: cumulative, never decreasing, not too many, and numbers that fit are all that is taken."""

import asyncio

import grpc
import numpy as np
import pytest
from tests.harness.client import Call, Client, Request, Tenant, info, leg, pieces, reason
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import media_pb2, recording_pb2

WAV = {"action": "record", "format": "wav"}
PCM = speech(5)
FORMATS = {"caller": (16_000, 2)}
CHUNK_FRAMES = 1600
# A client's window for a stream: some dozens of acknowledgements.
NARROW = (("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0))


def acks(call: Call) -> list[int]:
    return [response.ack.sequence for response in call.responses if response.WhichOneof("payload") == "ack"]


async def test_acknowledgements_grow_up_to_the_last_request(client: Client, tenant: Tenant) -> None:
    """Each is greater than the one before, none names what was not sent, the last one covers `close`."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    receiving = asyncio.create_task(call.rest())
    await call.stream(caller=PCM[:32_000].tobytes(), speed=4, chunk_ms=20)
    last = await call.send(close=media_pb2.Close())
    await receiving
    told = acks(call)
    assert told == sorted(set(told))
    assert told[-1] == last
    assert len(told) > 3


async def test_acknowledgements_come_once_an_interval_at_most(client: Client, tenant: Tenant) -> None:
    """100 messages within 2 s and an interval of 400 ms: about five acknowledgements, not a hundred."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV, ack_interval_ms=400)
    receiving = asyncio.create_task(call.rest())
    await call.stream(caller=PCM[:32_000].tobytes(), speed=1, chunk_ms=20)
    count = len(acks(call))
    await call.send(close=media_pb2.Close())
    await receiving
    assert 2 <= count <= 6


async def test_acknowledgements_come_within_half_a_second_by_default(client: Client, tenant: Tenant) -> None:
    """Nobody has to send more to learn that what was sent is safe."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV, ack_interval_ms=None)
    sequence = await call.audio(caller=(0, PCM[:1600].tobytes()))
    async with asyncio.timeout(3):
        await call.acknowledged(sequence)
    assert call.arrived_s[-1] - call.arrived_s[0] < 1.5
    await call.hang_up()


async def test_request_that_comes_again_is_ignored(client: Client, tenant: Tenant) -> None:
    """Numbers seen before, with other audio in them, leave no trace."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    for payload in pieces(FORMATS, caller=PCM.tobytes()):
        sequence = await call.send(**payload)
        if sequence % 7 == 0:
            noise = media_pb2.AudioChunk(leg_id="caller", start_frame=20_000, payload=b"\x11\x22" * 1600)
            await call.write(Request(sequence=sequence - 3, audio=media_pb2.Audio(chunks=[noise])))
    recording = await call.hang_up()
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM)
    assert recording.legs[0].repeated_frames == 0


async def test_skipped_number_is_refused_with_the_expected_one(client: Client, tenant: Tenant) -> None:
    """OUT_OF_RANGE, SEQUENCE_GAP, and the number that is due; resuming there continues the recording."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:16_000].tobytes())
    due = call.sequence
    chunk = media_pb2.AudioChunk(leg_id="caller", start_frame=16_000, payload=PCM[16_000:17_600].tobytes())
    await call.write(Request(sequence=due + 2, audio=media_pb2.Audio(chunks=[chunk])))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.rest()
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert reason(refused.value) == "SEQUENCE_GAP"
    assert info(refused.value).metadata["expected_sequence"] == str(due)
    again = Call(client, tenant.metadata)
    assert (await again.resume(call.recording_id)).next_sequence == due
    await again.stream(caller=PCM[16_000:32_000].tobytes(), from_ms=1000)
    recording = await again.hang_up()
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM[:32_000])


async def test_wrong_audio_ends_the_stream_and_not_the_recording(client: Client, tenant: Tenant) -> None:
    """Each wrong message is refused with its reason, nothing of it is kept, and the recording can be resumed."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:16_000].tobytes())
    wrong = {
        "UNKNOWN_LEG": media_pb2.AudioChunk(leg_id="nobody", start_frame=16_000, payload=b"1234"),
        "PARTIAL_FRAME": media_pb2.AudioChunk(leg_id="caller", start_frame=16_000, payload=b"123"),
        "FRAME_OUT_OF_RANGE": media_pb2.AudioChunk(leg_id="caller", start_frame=-1, payload=b"12"),
    }
    for expected, chunk in wrong.items():
        good = media_pb2.AudioChunk(leg_id="caller", start_frame=16_000, payload=b"\x33\x33" * 160)
        await call.send(audio=media_pb2.Audio(chunks=[good, chunk]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.rest()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason(refused.value) == expected
        recording_id, call = call.recording_id, Call(client, tenant.metadata)
        await call.resume(recording_id)
    recording = await call.hang_up()
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM[:16_000])


async def test_chunk_more_than_an_hour_ahead_is_refused(client: Client, tenant: Tenant) -> None:
    """A position of 100 hours is a fault of the sender; the answer names the limit."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.audio(caller=(360_000 * 16_000, PCM[:320].tobytes()))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.rest()
    assert reason(refused.value) == "FRAME_OUT_OF_RANGE"
    assert info(refused.value).metadata["field"].endswith("start_frame")


async def test_stream_of_a_client_that_does_not_read_ends(server: Server, client: Client, tenant: Tenant) -> None:
    """Ten seconds after its window is full of answers; what came until then is recorded, as interrupted."""
    pcm = speech(60)
    async with Client(server.ports.grpc, options=NARROW) as careless:
        call = await careless.call(tenant, legs=[leg()], ncco=WAV)
        sending = asyncio.create_task(call.stream(caller=pcm.tobytes(), speed=1))
        recording = await client.ended(tenant, call.recording_id, 45)
        sending.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.rest()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(caught.value) == "WINDOW_EXCEEDED"
    assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    kept = wav_channels(download(recording, tenant))[0]
    assert len(kept) > 10 * 16_000
    assert len(kept) >= (call.ledger.acknowledged - 1) * CHUNK_FRAMES
    np.testing.assert_array_equal(kept, pcm[: len(kept)])

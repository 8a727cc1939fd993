"""Lost streams: the recording waits, goes on where it was, and is finished when nobody comes back."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.harness.client import Call, Client, Tenant, leg, pieces, reason
from tests.harness.files import download, wav_channels
from tests.harness.receiver import Receiver
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, media_pb2, recording_pb2, recording_service_pb2

PCM = speech(5)
OTHER = speech(5, first=7)
WAV = {"action": "record", "format": "wav"}
MP3 = {"action": "record", "split": "conversation"}
FORMATS = {"caller": (16_000, 2), "callee": (16_000, 2)}
SCRIPT = list(pieces(FORMATS, chunk_ms=20, caller=PCM.tobytes(), callee=OTHER.tobytes()))
INTERRUPTED = recording_pb2.STOP_REASON_INTERRUPTED


async def undisturbed(client: Client, tenant: Tenant, ncco: dict[str, Any]) -> str:
    """Return the hash of the file that the script gives without any trouble."""
    call = await client.call(tenant, ncco=ncco)
    await call.follow(SCRIPT)
    return (await call.hang_up()).file.sha256


async def lose(call: Call, how: str) -> None:
    """End the stream without `close`."""
    if how == "cancel":
        call.cancel()
        return
    await call.half_close()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.rest()
    assert ended.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(ended.value) == "CLOSE_EXPECTED"


@pytest.mark.parametrize("how", ["cancel", "half-close"])
async def test_lost_stream_ends_as_interrupted_with_all_that_was_acknowledged(
    client: Client, tenant: Tenant, how: str
) -> None:
    """After the resume window (2 s here) the file holds at least every acknowledged frame, and nothing invented."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:32_000].tobytes(), chunk_ms=20)
    await call.acknowledged(101)
    lost_s = time.monotonic()
    await lose(call, how)
    recording = await client.ended(tenant, call.recording_id)
    assert time.monotonic() - lost_s > 0.9
    assert (recording.state, recording.stop_reason) == (recording_pb2.RECORDING_STATE_AVAILABLE, INTERRUPTED)
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM[:32_000])


async def test_killed_client_leaves_a_recording_of_what_was_acknowledged(
    server: Server, client: Client, tenant: Tenant, tmp_path: Path
) -> None:
    """A client process is killed with SIGKILL in the middle of a call."""
    settings = {"port": server.ports.grpc, "token": tenant.token(), "pcm": str(tmp_path / "pcm")}
    (tmp_path / "pcm").write_bytes(PCM.tobytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.dying_client", json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    recording_id, acknowledged = await asyncio.to_thread(process.stdout.readline), 0
    while acknowledged < 60:
        acknowledged = int(await asyncio.to_thread(process.stdout.readline))
    process.kill()
    process.wait()
    process.stdout.close()
    recording = await client.ended(tenant, recording_id.strip())
    assert (recording.state, recording.stop_reason) == (recording_pb2.RECORDING_STATE_AVAILABLE, INTERRUPTED)
    pcm = wav_channels(download(recording, tenant))[0]
    # Request n of the client is the chunk of 20 ms that ends at frame (n - 1) * 320.
    assert (acknowledged - 1) * 320 <= len(pcm) <= len(PCM)
    np.testing.assert_array_equal(pcm, PCM[: len(pcm)])


@pytest.mark.parametrize("ncco", [WAV, MP3], ids=["wav", "mp3"])
async def test_resumed_recording_is_bit_for_bit_the_undisturbed_one(
    client: Client, tenant: Tenant, ncco: dict[str, Any]
) -> None:
    """Three cuts at any place; each time the client replays from the sequence the server asks for."""
    call = await client.call(tenant, ncco=ncco)
    recording_id = call.recording_id
    for upto in (37, 38, 171):
        await call.follow(SCRIPT, upto=upto)
        call.cancel()
        call = Call(client, tenant.metadata)
        opened = await call.resume(recording_id)
        assert 1 < opened.next_sequence <= upto + 2
    await call.follow(SCRIPT)
    recording = await call.hang_up()
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert recording.file.sha256 == await undisturbed(client, tenant, ncco)
    assert [part.repeated_frames for part in recording.legs] == [0, 0]


async def test_second_stream_fences_the_first(client: Client, tenant: Tenant) -> None:
    """The first is ended with STREAM_REPLACED; what it still sends is not in the file."""
    first = await client.call(tenant, ncco=WAV)
    await first.follow(SCRIPT, upto=50)
    second = Call(client, tenant.metadata)
    await second.resume(first.recording_id)
    with pytest.raises(grpc.aio.AioRpcError) as fenced:
        await first.rest()
    assert fenced.value.code() is grpc.StatusCode.ABORTED
    assert reason(fenced.value) == "STREAM_REPLACED"
    await second.follow(SCRIPT)
    assert (await second.hang_up()).file.sha256 == await undisturbed(client, tenant, WAV)


async def test_start_with_the_same_id_goes_on_with_the_recording(client: Client, tenant: Tenant) -> None:
    """A client that lost the answer to `open.start` sends it again and learns where it stands."""
    lost = await client.call(tenant, ncco=WAV)
    await lost.follow(SCRIPT, upto=50)
    await lost.acknowledged(51)
    lost.cancel()
    call = Call(client, tenant.metadata)
    opened = await call.open(recording_id=lost.recording_id, ncco=WAV)
    assert (opened.recording.recording_id, opened.next_sequence) == (lost.recording_id, 52)
    call.sequence = opened.next_sequence
    await call.follow(SCRIPT)
    recording = await call.hang_up()
    assert recording.file.sha256 == await undisturbed(client, tenant, WAV)
    listed = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    assert [event.recording_sequence for event in listed] == [1, 2, 3]


async def test_ended_recording_takes_no_more(client: Client, tenant: Tenant) -> None:
    """Neither by resume nor by start with its id."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:1600].tobytes())
    await call.hang_up()
    for opening in ("resume", "start"):
        again = Call(client, tenant.metadata)
        opened = again.resume(call.recording_id) if opening == "resume" else again.open(recording_id=call.recording_id)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await opened
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert reason(refused.value) == "RECORDING_NOT_LIVE"


async def test_recording_of_another_application_cannot_be_resumed(
    server: Server, client: Client, tenant: Tenant
) -> None:
    """Its id is not found, and starting with it is told to be taken."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    stranger = await client.create_tenant(server.admin_token)
    again = Call(client, stranger.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await again.resume(call.recording_id)
    assert reason(refused.value) == "RECORDING_NOT_FOUND"
    again = Call(client, stranger.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as taken:
        await again.open(recording_id=call.recording_id)
    assert (taken.value.code(), reason(taken.value)) == (grpc.StatusCode.ALREADY_EXISTS, "RECORDING_EXISTS")
    await call.stream(caller=PCM[:1600].tobytes())
    await call.hang_up()


async def test_client_that_comes_back_while_its_file_is_made_hears_the_end(client: Client, tenant: Tenant) -> None:
    """The webhook of a voicemail takes a second; the client was lost after `close` and resumes meanwhile."""

    def slow(_count: int) -> int:
        time.sleep(1.2)
        return 200

    with Receiver(slow) as receiver:
        ncco = {**WAV, "endOnKey": "#", "eventUrl": [receiver.url]}
        call = await client.call(tenant, legs=[leg()], ncco=ncco)
        await call.stream(caller=PCM[:16_000].tobytes())
        await call.send(close=media_pb2.Close())
        await call.until("stopped")
        call.cancel()
        again = Call(client, tenant.metadata)
        await again.resume(call.recording_id)
        recording = await again.completed()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    kinds = [response.WhichOneof("payload") for response in again.responses]
    assert kinds[0] == "opened"
    assert kinds[-2:] == ["stopped", "completed"]


async def test_recording_that_lost_its_stream_can_be_stopped(client: Client, tenant: Tenant) -> None:
    """StopRecording ends it at once: nobody has to wait for the resume window."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:16_000].tobytes())
    await call.acknowledged(11)
    call.cancel()
    request = recording_service_pb2.StopRecordingRequest(recording_id=call.recording_id)
    await client.recordings.StopRecording(request, metadata=tenant.metadata)
    recording = await client.ended(tenant, call.recording_id)
    assert recording.stop_reason == recording_pb2.STOP_REASON_REQUESTED
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM[:16_000])


async def test_client_that_is_lost_after_close_gets_its_file_all_the_same(client: Client, tenant: Tenant) -> None:
    """`close` was acknowledged or not: the recording is finished as a hang-up."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=PCM[:16_000].tobytes())
    await call.stop()
    await call.until("stopped")
    call.cancel()
    recording = await client.ended(tenant, call.recording_id)
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert recording.stop_reason == recording_pb2.STOP_REASON_REQUESTED
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], PCM[:16_000])

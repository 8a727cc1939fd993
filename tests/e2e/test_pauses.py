"""Pauses: what was said during one is nowhere, neither in the file nor on any disk."""

from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.harness.client import Call, Client, Tenant, leg, reason
from tests.harness.files import Pcm, download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, recording_pb2, recording_service_pb2

SECOND = 16_000
SPEECH = speech(12)
WAV = {"action": "record", "format": "wav"}
SILENCE = recording_pb2.PAUSE_MODE_SILENCE
CUT = recording_pb2.PAUSE_MODE_CUT


def marker(seed: int, frames: int = SECOND) -> Pcm:
    """Return noise that occurs nowhere by chance."""
    return np.random.default_rng(seed).integers(-8000, 8000, frames, dtype=np.int16)


def traces(directory: Path, pcm: Pcm) -> list[str]:
    """Return the files below a directory that hold any of some snippets of 32 bytes, as they were sent."""
    snippets = [pcm[at : at + 16].tobytes() for at in range(0, len(pcm) - 16, 500)]
    found = []
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [path.name for snippet in snippets if snippet in data]
    return sorted(set(found))


def interval(pause: recording_pb2.PauseInterval) -> tuple[int, int, int]:
    assert pause.HasField("end_frame")
    return pause.start_frame, pause.end_frame, pause.mode


async def paused_call(client: Client, tenant: Tenant, mode: recording_pb2.PauseMode.ValueType, secret: Pcm) -> Call:
    """Speak for 2 s, hold for 3 s in which `secret` is said, speak for 2 s."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=SPEECH[: 2 * SECOND].tobytes())
    await call.pause(mode, frame=2 * SECOND)
    await call.stream(caller=secret.tobytes(), from_ms=2000)
    await call.go_on(frame=5 * SECOND)
    await call.stream(caller=SPEECH[5 * SECOND : 7 * SECOND].tobytes(), from_ms=5000)
    return call


async def test_pause_in_silence_mode_keeps_the_times_of_the_call(client: Client, tenant: Tenant) -> None:
    """Three seconds of zeros where the pause was, all else in its place; the interval is listed."""
    call = await paused_call(client, tenant, SILENCE, marker(1, 3 * SECOND))
    recording = await call.hang_up()
    expected = SPEECH[: 7 * SECOND].copy()
    expected[2 * SECOND : 5 * SECOND] = 0
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], expected)
    assert [interval(pause) for pause in recording.pauses] == [(2 * SECOND, 5 * SECOND, SILENCE)]


async def test_pause_in_cut_mode_makes_the_file_shorter_by_the_interval(client: Client, tenant: Tenant) -> None:
    """Exactly the three seconds are missing, and the joint is sample for sample."""
    call = await paused_call(client, tenant, CUT, marker(2, 3 * SECOND))
    recording = await call.hang_up()
    expected = np.concatenate([SPEECH[: 2 * SECOND], SPEECH[5 * SECOND : 7 * SECOND]])
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], expected)
    assert [interval(pause) for pause in recording.pauses] == [(2 * SECOND, 5 * SECOND, CUT)]
    assert recording.file.frames == 4 * SECOND


@pytest.mark.parametrize("mode", [SILENCE, CUT])
async def test_audio_of_a_pause_is_on_no_disk(
    server: Server, client: Client, tenant: Tenant, mode: recording_pb2.PauseMode.ValueType
) -> None:
    """Journal, spool, catalog and files are searched for its samples, before and after the end of the call."""
    secret, kept = marker(10 + mode, 3 * SECOND), marker(20 + mode)
    call = await paused_call(client, tenant, mode, secret)
    last = call.sequence - 1
    await call.stream(caller=kept.tobytes(), from_ms=7000)
    await call.acknowledged(last)
    await call.acknowledged(call.sequence - 1)
    # The search finds what was kept: it would find the secret.
    assert traces(server.data_dir / "journal", kept) != []
    assert traces(server.data_dir, secret) == []
    await call.hang_up()
    assert traces(server.data_dir / "files", kept) != []
    assert traces(server.data_dir, secret) == []


async def test_chunk_that_reaches_into_a_pause_is_cut_to_the_frame(client: Client, tenant: Tenant) -> None:
    """A pause from 1.234 s to 2.345 s, then all 100 ms chunks of the call come again: the edges are exact."""
    begin, end = 19_744, 37_520
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.audio(caller=(0, SPEECH[:begin].tobytes()))
    await call.pause(SILENCE, frame=begin)
    await call.go_on(frame=end)
    await call.stream(caller=SPEECH[SECOND : 4 * SECOND].tobytes(), from_ms=1000)
    expected = SPEECH[: 4 * SECOND].copy()
    expected[begin:end] = 0
    np.testing.assert_array_equal(wav_channels(download(await call.hang_up(), tenant))[0], expected)


@pytest.mark.parametrize("mode", [SILENCE, CUT])
async def test_pause_and_resume_by_rpc(client: Client, tenant: Tenant, mode: recording_pb2.PauseMode.ValueType) -> None:
    """In force when the answer comes: what is sent after it is dropped until the pause is over."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=SPEECH[: 2 * SECOND].tobytes())
    await call.acknowledged(21)
    pausing = recording_service_pb2.PauseRecordingRequest(recording_id=call.recording_id, mode=mode)
    paused = (await client.recordings.PauseRecording(pausing, metadata=tenant.metadata)).recording
    assert paused.state == recording_pb2.RECORDING_STATE_PAUSED
    assert not paused.pauses[0].HasField("end_frame")
    again = (await client.recordings.PauseRecording(pausing, metadata=tenant.metadata)).recording
    assert again == paused
    await call.stream(caller=marker(30, 2 * SECOND).tobytes(), from_ms=4000)
    await call.acknowledged(41)
    resuming = recording_service_pb2.ResumeRecordingRequest(recording_id=call.recording_id)
    resumed = (await client.recordings.ResumeRecording(resuming, metadata=tenant.metadata)).recording
    assert resumed.state == recording_pb2.RECORDING_STATE_RECORDING
    assert (await client.recordings.ResumeRecording(resuming, metadata=tenant.metadata)).recording == resumed
    begin, end, told_mode = interval(resumed.pauses[0])
    assert told_mode == mode
    assert 2 * SECOND <= begin < 4 * SECOND < 6 * SECOND <= end < 9 * SECOND
    await call.stream(caller=SPEECH[9 * SECOND : 11 * SECOND].tobytes(), from_ms=9000)
    recording = await call.hang_up()
    expected = SPEECH[: 11 * SECOND].copy()
    expected[2 * SECOND : 9 * SECOND] = 0
    if mode == CUT:
        expected = np.concatenate([expected[:begin], expected[end:]])
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], expected)
    assert list(recording.pauses) == list(resumed.pauses)


async def test_pausing_a_paused_recording_on_the_stream_changes_nothing(client: Client, tenant: Tenant) -> None:
    """Two pauses and two ends of it make one interval and one event each."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=SPEECH[:SECOND].tobytes())
    for frame in (SECOND, SECOND + 4000):
        await call.pause(SILENCE, frame)
    for frame in (2 * SECOND, 2 * SECOND + 4000):
        await call.go_on(frame)
    await call.stream(caller=SPEECH[2 * SECOND : 3 * SECOND].tobytes(), from_ms=2000)
    recording = await call.hang_up()
    assert [interval(pause) for pause in recording.pauses] == [(SECOND, 2 * SECOND, SILENCE)]
    told = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    assert [event.type for event in told] == [
        event_pb2.EVENT_TYPE_RECORDING_STARTED,
        event_pb2.EVENT_TYPE_RECORDING_PAUSED,
        event_pb2.EVENT_TYPE_RECORDING_RESUMED,
        event_pb2.EVENT_TYPE_RECORDING_STOPPED,
        event_pb2.EVENT_TYPE_RECORDING_COMPLETED,
    ]
    states = [event.recording.state for event in told]
    assert states[1:3] == [recording_pb2.RECORDING_STATE_PAUSED, recording_pb2.RECORDING_STATE_RECORDING]


async def test_keys_pressed_in_a_pause_are_no_events_and_end_nothing(client: Client, tenant: Tenant) -> None:
    """A card number is typed while the recording is paused: no digit of it is told, and `#` does not end it."""
    call = await client.call(tenant, legs=[leg()], ncco={**WAV, "endOnKey": "#"})
    await call.stream(caller=SPEECH[:SECOND].tobytes())
    await call.pause(SILENCE, SECOND)
    for index, digit in enumerate("4929#"):
        await call.press(digit, SECOND + 3200 * (index + 1))
    await call.go_on(3 * SECOND)
    await call.press("7", 3 * SECOND + 1600)
    await call.stream(caller=SPEECH[3 * SECOND : 4 * SECOND].tobytes(), from_ms=3000)
    recording = await call.hang_up()
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_HANGUP, 4 * SECOND)
    told = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    assert [event.dtmf.digit for event in told if event.type == event_pb2.EVENT_TYPE_DTMF] == ["7"]


async def test_hang_up_in_a_pause_ends_the_pause(client: Client, tenant: Tenant) -> None:
    """The interval ends where the recording does; in cut mode nothing of it is in the file."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=SPEECH[: 2 * SECOND].tobytes())
    await call.pause(CUT, frame=2 * SECOND)
    await call.stream(caller=marker(40).tobytes(), from_ms=2000)
    recording = await call.hang_up(frame=3 * SECOND)
    assert [interval(pause) for pause in recording.pauses] == [(2 * SECOND, 3 * SECOND, CUT)]
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], SPEECH[: 2 * SECOND])


async def test_pause_of_an_ended_recording_is_refused(client: Client, tenant: Tenant) -> None:
    """RECORDING_NOT_LIVE, for pausing and for resuming."""
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.stream(caller=SPEECH[:SECOND].tobytes())
    await call.hang_up()
    pausing = recording_service_pb2.PauseRecordingRequest(recording_id=call.recording_id)
    resuming = recording_service_pb2.ResumeRecordingRequest(recording_id=call.recording_id)
    with pytest.raises(grpc.aio.AioRpcError) as first:
        await client.recordings.PauseRecording(pausing, metadata=tenant.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as second:
        await client.recordings.ResumeRecording(resuming, metadata=tenant.metadata)
    assert {reason(first.value), reason(second.value)} == {"RECORDING_NOT_LIVE"}


async def test_silence_is_not_counted_during_a_pause(client: Client, tenant: Tenant) -> None:
    """Four paused seconds do not end a recording with `endOnSilence: 3`: silence counts from the end of the pause."""
    call = await client.call(tenant, legs=[leg()], ncco={**WAV, "endOnSilence": 3})
    await call.stream(caller=SPEECH[: 2 * SECOND].tobytes())
    await call.pause(SILENCE, frame=2 * SECOND)
    await call.stream(caller=bytes(8 * SECOND), from_ms=2000)
    await call.go_on(frame=6 * SECOND)
    await call.stream(caller=bytes(2 * 5 * SECOND), from_ms=6000)
    stopped = (await call.until("stopped")).stopped
    assert (stopped.reason, stopped.frame) == (recording_pb2.STOP_REASON_SILENCE, 9 * SECOND)
    await call.completed()

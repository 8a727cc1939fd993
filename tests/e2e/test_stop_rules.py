"""What ends a recording, at which frame, and in which order it is told."""

import asyncio
import time
from typing import Any

import grpc
import numpy as np
import pytest
from tests.harness.client import Call, Client, Tenant, leg
from tests.harness.files import Pcm, download, mp3_channels, wav_channels
from tests.harness.receiver import Receiver
from tests.harness.speech import speech

from recorder.v1 import event_pb2, recording_pb2, recording_service_pb2
from recorder_service.audio.silence import SilenceGate

ON_SILENCE = {"action": "record", "format": "wav", "endOnSilence": 3}
VOICEMAIL = {"action": "record", "format": "wav", "endOnKey": "#"}
CALLER_ONLY = [leg()]
SILENCE = recording_pb2.STOP_REASON_SILENCE


def gate_frame(*legs: Pcm, silence_s: int = 3) -> int:
    """Return where the silence gate ends these legs, which are followed by nothing."""
    gate = SilenceGate(silence_s)
    for index, pcm in enumerate(legs):
        gate.observe(f"leg {index}", 0, pcm)
    gate.close_to(max(map(len, legs)) + 20 * 16_000)
    assert gate.stop_frame is not None
    return gate.stop_frame


def noise(frames: int, rms: float) -> Pcm:
    return np.rint(np.random.default_rng(1).normal(0, rms, frames)).astype(np.int16)


async def send_until_stopped(call: Call, speed: float, **legs: Any) -> int:
    """Send legs at a multiple of real time and return the frame of `stopped`."""
    sending = asyncio.create_task(call.stream(chunk_ms=20, speed=speed, **legs))
    stopped = (await call.until("stopped")).stopped
    await sending
    assert stopped.reason == SILENCE
    return stopped.frame


# Silence


async def test_silence_ends_a_recording_at_the_exact_frame(client: Client, tenant: Tenant) -> None:
    """Two seconds of speech, then zeros are sent on: last speech window + 3 s, and that is the file's length."""
    pcm = np.concatenate([speech(2), np.zeros(20 * 16_000, np.int16)])
    call = await client.call(tenant, legs=CALLER_ONLY, ncco=ON_SILENCE)
    frame = await send_until_stopped(call, 8, caller=pcm.tobytes())
    recording = await call.completed()
    assert frame == gate_frame(pcm) == recording.file.frames
    assert 32_000 + 48_000 - 16_000 < frame < 32_000 + 48_000 + 1600
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], pcm[:frame])


async def test_caller_who_sends_nothing_is_silent_too(client: Client, tenant: Tenant) -> None:
    """After two seconds of speech no message comes at all: the clock ends the recording, at the same frame."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco=ON_SILENCE)
    began_s = time.monotonic()
    await call.stream(caller=speech(2).tobytes())
    stopped = (await call.until("stopped")).stopped
    took_s = time.monotonic() - began_s
    recording = await call.completed()
    assert (stopped.reason, stopped.frame) == (SILENCE, gate_frame(speech(2)))
    assert recording.file.frames == stopped.frame
    assert 1.5 < took_s < 6


async def test_noise_of_the_line_is_silence(client: Client, tenant: Tenant) -> None:
    """Speech over a noisy line, then the noise alone."""
    pcm = noise(14 * 16_000, 40)
    pcm[: 4 * 16_000] += speech(4) // 2
    call = await client.call(tenant, legs=CALLER_ONLY, ncco=ON_SILENCE)
    frame = await send_until_stopped(call, 10, caller=pcm.tobytes())
    assert frame == gate_frame(pcm)
    assert frame < 4 * 16_000 + 48_000 + 8000
    await call.completed()


async def test_one_party_that_speaks_keeps_the_recording_going(client: Client, tenant: Tenant) -> None:
    """All must be silent at once: the caller stops after 1 s, the callee after 5 s."""
    caller = np.concatenate([speech(1), np.zeros(14 * 16_000, np.int16)])
    callee = np.concatenate([speech(5, first=7), np.zeros(10 * 16_000, np.int16)])
    call = await client.call(tenant, ncco=ON_SILENCE)
    frame = await send_until_stopped(call, 10, caller=caller.tobytes(), callee=callee.tobytes())
    assert frame == gate_frame(caller, callee)
    assert frame > 5 * 16_000 + 48_000 - 16_000
    await call.completed()


async def test_silence_does_not_end_a_recording_that_did_not_ask(client: Client, tenant: Tenant) -> None:
    """Without endOnSilence twelve silent seconds are part of the call."""
    call = await client.call(tenant, ncco={"action": "record", "format": "wav"})
    await call.stream(caller=speech(1).tobytes())
    await call.stream(caller=bytes(2 * 12 * 16_000), from_ms=1000)
    recording = await call.hang_up()
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_HANGUP, 13 * 16_000)


# Order of a synchronous end


async def test_webhook_arrives_between_stopped_and_completed(
    client: Client, tenant: Tenant, receiver: Receiver
) -> None:
    """The next action runs after the application was told."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={**VOICEMAIL, "eventUrl": [receiver.url]})
    await call.stream(caller=speech(2).tobytes())
    await call.press("#", 32_000)
    recording = await call.completed()
    assert recording.synchronous
    kinds = [response.WhichOneof("payload") for response in call.responses]
    assert kinds.index("stopped") < kinds.index("completed") == len(kinds) - 1
    (request,) = receiver.wait(1)
    assert call.arrived_s[kinds.index("stopped")] < call.arrived_s[-1]
    assert request.arrived_s < call.arrived_s[-1]


async def test_slow_webhook_holds_up_a_synchronous_end_and_no_other(client: Client, tenant: Tenant) -> None:
    """The receiver takes 0.8 s: a voicemail waits for it, a plain recording does not."""

    def slow(_count: int) -> int:
        time.sleep(0.8)
        return 200

    with Receiver(slow) as receiver:
        took_s = {}
        for name, ncco in (("sync", VOICEMAIL), ("async", {"action": "record", "format": "wav"})):
            call = await client.call(tenant, legs=CALLER_ONLY, ncco={**ncco, "eventUrl": [receiver.url]})
            await call.stream(caller=speech(1).tobytes())
            await call.acknowledged(11)
            began_s = time.monotonic()
            await call.hang_up()
            took_s[name] = time.monotonic() - began_s
        receiver.wait(2)
    assert took_s["sync"] >= 0.8
    assert took_s["async"] < 0.7


async def test_dead_webhook_holds_up_a_synchronous_end_for_two_seconds_at_most(client: Client, tenant: Tenant) -> None:
    """A receiver that does not answer delays the next action, but not for ever."""

    def hanging(_count: int) -> int:
        time.sleep(4)
        return 200

    with Receiver(hanging) as receiver:
        call = await client.call(tenant, legs=CALLER_ONLY, ncco={**VOICEMAIL, "eventUrl": [receiver.url]})
        await call.stream(caller=speech(1).tobytes())
        began_s = time.monotonic()
        recording = await call.hang_up()
        took_s = time.monotonic() - began_s
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert 1.9 < took_s < 3.5


# Keys


async def test_voicemail_ends_at_the_frame_of_its_key(client: Client, tenant: Tenant) -> None:
    """`#` on an 8 kHz leg, pressed 200 ms before the last audio: the file ends where it was pressed."""
    pcm = speech(3, sample_rate_hz=8000)
    call = await client.call(tenant, legs=[leg(sample_rate_hz=8000)], ncco=VOICEMAIL)
    await call.stream(caller=pcm.tobytes())
    await call.press("#", 22_400)
    stopped = (await call.until("stopped")).stopped
    recording = await call.completed()
    assert (stopped.reason, stopped.frame) == (recording_pb2.STOP_REASON_KEY, 44_800)
    assert wav_channels(download(recording, tenant)).shape == (1, 44_800)


async def test_other_keys_do_not_end_a_voicemail(client: Client, tenant: Tenant) -> None:
    """Only the key asked for ends it; the others are events."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco=VOICEMAIL)
    await call.press("1", 8000)
    await call.press("*", 12_000)
    await call.stream(caller=speech(1).tobytes())
    recording = await call.hang_up()
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_HANGUP, 16_000)


async def test_repeated_packets_of_one_key_press_count_once(client: Client, tenant: Tenant) -> None:
    """RFC 4733 sends the end of a press three times; a second press of the same key is a second event."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record"})
    await call.stream(caller=speech(1).tobytes())
    for frame, duration_ms in ((3200, 100), (3200, 100), (3200, 100), (9600, 80), (9600, 80)):
        await call.press("5", frame, duration_ms=duration_ms)
    await call.hang_up()
    told = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
    keys = [event.dtmf for event in told if event.type == event_pb2.EVENT_TYPE_DTMF]
    assert [(key.leg_id, key.digit, key.frame, key.duration.ToMilliseconds()) for key in keys] == [
        ("caller", "5", 3200, 100),
        ("caller", "5", 9600, 80),
    ]


# Time-out


async def test_time_out_ends_at_exactly_its_frame(client: Client, tenant: Tenant) -> None:
    """More audio than `timeOut` allows: 48000 frames of it are kept. It does not make the recording synchronous."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "format": "wav", "timeOut": "3"})
    sending = asyncio.create_task(call.stream(caller=speech(6).tobytes(), speed=20))
    stopped = (await call.until("stopped")).stopped
    await sending
    recording = await call.completed()
    assert (stopped.reason, stopped.frame) == (recording_pb2.STOP_REASON_TIMEOUT, 48_000)
    assert not recording.synchronous
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], speech(6)[:48_000])


async def test_time_out_in_mp3_ends_at_exactly_its_frame(client: Client, tenant: Tenant) -> None:
    """The decoded MP3 has 48000 frames as well."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "timeOut": 3})
    await call.stream(caller=speech(3).tobytes())
    await call.stream(caller=speech(2).tobytes(), from_ms=3000)
    recording = await call.completed()
    assert recording.stop_reason == recording_pb2.STOP_REASON_TIMEOUT
    assert mp3_channels(download(recording, tenant)).shape == (1, 48_000)


async def test_time_out_passes_while_only_silence_is_sent(client: Client, tenant: Tenant) -> None:
    """Zeros are audio: three seconds of them are a file."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "format": "wav", "timeOut": 3})
    await call.stream(caller=bytes(2 * 5 * 16_000))
    recording = await call.completed()
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_TIMEOUT, 48_000)
    assert not wav_channels(download(recording, tenant)).any()


async def test_time_out_passes_while_nothing_is_sent(client: Client, tenant: Tenant) -> None:
    """One second of speech, then no message: after three seconds in all the recording ends at 48000 frames."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "format": "wav", "timeOut": 3})
    await call.stream(caller=speech(1).tobytes())
    stopped = (await call.until("stopped")).stopped
    recording = await call.completed()
    assert (stopped.reason, stopped.frame) == (recording_pb2.STOP_REASON_TIMEOUT, 48_000)
    pcm = wav_channels(download(recording, tenant))[0]
    np.testing.assert_array_equal(pcm, np.concatenate([speech(1), np.zeros(32_000, np.int16)]))


# Asked for


async def test_stop_on_the_stream_ends_where_it_says(client: Client, tenant: Tenant) -> None:
    """`control.stop.frame`, or without it the last audio received."""
    for frame, expected in ((28_800, 28_800), (None, 32_000)):
        call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "format": "wav"})
        await call.stream(caller=speech(2).tobytes())
        await call.stop(frame)
        stopped = (await call.until("stopped")).stopped
        recording = await call.completed()
        assert (stopped.reason, stopped.frame) == (recording_pb2.STOP_REASON_REQUESTED, expected)
        assert recording.file.frames == expected


async def test_stop_by_rpc_ends_the_stream_in_order(client: Client, tenant: Tenant) -> None:
    """The stream gets `stopped` and `completed` and ends with OK; stopping again gives the same recording."""
    call = await client.call(tenant, legs=CALLER_ONLY, ncco={"action": "record", "format": "wav"})
    await call.stream(caller=speech(2).tobytes())
    await call.acknowledged(21)
    request = recording_service_pb2.StopRecordingRequest(recording_id=call.recording_id)
    answer = await client.recordings.StopRecording(request, metadata=tenant.metadata)
    assert answer.recording.state in {
        recording_pb2.RECORDING_STATE_FINISHING,
        recording_pb2.RECORDING_STATE_AVAILABLE,
    }
    recording = await call.completed()
    assert (recording.stop_reason, recording.file.frames) == (recording_pb2.STOP_REASON_REQUESTED, 32_000)
    again = await client.recordings.StopRecording(request, metadata=tenant.metadata)
    assert again.recording == recording


async def test_stop_of_an_unknown_recording_is_not_found(client: Client, tenant: Tenant) -> None:
    """An id nobody has."""
    request = recording_service_pb2.StopRecordingRequest(recording_id="5b8f9e6c-27d2-4f3f-a2e0-9d6f0c6f7c11")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.recordings.StopRecording(request, metadata=tenant.metadata)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_call_without_audio_is_empty_and_nobody_is_called(
    client: Client, tenant: Tenant, receiver: Receiver
) -> None:
    """No file, no webhook; the event says EMPTY."""
    call = await client.call(tenant, ncco={"action": "record", "eventUrl": [receiver.url]})
    recording = await call.hang_up()
    assert recording.state == recording_pb2.RECORDING_STATE_EMPTY
    assert not recording.HasField("file")
    told = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_EMPTY)
    assert [event.type for event in told] == [
        event_pb2.EVENT_TYPE_RECORDING_STARTED,
        event_pb2.EVENT_TYPE_RECORDING_STOPPED,
        event_pb2.EVENT_TYPE_RECORDING_EMPTY,
    ]
    await asyncio.sleep(0.3)
    assert receiver.requests == []

"""A call from its first frame to its file, with real speech and a client made of generated stubs only."""

import numpy as np
from tests.harness.client import Client, Tenant, leg
from tests.harness.files import download, wav_channels
from tests.harness.speech import speech

from recorder.v1 import recording_pb2

LEFT = speech(5)
RIGHT = speech(5, first=7)
SPLIT_WAV = {"action": "record", "format": "wav", "split": "conversation"}


async def test_mono_wav_is_the_plain_sum_sample_for_sample(client: Client, tenant: Tenant) -> None:
    """Two legs at half level, so that the sum fits 16 bit: the file is their sum."""
    call = await client.call(tenant, ncco={"action": "record", "format": "wav"})
    left, right = (LEFT // 2).astype(np.int16), (RIGHT // 2).astype(np.int16)
    await call.stream(caller=left.tobytes(), callee=right.tobytes())
    recording = await call.hang_up()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    np.testing.assert_array_equal(wav_channels(download(recording, tenant))[0], left + right)


async def test_split_wav_holds_each_leg_as_it_was_sent(client: Client, tenant: Tenant) -> None:
    """The caller is left, what the caller hears right."""
    call = await client.call(tenant, ncco=SPLIT_WAV)
    await call.stream(caller=LEFT.tobytes(), callee=RIGHT.tobytes())
    channels = wav_channels(download(await call.hang_up(), tenant))
    np.testing.assert_array_equal(channels, np.stack([LEFT, RIGHT]))


async def test_caller_is_left_even_when_the_callee_is_announced_first(client: Client, tenant: Tenant) -> None:
    """Roles decide about channels, not the order of announcement."""
    legs = [leg("b", recording_pb2.LEG_ROLE_CALLEE), leg("a", recording_pb2.LEG_ROLE_CALLER)]
    call = await client.call(tenant, legs=legs, ncco=SPLIT_WAV)
    await call.stream(b=RIGHT.tobytes(), a=LEFT.tobytes())
    recording = await call.hang_up()
    np.testing.assert_array_equal(wav_channels(download(recording, tenant)), np.stack([LEFT, RIGHT]))
    assert {recorded.leg.leg_id: recorded.channel for recorded in recording.legs} == {"a": 0, "b": 1}


async def test_third_channel_of_a_call_with_two_legs_is_silent(client: Client, tenant: Tenant) -> None:
    """`channels: 3` gives a WAV with three columns even where nobody fills the last."""
    call = await client.call(tenant, ncco={"action": "record", "split": "conversation", "channels": 3})
    await call.stream(caller=LEFT.tobytes(), callee=RIGHT.tobytes())
    recording = await call.hang_up()
    assert (recording.file.format, recording.file.channels) == (recording_pb2.FILE_FORMAT_WAV, 3)
    channels = wav_channels(download(recording, tenant))
    np.testing.assert_array_equal(channels, np.stack([LEFT, RIGHT, np.zeros_like(LEFT)]))


async def test_call_with_one_leg_is_recorded(client: Client, tenant: Tenant) -> None:
    """A voicemail has a caller and nobody else."""
    call = await client.call(tenant, legs=[leg()], ncco={"action": "record", "format": "wav"})
    await call.stream(caller=LEFT.tobytes())
    np.testing.assert_array_equal(wav_channels(download(await call.hang_up(), tenant))[0], LEFT)


async def test_loud_legs_do_not_wrap_around(client: Client, tenant: Tenant) -> None:
    """Two full-scale legs in phase stay in phase: no sample of the mix has the wrong sign."""
    loud = (30_000 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.int16)
    call = await client.call(tenant, ncco={"action": "record", "format": "wav"})
    await call.stream(caller=loud.tobytes(), callee=loud.tobytes())
    mixed = wav_channels(download(await call.hang_up(), tenant))[0]
    clear = np.abs(loud) > 3000
    assert (np.sign(mixed[clear]) == np.sign(loud[clear])).all()
    assert np.abs(mixed.astype(int)).max() > 30_000


async def test_finished_recording_tells_its_file(client: Client, tenant: Tenant) -> None:
    """Length, size, times and statistics of the resource are those of the file."""
    call = await client.call(tenant, ncco={"action": "record", "format": "wav"}, metadata={"agent": "7"})
    await call.stream(caller=LEFT.tobytes(), callee=RIGHT.tobytes())
    recording = await call.hang_up()
    file = recording.file
    assert (file.frames, file.sample_rate_hz, file.duration.ToMilliseconds()) == (80_000, 16_000, 5000)
    assert file.size_bytes == len(download(recording, tenant))
    assert file.file_id != recording.recording_id
    assert recording.stop_reason == recording_pb2.STOP_REASON_HANGUP
    assert recording.metadata == {"agent": "7"}
    assert [(part.frames, part.gap_frames, part.end_frame) for part in recording.legs] == [(80_000, 0, 80_000)] * 2
    assert recording.start_time.ToNanoseconds() <= recording.end_time.ToNanoseconds()
    assert recording == await client.recording(tenant, recording.recording_id)

"""File formats and leg formats: whatever goes in and comes out, it stays in its place."""

from pathlib import Path

import grpc
import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray
from tests.e2e.conftest import Figure
from tests.harness.client import Client, Tenant, leg, reason
from tests.harness.files import (
    correlation,
    download,
    error_db,
    lag_frames,
    mp3_channels,
    mp3_channels_by_ffmpeg,
    wav_channels,
)
from tests.harness.speech import speech

from recorder import g711
from recorder.v1 import recording_pb2

LINEAR16 = recording_pb2.AUDIO_ENCODING_LINEAR16
MULAW = recording_pb2.AUDIO_ENCODING_MULAW
ALAW = recording_pb2.AUDIO_ENCODING_ALAW
# 57 ms more than 5 s: no multiple of anything.
LEFT = speech(6)[:80_912]
RIGHT = speech(6, first=7)[:80_912]


async def record(client: Client, tenant: Tenant, **ncco: object) -> recording_pb2.Recording:
    call = await client.call(tenant, ncco={"action": "record", **ncco})
    await call.stream(caller=LEFT.tobytes(), callee=RIGHT.tobytes())
    return await call.hang_up()


async def test_mono_mp3_lines_up_with_the_wav_to_the_frame(client: Client, tenant: Tenant, tmp_path: Path) -> None:
    """Two decoders agree: the MP3 has the exact length of the call and lies on it with lag 0."""
    wav = wav_channels(download(await record(client, tenant, format="wav"), tenant))
    recording = await record(client, tenant)
    data = download(recording, tenant)
    assert recording.file.format == recording_pb2.FILE_FORMAT_MP3
    for decoded in (mp3_channels(data), mp3_channels_by_ffmpeg(data, 1, tmp_path)):
        assert decoded.shape == wav.shape == (1, recording.file.frames)
        assert lag_frames(decoded[0], wav[0]) == 0
        assert correlation(decoded[0], wav[0]) > 0.98


async def test_split_mp3_lines_up_with_the_wav_to_the_frame(client: Client, tenant: Tenant, tmp_path: Path) -> None:
    """Both channels, left and right not exchanged, and neither heard in the other."""
    wav = wav_channels(download(await record(client, tenant, format="wav", split="conversation"), tenant))
    data = download(await record(client, tenant, split="conversation"), tenant)
    for decoded in (mp3_channels(data), mp3_channels_by_ffmpeg(data, 2, tmp_path)):
        assert decoded.shape == wav.shape
        for channel in (0, 1):
            assert lag_frames(decoded[channel], wav[channel]) == 0
            assert correlation(decoded[channel], wav[channel]) > 0.98
            crosstalk = correlation(decoded[channel], wav[1 - channel]) - correlation(wav[channel], wav[1 - channel])
            assert abs(crosstalk) < 0.02


async def test_mono_mp3_has_a_constant_32_kbit_s(client: Client, tenant: Tenant) -> None:
    """Every frame of the file is MPEG-2 layer III, 16 kHz, mono, 32 kbit/s: 144 bytes."""
    recording = await record(client, tenant)
    data = download(recording, tenant)
    assert recording.file.bitrate_kbps == 32
    assert len(data) % 144 == 0
    headers = {
        (data[at], data[at + 1] & 0xFE, data[at + 2] & 0xFC, data[at + 3] >> 6) for at in range(0, len(data), 144)
    }
    # Sync and MPEG-2, layer III; bit rate index 4 (32), rate index 2 (16 kHz); channel mode 3 (mono). ISO/IEC 13818-3.
    assert headers == {(0xFF, 0xF2, 0x48, 3)}


async def test_file_formats_that_cannot_be_written_are_refused(client: Client, tenant: Tenant) -> None:
    """More than two channels in MP3, and Ogg, name the field and write nothing."""
    for ncco in ({"format": "mp3", "split": "conversation", "channels": 3}, {"format": "ogg"}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call(tenant, ncco={"action": "record", **ncco})
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason(refused.value) == "UNSUPPORTED_FORMAT"


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [(MULAW, 8000), (ALAW, 8000), (LINEAR16, 8000), (LINEAR16, 24_000), (LINEAR16, 44_100), (LINEAR16, 48_000)],
)
async def test_leg_of_any_format_lies_on_a_16_khz_leg(
    client: Client, tenant: Tenant, encoding: recording_pb2.AudioEncoding.ValueType, rate: int
) -> None:
    """The same voice at 16 kHz left and in another format right: lag 0, the same length."""
    legs = [leg(), leg("callee", recording_pb2.LEG_ROLE_CALLEE, encoding, rate)]
    call = await client.call(tenant, legs=legs, ncco={"action": "record", "format": "wav", "split": "conversation"})
    other = speech(5, sample_rate_hz=rate).tobytes()
    if encoding != LINEAR16:
        other = g711.encode("mulaw" if encoding == MULAW else "alaw", other)
    await call.stream(caller=speech(5).tobytes(), callee=other)
    left, right = wav_channels(download(await call.hang_up(), tenant))
    assert len(left) == 80_000
    assert lag_frames(right, left) == 0
    assert correlation(right, left) > 0.99


async def test_legs_of_different_formats_are_mixed_in_place(client: Client, tenant: Tenant) -> None:
    """One voice from an 8 kHz mu-law and a 44.1 kHz leg: the mix is twice that voice, not an echo of it."""
    legs = [leg("caller", encoding=MULAW, sample_rate_hz=8000)]
    legs.append(leg("callee", recording_pb2.LEG_ROLE_CALLEE, LINEAR16, 44_100))
    call = await client.call(tenant, legs=legs, ncco={"action": "record", "format": "wav"})
    quiet = (speech(5) // 4).astype(np.int16)
    narrow = g711.encode("mulaw", (speech(5, sample_rate_hz=8000) // 4).astype(np.int16).tobytes())
    wide = (speech(5, sample_rate_hz=44_100) // 4).astype(np.int16).tobytes()
    await call.stream(caller=narrow, callee=wide)
    mixed = wav_channels(download(await call.hang_up(), tenant))[0]
    assert lag_frames(mixed, quiet) == 0
    assert error_db(mixed, 2 * quiet.astype(np.float64)) < -25


async def test_8_khz_linear_leg_is_resampled_without_error(client: Client, tenant: Tenant, figure: Figure) -> None:
    """Against the ideal band-limited interpolation (by Fourier transform) the error is 60 dB down."""
    pcm = band_limited(speech(5, sample_rate_hz=8000))
    call = await client.call(tenant, legs=[leg(sample_rate_hz=8000)], ncco={"action": "record", "format": "wav"})
    await call.stream(caller=pcm.tobytes())
    found = wav_channels(download(await call.hang_up(), tenant))[0]
    ideal = scipy.signal.resample(np.pad(pcm.astype(np.float64), 8000), 2 * len(pcm) + 32_000)[16_000:-16_000]
    error = error_db(found, ideal)
    figure("error of resampling 8 kHz to 16 kHz against ideal interpolation", error, "dB")
    assert error <= -60


def band_limited(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Take away what lies in the transition band of any resampler, above 3.4 kHz: the telephone band ends there."""
    taps = scipy.signal.firwin(255, 3400, fs=8000)
    limited: NDArray[np.int16] = np.rint(scipy.signal.lfilter(taps, 1.0, pcm)).astype(np.int16)
    return limited

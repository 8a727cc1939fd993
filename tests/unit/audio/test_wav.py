"""WAV files, read back by four other readers: libsndfile, the standard library, ffprobe and ffmpeg."""

import io
import json
import shutil
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recorder_service.audio.wav import WavEncoder
from recorder_service.errors import BadInput, Reason

Pcm = NDArray[np.int16]
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg and ffprobe")


def noise(channels: int, frames: int) -> Pcm:
    return np.random.default_rng(channels).integers(-32_768, 32_768, (channels, frames), np.int16)


def file_of(encoder: WavEncoder, pcm: Pcm, block: int = 16_000) -> bytes:
    body = b"".join(encoder.encode(pcm[:, start : start + block]) for start in range(0, pcm.shape[1], block))
    finished = encoder.finish()
    assert len(finished.header) == len(encoder.header)
    return finished.header + body + finished.tail


def read(data: bytes) -> Pcm:
    return np.asarray(soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0].T)


@pytest.mark.parametrize("channels", [1, 2, 3, 31, 32])
@pytest.mark.parametrize("frames", [0, 1, 16_001])
def test_libsndfile_reads_back_every_sample(channels: int, frames: int) -> None:
    """Bit for bit, in channel order."""
    pcm = noise(channels, frames)
    data = file_of(WavEncoder(channels), pcm)
    assert np.array_equal(read(data), pcm)
    assert soundfile.info(io.BytesIO(data)).samplerate == 16_000


@pytest.mark.parametrize("channels", [1, 2])
def test_the_standard_library_reads_back_every_sample(channels: int) -> None:
    """Plain PCM up to two channels."""
    pcm = noise(channels, 1_234)
    with wave.open(io.BytesIO(file_of(WavEncoder(channels, 8_000), pcm))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, 8_000)
        assert np.array_equal(np.frombuffer(file.readframes(9_999), "<i2").reshape(-1, channels).T, pcm)


@needs_ffmpeg
@pytest.mark.parametrize("limit", [0xFFFF_FFFE, 1_000])
@pytest.mark.parametrize("channels", [1, 2, 32])
def test_ffmpeg_reads_back_every_sample(tmp_path: Path, channels: int, limit: int) -> None:
    """RIFF and RF64 alike; ffprobe tells the exact length."""
    pcm = noise(channels, 16_007)
    path = tmp_path / "recording.wav"
    path.write_bytes(file_of(WavEncoder(channels, riff_limit_bytes=limit), pcm))
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", path], check=True, capture_output=True
    )
    stream = json.loads(probe.stdout)["streams"][0]
    assert (stream["channels"], stream["sample_rate"], stream["duration_ts"]) == (channels, "16000", 16_007)
    decoded = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-"], check=True, capture_output=True)
    assert decoded.stderr == b""
    assert np.array_equal(np.frombuffer(decoded.stdout, "<i2").reshape(-1, channels).T, pcm)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_file_beyond_the_limit_is_rf64(channels: int) -> None:
    """One byte decides; libsndfile reads both."""
    pcm = noise(channels, 500)
    riff_bytes = len(WavEncoder(channels).header) - 8 + pcm.nbytes
    small = file_of(WavEncoder(channels, riff_limit_bytes=riff_bytes), pcm)
    large = file_of(WavEncoder(channels, riff_limit_bytes=riff_bytes - 1), pcm)
    assert (small[:4], large[:4]) == (b"RIFF", b"RF64")
    assert soundfile.info(io.BytesIO(large)).format == "RF64"
    assert np.array_equal(read(small), pcm)
    assert np.array_equal(read(large), pcm)


def test_rf64_carries_the_sizes_of_a_file_beyond_4_gib() -> None:
    """32 channels for two hours: the 64 bit sizes are right and the 32 bit ones say so."""
    encoder = WavEncoder(32)
    encoder._frames = 2 * 3600 * 16_000
    header = encoder.finish().header
    data_bytes = encoder._frames * 64
    assert data_bytes > 1 << 32
    assert header[:20] == b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + struct.pack("<I", 28)
    assert struct.unpack("<QQQI", header[20:48]) == (len(header) - 8 + data_bytes, data_bytes, encoder._frames, 0)
    assert header[-8:] == b"data" + b"\xff" * 4


def test_more_than_two_channels_are_extensible_without_loudspeakers() -> None:
    """Format 0xFFFE, channel mask 0, subformat PCM."""
    header = WavEncoder(3).header
    body = header[header.index(b"fmt ") + 8 :]
    tag, channels, _, _, align, bits, extra, valid, mask, subtype = struct.unpack("<HHIIHHHHIH", body[:26])
    assert (tag, channels, align, bits, extra, valid, mask, subtype) == (0xFFFE, 3, 6, 16, 22, 16, 0, 1)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_whose_writer_died_can_be_played(tmp_path: Path, channels: int) -> None:
    """With the placeholder still in place ffmpeg plays everything written."""
    encoder, pcm = WavEncoder(channels), noise(channels, 5_000)
    path = tmp_path / "torn.wav"
    path.write_bytes(encoder.header + encoder.encode(pcm))
    decoded = subprocess.run(["ffmpeg", "-v", "quiet", "-i", path, "-f", "s16le", "-"], check=True, capture_output=True)
    assert np.array_equal(np.frombuffer(decoded.stdout, "<i2").reshape(-1, channels).T, pcm)


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=12), st.sampled_from([1, 2, 7]))
def test_the_file_does_not_depend_on_how_pcm_is_cut(sizes: list[int], channels: int) -> None:
    """Any pieces, also views into a larger array, give the same bytes."""
    pcm = noise(channels, sum(sizes))
    encoder, body, start = WavEncoder(channels), b"", 0
    for size in sizes:
        body += encoder.encode(pcm[:, start : start + size])
        start += size
    assert encoder.finish().header + body == file_of(WavEncoder(channels), pcm)


@pytest.mark.parametrize("channels", [-1, 0, 33])
def test_a_channel_count_out_of_range_is_refused(channels: int) -> None:
    """The message names the range."""
    with pytest.raises(BadInput, match="1 to 32") as refused:
        WavEncoder(channels)
    assert refused.value.reason is Reason.INVALID_OPTION


@pytest.mark.parametrize("shape", [(100,), (1, 100), (100, 2)])
def test_pcm_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """Frames are columns; a mix-up is caught at once."""
    with pytest.raises(ValueError, match="this file takes"):
        WavEncoder(2).encode(np.zeros(shape, np.int16))

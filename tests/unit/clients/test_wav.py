"""Reading legs from WAV files written by the standard library and by ffmpeg."""

import math
import shutil
import struct
import subprocess
import wave
from pathlib import Path

import pytest

from recorder.wav import UnreadableWav, WavAudio, read_wav

TONE = [round(12_000 * math.sin(2 * math.pi * 440 * frame / 8000)) for frame in range(8000)]
PCM16 = struct.pack(f"<{len(TONE)}h", *TONE)


def write(path: Path, data: bytes, *, channels: int = 1, sample_bytes: int = 2, rate_hz: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(sample_bytes)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return path


def converted(source: Path, target: Path, *options: str) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-i", source, *options, target], check=True, stdin=subprocess.DEVNULL
    )
    return target


def test_16_bit_pcm_is_read_as_it_is(tmp_path: Path) -> None:
    """Samples are not touched."""
    assert read_wav(write(tmp_path / "a.wav", PCM16)) == WavAudio("linear16", 8000, PCM16)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s24le", "pcm_s32le"])
def test_other_pcm_widths_become_16_bit(tmp_path: Path, codec: str) -> None:
    """8, 24 and 32 bit files keep their level to within one step of the coarser width."""
    source = write(tmp_path / "a.wav", PCM16)
    audio = read_wav(converted(source, tmp_path / "b.wav", "-c:a", codec))
    step = 256 if codec == "pcm_u8" else 1
    assert audio.frames == 8000
    for (ours,), expected in zip(struct.iter_unpack("<h", audio.payload), TONE, strict=True):
        assert abs(ours - expected) <= step


@pytest.mark.parametrize(("codec", "encoding"), [("pcm_mulaw", "mulaw"), ("pcm_alaw", "alaw")])
def test_g711_agrees_with_ffmpeg_both_ways(tmp_path: Path, codec: str, encoding: str) -> None:
    """A G.711 file is passed on as it is; our decoding equals ffmpeg's, and our encoding is never further off."""
    source = write(tmp_path / "a.wav", PCM16)
    coded_file = converted(source, tmp_path / "b.wav", "-c:a", codec)
    coded = read_wav(coded_file)
    assert (coded.encoding, coded.frame_bytes, coded.frames) == (encoding, 1, 8000)
    decoded = read_wav(converted(coded_file, tmp_path / "c.wav", "-c:a", "pcm_s16le"))
    assert coded.encoded("linear16") == decoded
    again = read_wav(source).encoded(encoding).encoded("linear16")
    for (ours,), (theirs,), sample in zip(
        struct.iter_unpack("<h", again.payload), struct.iter_unpack("<h", decoded.payload), TONE, strict=True
    ):
        assert abs(ours - sample) <= abs(theirs - sample)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_g711_codes_survive_decoding_and_encoding(encoding: str) -> None:
    """Every code's value encodes to the same value again; mu-law has two zeros."""
    codes = WavAudio(encoding, 8000, bytes(range(256)))
    linear = codes.encoded("linear16")
    assert linear.encoded(encoding).encoded("linear16") == linear


def test_stereo_file_is_refused_with_the_way_to_split_it(tmp_path: Path) -> None:
    """The message names the file, its channels and the command to type."""
    path = write(tmp_path / "stereo.wav", PCM16, channels=2)
    with pytest.raises(UnreadableWav, match=r"stereo\.wav has 2 channels.*ffmpeg -i"):
        read_wav(path)


def test_unsupported_rate_is_refused_with_the_rates(tmp_path: Path) -> None:
    """11025 Hz is not taken by Recorder."""
    with pytest.raises(UnreadableWav, match="11025 Hz, not one of"):
        read_wav(write(tmp_path / "a.wav", PCM16, rate_hz=11_025))


def test_something_else_is_refused(tmp_path: Path) -> None:
    """A file of another kind is named as such."""
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3 and so on, long enough")
    with pytest.raises(UnreadableWav, match="is not a WAV file"):
        read_wav(path)


def test_header_of_a_stream_reads_to_the_end(tmp_path: Path) -> None:
    """A file whose writer could not go back to fill in the size is read whole."""
    path = write(tmp_path / "a.wav", PCM16)
    data = bytearray(path.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert read_wav(path).payload == PCM16

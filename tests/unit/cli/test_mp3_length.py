"""Counting an MP3 file's frames from its bytes, against the encoder that wrote it and against ffmpeg."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from recorder_service.audio.mp3 import Mp3Encoder
from recorder_service.cli.demo.mp3_length import Mp3Length, NotMp3, measure


def encoded(channels: int, frames: int, bitrate_kbps: int) -> bytes:
    encoder = Mp3Encoder(channels, bitrate_kbps=bitrate_kbps, quality=9)
    tone = (8000 * np.sin(np.arange(frames) / 8)).astype(np.int16)
    body = encoder.encode(np.tile(tone, (channels, 1)))
    finished = encoder.finish()
    return finished.header + body + finished.tail


@pytest.mark.parametrize("frames", [1, 576, 16_000, 20_001])
@pytest.mark.parametrize(("channels", "bitrate_kbps"), [(1, 32), (2, 64)])
def test_length_is_that_of_the_input(channels: int, bitrate_kbps: int, frames: int) -> None:
    """Delay and padding are taken off to the frame."""
    assert measure(encoded(channels, frames, bitrate_kbps)) == Mp3Length(frames, 16_000, channels)


def test_length_agrees_with_ffmpeg(tmp_path: Path) -> None:
    """A decoder written by others gives as many frames."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "a.mp3"
    path.write_bytes(encoded(1, 12_345, 32))
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-"]
    decoded = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    assert len(decoded) // 2 == measure(path.read_bytes()).frames == 12_345


def test_torn_file_is_refused() -> None:
    """A file that ends or is damaged within its frames is not believed."""
    data = encoded(1, 16_000, 32)
    with pytest.raises(NotMp3, match="no MPEG-2 layer III frame"):
        measure(data[:700] + b"\x00" * 300 + data[1000:])
    with pytest.raises(NotMp3, match="no Info tag"):
        measure(data[144 * 3 :])

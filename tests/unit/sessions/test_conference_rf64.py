"""A conference of 32 channels whose WAV grows beyond 4 GiB, on a file with holes: nobody writes 4 GiB of silence."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self
from uuid import UUID

import numpy as np
import pytest
import soundfile
from tests.unit.sessions.conference_stage import HeardFile, Stage
from tests.unit.sessions.stage import Piece

from recorder_service.audio.finished import Finished
from recorder_service.sessions.conference_values import JoinLeg

CHANNELS = 32
SECOND = 16_000
FRAME_BYTES = 2 * CHANNELS
# Senders may be a minute ahead.
STEP_S = 50
WORKERS = ThreadPoolExecutor(2)


@pytest.fixture(autouse=True, scope="module")
def _workers() -> Iterator[None]:
    yield
    WORKERS.shutdown()


class SparseFile(HeardFile):
    """A WAV under construction on a disk, where silence is a hole."""

    def __init__(self, path: Path) -> None:
        super().__init__(CHANNELS)
        self.path = path
        self._file = path.open("wb", buffering=0)

    def append(self, data: bytes) -> None:
        """Write what is not all zeros."""
        if np.frombuffer(data, dtype=np.uint8).any():
            self._file.write(data)
        else:
            self._file.seek(len(data), os.SEEK_CUR)

    def seal(self, finished: Finished, frames: int) -> Self:
        """Write what is missing."""
        self._file.write(finished.tail)
        self._file.truncate()
        self._file.seek(0)
        self._file.write(finished.header)
        self._file.close()
        self.frames = frames
        return self


class SparseStage(Stage):
    """A stage whose files are on a disk."""

    def __init__(self, directory: Path) -> None:
        super().__init__(WORKERS, CHANNELS)
        self._directory = directory

    def create(self, recording_id: UUID) -> SparseFile:
        """Begin a file."""
        self.files.append(SparseFile(self._directory / "recording.wav"))
        (file,) = self.files
        assert isinstance(file, SparseFile)
        return file


def voice(leg: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Return a second that no other leg has."""
    return np.random.default_rng(leg).integers(-3000, 3000, SECOND, np.int16)


async def record(stage: Stage, seconds: int) -> None:
    """Let all speak in the first and in the last second, and one a word each 50 s in between."""
    stream = await stage.join([JoinLeg(f"leg{leg}", "LINEAR16", SECOND) for leg in range(CHANNELS)], origin_frame=0)

    def all_speak(at_s: int) -> None:
        stage.now_s = float(at_s)
        pieces = [Piece(f"leg{leg}", at_s * SECOND, voice(leg).tobytes()) for leg in range(CHANNELS)]
        stream.receive_audio(stream.next_sequence, pieces)

    all_speak(0)
    for at_s in range(STEP_S, seconds - 1, STEP_S):
        stage.now_s = float(at_s)
        stream.receive_audio(stream.next_sequence, [Piece("leg0", at_s * SECOND, bytes(320))])
        await stream.room()
    all_speak(seconds - 1)
    await stream.close(stream.next_sequence)


@pytest.mark.slow
async def test_wav_of_32_channels_beyond_4_gib_is_rf64_and_read_to_its_end(tmp_path: Path) -> None:
    """The 64 bit sizes are right, and other programs find the last second of every leg in its channel."""
    stage, seconds = SparseStage(tmp_path), 4260  # 4 GiB are 4194.3 s.
    await record(stage, seconds)
    await stage.ended(120)
    await stage.background.wait(60)
    (file,) = stage.files
    data_bytes = seconds * SECOND * FRAME_BYTES
    size_bytes = file.path.stat().st_size
    with file.path.open("rb") as raw:
        header = raw.read(size_bytes - data_bytes)
    assert data_bytes > 1 << 32
    assert header[:20] == b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + struct.pack("<I", 28)
    assert struct.unpack("<QQQI", header[20:48]) == (size_bytes - 8, data_bytes, seconds * SECOND, 0)
    assert header[-8:] == b"data" + b"\xff" * 4
    assert file.path.stat().st_blocks * 512 < 64 << 20, "silence was written"
    with soundfile.SoundFile(file.path) as read:
        assert (read.format, read.channels, read.frames) == ("RF64", CHANNELS, seconds * SECOND)
        for start_s in (0, seconds - 1):
            read.seek(start_s * SECOND)
            heard = read.read(SECOND, dtype="int16").T
            np.testing.assert_array_equal(heard, np.stack([voice(leg) for leg in range(CHANNELS)]))
    if shutil.which("ffprobe") is not None:
        command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(file.path)]
        probe = subprocess.run(command, check=True, capture_output=True)
        (stream,) = json.loads(probe.stdout)["streams"]
        assert (stream["channels"], stream["duration_ts"]) == (CHANNELS, seconds * SECOND)

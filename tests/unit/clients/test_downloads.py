"""Fetching a file that comes in pieces, from a source that breaks off."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.downloads import download_to
from recorder.errors import RecorderError, unavailable
from recorder.v1.recording_pb2 import RecordingFile
from recorder.v1.recording_service_pb2 import DownloadRecordingResponse

CONTENT = bytes(range(256)) * 40
PIECE_BYTES = 1000


@dataclass
class Source:
    """Gives the file from an offset on; breaks off after so many pieces, once for each number."""

    content: bytes = CONTENT
    sha256: str = hashlib.sha256(CONTENT).hexdigest()
    break_after: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    async def download(self, recording_id: str, offset_bytes: int = 0) -> AsyncIterator[DownloadRecordingResponse]:
        self.offsets.append(offset_bytes)
        if offset_bytes > len(self.content):
            raise RecorderError("INVALID_FIELD", "too far", metadata={"field": "offset_bytes"})
        yield DownloadRecordingResponse(file=RecordingFile(size_bytes=len(self.content), sha256=self.sha256))
        left = self.break_after.pop(0) if self.break_after else -1
        for at in range(offset_bytes, len(self.content), PIECE_BYTES):
            if left == 0:
                raise unavailable("broken off")
            left -= 1
            yield DownloadRecordingResponse(chunk=self.content[at : at + PIECE_BYTES])


async def test_broken_line_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    """Nothing is fetched twice, and progress only grows."""
    source, told = Source(break_after=[3, 0, 2]), []
    await download_to(source, "id", tmp_path / "a.wav", on_progress=lambda *progress: told.append(progress))
    assert (tmp_path / "a.wav").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert source.offsets == [0, 3000, 3000, 5000]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


async def test_what_an_earlier_try_left_is_used(tmp_path: Path) -> None:
    """A program that was ended in the middle goes on from there."""
    (tmp_path / "a.wav.part").write_bytes(CONTENT[:4321])
    source = Source()
    await download_to(source, "id", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == CONTENT
    assert source.offsets == [4321]


@pytest.mark.parametrize("left", [b"something else", bytes(2 * len(CONTENT))], ids=["shorter", "longer"])
async def test_rest_of_another_file_is_thrown_away(tmp_path: Path, left: bytes) -> None:
    """The hash tells, and the file is fetched from its beginning."""
    (tmp_path / "a.wav.part").write_bytes(left)
    await download_to(Source(), "id", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == CONTENT


async def test_damage_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    """Content with another hash is not taken for the file, now or at the next try."""
    with pytest.raises(RecorderError, match="SHA-256") as failure:
        await download_to(Source(sha256="0" * 64), "id", tmp_path / "a.wav")
    assert failure.value.reason == "DAMAGED"
    assert not (tmp_path / "a.wav").exists()
    await download_to(Source(), "id", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == CONTENT


async def test_source_that_stays_away_is_told_and_the_part_stays(tmp_path: Path) -> None:
    """What came is kept for another time."""
    with pytest.raises(RecorderError) as failure:
        await download_to(Source(break_after=[2]), "id", tmp_path / "a.wav", reconnect_for_s=0)
    assert failure.value.retryable
    assert (tmp_path / "a.wav.part").stat().st_size == 2000

"""Fetching a finished file to disk: whole, checked, and going on where an earlier try left off."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from recorder.backoff import Backoff
from recorder.errors import RecorderError
from recorder.v1.recording_pb2 import RecordingFile
from recorder.v1.recording_service_pb2 import DownloadRecordingResponse

OnProgress = Callable[[int, int], None]
"""Is given the bytes on disk so far, and the size of the whole file."""

_HASH_BLOCK_BYTES = 1 << 20


class Source(Protocol):
    """Where files come from."""

    def download(self, recording_id: str, offset_bytes: int = 0) -> AsyncIterator[DownloadRecordingResponse]:
        """Stream a file: its facts, then its bytes from an offset on."""
        ...


class PartialFile:
    """A file that is being fetched, beside the place where it belongs: `NAME.part`.

    Attributes:
        size_bytes: What is there so far.
    """

    def __init__(self, path: Path) -> None:
        """Take over what an earlier try left.

        Raises:
            OSError: If it cannot be written.
        """
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._file = self._part.open("ab+")
        self._hash = hashlib.sha256()
        self._file.seek(0)
        while block := self._file.read(_HASH_BLOCK_BYTES):
            self._hash.update(block)
        self.size_bytes = self._file.tell()

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def restart(self) -> None:
        """Throw away what is there: it is not part of this file."""
        self._file.truncate(0)
        self._hash, self.size_bytes = hashlib.sha256(), 0

    def matches(self, facts: RecordingFile) -> bool:
        """Whether this is the file, to the byte."""
        return (self.size_bytes, self._hash.hexdigest()) == (facts.size_bytes, facts.sha256)

    def finish(self) -> None:
        """Put it where it belongs, in place of what is there."""
        self.close()
        self._part.replace(self._path)

    def close(self) -> None:
        """Leave what is there for another time."""
        self._file.close()


async def download_to(
    source: Source,
    recording_id: str,
    path: Path,
    *,
    on_progress: OnProgress | None = None,
    reconnect_for_s: float = 60.0,
) -> RecordingFile:
    """Write a recording's file to `path`, or nothing.

    A line that breaks is taken up again. A try that failed for good, or was killed, leaves `NAME.part` beside `path`:
    the next one goes on from there. What came is compared with the recording's hash.

    Args:
        source: The client.
        recording_id: Whose file.
        path: Where it goes.
        on_progress: Is told how far it got.
        reconnect_for_s: How long to go on trying after the line broke.

    Raises:
        RecorderError: If there is no file, the connection cannot be had back, or (`DAMAGED`) what came is not the file.
        OSError: If it cannot be written.
    """
    target = PartialFile(path)
    try:
        resumed = target.size_bytes > 0
        facts = await _fetch(source, recording_id, target, on_progress, Backoff(reconnect_for_s))
        if not target.matches(facts) and resumed:
            # What an earlier try left was of another file.
            target.restart()
            facts = await _fetch(source, recording_id, target, on_progress, Backoff(reconnect_for_s))
        if not target.matches(facts):
            target.restart()
            raise RecorderError(
                "DAMAGED",
                f"what came for recording {recording_id} is not its file of {facts.size_bytes} bytes with SHA-256 "
                f"{facts.sha256}; download it again",
                status="DATA_LOSS",
            )
        target.finish()
    finally:
        target.close()
    return facts


async def _fetch(
    source: Source, recording_id: str, target: PartialFile, on_progress: OnProgress | None, backoff: Backoff
) -> RecordingFile:
    facts = RecordingFile()
    while True:
        try:
            async for message in source.download(recording_id, target.size_bytes):
                if message.HasField("file"):
                    facts = message.file
                else:
                    target.write(message.chunk)
                    backoff.succeeded()
                if on_progress is not None:
                    on_progress(target.size_bytes, facts.size_bytes)
        except RecorderError as error:
            if error.metadata.get("field") == "offset_bytes" and target.size_bytes:
                target.restart()
                continue
            await backoff.wait(error)
        else:
            return facts

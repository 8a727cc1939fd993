"""The file under construction on the node's own disk."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from recorder_service.audio.finished import Finished

_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A finished file, fsynced.

    Attributes:
        sha256: Lower-case hex.
    """

    path: Path
    size_bytes: int
    sha256: str


class SpoolFile:
    """Receives a file's bytes in order. It is scrap after a crash: the journal builds it anew, bit for bit."""

    def __init__(self, path: Path) -> None:
        """Make the file, empty, in place of an older attempt.

        Raises:
            OSError: The disk is full or away.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._open = True

    def append(self, data: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: The disk is full or away.
        """
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def seal(self, finished: Finished) -> SpooledFile:
        """Add the tail, write the true header, and make it all durable. Blocks.

        Raises:
            OSError: The disk is full or away.
        """
        self.append(finished.tail)
        os.pwrite(self._fd, finished.header, 0)
        os.fsync(self._fd)
        size_bytes = os.fstat(self._fd).st_size
        digest = hashlib.sha256()
        for offset in range(0, size_bytes, _HASH_BLOCK_BYTES):
            digest.update(os.pread(self._fd, _HASH_BLOCK_BYTES, offset))
        self._close()
        return SpooledFile(self.path, size_bytes, digest.hexdigest())

    def discard(self) -> None:
        """Remove the file; removing it twice is harmless."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)


class SpoolDirectory:
    """Where files are built, one a recording."""

    def __init__(self, directory: Path) -> None:
        """Use a directory; it is made if missing, and emptied: what lies there is scrap of a former run."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for scrap in directory.iterdir():
            scrap.unlink()
        self._directory = directory

    def create(self, recording_id: UUID) -> SpoolFile:
        """Begin a file.

        Raises:
            OSError: The disk is full or away.
        """
        return SpoolFile(self._directory / f"{recording_id}.spool")

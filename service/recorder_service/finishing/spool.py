"""The file under construction on the node's own disk."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from recorder_service.audio.finished import Finished
from recorder_service.errors import Overloaded, Reason

_HASH_BLOCK_BYTES = 1 << 20
# What a full disk cannot take waits in memory: 2 h of MP3, 17 min of mono WAV. Beyond it the recording has no file
# until the journal has built it anew.
_MAX_UNWRITTEN_BYTES = 32 << 20
_FILE = ".spool"
_SEAL = ".sealed"
_DRAFT = ".tmp"


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A finished file, fsynced.

    Attributes:
        sha256: Lower-case hex.
        frames: Length of the decoded audio at 16 kHz.
    """

    path: Path
    size_bytes: int
    sha256: str
    frames: int

    def discard(self) -> None:
        """Remove it: it is stored. Removing it twice is harmless."""
        _seal_of(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class SpoolFile:
    """Receives a file's bytes in order. Until it is sealed it is scrap after a crash: the journal builds it anew."""

    def __init__(self, path: Path) -> None:
        """Make the file, empty, in place of an older attempt.

        Raises:
            OSError: The disk is full or away.
        """
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._open = True
        self._offset = 0
        self._unwritten = bytearray()

    def append(self, data: bytes) -> None:
        """Add bytes at the end. What a full disk refuses is kept in memory and written with the next ones.

        Raises:
            OSError: The disk has been full or away for too long.
        """
        self._unwritten += data
        try:
            self._write()
        except OSError:
            if len(self._unwritten) > _MAX_UNWRITTEN_BYTES:
                raise

    def seal(self, finished: Finished, frames: int) -> SpooledFile:
        """Add the tail, write the true header, and make it all durable, with a note that says so. Blocks.

        Raises:
            Overloaded: DISK_FULL; to be called again with the same arguments.
        """
        try:
            self._write()
            size_bytes = self._pwrite(finished.tail, self._offset)
            self._pwrite(finished.header, 0)
            os.fsync(self._fd)
            spooled = SpooledFile(self.path, size_bytes, self._sha256(size_bytes), frames)
            _write_seal(spooled)
        except OSError as error:
            message = f"the spool cannot be written ({error.strerror}); the file is finished when there is room"
            raise Overloaded(Reason.DISK_FULL, message, retry_after_s=30) from error
        self._close()
        return spooled

    def discard(self) -> None:
        """Remove the file; removing it twice is harmless."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        while self._unwritten:
            written = os.pwrite(self._fd, self._unwritten, self._offset)
            self._offset += written
            del self._unwritten[:written]

    def _pwrite(self, data: bytes, offset: int) -> int:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset += written
            view = view[written:]
        return offset

    def _sha256(self, size_bytes: int) -> str:
        digest = hashlib.sha256()
        for offset in range(0, size_bytes, _HASH_BLOCK_BYTES):
            digest.update(os.pread(self._fd, _HASH_BLOCK_BYTES, offset))
        return digest.hexdigest()

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)


class SpoolDirectory:
    """Where files are built, one a recording."""

    def __init__(self, directory: Path) -> None:
        """Use a directory; it is made if missing. What a former run sealed is kept, everything else is scrap."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._sealed = {path.stem: path for path in directory.glob(f"*{_SEAL}") if _read_seal(path) is not None}
        for path in directory.iterdir():
            # Other names are not the spool's: a file system's `lost+found`, say.
            if path.suffix == _DRAFT or (path.suffix in {_FILE, _SEAL} and path.stem not in self._sealed):
                path.unlink()

    def create(self, recording_id: UUID) -> SpoolFile:
        """Begin a file.

        Raises:
            OSError: The disk is full or away.
        """
        return SpoolFile(self._directory / f"{recording_id}{_FILE}")

    def sealed(self, recording_id: UUID) -> SpooledFile | None:
        """Return the file that a former run sealed but did not get stored, if there is one."""
        path = self._sealed.get(str(recording_id))
        return None if path is None else _read_seal(path)


def _seal_of(path: Path) -> Path:
    return path.with_suffix(_SEAL)


def _write_seal(spooled: SpooledFile) -> None:
    """Say, durably, that the file is whole: the note appears only after everything it speaks of."""
    seal = _seal_of(spooled.path)
    draft = seal.with_suffix(_DRAFT)
    facts = {"size_bytes": spooled.size_bytes, "sha256": spooled.sha256, "frames": spooled.frames}
    with draft.open("w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(seal)
    directory = os.open(seal.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_seal(seal: Path) -> SpooledFile | None:
    """Return the file that a note speaks of, None if the two do not fit."""
    path = seal.with_suffix(_FILE)
    try:
        facts = json.loads(seal.read_text())
        spooled = SpooledFile(path, int(facts["size_bytes"]), str(facts["sha256"]), int(facts["frames"]))
        return spooled if path.stat().st_size == spooled.size_bytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None

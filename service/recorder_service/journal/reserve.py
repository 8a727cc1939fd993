"""A file of room kept aside, given up when the disk is full."""

import contextlib
import os
from pathlib import Path

from recorder_service.journal.segments import no_room

_NAME = "reserve"


class Reserve:
    """Room for the releases that a full disk needs before anything can be deleted."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._path = directory / _NAME
        self._size_bytes = size_bytes

    def give_up(self) -> bool:
        """Delete the file; False if there was none."""
        with contextlib.suppress(OSError):
            self._path.unlink()
            return True
        return False

    def set_up(self) -> None:
        """Create the file if there is room for it twice over; otherwise leave it for the next time.

        Raises:
            OSError: The disk fails in another way than being full.
        """
        if self._size_bytes == 0 or (self._path.exists() and self._path.stat().st_size == self._size_bytes):
            return
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < 2 * self._size_bytes:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        except OSError as error:
            self.give_up()
            if not no_room(error):
                raise
        finally:
            os.close(descriptor)

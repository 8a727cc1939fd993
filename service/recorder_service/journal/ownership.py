"""One process owns a journal: the lock on its directory, and the count of its starts."""

import fcntl
import json
import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.groups import Seal
from recorder_service.journal.segments import write_durably

_LOCK_NAME = "lock"
_EPOCH_NAME = "epoch"


@dataclass(frozen=True, slots=True)
class Epoch:
    """How often the journal was opened, and where its last segment ended if it was closed in order."""

    number: int
    closed_at: Seal | None


class DirectoryLock:
    """An exclusive lock that ends with the process, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            StartupError: Another process holds it.
        """
        self._descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise StartupError(
                Reason.DIRECTORY_LOCKED,
                f"The journal directory {directory} is in use by {holder}: stop that process, or give this node a "
                "directory of its own.",
                details={"field": "journal.directory", "value": str(directory), "holder": holder},
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory up; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_epoch(directory: Path) -> Epoch:
    """Read the epoch file; a missing or damaged one reads as epoch 0, since the segments also carry it."""
    try:
        found = json.loads((directory / _EPOCH_NAME).read_bytes())
        if found.pop("crc") != _check(found):
            # A wrong end would hide what lies behind it.
            return Epoch(0, None)
        closed = found["closed_at"]
        seal = Seal(int(closed["segment"]), int(closed["end"]), int(closed["crc"])) if closed else None
        return Epoch(int(found["epoch"]), seal)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return Epoch(0, None)


def write_epoch(directory: Path, epoch: Epoch) -> None:
    """Write the epoch file durably.

    Raises:
        OSError: It could not be written; the old one still stands.
    """
    seal = epoch.closed_at
    closed = {"segment": seal.segment, "end": seal.end, "crc": seal.crc} if seal else None
    facts = {"epoch": epoch.number, "closed_at": closed}
    write_durably(directory / _EPOCH_NAME, json.dumps({**facts, "crc": _check(facts)}).encode())


def _check(facts: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())

"""Segment files: their names, and the one that is being written."""

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from recorder_service.journal.groups import (
    PREAMBLE_BYTES,
    GroupPlace,
    PendingEntry,
    Preamble,
    Seal,
    encode_group,
    encode_preamble,
)

_NAME = re.compile(r"(\d{20})\.journal")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def no_room(error: OSError) -> bool:
    """Say whether the error is a full disk or quota: it goes away by itself, unlike a broken disk."""
    return error.errno in _NO_ROOM


def segment_path(directory: Path, number: int) -> Path:
    """Name the file of a segment."""
    return directory / f"{number:020d}.journal"


def segment_numbers(directory: Path) -> list[int]:
    """List the segments that are there, oldest first."""
    found = (_NAME.fullmatch(name) for name in (path.name for path in directory.iterdir()))
    return sorted(int(match[1]) for match in found if match)


def sync_directory(directory: Path) -> None:
    """Make created, renamed and deleted names durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Put a whole file in place: after a crash it is the old one or the new one, never a part."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, (data,), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    sync_directory(path.parent)


def write_all(descriptor: int, parts: Sequence[bytes], offset: int) -> int:
    """Write every part at `offset`, going on after short writes; return the number of bytes."""
    size = sum(map(len, parts))
    done = os.pwritev(descriptor, parts, offset)
    if done < size:
        rest = memoryview(b"".join(parts))
        while done < size:
            done += os.pwrite(descriptor, rest[done:], offset + done)
    return size


class SegmentFile:
    """The segment that is being written. Only the writer's thread may use it.

    Every group is durable before the next one is written, so `end` is at once the length and the durable mark.

    Attributes:
        number: As in its name.
        path: The file.
        created_ns: Unix time.
        end: All bytes before this offset are durable.
        dead: A write or an fdatasync failed: the kernel may have dropped the pages, so it is never synced again.
    """

    def __init__(self, path: Path, preamble: Preamble, descriptor: int) -> None:
        self.number = preamble.segment
        self.path = path
        self.created_ns = preamble.created_ns
        self.end = PREAMBLE_BYTES
        self.dead = False
        self._descriptor = descriptor
        self._salt = preamble.salt
        self._previous = preamble.previous or Seal(0, 0, 0)
        self._last_crc = self._previous.crc

    @classmethod
    def create(
        cls,
        directory: Path,
        number: int,
        *,
        epoch: int,
        first_lsn: int,
        previous: Seal | None,
        checkpoint: Sequence[PendingEntry],
    ) -> "SegmentFile":
        """Create a segment that holds a checkpoint; it and its name are durable on return.

        It gets its name only when its content is durable: a crash never leaves half a preamble under that name.

        Raises:
            OSError: A step failed; nothing is left behind as far as the disk allows.
        """
        preamble = Preamble(epoch, number, secrets.randbits(64), time.time_ns(), first_lsn, previous)
        path = segment_path(directory, number)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        segment = cls(path, preamble, descriptor)
        try:
            write_all(descriptor, (encode_preamble(preamble),), 0)
            segment.commit(checkpoint, first_lsn, checkpoint=True)
            temporary.rename(path)
            sync_directory(directory)
        except OSError:
            segment.close()
            for leftover in (temporary, path):
                with contextlib.suppress(OSError):
                    leftover.unlink(missing_ok=True)
            raise
        return segment

    def commit(self, entries: Sequence[PendingEntry], first_lsn: int, *, checkpoint: bool = False) -> None:
        """Write a group and make it durable.

        Raises:
            OSError: Not durable. If the disk was full at the write, the segment is cut back and stays usable;
                otherwise it is `dead`.
        """
        if self.dead:
            raise OSError(errno.EIO, f"{self.path.name} failed before and is never written again")
        header, body, crc = encode_group(self._place(first_lsn), entries, checkpoint=checkpoint)
        self.dead = True
        self._write(header, body)
        os.fdatasync(self._descriptor)
        self.dead = False
        self.end += len(header) + len(body)
        self._last_crc = crc

    def seal(self) -> Seal:
        """Say where the segment ends for good, for the one after it."""
        return Seal(self.number, self.end, self._last_crc)

    def close(self) -> None:
        """Close the file, without a sync: what counts is durable, and a dead file must not be synced."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _write(self, header: bytes, body: bytes) -> None:
        try:
            write_all(self._descriptor, (header, body), self.end)
        except OSError as error:
            if no_room(error):
                # Nothing synced is touched: the bytes beyond `end` belong to nobody yet.
                os.ftruncate(self._descriptor, self.end)
                self.dead = False
            raise

    def _place(self, first_lsn: int) -> GroupPlace:
        return GroupPlace(
            segment=self.number,
            offset=self.end,
            salt=self._salt,
            first_lsn=first_lsn,
            durable_before=self.end,
            previous_segment=self._previous.segment,
            previous_end=self._previous.end,
            previous_crc=self._last_crc,
        )

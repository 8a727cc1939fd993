"""Reads one segment, group by group, past any damage."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.groups import (
    FORMAT_VERSION,
    GROUP_MAGIC,
    HEADER_BYTES,
    PREAMBLE_BYTES,
    Group,
    Preamble,
    body_size,
    decode_group,
    decode_preamble,
)

_WINDOW_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class BadRange:
    """Bytes `start` to `end` of a segment that are not what was written; they may lie beyond the file's length."""

    start: int
    end: int
    cause: str


class SegmentReader:
    """Reads a segment with one group in memory at a time.

    Reads with `pread`, not a memory map: a block the disk cannot read is then an error that is handled as damage, and
    not a signal that ends the process.

    Attributes:
        number: Of the segment.
        size_bytes: Length of the file.
        modified_ns: When it was last written, Unix time.
        preamble: None if it is damaged.
    """

    def __init__(self, path: Path, number: int, end: int | None = None) -> None:
        """Open the segment and read its preamble.

        Args:
            path: The file.
            number: The number in its name.
            end: Where it was sealed; None if nothing vouches for that.

        Raises:
            StartupError: A newer version of Recorder wrote it.
            OSError: It cannot be opened.
        """
        self.number = number
        self._end = end
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        self.size_bytes = status.st_size
        self.modified_ns = status.st_mtime_ns
        self._limit = self.size_bytes if end is None else min(end, self.size_bytes)
        self.preamble = self._read_preamble(path)
        self._salt = self.preamble.salt if self.preamble else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def groups(self) -> Iterator[Group | BadRange]:
        """Yield the groups in order, and what lies between them where something is wrong."""
        if self.preamble is None:
            yield BadRange(0, PREAMBLE_BYTES, "the preamble is damaged")
        position, crc = PREAMBLE_BYTES, None
        while position < self._limit:
            group = self._group_at(position)
            if group is None:
                following = self._search(position + 1)
                yield BadRange(position, following, "no valid group")
                position, crc = following, None
                continue
            if crc is not None and group.place.previous_crc != crc:
                yield BadRange(position, position, "the group does not follow the one before it")
            yield group
            position, crc = group.end, group.crc
        if self._end is not None and self._end > max(position, self._limit):
            yield BadRange(max(position, self._limit), self._end, "the file was cut short")

    def read(self, start: int, size: int) -> bytes:
        """Read bytes; those the disk cannot give read as zeros, so that their check fails.

        Returns:
            Fewer than `size` bytes only at the end of the file.
        """
        size = min(size, self.size_bytes - start)
        if size <= 0:
            return b""
        try:
            data = os.pread(self._descriptor, size, start)
        except OSError:
            return bytes(size)
        return data if len(data) == size else data + bytes(size - len(data))

    def _read_preamble(self, path: Path) -> Preamble | None:
        found = decode_preamble(self.read(0, PREAMBLE_BYTES))
        if found is None or found[1].segment != self.number:
            return None
        version, preamble = found
        if version != FORMAT_VERSION:
            os.close(self._descriptor)
            raise StartupError(
                Reason.SCHEMA_TOO_NEW,
                f"{path} has journal format {version}, this version of Recorder reads {FORMAT_VERSION}: start the "
                "version that wrote it, or let that version finish its recordings first.",
                details={"field": "journal.directory", "value": str(path)},
            )
        return preamble

    def _group_at(self, offset: int) -> Group | None:
        header = self.read(offset, HEADER_BYTES)
        size = self._body_size(header, offset)
        if size is None:
            return None
        group = decode_group(header, self.read(offset + HEADER_BYTES, size))
        if group is not None:
            self._salt = group.place.salt
        return group

    def _body_size(self, header: bytes, offset: int) -> int | None:
        size = body_size(header, segment=self.number, offset=offset, salt=self._salt)
        return None if size is None or offset + HEADER_BYTES + size > self._limit else size

    def _search(self, start: int) -> int:
        """Find the next valid group at or after `start`, or the end of what may be read."""
        while start < self._limit:
            window = self.read(start, min(_WINDOW_BYTES, self._limit - start))
            found = window.find(GROUP_MAGIC)
            while found >= 0:
                # Most magics in a row of them are refused by their header, without another read.
                header = window[found : found + HEADER_BYTES]
                whole = len(header) == HEADER_BYTES
                if not (whole and self._body_size(header, start + found) is None) and self._group_at(start + found):
                    return start + found
                found = window.find(GROUP_MAGIC, found + 1)
            # A magic may lie across two windows.
            start += max(len(window) - len(GROUP_MAGIC) + 1, 1)
        return self._limit

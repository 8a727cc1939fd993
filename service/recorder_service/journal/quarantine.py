"""Sets bytes aside before anything is done about them, and cuts a torn tail."""

import os
from pathlib import Path

from recorder_service.journal.groups import HEADER_BYTES, Group, decode_group
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import no_room, segment_path, sync_directory, write_all

_PIECE_BYTES = 64 * 1024


def set_aside(reader: SegmentReader, directory: Path, start: int, end: int, ending: str) -> Path | None:
    """Copy bytes `start` to `end` of a segment into a file of their own, durably.

    The name follows from the place, so a second start that finds the same bytes makes no second copy, and a start that
    was killed half-way leaves only a `.new` file behind.

    Args:
        reader: The open segment.
        directory: Where the copy goes.
        start: First byte.
        end: The byte after the last one; cut to the file's length.
        ending: `damaged` or `torn`.

    Returns:
        The copy; None if there was nothing to copy or no room.

    Raises:
        OSError: It failed for another reason than a full disk.
    """
    size = min(end, reader.size_bytes) - start
    if size <= 0:
        return None
    copy = directory / f"{reader.number:020d}-{start:020d}.{ending}"
    if copy.exists() and copy.stat().st_size == size:
        return copy
    temporary = copy.with_name(copy.name + ".new")
    try:
        _copy(reader, start, start + size, temporary)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if no_room(error):
            return None
        raise
    temporary.rename(copy)
    sync_directory(directory)
    return copy


def cut(directory: Path, number: int, end: int) -> None:
    """Cut a segment to `end` bytes, durably.

    Raises:
        OSError: It could not be cut; it is as before.
    """
    descriptor = os.open(segment_path(directory, number), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(reader: SegmentReader, directory: Path, group: Group) -> None:
    """Write a segment's last group over itself and make the segment durable.

    Reading a group back proves nothing about the disk: after a failed fdatasync the page cache can hold what the disk
    does not. A group that no later one vouches for is therefore written again before it counts.

    Raises:
        OSError: The disk refuses it.
    """
    start = group.place.offset
    data = reader.read(start, group.end - start)
    descriptor = os.open(segment_path(directory, reader.number), os.O_WRONLY | os.O_CLOEXEC)
    try:
        # A block that cannot be read any more reads as zeros, which must not be written.
        if decode_group(data[:HEADER_BYTES], data[HEADER_BYTES:]) is not None:
            write_all(descriptor, (data,), start)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(reader: SegmentReader, start: int, end: int, target: Path) -> None:
    with target.open("wb") as stream:
        for position in range(start, end, _PIECE_BYTES):
            stream.write(reader.read(position, min(_PIECE_BYTES, end - position)))
        stream.flush()
        os.fsync(stream.fileno())

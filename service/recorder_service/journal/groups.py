"""The bytes of a journal segment: its preamble, its groups, and the entries in a group.

`docs/journal-format.md` holds the same layout for readers of other languages. All integers are little-endian.
Checks are CRC-32 as in ISO/IEC 8802-3 (`zlib.crc32`): zlib is always there, releases the GIL and is many times faster
than the disk, so CRC-32C would only add a dependency.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FORMAT_VERSION = 1
PREAMBLE_MAGIC = b"\x93RECJSEG"
GROUP_MAGIC = b"\x93RECJGRP"

# Longer than any group that is written; a length field beyond it is never believed.
MAX_BODY_BYTES = 16 * 1024 * 1024

KIND_RELEASED = 0xFFFF
KIND_PRESENT = 0xFFFE
KIND_SEALED = 0xFFFD
MAX_KIND = 0xFFEF

_PREAMBLE = struct.Struct("<8sHHIQQQQQQQ")
_HEADER = struct.Struct("<8sHHIIIQQQQQQQ")
_ENTRY = struct.Struct("<16sQIHH")
_CRC = struct.Struct("<I")
_SEALED = struct.Struct("<QI")

PREAMBLE_BYTES = _PREAMBLE.size + _CRC.size
HEADER_BYTES = _HEADER.size + _CRC.size
ENTRY_BYTES = _ENTRY.size

_FLAG_CHECKPOINT = 1

# An entry's own header as it stands in the file: recording, running number, payload length, kind, zero.
EntryHeader = tuple[bytes, int, int, int, int]

# What waits to be written: recording (16 bytes), running number, kind, payload. A bare tuple, because one is made for
# every message of every call.
PendingEntry = tuple[bytes, int, int, bytes]


@dataclass(frozen=True, slots=True)
class Seal:
    """Where a segment ends for good: bytes beyond `end` were never acknowledged."""

    segment: int
    end: int
    crc: int


@dataclass(frozen=True, slots=True)
class Preamble:
    """The first bytes of a segment.

    Attributes:
        epoch: The start of the node that wrote it; grows with every start.
        segment: Its number, as in its name.
        salt: Random; repeated in every group, so that bytes inside a payload can never pass for a group.
        created_ns: Unix time.
        first_lsn: The LSN its first entry will have.
        previous: The segment before it and its end; None in a journal's first one.
    """

    epoch: int
    segment: int
    salt: int
    created_ns: int
    first_lsn: int
    previous: Seal | None


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where a group stands and what it vouches for.

    Attributes:
        segment: Number of its segment.
        offset: Its first byte in the segment.
        salt: That of the segment.
        first_lsn: LSN of its first entry; a checkpoint uses up none.
        durable_before: All bytes of this segment before this offset were durable when the group was written.
        previous_segment: The segment before this one, 0 in a journal's first one.
        previous_end: That segment was durable up to here, and ends here.
        previous_crc: CRC of the group before this one, across segments; 0 for a journal's first group.
    """

    segment: int
    offset: int
    salt: int
    first_lsn: int
    durable_before: int
    previous_segment: int
    previous_end: int
    previous_crc: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group whose check held.

    Attributes:
        place: Where it stands.
        checkpoint: It holds what the writer knew, not entries.
        headers: Those of its entries, in order.
        body: Headers and payloads as they stand in the file.
        crc: Its check, which the next group repeats.
    """

    place: GroupPlace
    checkpoint: bool
    headers: Sequence[EntryHeader]
    body: bytes
    crc: int

    @property
    def end(self) -> int:
        """The offset of the first byte after the group."""
        return self.place.offset + HEADER_BYTES + len(self.body)

    def entries(self) -> Iterator[PendingEntry]:
        """Yield the entries; the payload is a copy."""
        body, position = self.body, 0
        for recording, index, size, kind, _ in self.headers:
            position += ENTRY_BYTES
            yield recording, index, kind, body[position : position + size]
            position += size


def encode_preamble(preamble: Preamble) -> bytes:
    """Build the `PREAMBLE_BYTES` of a segment's start."""
    previous = preamble.previous or Seal(0, 0, 0)
    head = _PREAMBLE.pack(
        PREAMBLE_MAGIC,
        FORMAT_VERSION,
        0,
        previous.crc,
        preamble.epoch,
        preamble.segment,
        preamble.salt,
        preamble.created_ns,
        preamble.first_lsn,
        previous.segment,
        previous.end,
    )
    return head + _CRC.pack(zlib.crc32(head))


def decode_preamble(data: bytes) -> tuple[int, Preamble] | None:
    """Read a preamble and its format version.

    Returns:
        None if the check fails. Otherwise the version, which the caller compares with `FORMAT_VERSION`: an intact
        preamble of another version is a reason to refuse, not damage.
    """
    if len(data) < PREAMBLE_BYTES or data[:8] != PREAMBLE_MAGIC:
        return None
    head = data[: _PREAMBLE.size]
    if _CRC.unpack_from(data, _PREAMBLE.size)[0] != zlib.crc32(head):
        return None
    _, version, _, crc, epoch, segment, salt, created_ns, first_lsn, before, end = _PREAMBLE.unpack(head)
    previous = Seal(before, end, crc) if before else None
    return version, Preamble(epoch, segment, salt, created_ns, first_lsn, previous)


def encode_group(
    place: GroupPlace, entries: Sequence[PendingEntry], *, checkpoint: bool = False
) -> tuple[bytes, bytes, int]:
    """Build a group.

    Returns:
        Its header, its body, and its CRC. Header and body stay apart so that `os.pwritev` needs no further copy.
    """
    pack = _ENTRY.pack
    parts: list[bytes] = []
    for recording, index, kind, payload in entries:
        parts.append(pack(recording, index, len(payload), kind, 0))
        parts.append(payload)
    body = b"".join(parts)
    head = _HEADER.pack(
        GROUP_MAGIC,
        FORMAT_VERSION,
        _FLAG_CHECKPOINT if checkpoint else 0,
        len(body),
        len(entries),
        place.previous_crc,
        place.segment,
        place.offset,
        place.salt,
        place.first_lsn,
        place.durable_before,
        place.previous_segment,
        place.previous_end,
    )
    crc = zlib.crc32(body, zlib.crc32(head))
    return head + _CRC.pack(crc), body, crc


def body_size(header: bytes, *, segment: int, offset: int, salt: int | None) -> int | None:
    """Say how long the body after this header is, if the header can be that of a group at this very place.

    Cheap and strict, because a search for the next group tries it on every appearance of the magic.

    Args:
        header: `HEADER_BYTES` bytes.
        segment: The segment they were read from.
        offset: The offset they were read at.
        salt: That of the segment, None if its preamble is lost.

    Returns:
        A length of at most `MAX_BODY_BYTES`, or None.
    """
    if len(header) < HEADER_BYTES or header[:8] != GROUP_MAGIC:
        return None
    _, version, flags, size, count, _, its_segment, its_offset, its_salt, _, durable, _, _ = _HEADER.unpack_from(header)
    placed = its_segment == segment and its_offset == offset and durable <= offset and salt in {None, its_salt}
    sized = size <= MAX_BODY_BYTES and count * ENTRY_BYTES <= size
    return size if placed and sized and version == FORMAT_VERSION and flags <= _FLAG_CHECKPOINT else None


def decode_group(header: bytes, body: bytes) -> Group | None:
    """Check a group and read its header; `body_size` must have accepted the header.

    Returns:
        None if the CRC is wrong or the entries do not fill the body exactly.
    """
    crc = _CRC.unpack_from(header, _HEADER.size)[0]
    if zlib.crc32(body, zlib.crc32(header[: _HEADER.size])) != crc:
        return None
    _, _, flags, _, count, previous_crc, segment, offset, salt, lsn, durable, before, end = _HEADER.unpack_from(header)
    place = GroupPlace(segment, offset, salt, lsn, durable, before, end, previous_crc)
    headers = _entry_headers(body, count)
    return None if headers is None else Group(place, flags == _FLAG_CHECKPOINT, headers, body, crc)


def _entry_headers(body: bytes, count: int) -> list[EntryHeader] | None:
    position, last = 0, len(body) - ENTRY_BYTES
    headers: list[EntryHeader] = []
    for _ in range(count):
        if position > last:
            return None
        header: EntryHeader = _ENTRY.unpack_from(body, position)
        headers.append(header)
        position += ENTRY_BYTES + header[2]
    return headers if position == len(body) else None


def seal_entry(seal: Seal) -> PendingEntry:
    """Write a seal as a checkpoint's entry."""
    return bytes(16), seal.segment, KIND_SEALED, _SEALED.pack(seal.end, seal.crc)


def entry_seal(entry: PendingEntry) -> Seal | None:
    """Read a seal from a checkpoint's entry; None for an entry of another kind or length."""
    _, segment, kind, payload = entry
    if kind != KIND_SEALED or len(payload) != _SEALED.size:
        return None
    return Seal(segment, *_SEALED.unpack(payload))

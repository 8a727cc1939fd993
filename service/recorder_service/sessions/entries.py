"""What a live recording writes into the journal, as bytes; the description is in docs/journal-format.md.

Every entry begins with the sequence of the request it came from (0 where no request of a stream asked for it), so
that after a restart the next expected sequence is known; its upper 16 bits are the number of the stream, which is 0 in
a call. Positions are recording frames but for chunks, whose positions are in their leg's own rate since the stream's
position 0.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recorder_service.audio.formats import Payload
from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import PauseMode, StopReason
from recorder_service.sessions import membership
from recorder_service.sessions.membership import CloseFeed, Join, Leave, Membership, Mute, Observe, OpenFeed, Wait


class EntryKind(enum.IntEnum):
    """Kinds of entries; the numbers are stored and never change their meaning."""

    AUDIO = 1
    DTMF = 2
    PAUSE = 3
    RESUME = 4
    STOP = 5
    SKIP = 6
    ADVANCE = 7
    OPEN_FEED = 8
    CLOSE_FEED = 9
    JOIN = 10
    LEAVE = 11
    MUTE = 12
    OBSERVE = 13
    WAIT = 14


class Chunk(NamedTuple):
    """A chunk of one leg; a tuple, because one is made for every message and leg.

    Attributes:
        leg: The leg's place in the recording's list of legs.
        start_frame: In the leg's own rate.
        payload: Whole frames.
    """

    leg: int
    start_frame: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio that was kept."""

    sequence: int
    chunks: tuple[Chunk, ...]
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key press that was kept."""

    sequence: int
    key_press: KeyPress
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause began."""

    sequence: int
    frame: int
    mode: PauseMode
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """A pause ended."""

    sequence: int
    frame: int
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """The recording was ended, for this reason at this frame, unless a stop rule had acted before."""

    sequence: int
    frame: int
    reason: StopReason
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """A request left nothing to keep: the start of a recording, or audio of a pause.

    Attributes:
        frame: How far the audio reached that a pause dropped; 0 where there was none.
    """

    sequence: int
    frame: int = 0
    feed: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """The clock said that media time reached this frame though nothing was sent."""

    sequence: int
    frame: int
    feed: int = 0


Entry = Audio | Dtmf | Pause | Resume | Stop | Skip | Advance | Membership

_MEMBERSHIP: dict[EntryKind, type[Membership]] = {
    EntryKind.OPEN_FEED: OpenFeed,
    EntryKind.CLOSE_FEED: CloseFeed,
    EntryKind.JOIN: Join,
    EntryKind.LEAVE: Leave,
    EntryKind.MUTE: Mute,
    EntryKind.OBSERVE: Observe,
    EntryKind.WAIT: Wait,
}
_MEMBERSHIP_KINDS = {entry: kind for kind, entry in _MEMBERSHIP.items()}

_AUDIO = struct.Struct("<QH")
_CHUNK = struct.Struct("<HqI")
_AT = struct.Struct("<Qq")
_NUMBER = struct.Struct("<Q")
_FEED_SHIFT = 48
_NO_DURATION = -1
_DTMF = struct.Struct("<Qqqc")


def audio_buffers(sequence: int, chunks: Sequence[Chunk], feed: int = 0) -> list[Payload]:
    """Write audio as buffers to be joined: payloads are not copied here."""
    buffers: list[Payload] = [_AUDIO.pack(_number(sequence, feed), len(chunks))]
    for chunk in chunks:
        buffers.append(_CHUNK.pack(chunk.leg, chunk.start_frame, len(chunk.payload)))
        buffers.append(chunk.payload)
    return buffers


def encode(entry: Entry) -> tuple[EntryKind, bytes]:
    """Write an entry."""
    number = _number(entry.sequence, entry.feed)
    match entry:
        case Audio(sequence, chunks, feed):
            return EntryKind.AUDIO, b"".join(audio_buffers(sequence, chunks, feed))
        case Dtmf(_, press):
            duration = _NO_DURATION if press.duration_ms is None else press.duration_ms
            fixed = _DTMF.pack(number, press.frame, duration, press.digit.encode("ascii"))
            return EntryKind.DTMF, fixed + press.leg_id.encode()
        case Pause(_, frame, mode):
            return EntryKind.PAUSE, _AT.pack(number, frame) + mode.value.encode()
        case Resume(_, frame):
            return EntryKind.RESUME, _AT.pack(number, frame)
        case Stop(_, frame, reason):
            return EntryKind.STOP, _AT.pack(number, frame) + reason.value.encode()
        case Skip(_, frame):
            return EntryKind.SKIP, _AT.pack(number, frame)
        case Advance(_, frame):
            return EntryKind.ADVANCE, _AT.pack(number, frame)
        case _:
            return _MEMBERSHIP_KINDS[type(entry)], _NUMBER.pack(number) + membership.write(entry)


def decode(kind: int, data: bytes) -> Entry:
    """Read an entry that `encode` wrote.

    Raises:
        ValueError: The kind is unknown or the bytes do not fit it.
    """
    try:
        return _decode(EntryKind(kind), data)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"journal entry of kind {kind} is malformed: {error}") from None


def _number(sequence: int, feed: int) -> int:
    return feed << _FEED_SHIFT | sequence


def _split(number: int) -> tuple[int, int]:
    """Return sequence and feed."""
    return number & ((1 << _FEED_SHIFT) - 1), number >> _FEED_SHIFT


def _decode(kind: EntryKind, data: bytes) -> Entry:
    if kind in _MEMBERSHIP:
        sequence, feed = _split(_NUMBER.unpack_from(data)[0])
        return membership.read(_MEMBERSHIP[kind], sequence, feed, data[_NUMBER.size :])
    match kind:
        case EntryKind.AUDIO:
            return _decode_audio(data)
        case EntryKind.DTMF:
            number, frame, duration, digit = _DTMF.unpack_from(data)
            sequence, feed = _split(number)
            duration_ms = None if duration == _NO_DURATION else duration
            leg_id = data[_DTMF.size :].decode()
            return Dtmf(sequence, KeyPress(leg_id, digit.decode("ascii"), frame, duration_ms), feed)
    return _decode_at(kind, data)


def _decode_at(kind: EntryKind, data: bytes) -> Entry:
    number, frame = _AT.unpack_from(data)
    sequence, feed = _split(number)
    rest = data[_AT.size :].decode()
    if rest and kind in {EntryKind.RESUME, EntryKind.ADVANCE, EntryKind.SKIP}:
        raise ValueError(f"journal entry of kind {kind} has {len(rest)} characters too many")
    match kind:
        case EntryKind.PAUSE:
            return Pause(sequence, frame, PauseMode(rest), feed)
        case EntryKind.STOP:
            return Stop(sequence, frame, StopReason(rest), feed)
        case EntryKind.SKIP:
            return Skip(sequence, frame, feed)
        case EntryKind.RESUME:
            return Resume(sequence, frame, feed)
        case _:
            return Advance(sequence, frame, feed)


def _decode_audio(data: bytes) -> Audio:
    number, count = _AUDIO.unpack_from(data)
    sequence, feed = _split(number)
    offset = _AUDIO.size
    chunks = []
    for _ in range(count):
        leg, start_frame, size_bytes = _CHUNK.unpack_from(data, offset)
        offset += _CHUNK.size
        chunks.append(Chunk(leg, start_frame, data[offset : offset + size_bytes]))
        offset += size_bytes
    if offset != len(data):
        raise ValueError(f"audio entry has {len(data)} bytes, its chunks need {offset}")
    return Audio(sequence, tuple(chunks), feed)

"""What a live recording writes into the journal, as bytes; the description is in docs/journal-format.md.

Every entry begins with the sequence of the request it came from (0 where no request of the stream asked for it), so
that after a restart the next expected sequence is known. Positions are recording frames but for chunks, whose
positions are in their leg's own rate.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from recorder_service.audio.formats import Payload
from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import PauseMode, StopReason


class EntryKind(enum.IntEnum):
    """Kinds of entries; the numbers are stored and never change their meaning."""

    AUDIO = 1
    DTMF = 2
    PAUSE = 3
    RESUME = 4
    STOP = 5
    SKIP = 6
    ADVANCE = 7


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of one leg, by the leg's place in the recording's list of legs."""

    leg: int
    start_frame: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio that was kept."""

    sequence: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key press that was kept."""

    sequence: int
    key_press: KeyPress


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause began."""

    sequence: int
    frame: int
    mode: PauseMode


@dataclass(frozen=True, slots=True)
class Resume:
    """A pause ended."""

    sequence: int
    frame: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The recording was ended, for this reason at this frame, unless a stop rule had acted before."""

    sequence: int
    frame: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Skip:
    """A request left nothing to keep: the start of a recording, or audio of a pause.

    Attributes:
        frame: How far the audio reached that a pause dropped; 0 where there was none.
    """

    sequence: int
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """The clock said that media time reached this frame though nothing was sent."""

    sequence: int
    frame: int


Entry = Audio | Dtmf | Pause | Resume | Stop | Skip | Advance

_AUDIO = struct.Struct("<QH")
_CHUNK = struct.Struct("<HqI")
_AT = struct.Struct("<Qq")
_NO_DURATION = -1
_DTMF = struct.Struct("<Qqqc")


def audio_buffers(sequence: int, chunks: Sequence[Chunk]) -> list[Payload]:
    """Write audio as buffers to be joined: payloads are not copied here."""
    buffers: list[Payload] = [_AUDIO.pack(sequence, len(chunks))]
    for chunk in chunks:
        buffers.append(_CHUNK.pack(chunk.leg, chunk.start_frame, len(chunk.payload)))
        buffers.append(chunk.payload)
    return buffers


def encode(entry: Entry) -> tuple[EntryKind, bytes]:
    """Write an entry."""
    match entry:
        case Audio(sequence, chunks):
            return EntryKind.AUDIO, b"".join(audio_buffers(sequence, chunks))
        case Dtmf(sequence, press):
            duration = _NO_DURATION if press.duration_ms is None else press.duration_ms
            fixed = _DTMF.pack(sequence, press.frame, duration, press.digit.encode("ascii"))
            return EntryKind.DTMF, fixed + press.leg_id.encode()
        case Pause(sequence, frame, mode):
            return EntryKind.PAUSE, _AT.pack(sequence, frame) + mode.value.encode()
        case Resume(sequence, frame):
            return EntryKind.RESUME, _AT.pack(sequence, frame)
        case Stop(sequence, frame, reason):
            return EntryKind.STOP, _AT.pack(sequence, frame) + reason.value.encode()
        case Skip(sequence, frame):
            return EntryKind.SKIP, _AT.pack(sequence, frame)
        case Advance(sequence, frame):
            return EntryKind.ADVANCE, _AT.pack(sequence, frame)


def decode(kind: int, data: bytes) -> Entry:
    """Read an entry that `encode` wrote.

    Raises:
        ValueError: The kind is unknown or the bytes do not fit it.
    """
    try:
        return _decode(EntryKind(kind), data)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"journal entry of kind {kind} is malformed: {error}") from None


def _decode(kind: EntryKind, data: bytes) -> Entry:
    match kind:
        case EntryKind.AUDIO:
            return _decode_audio(data)
        case EntryKind.DTMF:
            sequence, frame, duration, digit = _DTMF.unpack_from(data)
            duration_ms = None if duration == _NO_DURATION else duration
            leg_id = data[_DTMF.size :].decode()
            return Dtmf(sequence, KeyPress(leg_id, digit.decode("ascii"), frame, duration_ms))
    sequence, frame = _AT.unpack_from(data)
    rest = data[_AT.size :].decode()
    if rest and kind in {EntryKind.RESUME, EntryKind.ADVANCE, EntryKind.SKIP}:
        raise ValueError(f"journal entry of kind {kind} has {len(rest)} characters too many")
    match kind:
        case EntryKind.PAUSE:
            return Pause(sequence, frame, PauseMode(rest))
        case EntryKind.STOP:
            return Stop(sequence, frame, StopReason(rest))
        case EntryKind.SKIP:
            return Skip(sequence, frame)
        case EntryKind.RESUME:
            return Resume(sequence, frame)
        case EntryKind.ADVANCE:
            return Advance(sequence, frame)


def _decode_audio(data: bytes) -> Audio:
    sequence, count = _AUDIO.unpack_from(data)
    offset = _AUDIO.size
    chunks = []
    for _ in range(count):
        leg, start_frame, size_bytes = _CHUNK.unpack_from(data, offset)
        offset += _CHUNK.size
        chunks.append(Chunk(leg, start_frame, data[offset : offset + size_bytes]))
        offset += size_bytes
    if offset != len(data):
        raise ValueError(f"audio entry has {len(data)} bytes, its chunks need {offset}")
    return Audio(sequence, tuple(chunks))

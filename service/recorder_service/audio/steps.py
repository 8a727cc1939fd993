"""What a recording's timeline asks of whoever renders it, in the order in which it came up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recorder_service.audio.chunks import PlacedChunk, fill, payload_of, runs
from recorder_service.audio.formats import LegFormat, Payload
from recorder_service.audio.slips import Slip
from recorder_service.audio.timeline import Block


@dataclass(frozen=True, slots=True)
class CutBegin:
    """Leave out everything from a recording frame on."""

    frame: int


@dataclass(frozen=True, slots=True)
class CutEnd:
    """Keep everything from a recording frame on again."""

    frame: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Count silence from a recording frame on at the earliest."""

    frame: int


@dataclass(frozen=True, slots=True)
class PathLeg:
    """A leg, or one stay of a leg, and the channels of the file it is mixed into.

    Attributes:
        leg_id: The name of its track: no two stays share one.
    """

    leg_id: str
    format: LegFormat
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SlipLeg:
    """Smooth the place at which a leg is moved."""

    leg_id: str
    slip: Slip


@dataclass(frozen=True, slots=True)
class TakeOut:
    """What a slip at a leg frame left no room for."""

    leg_id: str
    frame: int
    payload: Payload


Step = Block | PathLeg | CutBegin | CutEnd | Hold | SlipLeg | TakeOut


def detached(step: Step, formats: Mapping[str, LegFormat]) -> Step:
    """Return a step that shares no memory with what was received, so that it can be sent to another process.

    Chunks that follow each other become one: the samples are the same, and there is less to send.

    Args:
        step: Any step.
        formats: Of the legs by id.
    """
    if isinstance(step, TakeOut):
        return TakeOut(step.leg_id, step.frame, bytes(step.payload))
    if not isinstance(step, Block):
        return step
    chunks = {leg_id: _joined(leg, formats[leg_id], step.frames) for leg_id, leg in step.chunks.items()}
    return Block(step.start_frame, step.frames, chunks)


def _joined(chunks: Sequence[PlacedChunk], leg_format: LegFormat, frames: int) -> tuple[PlacedChunk, ...]:
    """Join the chunks of a block that is so many recording frames long."""
    if fill(chunks, leg_format, leg_format.leg_frame_ceil(frames)):
        return (PlacedChunk(0, b"".join(map(payload_of, chunks))),)
    size = leg_format.bytes_per_frame
    return tuple(PlacedChunk(offset, b"".join(payloads)) for offset, payloads in runs(chunks, size))

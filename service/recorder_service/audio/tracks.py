"""One leg's audio that no closed block holds yet: where each payload lies, what came twice, what came too late."""

import bisect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from recorder_service.audio.chunks import PlacedChunk, offset_of, size_bytes
from recorder_service.audio.formats import LegFormat, Payload


class Placement(NamedTuple):
    """What became of one payload, in leg frames; a tuple, because one is made for every message.

    Attributes:
        frames: Frames in the payload.
        late_frames: Frames that belong to closed blocks and were dropped.
        repeated_frames: Frames for which there already was audio; the first stays.
    """

    frames: int
    late_frames: int
    repeated_frames: int


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """What a leg sent so far; all in frames of the leg's own rate.

    Attributes:
        first_frame: First frame that audio was placed at; 0 when there is none.
        end_frame: One past the last frame that audio was placed at.
        frames: Frames that are or will be in the recording.
        gap_frames: Frames of closed blocks, from the leg's join to its end, that no audio covered.
        late_frames: Frames that came after their block had closed.
        repeated_frames: Frames that came again.
    """

    first_frame: int
    end_frame: int
    frames: int
    gap_frames: int
    late_frames: int
    repeated_frames: int


_NEVER = sys.maxsize


class Track:
    """The chunks of one leg, sorted into blocks of fixed length.

    Attributes:
        leg_format: The leg's format.
        end_frame: One past the furthest leg frame placed.
        frame_size: Bytes of one frame.
        sample_rate_hz: The format's.
        closed_frame: Leg frame up to which blocks are closed; audio before it is late.
        wake_frame: The timeline looks for blocks to close when `end_frame` reaches this.
        live: Whether the leg holds blocks back.
        held: Whether it does so however late it is.
    """

    __slots__ = (
        "_block_frames",
        "_chunks",
        "_first_frame",
        "_frames",
        "_gap_end",
        "_gap_start",
        "_late_frames",
        "_left_frame",
        "_repeated_frames",
        "_taken_frames",
        "_usual",
        "closed_frame",
        "end_frame",
        "frame_size",
        "held",
        "leg_format",
        "live",
        "sample_rate_hz",
        "wake_frame",
    )

    def __init__(self, leg_format: LegFormat, *, block_frames: int, joined_frame: int, closed_frame: int) -> None:
        """Start without audio; `block_frames`, `joined_frame` and `closed_frame` are in recording frames."""
        self.leg_format = leg_format
        self.live = True
        self.held = False
        self.end_frame = 0
        self.closed_frame = leg_format.leg_frame_ceil(closed_frame)
        self.wake_frame = 0
        self.frame_size = leg_format.bytes_per_frame
        self.sample_rate_hz = leg_format.sample_rate_hz
        self._block_frames = leg_format.leg_frame(block_frames)
        self._chunks: dict[int, list[PlacedChunk]] = {}
        self._gap_start = leg_format.leg_frame(joined_frame)
        self._gap_end = _NEVER
        self._left_frame = 0
        self._first_frame: int | None = None
        self._frames = 0
        self._taken_frames = 0
        self._late_frames = 0
        self._repeated_frames = 0
        # Most messages of a leg are alike, and so is what is said of them.
        self._usual = Placement(0, 0, 0)

    @property
    def reach_frame(self) -> int:
        """Recording frame up to which this leg needs no waiting: its join or the end of its audio."""
        return self.leg_format.recording_frame(max(self.end_frame, self._gap_start))

    @property
    def open_blocks(self) -> Iterator[int]:
        """Indices of the blocks that hold audio of this leg."""
        return iter(self._chunks)

    def place(self, start_frame: int, payload: Payload) -> Placement:
        """Keep what is neither late nor there already. The caller has checked `start_frame`.

        Raises:
            BadInput: PARTIAL_FRAME; nothing is kept.
        """
        size_bytes = len(payload)
        if size_bytes % self.frame_size:
            self.leg_format.frame_count(size_bytes)
        frames = size_bytes // self.frame_size
        if start_frame < self.end_frame or start_frame < self.closed_frame:
            return self._place_disordered(start_frame, frames, payload)
        if not frames:
            return Placement(0, 0, 0)
        block, offset = divmod(start_frame, self._block_frames)
        if offset + frames <= self._block_frames:
            chunks = self._chunks.get(block) or self._block(block)
            chunks.append(PlacedChunk(offset, payload))
        else:
            for part_block, part_offset, part in self._split(start_frame, payload):
                self._block(part_block).append(PlacedChunk(part_offset, part))
        if self._first_frame is None:
            self._first_frame = start_frame
        self.end_frame = start_frame + frames
        self._frames += frames
        if frames != self._usual.frames:
            self._usual = Placement(frames, 0, 0)
        return self._usual

    def leave(self, end_frame: int) -> None:
        """Note that the leg left at this recording frame, so that nothing after it is a gap."""
        self.live = False
        self._left_frame = self.leg_format.leg_frame(end_frame)

    def take(self, block: int) -> tuple[PlacedChunk, ...]:
        """Hand over the chunks of a block that closes; empty when there are none."""
        chunks = self._chunks.pop(block, None)
        if chunks is None:
            return ()
        self._taken_frames += size_bytes(chunks) // self.frame_size
        return tuple(chunks)

    def truncate(self, end_frame: int) -> None:
        """Forget everything from this recording frame on and take nothing more."""
        block, limit = divmod(self.leg_format.leg_frame_ceil(end_frame), self._block_frames)
        dropped = [chunk for index in [*self._chunks] if index > block for chunk in self._chunks.pop(index)]
        chunks = self._chunks.pop(block, [])
        kept = [
            PlacedChunk(chunk.offset, memoryview(chunk.payload)[: (limit - chunk.offset) * self.frame_size])
            for chunk in chunks
            if chunk.offset < limit
        ]
        if kept:
            self._chunks[block] = kept
        self._frames -= (size_bytes(dropped) + size_bytes(chunks) - size_bytes(kept)) // self.frame_size

    def close_for_good(self, end_frame: int) -> None:
        """Count the gaps up to this recording frame; whatever comes now is late."""
        self._gap_end = self.leg_format.leg_frame_ceil(end_frame)
        self.closed_frame = self.wake_frame = _NEVER

    def statistics(self) -> LegStatistics:
        """Sum up what the leg sent so far."""
        start = self._gap_start if self._first_frame is None else min(self._gap_start, self._first_frame)
        end = min(self.closed_frame, self._gap_end)
        if not self.live:
            end = min(end, max(self._left_frame, self.end_frame))
        return LegStatistics(
            first_frame=self._first_frame or 0,
            end_frame=self.end_frame,
            frames=self._frames,
            gap_frames=max(0, end - start - self._taken_frames),
            late_frames=self._late_frames,
            repeated_frames=self._repeated_frames,
        )

    def _place_disordered(self, start_frame: int, frames: int, payload: Payload) -> Placement:
        late = min(frames, max(0, self.closed_frame - start_frame))
        start, end = start_frame + late, start_frame + frames
        written = 0
        for block, offset, part in self._split(start, memoryview(payload)[late * self.frame_size :]):
            written += self._fill(self._block(block), offset, part)
        if written:
            self._first_frame = start if self._first_frame is None else min(self._first_frame, start)
            self.end_frame = max(self.end_frame, end)
        repeated = frames - late - written
        self._frames += written
        self._late_frames += late
        self._repeated_frames += repeated
        return Placement(frames, late, repeated)

    def _block(self, block: int) -> list[PlacedChunk]:
        chunks = self._chunks.get(block)
        if chunks is None:
            chunks = self._chunks[block] = []
        return chunks

    def _split(self, start_frame: int, payload: Payload) -> Iterator[tuple[int, int, memoryview]]:
        """Cut a payload where blocks meet: (block, offset, part)."""
        rest = memoryview(payload)
        while rest:
            block, offset = divmod(start_frame, self._block_frames)
            frames = min(len(rest) // self.frame_size, self._block_frames - offset)
            yield block, offset, rest[: frames * self.frame_size]
            rest = rest[frames * self.frame_size :]
            start_frame += frames

    def _fill(self, chunks: list[PlacedChunk], offset: int, payload: memoryview) -> int:
        """Insert the parts of a payload that nothing covers yet; give the number of frames inserted."""
        size = self.frame_size
        cursor, end = offset, offset + len(payload) // size
        at = bisect.bisect_right(chunks, offset, key=offset_of)
        if at:
            cursor = max(cursor, self._end_of(chunks[at - 1]))
        written = 0
        while cursor < end:
            free_until = min(end, chunks[at].offset) if at < len(chunks) else end
            if free_until > cursor:
                part = payload[(cursor - offset) * size : (free_until - offset) * size]
                chunks.insert(at, PlacedChunk(cursor, part))
                written += free_until - cursor
                at += 1
            cursor = self._end_of(chunks[at]) if at < len(chunks) else end
            at += 1
        return written

    def _end_of(self, chunk: PlacedChunk) -> int:
        return chunk.offset + len(chunk.payload) // self.frame_size

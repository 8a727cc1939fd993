"""The loop's side of the audio: which payload lies where, and which blocks are complete. Integers only, no samples.

A block closes, and can then be rendered, when every live leg is `reorder_frames` past its end, or when the furthest
leg or the clock is `late_frames` past it. That is looked at inside `add_leg`, `end_leg`, `hold_leg`, `place` and
`advance`, never elsewhere: which audio ends up in which block is a function of the sequence of calls and of nothing
else, so that replaying the calls gives the same recording bit for bit.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from recorder_service.audio.chunks import PlacedChunk
from recorder_service.audio.formats import ALIGNED_FRAMES, RECORDING_RATE_HZ, LegFormat, Payload
from recorder_service.audio.tracks import LegStatistics, Placement, Track
from recorder_service.errors import BadInput, Reason

BLOCK_FRAMES = RECORDING_RATE_HZ
REORDER_FRAMES = RECORDING_RATE_HZ // 5
LATE_FRAMES = 5 * RECORDING_RATE_HZ
MAX_GAP_FRAMES = 3600 * RECORDING_RATE_HZ

_NO_CHUNKS: Mapping[str, tuple[PlacedChunk, ...]] = MappingProxyType({})


class Block(NamedTuple):
    """A closed stretch of the recording; the blocks of a timeline follow each other without hole or overlap.

    A tuple, because one is sent for every second of every call.

    Attributes:
        start_frame: First recording frame.
        frames: Length in recording frames: one block, a run of blocks without any audio, or the cut last one.
        chunks: Per leg its chunks in order, without overlap; legs without audio here are absent.
    """

    start_frame: int
    frames: int
    chunks: Mapping[str, tuple[PlacedChunk, ...]]

    @property
    def end_frame(self) -> int:
        """One past the last recording frame."""
        return self.start_frame + self.frames


class Timeline:
    """Places the payloads of all legs of one recording.

    Not thread-safe: it belongs to the event loop. A call costs a few microseconds, a closed block some tens.
    """

    def __init__(
        self,
        *,
        block_frames: int = BLOCK_FRAMES,
        reorder_frames: int = REORDER_FRAMES,
        late_frames: int = LATE_FRAMES,
        max_gap_frames: int = MAX_GAP_FRAMES,
    ) -> None:
        """Start at frame 0 without legs; all lengths are in recording frames.

        Args:
            block_frames: Length of a block, a multiple of 160 so that it is whole at every sample rate.
            reorder_frames: How much later than its neighbour's a chunk may come and still find its place.
            late_frames: How long a block waits for a leg that sends nothing.
            max_gap_frames: How far ahead of everything known a chunk may lie.
        """
        if block_frames <= 0 or block_frames % ALIGNED_FRAMES:
            raise ValueError(f"block_frames is {block_frames}; use a positive multiple of {ALIGNED_FRAMES}")
        self._block_frames = block_frames
        self._reorder_frames = reorder_frames
        self._late_frames = late_frames
        self._max_gap_frames = max_gap_frames
        self._tracks: dict[str, Track] = {}
        self._clock_frame = 0
        self._furthest_audio_frame = 0
        self._closed_blocks = 0
        self._blocks: list[Block] = []
        self._end_frame: int | None = None

    @property
    def tracks(self) -> Mapping[str, Track]:
        """The legs' audio by leg, those to come included: to be read, and given to `put`."""
        return self._tracks

    @property
    def furthest_audio_frame(self) -> int:
        """One past the last recording frame, rounded down, for which any leg sent audio."""
        return self._furthest_audio_frame

    @property
    def furthest_frame(self) -> int:
        """The furthest recording frame known of: from audio or from `advance`."""
        return max(self.furthest_audio_frame, self._clock_frame)

    @property
    def closed_frame(self) -> int:
        """Recording frame up to which blocks are closed: audio before it is late."""
        return self._closed_blocks * self._block_frames if self._end_frame is None else self._end_frame

    @property
    def closed_blocks(self) -> int:
        """How many blocks wait for `take_blocks`."""
        return len(self._blocks)

    def add_leg(self, leg_id: str, leg_format: LegFormat, joined_frame: int | None = None) -> None:
        """Let a leg in, which holds blocks back from now on until it ends.

        Args:
            leg_id: Any name; once used it cannot be used again, not even after the leg ended.
            leg_format: How its payloads are encoded.
            joined_frame: Recording frame from which missing audio counts as a gap; by default the furthest known.

        Raises:
            BadInput: DUPLICATE_LEG.
        """
        if leg_id in self._tracks:
            raise BadInput(
                Reason.DUPLICATE_LEG,
                f"leg {leg_id!r} exists already; give every leg its own id",
                field="leg_id",
                value=leg_id,
            )
        track = Track(
            leg_format,
            block_frames=self._block_frames,
            joined_frame=self.furthest_frame if joined_frame is None else joined_frame,
            closed_frame=self.closed_frame,
        )
        self._tracks[leg_id] = track
        if self._end_frame is None:
            self._arm(track)
            self._close_complete_blocks()
        else:
            track.close_for_good(self._end_frame)

    def end_leg(self, leg_id: str, end_frame: int | None = None) -> None:
        """Stop waiting for a leg. Audio of it that still comes is placed as before.

        Args:
            leg_id: The leg; ending it again changes nothing.
            end_frame: Recording frame from which its silence is no gap; by default where its audio ends.

        Raises:
            BadInput: UNKNOWN_LEG.
        """
        track = self._track(leg_id)
        if not track.live:
            return
        track.leave(track.reach_frame if end_frame is None else end_frame)
        self._close_complete_blocks()

    def hold_leg(self, leg_id: str, *, held: bool) -> None:
        """Wait for a live leg however late it is, or no longer than for others.

        Raises:
            BadInput: UNKNOWN_LEG.
        """
        self._track(leg_id).held = held
        self._close_complete_blocks()

    def place(self, leg_id: str, start_frame: int, payload: Payload, now_frame: int = 0) -> Placement:
        """Keep a payload at its place. Nothing is copied: the payload must not change afterwards.

        Args:
            leg_id: A leg that was added.
            start_frame: First frame, in the leg's own rate since the recording began.
            payload: Whole frames in the leg's encoding.
            now_frame: Where the caller's clock is, in recording frames; it counts as known when judging
                whether `start_frame` is too far ahead, and for nothing else.

        Returns:
            What became of its frames. Where audio lay already, the first stays.

        Raises:
            BadInput: UNKNOWN_LEG, PARTIAL_FRAME, or FRAME_OUT_OF_RANGE for a negative start or one too far ahead.
                The timeline is unchanged then.
        """
        track = self._tracks.get(leg_id) or self._track(leg_id)
        if start_frame != track.end_frame:
            self._refuse_out_of_range(track, start_frame, now_frame)
        return self.put(track, start_frame, payload)

    def put(self, track: Track, start_frame: int, payload: Payload) -> Placement:
        """Keep a payload whose place was checked, see `place`: all that is done for most messages."""
        placement = track.place(start_frame, payload)
        end_frame = track.end_frame * RECORDING_RATE_HZ // track.sample_rate_hz
        self._furthest_audio_frame = max(self._furthest_audio_frame, end_frame)
        if track.end_frame >= track.wake_frame:
            self._close_complete_blocks()
            self._arm(track)
        return placement

    def check(self, leg_id: str, start_frame: int, size_bytes: int, now_frame: int = 0) -> None:
        """Refuse what `place` would refuse, without placing anything.

        Raises:
            BadInput: UNKNOWN_LEG, PARTIAL_FRAME or FRAME_OUT_OF_RANGE.
        """
        track = self._tracks.get(leg_id) or self._track(leg_id)
        if size_bytes % track.frame_size:
            track.leg_format.frame_count(size_bytes)
        if start_frame != track.end_frame:
            self._refuse_out_of_range(track, start_frame, now_frame)

    def end_frame(self, leg_id: str) -> int:
        """Say where a leg's audio ends, in its own rate; 0 where there is none."""
        return self._track(leg_id).end_frame

    def closing_frame(self, frame: int) -> int:
        """Return to where `advance` has to go so that every block that holds audio before `frame` closes."""
        return -(-frame // self._block_frames) * self._block_frames + self._late_frames

    def advance(self, frame: int) -> None:
        """Note that media time reached this recording frame though nothing was sent; going back changes nothing."""
        if frame <= self._clock_frame or self._end_frame is not None:
            return
        self._clock_frame = frame
        if frame - self._late_frames >= self.closed_frame + self._block_frames:
            self._close_complete_blocks()

    def take_blocks(self) -> list[Block]:
        """Detach the blocks that closed since the last call, in order. When this is called changes no block."""
        blocks, self._blocks = self._blocks, []
        return blocks

    def finish(self, end_frame: int) -> list[Block]:
        """Close everything up to this recording frame and detach it; the last block ends exactly there.

        Audio from `end_frame` on is dropped. An `end_frame` before `closed_frame` counts as that: what is closed
        may be written already. Afterwards `closed_frame` says where the recording ends and all audio is late.
        """
        if self._end_frame is not None:
            return self.take_blocks()
        end_frame = max(end_frame, self.closed_frame)
        for track in self._tracks.values():
            track.truncate(end_frame)
        whole_blocks = end_frame // self._block_frames
        self._close_until(whole_blocks)
        if rest := end_frame % self._block_frames:
            self._blocks.append(self._detach(whole_blocks, rest))
        self._end_frame = end_frame
        for track in self._tracks.values():
            track.close_for_good(end_frame)
        return self.take_blocks()

    def statistics(self) -> dict[str, LegStatistics]:
        """Sum up every leg, in the order they were added. Gaps are counted up to `closed_frame`."""
        return {leg_id: track.statistics() for leg_id, track in self._tracks.items()}

    def _track(self, leg_id: str) -> Track:
        track = self._tracks.get(leg_id)
        if track is None:
            raise BadInput(
                Reason.UNKNOWN_LEG,
                f"leg {leg_id!r} is not part of this recording; name it when opening or joining",
                field="leg_id",
                value=leg_id,
            )
        return track

    def _refuse_out_of_range(self, track: Track, start_frame: int, now_frame: int) -> None:
        limit = max(self.furthest_frame, now_frame) + self._max_gap_frames
        if start_frame >= 0 and track.leg_format.recording_frame(start_frame) <= limit:
            return
        limit_leg_frame = track.leg_format.leg_frame(limit)
        raise BadInput(
            Reason.FRAME_OUT_OF_RANGE,
            f"start_frame is {start_frame}; it must lie in 0 to {limit_leg_frame}: count it in the leg's own "
            f"sample rate ({track.leg_format.sample_rate_hz} Hz) since the recording began",
            field="start_frame",
            value=start_frame,
            max_start_frame=str(limit_leg_frame),
            max_gap_frames=str(track.leg_format.leg_frame(self._max_gap_frames)),
        )

    def _close_complete_blocks(self) -> None:
        """Close what the rule in the module's head says; costs some microseconds when nothing closes."""
        if self._end_frame is not None:
            return
        complete_frame = self.furthest_frame - self._late_frames
        live = [track for track in self._tracks.values() if track.live]
        reaches = [track.reach_frame for track in live]
        if reaches:
            # Without a live leg there is nobody whose progress tells; only the late rule is left.
            complete_frame = max(complete_frame, min(reaches) - self._reorder_frames)
        if held := [track.reach_frame for track in live if track.held]:
            complete_frame = min(complete_frame, min(held) - self._reorder_frames)
        complete_blocks = complete_frame // self._block_frames
        if complete_blocks > self._closed_blocks:
            self._close_until(complete_blocks)

    def _close_until(self, end_block: int) -> None:
        sounding = {block for track in self._tracks.values() for block in track.open_blocks if block < end_block}
        for block in sorted(sounding):
            self._close_silence(block)
            self._blocks.append(self._detach(block, self._block_frames))
            self._closed_blocks = block + 1
        self._close_silence(end_block)
        for track in self._tracks.values():
            track.closed_frame = track.leg_format.leg_frame(self.closed_frame)
            self._arm(track)

    def _close_silence(self, end_block: int) -> None:
        """Make one block of all the blocks up to `end_block`, in which nobody sent anything."""
        if end_block > self._closed_blocks:
            start_frame = self.closed_frame
            self._blocks.append(Block(start_frame, end_block * self._block_frames - start_frame, _NO_CHUNKS))
            self._closed_blocks = end_block

    def _detach(self, block: int, frames: int) -> Block:
        taken = {leg_id: chunks for leg_id, track in self._tracks.items() if (chunks := track.take(block))}
        return Block(block * self._block_frames, frames, MappingProxyType(taken) if taken else _NO_CHUNKS)

    def _arm(self, track: Track) -> None:
        """Set the leg frame at which this leg may let the next block close."""
        if self._end_frame is not None:
            return
        next_frame = self.closed_frame + self._block_frames
        on_time = track.leg_format.leg_frame_ceil(next_frame + self._reorder_frames)
        late = track.leg_format.leg_frame_ceil(next_frame + self._late_frames)
        track.wake_frame = on_time if track.end_frame < on_time else late

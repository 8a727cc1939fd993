"""The timeline: every payload at its place, blocks that depend on the calls only, and honest counts."""

import tracemalloc
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_service.audio.formats import Encoding, LegFormat, Payload
from recorder_service.audio.timeline import Block, Timeline
from recorder_service.audio.tracks import LegStatistics, Placement
from recorder_service.errors import BadInput, Reason

CALL = LegFormat(Encoding.LINEAR16, 16_000)
PHONE = LegFormat(Encoding.MULAW, 8_000)
MUSIC = LegFormat(Encoding.ALAW, 44_100)

BLOCK, REORDER, LATE = 320, 100, 1600


def small_timeline(**lengths: int) -> Timeline:
    return Timeline(**{"block_frames": BLOCK, "reorder_frames": REORDER, "late_frames": LATE, **lengths})


def cells(blocks: list[Block], formats: dict[str, LegFormat]) -> dict[tuple[str, int], bytes]:
    """Spread blocks out into one entry a frame; fail where they overlap."""
    found: dict[tuple[str, int], bytes] = {}
    for block in blocks:
        for leg_id, chunks in block.chunks.items():
            leg = formats[leg_id]
            end = 0
            for offset, payload in chunks:
                assert offset >= end
                end = offset + len(payload) // leg.bytes_per_frame
                assert end <= leg.leg_frame_ceil(block.frames)
                for index in range(offset, end):
                    at = (index - offset) * leg.bytes_per_frame
                    frame = leg.leg_frame(block.start_frame) + index
                    found[leg_id, frame] = bytes(payload[at : at + leg.bytes_per_frame])
    return found


def assert_seamless(blocks: list[Block], end_frame: int) -> None:
    position = 0
    for block in blocks:
        assert block.start_frame == position
        assert block.frames > 0
        position = block.end_frame
    assert position == end_frame


@dataclass
class FrameByFrame:
    """The rules of the timeline, applied one frame at a time."""

    formats: dict[str, LegFormat]
    live: set[str]
    reach: dict[str, int]
    closed_blocks: int = 0
    clock: int = 0
    cells: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def place(self, leg_id: str, start: int, payload: bytes) -> Placement:
        leg = self.formats[leg_id]
        late = repeated = 0
        frames = [payload[at : at + leg.bytes_per_frame] for at in range(0, len(payload), leg.bytes_per_frame)]
        for frame, cell in enumerate(frames, start):
            if frame < leg.leg_frame(self.closed_blocks * BLOCK):
                late += 1
            elif (leg_id, frame) in self.cells:
                repeated += 1
            else:
                self.cells[leg_id, frame] = cell
                self.reach[leg_id] = max(self.reach[leg_id], frame + 1)
        self.close()
        return Placement(len(frames), late, repeated)

    def close(self) -> None:
        reached = {leg_id: leg.recording_frame(self.reach[leg_id]) for leg_id, leg in self.formats.items()}
        furthest = max(self.clock, *reached.values())
        slowest = min((reached[leg_id] for leg_id in self.live), default=-1)
        while True:
            block_end = (self.closed_blocks + 1) * BLOCK
            if slowest < block_end + REORDER and furthest < block_end + LATE:
                return
            self.closed_blocks += 1


FORMATS = {"phone": PHONE, "call": CALL, "music": MUSIC}
leg_ids = st.sampled_from(sorted(FORMATS))
steps = st.one_of(
    st.tuples(st.just("place"), leg_ids, st.integers(-400, 1200), st.integers(0, 700)),
    st.tuples(st.just("place"), leg_ids, st.integers(0, 0), st.integers(0, 300)),
    st.tuples(st.just("advance"), leg_ids, st.integers(-500, 3000), st.just(0)),
    st.tuples(st.just("end"), leg_ids, st.just(0), st.just(0)),
    st.tuples(st.just("take"), leg_ids, st.just(0), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40), st.integers(-500, 3000))
def test_any_calls_give_what_the_rules_say(calls: list[tuple[str, str, int, int]], more_frames: int) -> None:
    """Gaps, repeats, overlaps, late and early chunks end up as a frame-by-frame model has them, counts and all."""
    timeline = small_timeline()
    model = FrameByFrame(FORMATS, set(FORMATS), dict.fromkeys(FORMATS, 0))
    for leg_id, leg in FORMATS.items():
        timeline.add_leg(leg_id, leg)
    blocks: list[Block] = []
    lost = dict.fromkeys(FORMATS, (0, 0))
    for number, (call, leg_id, distance, frames) in enumerate(calls):
        if call == "place":
            start = max(0, model.reach[leg_id] + distance)
            payload = bytes([number]) * frames * FORMATS[leg_id].bytes_per_frame
            placement = timeline.place(leg_id, start, payload)
            assert placement == model.place(leg_id, start, payload)
            late, repeated = lost[leg_id]
            lost[leg_id] = (late + placement.late_frames, repeated + placement.repeated_frames)
        elif call == "advance":
            model.clock = max(model.clock, timeline.furthest_frame + distance)
            timeline.advance(timeline.furthest_frame + distance)
            model.close()
        elif call == "end":
            timeline.end_leg(leg_id)
            model.live.discard(leg_id)
            model.close()
        else:
            blocks += timeline.take_blocks()
        assert timeline.closed_frame == model.closed_blocks * BLOCK

    end_frame = max(0, timeline.furthest_frame + more_frames)
    blocks += timeline.finish(end_frame)
    end_frame = max(end_frame, model.closed_blocks * BLOCK)
    assert timeline.closed_frame == end_frame
    assert_seamless(blocks, end_frame)
    ends = {leg_id: leg.leg_frame_ceil(end_frame) for leg_id, leg in FORMATS.items()}
    expected = {key: cell for key, cell in model.cells.items() if key[1] < ends[key[0]]}
    assert cells(blocks, FORMATS) == expected
    for leg_id, statistics in timeline.statistics().items():
        covered = sum(1 for key in expected if key[0] == leg_id)
        end = ends[leg_id] if leg_id in model.live else min(ends[leg_id], model.reach[leg_id])
        assert statistics.frames == covered
        assert statistics.gap_frames == end - covered
        assert (statistics.late_frames, statistics.repeated_frames) == lost[leg_id]


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=40), st.sets(st.integers(0, 40)))
def test_taking_blocks_often_or_never_gives_the_same_blocks(
    calls: list[tuple[str, str, int, int]], taken_after: set[int]
) -> None:
    """The worker's pace cannot be seen in the blocks."""

    def run(takes: set[int]) -> list[Block]:
        timeline = small_timeline()
        for leg_id, leg in FORMATS.items():
            timeline.add_leg(leg_id, leg)
        blocks: list[Block] = []
        for number, (call, leg_id, distance, frames) in enumerate(calls):
            if call == "place":
                payload = bytes([number]) * frames * FORMATS[leg_id].bytes_per_frame
                timeline.place(leg_id, max(0, number * 300 + distance), payload)
            elif call == "advance":
                timeline.advance(timeline.furthest_frame + distance)
            if number in takes:
                blocks += timeline.take_blocks()
        return blocks + timeline.finish(timeline.furthest_frame)

    assert run(taken_after) == run(set())


def test_block_closes_once_every_leg_is_past_it() -> None:
    """The slowest leg decides, with the reorder window on top."""
    timeline = small_timeline()
    timeline.add_leg("a", CALL)
    timeline.add_leg("b", CALL)
    timeline.place("a", 0, bytes(2 * 500))
    timeline.place("b", 0, bytes(2 * 419))
    assert timeline.closed_blocks == 0
    timeline.place("b", 419, bytes(2))
    assert [(block.start_frame, block.frames) for block in timeline.take_blocks()] == [(0, 320)]


def test_silent_leg_holds_blocks_back_only_so_long() -> None:
    """A leg that sends nothing is not waited for beyond the late limit, whether audio or the clock passes it."""
    for pass_limit in ("audio", "clock"):
        timeline = small_timeline()
        timeline.add_leg("a", CALL)
        timeline.add_leg("silent", CALL)
        timeline.place("a", 0, bytes(2 * (320 + 1599)))
        assert timeline.closed_blocks == 0
        if pass_limit == "audio":
            timeline.place("a", 320 + 1599, bytes(2))
        else:
            timeline.advance(320 + 1600)
        assert timeline.closed_blocks == 1


def test_only_legs_that_are_there_are_waited_for() -> None:
    """A leg that left holds nothing back; one that joined is waited for from its join on."""
    timeline = small_timeline()
    timeline.add_leg("stays", CALL)
    timeline.add_leg("leaves", CALL)
    timeline.place("stays", 0, bytes(2 * 1000))
    assert timeline.closed_blocks == 0
    timeline.end_leg("leaves")
    assert timeline.closed_frame == 640
    timeline.add_leg("joins", CALL)
    timeline.place("stays", 1000, bytes(2 * 60))
    assert timeline.closed_frame == 640
    timeline.place("joins", 1000, bytes(2 * 60))
    assert timeline.closed_frame == 960


def test_late_audio_is_dropped_and_counted() -> None:
    """What belongs to a closed block is not in the recording; the part that reaches beyond it is."""
    timeline = small_timeline()
    timeline.add_leg("a", CALL)
    timeline.place("a", 420, bytes(2))
    assert timeline.closed_frame == 320
    assert timeline.place("a", 300, bytes(2 * 50)) == Placement(frames=50, late_frames=20, repeated_frames=0)
    assert timeline.place("a", 0, bytes(2 * 50)) == Placement(frames=50, late_frames=50, repeated_frames=0)
    assert timeline.statistics()["a"].late_frames == 70


def test_first_written_wins() -> None:
    """A repeat fills holes only."""
    timeline = small_timeline()
    timeline.add_leg("a", PHONE)
    timeline.place("a", 10, b"x" * 10)
    timeline.place("a", 30, b"y" * 10)
    assert timeline.place("a", 0, b"z" * 50) == Placement(frames=50, late_frames=0, repeated_frames=20)
    (block,) = timeline.finish(100)
    assert b"".join(payload for _, payload in block.chunks["a"]) == b"z" * 10 + b"x" * 10 + b"z" * 10 + b"y" * 10 + (
        b"z" * 10
    )


def test_in_order_payload_is_kept_without_a_copy() -> None:
    """The loop neither copies nor slices what fits into a block."""
    timeline = small_timeline()
    timeline.add_leg("a", PHONE)
    payload = bytes(100)
    timeline.place("a", 0, payload)
    assert timeline.finish(320)[0].chunks["a"][0].payload is payload


def test_ten_silent_minutes_are_one_block() -> None:
    """A long gap costs nothing: neither a block a second nor any audio."""
    timeline = Timeline()
    timeline.add_leg("a", CALL)
    timeline.place("a", 0, bytes(3200))
    timeline.place("a", 600 * 16_000, bytes(3200))
    first, run = timeline.take_blocks()
    assert (first.start_frame, first.frames, list(first.chunks)) == (0, 16_000, ["a"])
    assert (run.start_frame, run.frames, dict(run.chunks)) == (16_000, 598 * 16_000, {})


def test_gaps_count_from_join_to_end() -> None:
    """A leg has no gap before it joined or after it left."""
    timeline = small_timeline()
    timeline.add_leg("always", PHONE)
    timeline.place("always", 0, bytes(160))
    timeline.add_leg("guest", PHONE, joined_frame=1000)
    timeline.place("guest", 600, bytes(100))
    timeline.end_leg("guest", end_frame=1600)
    timeline.finish(3200)
    statistics = timeline.statistics()
    assert statistics["guest"] == LegStatistics(
        first_frame=600, end_frame=700, frames=100, gap_frames=200, late_frames=0, repeated_frames=0
    )
    assert statistics["always"].gap_frames == 1600 - 160


def test_last_block_is_cut_to_the_end() -> None:
    """Audio beyond the end is dropped, a 44.1 kHz leg rounds its last frame up, and later audio is late."""
    timeline = small_timeline()
    timeline.add_leg("m", MUSIC)
    timeline.place("m", 0, bytes(2000))
    blocks = timeline.finish(401)
    assert [(block.start_frame, block.frames) for block in blocks] == [(0, 320), (320, 81)]
    assert sum(len(payload) for block in blocks for _, payload in block.chunks["m"]) == 882 + 224
    assert timeline.statistics()["m"].frames == 882 + 224
    assert timeline.place("m", 2000, bytes(10)).late_frames == 10
    assert timeline.finish(9999) == []


def test_end_before_closed_blocks_counts_as_their_end() -> None:
    """What is closed may be in the file already."""
    timeline = small_timeline()
    timeline.add_leg("a", CALL)
    timeline.place("a", 0, bytes(2 * 800))
    blocks = timeline.finish(10)
    assert timeline.closed_frame == 640
    assert_seamless(blocks, 640)


@pytest.mark.parametrize("start_frame", [-1, 80_001, 10**30])
def test_start_out_of_range_is_refused(start_frame: int) -> None:
    """A negative start and one beyond the largest gap change nothing and name the limit."""
    timeline = small_timeline(max_gap_frames=160_000)
    timeline.add_leg("a", PHONE)
    with pytest.raises(BadInput) as refused:
        timeline.place("a", start_frame, bytes(160))
    assert refused.value.reason is Reason.FRAME_OUT_OF_RANGE
    assert refused.value.details["max_start_frame"] == "80000"
    assert timeline.furthest_frame == 0
    timeline.place("a", 80_000, bytes(160))


def test_clock_widens_the_range() -> None:
    """A leg that speaks up for the first time after hours is not out of range when the clock says so."""
    timeline = small_timeline(max_gap_frames=1000)
    timeline.add_leg("a", CALL)
    timeline.place("a", 6000, bytes(2), now_frame=5000)
    timeline.advance(20_000)
    timeline.place("a", 21_000, bytes(2))


def test_partial_frame_and_unknown_and_repeated_legs_are_refused() -> None:
    """Each has its own reason."""
    timeline = small_timeline()
    timeline.add_leg("a", CALL)
    with pytest.raises(BadInput) as partial:
        timeline.place("a", 0, b"abc")
    with pytest.raises(BadInput) as unknown:
        timeline.place("b", 0, b"ab")
    with pytest.raises(BadInput) as repeated:
        timeline.add_leg("a", CALL)
    reasons = [refused.value.reason for refused in (partial, unknown, repeated)]
    assert reasons == [Reason.PARTIAL_FRAME, Reason.UNKNOWN_LEG, Reason.DUPLICATE_LEG]


def test_block_length_must_be_whole_at_every_rate() -> None:
    """Only multiples of 160 frames are whole at 44.1 kHz."""
    with pytest.raises(ValueError, match="160"):
        Timeline(block_frames=1000)


def test_live_call_keeps_little_in_memory() -> None:
    """Two legs at 16 kHz that are taken as they close hold about a second and a half each."""
    timeline = Timeline()
    for leg_id in ("a", "b"):
        timeline.add_leg(leg_id, CALL)

    def message() -> Payload:
        return bytes(640)

    tracemalloc.start()
    try:
        for start in range(0, 60 * 16_000, 320):
            timeline.place("a", start, message())
            timeline.place("b", start, message())
            timeline.take_blocks()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 250_000

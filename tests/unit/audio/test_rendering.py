"""Rendering: from chunks in disorder to the samples of the file, compared with mixes computed apart."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.audio.mixing import REACH_FRAMES
from recorder_service.audio.rendering import MAX_SILENCE_SAMPLES, Rendered, Renderer
from recorder_service.audio.resampling import CONTEXT_FRAMES, Resampler
from recorder_service.audio.samples import Pcm
from recorder_service.audio.silence import SilenceGate
from recorder_service.audio.timeline import Block, Timeline

CALL = LegFormat(Encoding.LINEAR16, 16_000)
PHONE = LegFormat(Encoding.MULAW, 8_000)
RATES_HZ = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
REORDER = 3200
HELD_FRAMES = REACH_FRAMES + CONTEXT_FRAMES


def noise(seed: int, frames: int, peak: int = 8_000) -> Pcm:
    return np.random.default_rng(seed).integers(-peak, peak, frames, dtype=np.int16, endpoint=True)


def joined(pieces: list[Rendered], channels: int = 1) -> Pcm:
    """Join pieces, checking that each starts where the one before ended."""
    position = 0
    for piece in pieces:
        assert piece.output_frame == position
        assert piece.pcm.dtype == np.int16
        position += piece.pcm.shape[1]
    return np.concatenate([np.zeros((channels, 0), dtype=np.int16), *(piece.pcm for piece in pieces)], axis=1)


def blocks_of(legs: dict[str, tuple[LegFormat, Pcm]], end_frame: int, block_frames: int = 1600) -> list[Block]:
    """Lay whole legs on a timeline, 20 ms at a time in turn."""
    timeline = Timeline(block_frames=block_frames)
    for leg_id, (leg, _) in legs.items():
        timeline.add_leg(leg_id, leg)
    for instant in range(0, end_frame, 320):
        for leg_id, (leg, pcm) in legs.items():
            start, end = leg.leg_frame(instant), leg.leg_frame(instant + 320)
            timeline.place(leg_id, start, leg.encode(pcm[start:end]))
    return timeline.finish(end_frame)


def rendered(renderer: Renderer, blocks: list[Block], end_frame: int) -> list[Rendered]:
    pieces = [piece for block in blocks for piece in renderer.render(block)]
    return pieces + list(renderer.finish(end_frame))


@dataclass
class Listener:
    """Notes what it hears and stops once it has heard up to a frame."""

    stop_at: int | None = None
    stop_once_heard: int = 0
    position: int = 0
    stop_frame: int | None = None
    heard: dict[str, list[tuple[int, Pcm]]] = field(default_factory=dict)

    def observe(self, leg_id: str, start_frame: int, pcm: Pcm) -> None:
        assert start_frame == self.position
        self.heard.setdefault(leg_id, []).append((start_frame, pcm.copy()))

    def close_to(self, frame: int) -> None:
        assert all(pieces[-1][0] + len(pieces[-1][1]) in range(frame + 1) for pieces in self.heard.values())
        self._reach(frame)

    def observe_nothing(self, start_frame: int, frames: int) -> None:
        assert start_frame == self.position
        self._reach(start_frame + frames)

    def _reach(self, frame: int) -> None:
        self.position = frame
        if self.stop_at is not None and frame >= max(self.stop_at, self.stop_once_heard):
            self.stop_frame = self.stop_at


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(0, 20_000), st.sampled_from([160, 1600, 16_000]))
def test_mono_file_is_the_plain_sum_of_its_legs(legs: int, end_frame: int, block_frames: int) -> None:
    """16 kHz PCM legs come out as their int32 sum, sample for sample, from the first frame to the last."""
    audio = {f"leg{index}": (CALL, noise(index, end_frame, 32_767 // legs)) for index in range(legs)}
    renderer = Renderer(1)
    for leg_id in audio:
        renderer.add_leg(leg_id, CALL, (0,))
    output = joined(rendered(renderer, blocks_of(audio, end_frame, block_frames), end_frame))
    expected = sum((pcm.astype(np.int32) for _, pcm in audio.values()), np.zeros(end_frame, dtype=np.int32))
    assert np.array_equal(output[0], expected)
    assert renderer.ended
    assert renderer.end_frame == renderer.output_frames == end_frame


@pytest.mark.parametrize("channels", [2, 3, 32])
def test_split_file_holds_every_leg_as_it_came(channels: int) -> None:
    """Full-scale legs in channels of their own are not changed, whatever the others do."""
    audio = {f"leg{index}": (CALL, noise(index, 5000, 32_767)) for index in range(channels)}
    renderer = Renderer(channels)
    for index, leg_id in enumerate(audio):
        renderer.add_leg(leg_id, CALL, (index,))
    output = joined(rendered(renderer, blocks_of(audio, 5000), 5000), channels)
    assert np.array_equal(output, np.stack([pcm for _, pcm in audio.values()]))


@st.composite
def disturbed_legs(draw: st.DrawFn) -> tuple[dict[str, tuple[LegFormat, Pcm]], list[tuple[str, int, int]], int]:
    """Legs with gaps as ideal arrays, and their chunks (leg, start, end) in disorder with repeats."""
    end_frame = draw(st.integers(3_000, 24_000))
    shuffle = random.Random(draw(st.integers(0, 2**32)))
    legs: dict[str, tuple[LegFormat, Pcm]] = {}
    chunks: list[tuple[float, str, int, int]] = []
    for index in range(draw(st.integers(1, 3))):
        leg = LegFormat(Encoding.LINEAR16, draw(st.sampled_from(RATES_HZ)))
        pcm = noise(index, leg.leg_frame_ceil(end_frame))
        start = leg.leg_frame(draw(st.integers(0, end_frame // 2)))
        pcm[:start] = 0
        while start < len(pcm):
            end = min(len(pcm), start + shuffle.randint(1, leg.leg_frame(REORDER // 2)))
            if shuffle.random() < draw(st.sampled_from([0.0, 0.2])):
                end = min(len(pcm), start + leg.leg_frame(shuffle.randint(0, 6000)))
                pcm[start:end] = 0
            else:
                for _ in range(1 + (shuffle.random() < 0.2)):
                    instant = leg.recording_frame(start) + shuffle.uniform(0, REORDER // 2 - 2)
                    chunks.append((instant, f"leg{index}", start, end))
            start = end
        legs[f"leg{index}"] = (leg, pcm)
    return legs, [(leg_id, start, end) for _, leg_id, start, end in sorted(chunks)], end_frame


def render_disturbed(
    legs: dict[str, tuple[LegFormat, Pcm]], chunks: list[tuple[str, int, int]], end_frame: int, takes: set[int]
) -> Pcm:
    """Place the chunks in the given order and render at once whatever is taken after the given calls."""
    timeline, renderer = Timeline(block_frames=1600, reorder_frames=REORDER), Renderer(len(legs))
    for index, (leg_id, (leg, _)) in enumerate(legs.items()):
        timeline.add_leg(leg_id, leg, joined_frame=0)
        renderer.add_leg(leg_id, leg, (index,))
    pieces = []
    for number, (leg_id, start, end) in enumerate(chunks):
        leg, pcm = legs[leg_id]
        placement = timeline.place(leg_id, start, leg.encode(pcm[start:end]))
        assert placement.late_frames == 0
        if number in takes:
            pieces += [piece for block in timeline.take_blocks() for piece in renderer.render(block)]
    pieces += rendered(renderer, timeline.finish(end_frame), end_frame)
    return joined(pieces, len(legs))


@settings(max_examples=40, deadline=None)
@given(disturbed_legs(), st.sets(st.integers(0, 60)))
def test_disorder_repeats_and_gaps_leave_every_sample_in_its_place(
    call: tuple[dict[str, tuple[LegFormat, Pcm]], list[tuple[str, int, int]], int], takes: set[int]
) -> None:
    """Every leg equals its ideal array, resampled in one go, to the last bit of rounding (16 kHz: exactly)."""
    legs, chunks, end_frame = call
    output = render_disturbed(legs, chunks, end_frame, takes)
    assert output.shape == (len(legs), end_frame)
    for channel, (leg, pcm) in enumerate(legs.values()):
        ideal = Resampler(leg.sample_rate_hz).process(pcm, last=True)[:end_frame].astype(int)
        tolerance = 0 if leg.sample_rate_hz == 16_000 else 1
        assert np.abs(output[channel, : len(ideal)] - ideal).max() <= tolerance
    assert np.array_equal(output, render_disturbed(legs, chunks, end_frame, set()))


def test_legs_of_all_rates_sound_at_the_same_instant() -> None:
    """The same click in six sample rates has its peak in the same frame of all six channels."""
    renderer, legs = Renderer(len(RATES_HZ)), {}
    for channel, rate in enumerate(RATES_HZ):
        leg = LegFormat(Encoding.LINEAR16, rate)
        instants = np.arange(rate * 2) / rate
        pcm = 20_000 * np.exp(-(((instants - 1.234) / 0.0008) ** 2))
        legs[str(rate)] = (leg, np.rint(pcm).astype(np.int16))
        renderer.add_leg(str(rate), leg, (channel,))
    output = joined(rendered(renderer, blocks_of(legs, 32_000, 16_000), 32_000), len(RATES_HZ))
    assert set(output.argmax(axis=1)) == {19_744}
    assert output.max(axis=1).min() > 19_900


def test_gap_is_filled_with_exact_silence() -> None:
    """A-law has no byte for zero; a gap in an A-law leg is zero all the same."""
    leg = LegFormat(Encoding.ALAW, 16_000)
    timeline, renderer = Timeline(block_frames=1600), Renderer(1)
    timeline.add_leg("a", leg)
    renderer.add_leg("a", leg, (0,))
    timeline.place("a", 0, leg.encode(np.full(100, 5000, dtype=np.int16)))
    timeline.place("a", 900, leg.encode(np.full(100, 5000, dtype=np.int16)))
    output = joined(rendered(renderer, timeline.finish(1600), 1600))[0]
    assert not output[100:900].any()
    assert not output[1000:].any()
    assert output[:100].all()


def test_long_silence_comes_in_bounded_pieces() -> None:
    """Ten minutes of nothing are zeros, at most 10 s at a time, and fewer frames with more channels."""
    for channels in (1, 4):
        timeline, renderer = Timeline(), Renderer(channels)
        timeline.advance(600 * 16_000)
        frames = 0
        for piece in rendered(renderer, timeline.finish(600 * 16_000 + 7), 600 * 16_000 + 7):
            assert piece.pcm.size <= MAX_SILENCE_SAMPLES + channels * HELD_FRAMES
            assert not piece.pcm.any()
            frames += piece.pcm.shape[1]
        assert frames == 600 * 16_000 + 7


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 16_000), st.integers(0, 5000), st.sampled_from([CALL, PHONE]), st.booleans())
def test_observer_stops_the_recording_at_its_frame(stop: int, heard_more: int, leg: LegFormat, by_limit: bool) -> None:
    """The file ends exactly at the stop frame, holds what it would hold without it, and takes nothing more."""
    audio = {"a": (leg, noise(1, leg.leg_frame(16_000)))}
    endless = Renderer(1)
    endless.add_leg("a", leg, (0,))
    blocks = blocks_of(audio, 16_000)
    whole = joined(rendered(endless, blocks, 16_000))

    # The observer may hear some of the stretch beyond its stop, but only within one stretch.
    listener = Listener(stop_at=stop)
    renderer = Renderer(1, limit_frame=stop) if by_limit else Renderer(1, observer=listener)
    renderer.add_leg("a", leg, (0,))
    output = joined(rendered(renderer, blocks, 16_000))
    assert renderer.ended
    assert renderer.end_frame == stop
    assert np.array_equal(output, whole[:, :stop])
    assert list(renderer.finish(16_000 + heard_more)) == []


def test_stop_at_the_end_of_what_was_heard_needs_no_further_block() -> None:
    """The recording ends with the block that let the observer decide, not with the next."""
    renderer = Renderer(1, observer=Listener(stop_at=1600 - CONTEXT_FRAMES))
    pieces = list(renderer.render(Block(0, 1600, {})))
    assert renderer.ended
    assert joined(pieces).shape == (1, 1600 - CONTEXT_FRAMES)


def test_silence_gate_ends_the_recording_at_its_frame() -> None:
    """Three seconds in which nobody sends anything end a recording after exactly three seconds, heard or not."""
    for frames in (0, 80_000):
        timeline, gate = Timeline(), SilenceGate(timeout_s=3)
        renderer = Renderer(1, observer=gate)
        for leg_id in ("a", "b"):
            timeline.add_leg(leg_id, PHONE)
            renderer.add_leg(leg_id, PHONE, (0,))
        timeline.place("a", 0, PHONE.encode(np.zeros(frames, dtype=np.int16)))
        output = joined(rendered(renderer, timeline.finish(160_000), 160_000))
        assert renderer.end_frame == gate.stop_frame == output.shape[1] == 48_000


def test_stop_in_the_past_ends_at_once() -> None:
    """A stop frame before the stretch heard last cannot be kept: the recording ends where that stretch began."""
    audio = {"a": (CALL, noise(1, 16_000))}
    renderer = Renderer(1, observer=Listener(stop_at=100, stop_once_heard=5000))
    renderer.add_leg("a", CALL, (0,))
    output = joined(rendered(renderer, blocks_of(audio, 16_000), 16_000))
    assert renderer.end_frame == output.shape[1] == 4800 - CONTEXT_FRAMES


def test_observer_hears_every_leg_in_order_without_holes() -> None:
    """What is heard of a leg is its audio at 16 kHz; where no leg sends, nothing is heard, but time goes on."""
    pcm = noise(1, 40_000)
    pcm[8_000:32_000] = 0
    timeline, listener = Timeline(block_frames=1600), Listener()
    renderer = Renderer(1, observer=listener)
    for leg_id, leg in (("a", CALL), ("b", PHONE)):
        timeline.add_leg(leg_id, leg)
        renderer.add_leg(leg_id, leg, (0,))
    timeline.place("a", 0, CALL.encode(pcm[:8_000]))
    timeline.place("a", 32_000, CALL.encode(pcm[32_000:]))
    timeline.place("b", 18_000, PHONE.encode(noise(2, 1000)))
    rendered(renderer, timeline.finish(40_000), 40_000)
    assert listener.position == 40_000
    heard = np.zeros(40_000, dtype=np.int16)
    for start, piece in listener.heard["a"]:
        heard[start : start + len(piece)] = piece
    assert np.array_equal(heard, pcm)
    first_of_b, last_of_b = listener.heard["b"][0], listener.heard["b"][-1]
    assert 34_000 <= first_of_b[0] <= 36_000
    assert 38_000 <= last_of_b[0] + len(last_of_b[1]) <= 40_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-2000, 4000)), max_size=8))
def test_cuts_are_left_out_to_the_frame(calls: list[tuple[int, int]]) -> None:
    """Alternate begins and ends, told between blocks, remove exactly the frames they say took effect."""
    end_frame = 12 * 1600 + 77
    pcm = noise(1, end_frame)
    renderer = Renderer(1)
    renderer.add_leg("a", CALL, (0,))
    kept = np.ones(end_frame, dtype=bool)
    pieces: list[Rendered] = []
    began: int | None = None
    orders = sorted(calls, key=lambda call: call[0])
    for index, block in enumerate([*blocks_of({"a": (CALL, pcm)}, end_frame), None]):
        for _, distance in [order for order in orders if order[0] == index]:
            frame = index * 1600 + distance
            if began is None:
                began = renderer.begin_cut(frame)
                assert began == max(frame, min(index * 1600, end_frame))
            else:
                kept[began : renderer.end_cut(frame)] = False
                began = None
        if block is not None:
            pieces += renderer.render(block)
    if began is not None:
        kept[began:] = False
    pieces += renderer.finish(end_frame)
    assert np.array_equal(joined(pieces)[0], pcm[kept])
    assert renderer.end_frame == end_frame
    assert renderer.output_frames == kept.sum()


def test_tone_is_mixed_in_at_its_frame() -> None:
    """A beep lies over the legs in the channels it was given, across block borders."""
    audio = {"a": (CALL, noise(1, 8000)), "b": (CALL, noise(2, 8000))}
    tone = noise(3, 2000)
    listener = Listener()
    renderer = Renderer(3, observer=listener)
    renderer.add_leg("a", CALL, (0,))
    renderer.add_leg("b", CALL, (1,))
    assert renderer.add_tone(1500, tone, (0, 2)) == 1500
    output = joined(rendered(renderer, blocks_of(audio, 8000), 8000), 3)
    expected = np.stack([audio["a"][1], audio["b"][1], np.zeros(8000, dtype=np.int16)])
    expected[0, 1500:3500] += tone
    expected[2, 1500:3500] += tone
    assert np.array_equal(output, expected)
    assert np.array_equal(np.concatenate([pcm for _, pcm in listener.heard["a"]]), audio["a"][1])


def test_tone_told_too_late_starts_at_once() -> None:
    """A beep cannot start in what is mixed already."""
    tone, renderer = noise(1, 100), Renderer(1)
    pieces = list(renderer.render(Block(0, 3200, {})))
    start = renderer.add_tone(100, tone, (0,))
    assert start == 3200 - CONTEXT_FRAMES
    pieces += renderer.finish(3400)
    output = joined(pieces)[0]
    assert not output[:start].any()
    assert np.array_equal(output[start : start + 100], tone)


def test_end_beyond_the_blocks_is_silence() -> None:
    """A call that goes on in silence after its last block still has its full length."""
    audio = {"a": (PHONE, noise(1, 4000))}
    renderer = Renderer(1)
    renderer.add_leg("a", PHONE, (0,))
    output = joined(rendered(renderer, blocks_of(audio, 8000), 30_001))
    assert output.shape == (1, 30_001)
    assert output[0, :8000].any()
    assert not output[0, 9000:].any()


def test_end_before_the_blocks_is_kept_as_far_as_possible() -> None:
    """What was given cannot be taken back; what is only held back can."""
    blocks = blocks_of({"a": (CALL, noise(1, 3200))}, 3200)
    for asked, got in ((3150, 3150), (3200 - HELD_FRAMES + 1, 3200 - HELD_FRAMES + 1), (100, 3200 - HELD_FRAMES)):
        renderer = Renderer(1)
        renderer.add_leg("a", CALL, (0,))
        output = joined(rendered(renderer, blocks, asked))
        assert renderer.end_frame == output.shape[1] == got


def test_leg_without_audio_changes_nothing() -> None:
    """A leg that is named but silent neither delays nor alters the output, even at another rate."""
    blocks = blocks_of({"a": (CALL, noise(1, 8000))}, 8000)
    outputs = []
    for others in (0, 3):
        renderer = Renderer(1)
        renderer.add_leg("a", CALL, (0,))
        for index in range(others):
            renderer.add_leg(f"silent{index}", PHONE, (0,))
        outputs.append([piece.pcm.tobytes() for block in blocks for piece in renderer.render(block)])
    assert outputs[0] == outputs[1]


def test_misuse_is_refused() -> None:
    """Blocks out of order, unknown or repeated legs and missing channels are errors of the caller."""
    renderer = Renderer(2)
    renderer.add_leg("a", CALL, (0,))
    with pytest.raises(ValueError, match="before"):
        renderer.add_leg("a", CALL, (0,))
    with pytest.raises(ValueError, match="0 to 1"):
        renderer.add_leg("b", CALL, (2,))
    with pytest.raises(ValueError, match="expected 0"):
        list(renderer.render(Block(160, 160, {})))
    with pytest.raises(ValueError, match="unknown legs"):
        list(renderer.render(blocks_of({"b": (CALL, noise(1, 160))}, 160)[0]))

"""When the silence gate stops: at the exact frame, for all legs at once, however the audio was cut."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.unit.audio.telephone_lines import line, needs_prompts, noise

from recorder_service.audio.silence import SilenceGate

RATE_HZ = 16_000
Pcm = NDArray[np.int16]


def call(seed: int, speech: list[tuple[float, float]], seconds: float) -> Pcm:
    """A leg of faint noise with loud bursts (start, end in s) that sound like speech."""
    pcm = noise("pink", seed, int(seconds) + 1, -55)[: int(seconds * RATE_HZ)]
    loud = noise("pink", seed + 1, int(seconds) + 1, -20)
    for start_s, end_s in speech:
        pcm[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)] = loud[int(start_s * RATE_HZ) : int(end_s * RATE_HZ)]
    return pcm


def run(gate: SilenceGate, legs: dict[str, Pcm], block: int = RATE_HZ) -> int | None:
    """Feed whole legs block by block until the gate stops or the audio ends."""
    for start in range(0, max(map(len, legs.values())), block):
        for leg_id, pcm in legs.items():
            if start < len(pcm):
                gate.observe(leg_id, start, pcm[start : start + block])
        gate.close_to(start + block)
        if gate.stop_frame is not None:
            break
    return gate.stop_frame


@pytest.mark.parametrize("timeout_s", [3, 5, 10])
def test_a_call_without_a_sound_stops_after_the_timeout(timeout_s: int) -> None:
    """Nobody ever sends anything: the clock alone moves the gate."""
    gate = SilenceGate(timeout_s)
    gate.close_to(timeout_s * RATE_HZ - 1)
    undecided = gate.stop_frame
    gate.close_to(timeout_s * RATE_HZ)
    assert (undecided, gate.stop_frame) == (None, timeout_s * RATE_HZ)
    assert gate.last_speech_frame is None


def test_silence_is_counted_from_the_start_frame_on_the_grid() -> None:
    """A start within a window counts from the next one."""
    gate = SilenceGate(3, start_frame=8_001)
    gate.observe_nothing(0, 10 * RATE_HZ)
    assert gate.stop_frame == 8_320 + 3 * RATE_HZ


def test_speech_before_the_start_frame_does_not_count() -> None:
    """A word before the beep does not put off the end."""
    gate = SilenceGate(3, start_frame=2 * RATE_HZ)
    assert run(gate, {"a": call(1, [(0.5, 1.5)], 8)}) == 5 * RATE_HZ
    assert gate.last_speech_frame is None


def test_silence_is_counted_from_the_end_of_the_last_speech() -> None:
    """The stop lies exactly one timeout after the last speech, which is found to a few windows."""
    gate = SilenceGate(3)
    stop_frame = run(gate, {"a": call(2, [(1, 2), (4, 6)], 12)})
    assert gate.last_speech_frame is not None
    assert gate.last_speech_frame == pytest.approx(6 * RATE_HZ, abs=3 * 320)
    assert stop_frame == gate.last_speech_frame + 3 * RATE_HZ
    assert stop_frame % 320 == 0


def test_a_pause_just_below_the_timeout_does_not_stop() -> None:
    """2.8 s of silence between words is no 3 s."""
    assert run(SilenceGate(3), {"a": call(3, [(1, 2), (4.8, 6)], 8.5)}) is None


def test_a_stop_in_the_past_of_a_long_block_is_found() -> None:
    """Audio that arrives late in one piece stops where it would have stopped live, not at its end."""
    legs = {"a": call(4, [(1, 2), (8, 9)], 20)}
    live, late = SilenceGate(3), SilenceGate(3)
    assert run(live, legs, block=320) == run(late, legs, block=20 * RATE_HZ)
    assert live.stop_frame is not None
    assert live.stop_frame < 6 * RATE_HZ


def test_all_legs_must_be_silent_at_once() -> None:
    """Two people who take turns, each silent for 4 s at a time, keep the recording going."""
    caller = call(5, [(0, 2), (5, 7), (10, 12)], 20)
    callee = call(7, [(2.5, 4.5), (7.5, 9.5)], 20)
    gate = SilenceGate(3)
    stop_frame = run(gate, {"caller": caller, "callee": callee})
    assert stop_frame == pytest.approx(15 * RATE_HZ, abs=3 * 320)
    assert run(SilenceGate(3), {"caller": caller}) != stop_frame


def test_a_leg_that_sends_nothing_is_silent() -> None:
    """A gap (nothing sent, muted) and zeros stop at the same frame."""
    pcm = call(9, [(1, 2)], 2)
    gap, zeros = SilenceGate(3), SilenceGate(3)
    gap.observe("a", 0, pcm)
    gap.close_to(10 * RATE_HZ)
    run(zeros, {"a": np.concatenate((pcm, np.zeros(8 * RATE_HZ, np.int16)))})
    assert gap.stop_frame == zeros.stop_frame
    assert gap.stop_frame == pytest.approx(5 * RATE_HZ, abs=3 * 320)


def test_a_leg_that_joins_late_is_heard_at_its_place() -> None:
    """A second leg that begins amid a window of a running call."""
    gate = SilenceGate(3)
    gate.observe_nothing(0, 2 * RATE_HZ + 100)
    gate.observe("late", 2 * RATE_HZ + 100, call(11, [(0, 1)], 2))
    gate.close_to(12 * RATE_HZ)
    # The floor of a leg that begins with speech is known once it pauses; its speech is found all the same.
    assert gate.stop_frame is not None
    assert gate.stop_frame >= 3 * RATE_HZ


def test_audio_after_the_stop_is_ignored() -> None:
    """The decision stands whatever comes later."""
    gate = SilenceGate(3)
    gate.observe_nothing(0, 5 * RATE_HZ)
    gate.observe("a", 5 * RATE_HZ, call(13, [(0, 1)], 1))
    gate.close_to(6 * RATE_HZ)
    assert gate.stop_frame == 3 * RATE_HZ


def test_audio_out_of_order_is_refused() -> None:
    """Neither a leg's past nor what was closed can be told again."""
    gate = SilenceGate(3)
    gate.observe("a", 640, np.zeros(640, np.int16))
    with pytest.raises(ValueError, match="give it in order"):
        gate.observe("a", 1_000, np.zeros(10, np.int16))
    gate.close_to(RATE_HZ)
    with pytest.raises(ValueError, match="give it in order"):
        gate.observe("b", RATE_HZ - 320, np.zeros(10, np.int16))


def test_a_long_absence_costs_no_more_than_a_short_one() -> None:
    """An hour of nothing, then the end of it, in a few milliseconds."""
    gate = SilenceGate(10)
    gate.observe("a", 0, call(14, [(0, 1)], 1))
    gate.close_to(RATE_HZ)
    began = time.perf_counter()
    gate.observe_nothing(RATE_HZ, 3600 * RATE_HZ)
    assert time.perf_counter() - began < 0.05
    assert gate.stop_frame is not None


def test_loud_key_tones_do_not_hide_a_quiet_caller() -> None:
    """Keys at -10 dBov for 0.1 s each, then speech-like sound at -36 dBov: not cut off."""
    pcm = call(15, [], 14)
    quiet = noise("pink", 16, 14, -36)
    t = np.arange(1_600) / RATE_HZ
    key = (7_000 * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1336 * t))).astype(np.int16)
    for start in (16_000, 19_200, 22_400):
        pcm[start : start + 1_600] = key
    for start in range(40_000, 208_000, 12_800):
        pcm[start : start + 6_400] = quiet[:6_400]
    assert run(SilenceGate(3), {"a": pcm}) is None


@needs_prompts
@pytest.mark.parametrize("timeout_s", [3, 10])
@pytest.mark.parametrize("kind", ["pink", "hum", "mulaw", "dtx"])
def test_real_speech_on_a_noisy_line_stops_one_timeout_after_its_end(kind: str, timeout_s: int) -> None:
    """At 15 dB over the noise the stop is right to a third of a second."""
    one = line(kind, -25, 15, 3)
    stop_frame = run(SilenceGate(timeout_s), {"a": one.pcm})
    assert stop_frame == pytest.approx(one.end_frame + timeout_s * RATE_HZ, abs=RATE_HZ // 3)


LEGS = {
    "caller": call(21, [(0.3, 1.1), (1.5, 1.52), (4.0, 4.7)], 9.013),
    "callee": call(23, [(1.0, 1.9), (4.9, 5.2)], 8.0),
}


@st.composite
def cuts(draw: st.DrawFn) -> list[int]:
    """Block ends in frames, some tiny, some seconds long."""
    steps = draw(st.lists(st.integers(1, 700) | st.integers(1, 50_000), min_size=1, max_size=30))
    return [*np.cumsum(steps).tolist(), 200_000 + sum(steps)]


@settings(max_examples=40, deadline=None)
@given(cuts(), st.sampled_from([3, 4]))
def test_the_outcome_does_not_depend_on_how_audio_is_cut(ends: list[int], timeout_s: int) -> None:
    """Any blocks, each leg's part of a block in up to three pieces: the same stop and the same last speech."""
    whole = SilenceGate(timeout_s)
    for leg_id, pcm in LEGS.items():
        whole.observe(leg_id, 0, pcm)
    whole.close_to(400_000)
    rng = np.random.default_rng(len(ends) + ends[0])
    gate, start = SilenceGate(timeout_s), 0
    for end in ends:
        for leg_id, pcm in LEGS.items():
            inner = sorted({start, end, *rng.integers(start, end + 1, 2).tolist()})
            for first, last in itertools.pairwise(inner):
                if first < len(pcm):
                    gate.observe(leg_id, first, pcm[first:last])
        gate.close_to(end)
        start = end
    assert (gate.stop_frame, gate.last_speech_frame) == (whole.stop_frame, whole.last_speech_frame)
    assert whole.stop_frame is not None

"""Mixing: exact sums, a limiter that never clips, never wraps and never depends on how the input is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recorder_service.audio.mixing import REACH_FRAMES, Limiter, Mixer
from recorder_service.audio.samples import Pcm

Sums = NDArray[np.int32]


def limited(sums: Sums, cuts: list[int]) -> Pcm:
    limiter = Limiter()
    return np.concatenate([*map(limiter.process, np.split(sums, sorted(cuts))), limiter.flush()])


def noise(seed: int, frames: int, peak: int) -> Sums:
    return np.random.default_rng(seed).integers(-peak, peak, frames, dtype=np.int32, endpoint=True)


@st.composite
def bursts(draw: st.DrawFn) -> Sums:
    """Quiet noise with some stretches that are far too loud."""
    frames = draw(st.integers(0, 6000))
    sums = noise(draw(st.integers(0, 99)), frames, 20_000)
    for _ in range(draw(st.integers(0, 3))):
        start, length = draw(st.integers(0, 6000)), draw(st.integers(1, 300))
        sums[start : start + length] *= np.int32(draw(st.integers(1, 50)))
    return sums


@settings(max_examples=60, deadline=None)
@given(bursts(), st.lists(st.integers(0, 6000), max_size=8))
def test_output_does_not_depend_on_how_the_input_is_cut(sums: Sums, cuts: list[int]) -> None:
    """Any cutting into calls, even empty ones, gives the samples of one call, and as many as went in."""
    whole = limited(sums, [])
    assert len(whole) == len(sums)
    assert np.array_equal(limited(sums, cuts), whole)


@settings(max_examples=60, deadline=None)
@given(bursts())
def test_sums_far_from_an_overload_stay_bit_for_bit(sums: Sums) -> None:
    """Only frames within the reach of an overload change."""
    loud = np.flatnonzero((sums > 32_767) | (sums < -32_768))
    near = np.zeros(len(sums), dtype=bool)
    for frame in loud:
        near[max(0, frame - REACH_FRAMES) : frame + REACH_FRAMES + 1] = True
    assert np.array_equal(limited(sums, [])[~near], sums[~near])


@settings(max_examples=60, deadline=None)
@given(bursts())
def test_nothing_wraps_and_everything_only_gets_quieter(sums: Sums) -> None:
    """No sample changes its sign or grows."""
    output = limited(sums, []).astype(np.int32)
    assert np.all(output * np.sign(sums) >= 0)
    assert np.all(np.abs(output) <= np.abs(sums))


def test_smallest_int16_is_no_overload() -> None:
    """-32768 fits into 16 bit and stays, even in the same block as an overload."""
    sums = np.full(1000, -32_768, dtype=np.int32)
    assert np.array_equal(limited(sums, []), sums)
    sums[-1] = -32_769
    assert np.array_equal(limited(sums, [])[: -1 - REACH_FRAMES], sums[: -1 - REACH_FRAMES])


@pytest.mark.parametrize("legs", [2, 50])
def test_loud_sine_keeps_its_shape(legs: int) -> None:
    """A tone that is too loud throughout becomes the same tone at full scale: no flattened peaks, no distortion."""
    sine = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    output = limited(np.rint(legs * 30_000 * sine).astype(np.int32), [])[1000:-1000]
    assert output.max() in (32_766, 32_767)
    residue: NDArray[np.float64] = output - 32_767 * sine[1000:-1000]
    assert 10 * np.log10(np.mean(residue**2) / np.mean(output.astype(float) ** 2)) < -70


def test_gain_changes_smoothly_around_an_overload() -> None:
    """One loud click pulls its neighbours down in small steps that end where its reach ends."""
    sums = np.full(2000, 10_000, dtype=np.int32)
    sums[1000] = 65_534
    output = limited(sums, []).astype(np.int32)
    assert output[1000] in (32_766, 32_767)
    changed = np.flatnonzero(output != sums)
    assert changed[0] >= 1000 - REACH_FRAMES
    assert changed[-1] <= 1000 + REACH_FRAMES
    gain = np.delete(output, 1000) / 10_000
    assert np.abs(np.diff(gain)).max() < 0.01


def test_mono_mix_is_the_plain_sum() -> None:
    """Legs that stay within 16 bit together are added and nothing else."""
    legs = [noise(seed, 5000, 8_000).astype(np.int16) for seed in range(4)]
    mixer = Mixer(1)
    mixed = np.concatenate((mixer.mix(5000, [(leg, (0,)) for leg in legs]), mixer.flush()), axis=1)
    assert mixed.dtype == np.int16
    assert np.array_equal(mixed[0], legs[0].astype(np.int32) + legs[1] + legs[2] + legs[3])


def test_every_channel_holds_its_legs_only() -> None:
    """Channels are mixed apart, a leg may be in several, and a channel without a leg is silent."""
    first, second = (noise(seed, 3000, 15_000).astype(np.int16) for seed in range(2))
    mixer = Mixer(4)
    mixed = np.concatenate((mixer.mix(3000, [(first, (0, 2)), (second, (1, 2))]), mixer.flush()), axis=1)
    assert np.array_equal(mixed, np.stack([first, second, first + second, np.zeros_like(first)]))


def test_overload_of_one_channel_leaves_the_others_alone() -> None:
    """Every channel has a limiter of its own."""
    loud, quiet = np.full(3000, 30_000, dtype=np.int16), noise(1, 3000, 30_000).astype(np.int16)
    mixer = Mixer(2)
    mixed = np.concatenate((mixer.mix(3000, [(loud, (0,)), (loud, (0,)), (quiet, (1,))]), mixer.flush()), axis=1)
    assert np.all(mixed[0] == 32_767)
    assert np.array_equal(mixed[1], quiet)

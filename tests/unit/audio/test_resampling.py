"""Resampling: right in time, right in level, and the same however the input is cut."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.audio.resampling import CONTEXT_FRAMES, LegResampler, Resampler
from recorder_service.audio.samples import Pcm

OTHER_RATES_HZ = (8_000, 24_000, 32_000, 44_100, 48_000)
SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison/all-circuits-busy-now.wav")


def noise(seed: int, frames: int, peak: int = 12_000) -> Pcm:
    return np.random.default_rng(seed).integers(-peak, peak, frames, dtype=np.int16)


def resampled(pcm: Pcm, rate: int, cuts: list[int]) -> Pcm:
    resampler = Resampler(rate)
    parts = [resampler.process(part) for part in np.split(pcm, sorted(cuts))]
    return np.concatenate([*parts, resampler.process(np.zeros(0, dtype=np.int16), last=True)])


def error_db(output: NDArray[np.generic], ideal: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean((output.astype(float) - ideal) ** 2) / np.mean(ideal**2)))


def test_recording_rate_passes_through_bit_for_bit() -> None:
    """16 kHz audio is not touched, held back or copied."""
    pcm = noise(1, 1000)
    assert Resampler(16_000).process(pcm) is pcm


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OTHER_RATES_HZ), st.integers(0, 20_000), st.lists(st.integers(0, 20_000), max_size=6))
def test_output_does_not_depend_on_how_the_input_is_cut(rate: int, frames: int, cuts: list[int]) -> None:
    """Any cutting into calls, even empty ones, gives the samples of one call."""
    pcm = noise(frames, frames)
    whole = resampled(pcm, rate, [])
    assert abs(len(whole) - frames * 16_000 / rate) <= 0.5
    assert np.array_equal(resampled(pcm, rate, cuts), whole)


@pytest.mark.parametrize("rate", OTHER_RATES_HZ)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.85])
def test_tone_keeps_time_and_level(rate: int, share: float) -> None:
    """A tone in the passband equals the ideal tone at 16 kHz, sample by sample, within -60 dB."""
    frequency = share * min(rate, 16_000) / 2
    pcm = np.rint(20_000 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.int16)
    ideal = 20_000 * np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000)
    assert error_db(resampled(pcm, rate, [])[1000:-1000], ideal[1000:-1000]) < -60


@pytest.mark.parametrize("rate", [24_000, 32_000, 44_100, 48_000])
def test_tone_beyond_the_band_does_not_fold_back(rate: int) -> None:
    """What 16 kHz cannot hold disappears instead of sounding at another pitch."""
    frequency = 0.5 * (8_000 + rate / 2)
    pcm = np.rint(20_000 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.int16)
    assert np.abs(resampled(pcm, rate, [])[1000:-1000].astype(int)).max() <= 20_000 * 10 ** (-60 / 20)


@pytest.mark.skipif(not SPEECH.exists(), reason="speech samples are not installed")
def test_real_speech_agrees_with_another_resampler() -> None:
    """Below 3.6 kHz an 8 kHz recording differs by less than -60 dB from SciPy's polyphase filter, at lag 0."""
    speech, rate = soundfile.read(SPEECH, dtype="int16")
    assert rate == 8000
    taps = signal.firwin(1601, 1 / 2, window=("kaiser", 9.0))
    ideal = signal.resample_poly(speech.astype(float), 2, 1, window=taps)
    band = signal.firwin(801, 3600, fs=16_000, window=("kaiser", 9.0))
    difference = np.convolve(resampled(speech, 8000, []) - ideal, band, mode="same")
    assert 10 * np.log10(np.mean(difference**2) / np.mean(ideal**2)) < -60
    lags = signal.correlate(resampled(speech, 8000, []).astype(float), ideal, mode="same")
    assert int(np.argmax(lags)) == len(ideal) // 2


def test_full_scale_square_wave_does_not_wrap_around() -> None:
    """What overshoots between samples is held at the ends of the scale."""
    pcm = np.where(np.arange(8000) % 40 < 20, 32_767, -32_768).astype(np.int16)
    output = resampled(pcm, 8000, [])
    middle = output[2 * 10 :: 80].astype(int)
    assert np.all(middle > 30_000)


def on_timeline(rate: int, blocks: list[Pcm | None], block_frames: int) -> tuple[Pcm, list[int]]:
    """Run blocks through a leg's resampler; give the whole timeline and where each block let it come."""
    leg = LegResampler(LegFormat(Encoding.LINEAR16, rate))
    output = np.zeros(len(blocks) * block_frames, dtype=np.int16)
    pieces, ready = [], []
    for index, pcm in enumerate(blocks):
        start = index * block_frames
        pieces += leg.silence(start, block_frames) if pcm is None else leg.sound(start, block_frames, pcm)
        ready.append(leg.ready_frame)
        assert all(start + len(piece) <= leg.ready_frame for start, piece in pieces)
    pieces += leg.finish()
    end = 0
    for start, piece in pieces:
        assert start >= end
        end = start + len(piece)
        output[start:end] = piece[: len(output) - start]
    return output, ready


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([8_000, 16_000, 24_000, 32_000, 44_100, 48_000]),
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.sampled_from([160, 320, 480, 1600, 16_000]),
)
def test_silent_blocks_change_nothing_but_the_cost(rate: int, sounding: list[bool], block_frames: int) -> None:
    """Stopping in silence and starting again gives what one endless resampler gives, to the last bit of rounding."""
    leg_frames = block_frames * rate // 16_000
    blocks = [noise(index, leg_frames) if sounds else None for index, sounds in enumerate(sounding)]
    endless = np.concatenate([np.zeros(leg_frames, dtype=np.int16) if b is None else b for b in blocks])
    output, _ = on_timeline(rate, blocks, block_frames)
    assert np.abs(output.astype(int) - resampled(endless, rate, [])).max() <= 1


def test_silence_after_a_sound_is_exact_zeros() -> None:
    """Beyond the filter's reach nothing lingers, and nothing comes before its reach."""
    blocks = [None, noise(1, 8000), None, None, noise(2, 8000)]
    output, _ = on_timeline(8000, blocks, 16_000)
    assert not output[: 16_000 - CONTEXT_FRAMES].any()
    assert not output[32_000 + CONTEXT_FRAMES : 64_000 - CONTEXT_FRAMES].any()


@pytest.mark.parametrize("rate", OTHER_RATES_HZ)
def test_at_most_120_ms_are_held_back(rate: int) -> None:
    """After every block of a second the leg is known up to 120 ms before its end, or nearer."""
    _, ready = on_timeline(rate, [noise(index, rate) for index in range(8)], 16_000)
    assert all((index + 1) * 16_000 - frame <= 1920 for index, frame in enumerate(ready))

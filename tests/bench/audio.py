"""The audio that everything here is measured with: real voices, both legs talking, looped to any length."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tests.harness.speech import speech

from recorder_service.audio.mixing import Mixer

VARIANTS = 4
"""So many different pairs of voices take turns."""
LOOP_S = 30
_PROMPTS_APART = 40

Pcm = NDArray[np.int16]


@functools.cache
def voice(variant: int, leg: int, sample_rate_hz: int) -> Pcm:
    """Return `LOOP_S` seconds of one voice: int16, shape (frames,)."""
    return speech(LOOP_S, first=(2 * variant + leg) * _PROMPTS_APART, sample_rate_hz=sample_rate_hz)


def looped(variant: int, leg: int, sample_rate_hz: int, seconds: float) -> Pcm:
    """Return a voice of any length: int16, shape (frames,)."""
    return np.resize(voice(variant, leg, sample_rate_hz), round(seconds * sample_rate_hz))


def mixed_blocks(variant: int, seconds: int, *, split: bool) -> Iterator[Pcm]:
    """Yield what an encoder gets of a pair of voices, in blocks of 1 s: int16, shape (channels, 16000), 16 kHz."""
    legs = [looped(variant, leg, 16_000, seconds) for leg in (0, 1)]
    mixer = Mixer(2 if split else 1)
    for start in range(0, seconds * 16_000, 16_000):
        places = ((0,), (1,)) if split else ((0,), (0,))
        parts = [(pcm[start : start + 16_000], place) for pcm, place in zip(legs, places, strict=True)]
        yield mixer.mix(16_000, parts)

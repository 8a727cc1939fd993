"""Real human speech: Debian's asterisk-core-sounds-en-wav, 8 kHz, 16 bit, mono."""

import functools
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


def require_speech() -> None:
    """Skip loudly where the voices are not installed; in CI that is an error."""
    if not SOUNDS.is_dir():
        message = f"{SOUNDS} is missing: apt-get install asterisk-core-sounds-en-wav"
        if os.environ.get("CI"):
            raise RuntimeError(message)
        pytest.skip(message)


@functools.cache
def prompt(name: str) -> NDArray[np.int16]:
    """Read one prompt: int16, shape (frames,), 8 kHz."""
    require_speech()
    with wave.open(str(SOUNDS / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.int16)


@functools.cache
def speech(seconds: int, first: int = 0, sample_rate_hz: int = 16_000) -> NDArray[np.int16]:
    """Return so many seconds of prompts, one after the other: int16, shape (frames,).

    Args:
        seconds: Length.
        first: Which prompt to begin with: another number is another voice track.
        sample_rate_hz: Rate; the prompts are resampled once and for all legs alike.
    """
    require_speech()
    names = sorted(path.stem for path in SOUNDS.glob("*.wav") if path.stat().st_size > 40_000)
    parts: list[NDArray[np.int16]] = []
    at = first
    while sum(map(len, parts)) < seconds * 8000:
        parts.append(prompt(names[at % len(names)]))
        at += 1
    pcm = np.concatenate(parts)[: seconds * 8000]
    if sample_rate_hz == 8000:
        return pcm
    resampled = soxr.resample(pcm.astype(np.float32), 8000, sample_rate_hz, "HQ")
    rounded: NDArray[np.int16] = np.clip(np.rint(resampled), -32768, 32767).astype(np.int16)
    return rounded

"""Telephone calls for the measurements: real speech on lines with known noise, the truth known to the frame."""

import functools
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from scipy.signal import lfilter

RATE_HZ = 16_000
WINDOW = 320
FULL_SCALE = 32_768.0
TAIL_S = 14
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")

Signal = NDArray[np.float64]
needs_prompts = pytest.mark.skipif(
    not PROMPTS.is_dir(), reason="needs real speech: Debian package asterisk-core-sounds-en-wav"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A call on a noisy line.

    Attributes:
        kind: The line's fault.
        level_dbov: Level of the speech.
        snr_db: Speech over noise, both over the whole band.
        pcm: int16, shape (frames,), 16 kHz: speech, then noise alone.
        speech: bool, one a window: clearly speech (within 20 dB of the loudest window).
        first_frame: Where the talk begins.
        end_frame: Where the talk ends.
    """

    kind: str
    level_dbov: int
    snr_db: int
    pcm: NDArray[np.int16]
    speech: NDArray[np.bool_]
    first_frame: int
    end_frame: int


@functools.cache
def _prompt_files() -> list[Path]:
    """All prompts of half a second to ten seconds; their size tells, at 8 kHz and 16 bit."""
    return [path for path in sorted(PROMPTS.glob("*.wav")) if 8_000 < path.stat().st_size < 160_000]


@functools.cache
def _prompt(index: int) -> Signal:
    with wave.open(str(_prompt_files()[index])) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.asarray(soxr.resample(pcm.astype(np.float64), 8000, RATE_HZ))


def talk(rng: np.random.Generator, seconds: float) -> Signal:
    """Return at least so much speech: prompts in a row, 0.1 to 0.8 s apart, ending in speech."""
    parts: list[Signal] = []
    while sum(map(len, parts)) < seconds * RATE_HZ:
        parts += [_prompt(int(rng.integers(len(_prompt_files())))), np.zeros(int(rng.uniform(0.1, 0.8) * RATE_HZ))]
    return np.concatenate(parts[:-1])


def at_level(signal: Signal, level_dbov: float) -> Signal:
    """Scale speech so that its active windows (within 30 dB of the loudest) have this level on average."""
    powers = window_powers(signal)
    active = powers[powers > powers.max() * 1e-3].mean()
    return np.asarray(signal * (10 ** (level_dbov / 20) * FULL_SCALE / np.sqrt(active)))


def window_powers(signal: Signal) -> Signal:
    return np.asarray((signal[: len(signal) // WINDOW * WINDOW].reshape(-1, WINDOW) ** 2).mean(axis=1))


def to_pcm(signal: Signal) -> NDArray[np.int16]:
    return np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)


def white(rng: np.random.Generator, frames: int) -> Signal:
    return rng.normal(size=frames)


def pink(rng: np.random.Generator, frames: int) -> Signal:
    poles = [1, -2.494956002, 2.017265875, -0.522189400]
    zeros = [0.049922035, -0.095993537, 0.050612699, -0.004408786]
    return np.asarray(lfilter(zeros, poles, rng.normal(size=frames)))


def hiss(rng: np.random.Generator, frames: int) -> Signal:
    return np.asarray(lfilter([1, -0.95], [1], rng.normal(size=frames)))


def hum(rng: np.random.Generator, frames: int) -> Signal:
    """Mains hum with six overtones and a little noise."""
    base = rng.choice([50, 60]) * 2 * np.pi * np.arange(frames) / RATE_HZ
    tones = sum((np.sin(k * base + rng.uniform(0, 6)) / k for k in range(1, 8)), np.zeros(frames))
    return tones + 0.05 * rng.normal(size=frames)


def babble(rng: np.random.Generator, frames: int) -> Signal:
    """Six other people who talk at once."""
    voices = [np.roll(talk(rng, frames / RATE_HZ + 1)[:frames], int(rng.integers(frames))) for _ in range(6)]
    return sum((voice / np.sqrt(np.mean(voice**2)) for voice in voices), np.zeros(frames))


NOISES: dict[str, Callable[[np.random.Generator, int], Signal]] = {
    "white": white, "pink": pink, "hiss": hiss, "hum": hum, "babble": babble,
    "levels": white, "step": pink, "mulaw": white, "dtx": white,
}  # fmt: skip


def noise(kind: str, seed: int, seconds: int, level_dbov: float) -> NDArray[np.int16]:
    signal = NOISES[kind](np.random.default_rng(seed), seconds * RATE_HZ)
    return to_pcm(signal * (10 ** (level_dbov / 20) * FULL_SCALE / np.sqrt(np.mean(signal**2))))


def line(kind: str, level_dbov: int, snr_db: int, seed: int) -> Line:
    """Build one call: up to 2 s of noise, about 12 s of talk, 14 s of noise.

    `levels`: the talker's level changes by up to 18 dB. `step`: the noise rises by 12 dB amid the talk. `mulaw`: the
    line is 8 kHz G.711. `dtx`: the sender goes silent 200 ms after the talker.
    """
    rng = np.random.default_rng([seed, -level_dbov, snr_db, sum(map(ord, kind))])
    lead = int(rng.uniform(0, 2) * RATE_HZ)
    said = at_level(talk(rng, 12), level_dbov)
    if kind == "levels":
        gains_db = np.interp(np.arange(len(said)), np.linspace(0, len(said), 7), rng.choice([0, -6, -12, -18], 7))
        said = said * 10 ** (gains_db / 20)
    clean = np.concatenate((np.zeros(lead), said, np.zeros(TAIL_S * RATE_HZ)))
    background = NOISES[kind](rng, len(clean))
    background *= 10 ** ((level_dbov - snr_db) / 20) * FULL_SCALE / np.sqrt(np.mean(background**2))
    if kind == "step":
        background[: lead + int(rng.uniform(0.2, 0.8) * len(said))] *= 0.25
    powers = window_powers(clean)
    heard = np.flatnonzero(powers > powers.max() * 1e-3)
    sent = _transmit(kind, clean + background, powers > powers.max() * 1e-3)
    end_frame = int(heard[-1] + 1) * WINDOW
    return Line(kind, level_dbov, snr_db, to_pcm(sent), powers > powers.max() * 1e-2, lead, end_frame)


def _transmit(kind: str, signal: Signal, speech: NDArray[np.bool_]) -> Signal:
    if kind == "dtx":
        sending = np.convolve(speech, np.ones(11))[: len(speech)] > 0
        gate = np.zeros(len(signal))
        gate[: len(speech) * WINDOW] = np.repeat(sending, WINDOW)
        return signal * gate
    if kind == "mulaw":
        narrow = np.asarray(soxr.resample(signal, RATE_HZ, 8000))
        return np.asarray(soxr.resample(mulaw_quantised(narrow), 8000, RATE_HZ))
    return signal


def mulaw_quantised(signal: Signal) -> Signal:
    """Round to the steps of G.711 mu-law: 16 in each of 8 segments."""
    magnitude = np.abs(np.clip(signal, -32_635, 32_635)) + 132
    step = 2 ** (np.clip(np.floor(np.log2(magnitude)), 7, 14) - 4)
    return np.asarray(np.sign(signal) * ((np.floor(magnitude / step) + 0.5) * step - 132 - (magnitude < 136) * 4))

"""The speech detector: which 20 ms windows of one noisy telephone leg hold speech."""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
WINDOW_FRAMES = 320
WINDOWS_PER_S = SAMPLE_RATE_HZ // WINDOW_FRAMES

# The telephone band, in bins of 50 Hz: below it lies the mains hum, above it nothing a caller says.
_LOWEST_BIN, _END_BIN = 4, 76
_BAND_STARTS = (4, 10, 20, 40)
# Of the whole band, then of its parts. Narrow bands flicker more than wide ones, so they must stand out more. Found by
# measurement: docs/audio.md.
_MARGINS_DB = (5.0, 9.0, 8.0, 7.0, 7.0)
_QUIETEST_SPEECH_DBOV = -59.0
_DIGITAL_SILENCE_DBOV = -67.0
_BACKGROUND_DB = -18.0

_SMOOTH_WINDOWS = 5
_FLOOR_WINDOWS = 3 * WINDOWS_PER_S
_LOUDNESS_WINDOWS = 3 * WINDOWS_PER_S
_VOTES, _VOTE_WINDOWS = 3, 5
_PIECE_WINDOWS = 2 * WINDOWS_PER_S
_INT64_MAX = np.iinfo(np.int64).max


class SpeechDetector:
    """Marks speech against a noise floor that it learns as it goes; one for each leg.

    A window is active if, in the telephone band or in one of four parts of it, its power stands out of the noise floor
    by a margin, and if in the telephone band it is neither too faint for any telephone (-59 dBov) nor more than 18 dB
    below the loudest 3 s that the leg gave lately: that is somebody else in the room (3 s, so that a few loud key tones
    do not make a quiet caller a stranger). Three active windows of the
    last five make speech, so a click is none, and speech ends 40 ms after the last active window at most.

    The noise floor is the least smoothed power (100 ms) of the last 3 s. Any speech leaves gaps in every band within
    that time, steady noise leaves none; a noise that steps up is therefore speech for 3 s and no longer. Digital
    silence (muted, nothing sent, the idle pattern of a G.711 line) teaches nothing about the noise behind the speech
    and is left out of the floor.

    Power is counted in integers, so that sums do not depend on how the audio was cut into calls.

    Source: minimum statistics after R. Martin, "Noise power spectral density estimation based on optimal smoothing and
    minimum statistics", IEEE Trans. Speech and Audio Processing 9(5), 2001, with fixed smoothing and without its bias
    correction, which the margins hold; dBov after ITU-T G.100.1. Figures: docs/audio.md.
    """

    def __init__(self, loudness_memory_s: int) -> None:
        """Start with an unknown line.

        Args:
            loudness_memory_s: How long the loudest 3 s count as the leg's own level. Longer than the silence to be
                found, or the background becomes the talker before that silence is over.
        """
        self._smooth = _MovingSum(_SMOOTH_WINDOWS)
        self._floor = _Extreme(np.minimum, _FLOOR_WINDOWS, _INT64_MAX)
        self._long = _MovingSum(_LOUDNESS_WINDOWS, np.zeros((1, 1), np.int64))
        self._loudest = _Extreme(np.maximum, loudness_memory_s * WINDOWS_PER_S, 0)
        self._recent = np.zeros(_VOTE_WINDOWS - 1, np.int64)
        self._margins = np.array([_ratio(margin_db) for margin_db in _MARGINS_DB])

    def detect(self, windows: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Tell for each of the next windows whether it is speech.

        Args:
            windows: int16, shape (windows, 320), 16 kHz; they follow those of the call before.

        Returns:
            bool, shape (windows,).
        """
        if len(windows) == 0:
            return np.zeros(0, np.bool_)
        starts = range(0, len(windows), _PIECE_WINDOWS)
        return np.concatenate([self._vote(self._active(windows[at : at + _PIECE_WINDOWS])) for at in starts])

    def skip(self, windows: int) -> NDArray[np.bool_]:
        """Pass over digital silence of any length at once.

        Returns:
            bool, shape (at most 4,): the first of these windows, which may still count as speech; all others do not.
        """
        return self._vote(np.zeros(min(windows, _VOTE_WINDOWS - 1), np.bool_))

    def _active(self, windows: NDArray[np.int16]) -> NDArray[np.bool_]:
        powers = _band_powers(windows)
        heard = powers[:, 0] > _power(_DIGITAL_SILENCE_DBOV)
        active = np.zeros(len(windows), np.bool_)
        if heard.any():
            active[heard] = self._stands_out(powers[heard])
        return active

    def _stands_out(self, powers: NDArray[np.int64]) -> NDArray[np.bool_]:
        floor = self._floor.push(self._smooth.push(powers)) / _SMOOTH_WINDOWS
        loudest = self._loudest.push(self._long.push(powers[:, :1]))[:, 0] / _LOUDNESS_WINDOWS
        least = np.maximum(_power(_QUIETEST_SPEECH_DBOV), loudest * _ratio(_BACKGROUND_DB))
        out: NDArray[np.bool_] = (powers > floor * self._margins).any(axis=1) & (powers[:, 0] > least)
        return out

    def _vote(self, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
        row = np.concatenate((self._recent, active.astype(np.int64)))
        self._recent = row[len(row) - (_VOTE_WINDOWS - 1) :]
        votes = sum((row[i : i + len(active)] for i in range(_VOTE_WINDOWS)), np.zeros(len(active), np.int64))
        return votes >= _VOTES


class _MovingSum:
    """The sum of each row and those before it, over a fixed number of rows.

    Before the first row lie rows like `before`, or its own equals if that is None.
    """

    def __init__(self, length: int, before: NDArray[np.int64] | None = None) -> None:
        self._length = length
        self._past = None if before is None else np.repeat(before, length - 1, axis=0)

    def push(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._past is None:
            self._past = np.repeat(rows[:1], self._length - 1, axis=0)
        joined = np.concatenate((self._past, rows))
        self._past = joined[len(rows) :]
        running = np.cumsum(joined, axis=0)
        sums = running[self._length - 1 :].copy()
        sums[1:] -= running[: len(rows) - 1]
        return sums


class _Extreme:
    """The least or greatest of each row and those before it, over a fixed number of rows.

    The past and the new rows are each run through once: a row's extreme is that of what is left of the past and of the
    new rows up to it. New rows must be fewer than the fixed number.
    """

    def __init__(self, pick: np.ufunc, length: int, neutral: int) -> None:
        self._accumulate: Callable[[NDArray[np.int64]], NDArray[np.int64]] = pick.accumulate
        self._pick: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]] = pick
        self._past: NDArray[np.int64] | None = None
        self._length = length
        self._neutral = neutral

    def push(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._past is None:
            self._past = np.full((self._length - 1, rows.shape[1]), self._neutral, np.int64)
        left_of_past = self._accumulate(self._past[::-1])[::-1][: len(rows)]
        self._past = np.concatenate((self._past[len(rows) :], rows))
        return self._pick(left_of_past, self._accumulate(rows))


def _band_powers(windows: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return int64, shape (windows, 5), the whole band first: integers, because their sums are exact in any order."""
    spectrum = np.fft.rfft(windows * _hann(), axis=1)[:, _LOWEST_BIN:_END_BIN]
    bins = np.rint(spectrum.real**2 + spectrum.imag**2).astype(np.int64)
    parts = np.add.reduceat(bins, [start - _LOWEST_BIN for start in _BAND_STARTS], axis=1)
    return np.concatenate((parts.sum(axis=1, keepdims=True), parts), axis=1)


@functools.cache
def _hann() -> NDArray[np.float64]:
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_FRAMES) / WINDOW_FRAMES)
    return window


@functools.cache
def _power(level_dbov: float) -> float:
    """Return the band power of a signal of this level: 0 dBov is the mean square of a full-scale direct current."""
    return float(32_768**2 * _ratio(level_dbov) * WINDOW_FRAMES * np.sum(_hann() ** 2) / 2)


def _ratio(level_db: float) -> float:
    return float(10 ** (level_db / 10))

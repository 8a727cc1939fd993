"""Adding legs up, with a limiter instead of clipping where the sum is too loud."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recorder_service.audio.samples import Pcm

Sums = NDArray[np.int32]

WINDOW_FRAMES = 80
"""Length of each of the limiter's two smoothing windows: 5 ms at 16 kHz."""
REACH_FRAMES = 2 * (WINDOW_FRAMES - 1)
"""How far an overload is felt on either side, and how much the limiter holds back: just under 10 ms."""

_PEAK = 32_767
_INT16_MIN = -32_768
_UNIT = 1 << 30
_PART_FRAMES = 4_096


class Limiter:
    """Brings the sums of one channel into 16 bit without wrap-around and without cutting off peaks.

    Where no sum within `REACH_FRAMES` leaves 16 bit, the output is the sum, bit for bit. Around one that does, a smooth
    gain goes down before it and up after it, and never lies above what the sum needs. The excess that must go is
    widened with a sliding maximum and smoothed with two moving averages of the same reach, all in integers, so that
    the result does not depend on how the input is cut into calls.

    Source: look-ahead peak limiting with a minimum filter and a smoothing window of equal reach, after
    P. Hamalainen, "Smoothing of the control signal without clipped output in digital peak limiters", DAFx-02, 2002.
    """

    def __init__(self) -> None:
        # The last frames given out, which still shape the gain, and then those held back.
        self._kept: Sums = np.zeros(REACH_FRAMES, dtype=np.int32)
        self._kept_loud = False

    def process(self, sums: Sums | Pcm) -> Pcm:
        """Take the next sums (shape (frames,); int16 where only one leg sounds) and give what is ready.

        The output lags `REACH_FRAMES` frames behind the input.
        """
        frames = np.concatenate((self._kept, sums), dtype=np.int32)
        loud = self._kept_loud or (sums.dtype != np.int16 and _is_loud(sums))
        ready_frames = max(0, len(frames) - 2 * REACH_FRAMES)
        if loud:
            limited = _limit(frames, ready_frames)
        else:
            limited = frames[REACH_FRAMES : REACH_FRAMES + ready_frames].astype(np.int16)
        self._kept = frames[ready_frames:].copy()
        self._kept_loud = loud and _is_loud(self._kept)
        return limited

    def flush(self) -> Pcm:
        """Give the frames held back; over all calls there are as many as were taken."""
        limited = self.process(np.zeros(REACH_FRAMES, dtype=np.int16))
        self._kept = np.zeros(REACH_FRAMES, dtype=np.int32)
        self._kept_loud = False
        return limited


def _is_loud(sums: Sums | Pcm) -> bool:
    return bool(len(sums)) and (int(sums.max()) > _PEAK or int(sums.min()) < _INT16_MIN)


def _limit(frames: Sums, ready_frames: int) -> Pcm:
    """Limit the `ready_frames` frames that have `REACH_FRAMES` neighbours on either side."""
    limited = frames[REACH_FRAMES : REACH_FRAMES + ready_frames].copy()
    loud = _loud_frames(frames)
    # Only what an overload reaches is worked on, in parts whose temporary arrays stay in the cache.
    first_frame = max(0, int(loud[0]) - 2 * REACH_FRAMES)
    end_frame = min(ready_frames, int(loud[-1]) + 1)
    for start in range(first_frame, end_frame, _PART_FRAMES):
        part = slice(start, min(start + _PART_FRAMES, end_frame))
        limited[part] = np.rint(limited[part] * _gain(frames[part.start : part.stop + 2 * REACH_FRAMES]))
    return limited.astype(np.int16)


def _loud_frames(frames: Sums) -> NDArray[np.intp]:
    return np.flatnonzero((frames > _PEAK) | (frames < _INT16_MIN))


def _gain(frames: Sums) -> NDArray[np.float64]:
    """Give the gain for each frame that has `REACH_FRAMES` neighbours on either side."""
    loud = _loud_frames(frames)
    excess = np.zeros(len(frames), dtype=np.int64)
    # How much of a loud frame must go, rounded up; in units of 2**-30.
    excess[loud] = _UNIT - _UNIT * _PEAK // np.abs(frames[loud].astype(np.int64))
    widened = _sliding_maximum(excess, 2 * WINDOW_FRAMES - 1)
    reduction = _moving_sum(_moving_sum(widened, WINDOW_FRAMES), WINDOW_FRAMES)
    return 1.0 - reduction / (_UNIT * WINDOW_FRAMES**2)


def _sliding_maximum(values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Give the maximum of every full window; doubling the window takes log2(length) passes."""
    window = 1
    while window < length:
        step = min(window, length - window)
        values = np.maximum(values[:-step], values[step:])
        window += step
    return values


def _moving_sum(values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Give the exact sum of every full window."""
    running = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(values)))
    return running[length:] - running[:-length]


class Mixer:
    """Adds legs up into the channels of a file, each with a limiter of its own."""

    def __init__(self, channels: int) -> None:
        self._limiters = [Limiter() for _ in range(channels)]

    def mix(self, frames: int, sources: Iterable[tuple[Pcm, Sequence[int]]]) -> Pcm:
        """Mix the next stretch.

        Args:
            frames: Its length.
            sources: Audio (int16, shape (frames,), 16 kHz), each with the channels it belongs to.

        Returns:
            pcm: int16, shape (channels, ready frames), 16 kHz; it lags `REACH_FRAMES` behind.
        """
        sums: list[Sums | Pcm | None] = [None] * len(self._limiters)
        for pcm, channels in sources:
            for channel in channels:
                before = sums[channel]
                sums[channel] = pcm if before is None else np.add(before, pcm, dtype=np.int32)
        silence = np.zeros(frames, dtype=np.int16)
        limited = [
            limiter.process(silence if channel is None else channel)
            for limiter, channel in zip(self._limiters, sums, strict=True)
        ]
        return _stacked(limited)

    def flush(self) -> Pcm:
        """Give the frames held back: int16, shape (channels, frames)."""
        return _stacked([limiter.flush() for limiter in self._limiters])


def _stacked(channels: list[Pcm]) -> Pcm:
    return channels[0][np.newaxis] if len(channels) == 1 else np.stack(channels)

"""Making slips inaudible: a leg is moved by a few frames without a jump.

Around a slip, 50 ms are read at a speed that goes smoothly from 1 to a little more or less and back to 1, with a
windowed sinc between the samples. Outside of that the samples stay what they were, bit for bit.

Source: band-limited interpolation, J. O. Smith and P. Gossett, "A flexible sampling-rate conversion method", ICASSP
1984; Kaiser window, J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from recorder_service.audio.samples import Pcm

_HALF_TAPS = 16
_KAISER_BETA = 8.0
_INT16 = np.iinfo(np.int16)


def smooth(pcm: Pcm, offset: int, by_frames: int, reach_frames: int, taken_out: Pcm | None = None) -> Pcm:
    """Make a slip inaudible.

    Args:
        pcm: int16, shape (frames,): a stretch of the leg in its own rate, with the hole or the missing frames.
        offset: Where in it the slip lies.
        by_frames: How far it moves what follows, see `Slip`.
        reach_frames: How many frames on either side may be changed, in leg frames.
        taken_out: What it took out: int16, shape (-by_frames,); None as long as that has not come.

    Returns:
        pcm: int16, the same shape. Unchanged if the stretch has too little on either side.
    """
    hole = max(0, by_frames)
    first, last = offset - reach_frames, offset + hole + reach_frames
    if first < _HALF_TAPS or last + _HALF_TAPS > len(pcm):
        return pcm
    before, after = pcm[first - _HALF_TAPS : offset], pcm[offset + hole : last + _HALF_TAPS]
    between = _between(taken_out, max(0, -by_frames), before, after)
    source = np.concatenate((before, between, after)).astype(np.float32)
    places, kernels = _kernels(2 * reach_frames + hole, by_frames)
    moved = np.rint(np.einsum("nt,nt->n", source[places], kernels))
    np.minimum(np.maximum(moved, _INT16.min, out=moved), _INT16.max, out=moved)
    smoothed = pcm.copy()
    smoothed[first:last] = moved.astype(np.int16)
    return smoothed


def _between(taken_out: Pcm | None, count: int, before: Pcm, after: Pcm) -> Pcm:
    if taken_out is not None and len(taken_out) == count:
        return taken_out
    # It was lost: a straight line is nearer to it than silence.
    return np.rint(np.linspace(before[-1], after[0], count + 2)[1:-1]).astype(np.int16)


# A step has one length at each sample rate, either way: 300 KB each.
@functools.lru_cache(maxsize=16)
def _kernels(frames: int, by_frames: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Say for each output frame which frames its window holds and how they are weighted: both (frames, taps)."""
    progress = np.arange(frames) / frames
    # A smooth step: the speed is 1 at both ends.
    position = np.arange(frames) - by_frames * progress**2 * (3 - 2 * progress)
    whole = np.floor(position).astype(np.intp)
    # A sinc between two frames needs as many frames before it as after it.
    taps = np.arange(1 - _HALF_TAPS, _HALF_TAPS + 1)
    distance = taps[np.newaxis, :] - (position - whole)[:, np.newaxis]
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / _HALF_TAPS) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    kernels = np.sinc(distance) * window
    kernels /= kernels.sum(axis=1, keepdims=True)
    return (whole + 1)[:, np.newaxis] + np.arange(2 * _HALF_TAPS), kernels.astype(np.float32)

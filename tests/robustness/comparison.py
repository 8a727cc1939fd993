"""What became of a call, held against its ledger and against the file of an undisturbed one."""

import numpy as np
from tests.harness.files import Pcm, mp3_channels, wav_channels
from tests.robustness.callers import Caller

_MP3_LOOK_AHEAD_FRAMES = 3 * 1152
# How far before a peak the limiter of a mono mix begins to turn it down: docs/audio.md, Mixing.
_LIMITER_LOOK_AHEAD_FRAMES = 158


def channels_of(data: bytes) -> Pcm:
    """Read a WAV or an MP3 file: int16, shape (channels, frames), 16 kHz."""
    return wav_channels(data) if data[:4] == b"RIFF" else mp3_channels(data)


def compare_start(data: bytes, expected: bytes, caller: Caller) -> None:
    """Check the file of a caller that left: all that was acknowledged, and nothing that was not said."""
    found, whole = channels_of(data), channels_of(expected)
    # Sequence 1 opens; the last payload, `close`, was never sent.
    acknowledged = (caller.ledger.acknowledged - 1) * caller.script.chunk_ms * 16
    frames = found.shape[1]
    assert frames >= acknowledged, f"{acknowledged} frames acknowledged, the file has {frames}"
    # Who looks ahead does otherwise where its input ends than in the middle of a longer one.
    ahead = _LIMITER_LOOK_AHEAD_FRAMES if data[:4] == b"RIFF" else _MP3_LOOK_AHEAD_FRAMES
    same = max(0, frames - ahead)
    np.testing.assert_array_equal(found[:, :same], whole[:, :same])
    if data[:4] == b"RIFF":
        # A peak that never came turned nothing down, and turns nothing up either.
        last, turned_down = found[:, same:].astype(np.int32), whole[:, same:frames].astype(np.int32)
        assert (np.abs(last) >= np.abs(turned_down)).all(), "the last frames are not those that were spoken"
        assert (last * turned_down >= 0).all(), "the last frames are not those that were spoken"


def compare_whole(data: bytes, expected: bytes) -> None:
    """Say how a file differs from the undisturbed one."""
    found, whole = channels_of(data), channels_of(expected)
    shared = min(found.shape[1], whole.shape[1])
    changed = int(np.count_nonzero((found[:, :shared] != whole[:, :shared]).any(axis=0)))
    first = int(np.argmax((found[:, :shared] != whole[:, :shared]).any(axis=0))) if changed else shared
    raise AssertionError(
        f"the file is not the undisturbed one: {whole.shape[1] - found.shape[1]} frames missing, {changed} changed, "
        f"the first at {first}"
    )

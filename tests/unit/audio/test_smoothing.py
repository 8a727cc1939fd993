"""Moving a leg by a few frames: what is heard of it, and what stays as it was."""

import numpy as np
import pytest
from numpy.typing import NDArray

from recorder_service.audio.slips import REACH_FRAMES
from recorder_service.audio.smoothing import smooth

AT = 8000


def tone(frames: NDArray[np.float64], hz: float) -> NDArray[np.float64]:
    return 10_000 * np.sin(2 * np.pi * hz / 16_000 * frames)


def slipped(hz: float, by: int) -> tuple[NDArray[np.int16], NDArray[np.int16] | None]:
    """Cut a tone at a frame, and leave a hole there or take frames out; return what was taken out, too."""
    whole = np.rint(tone(np.arange(16_000.0), hz)).astype(np.int16)
    if by > 0:
        return np.concatenate([whole[:AT], np.zeros(by, np.int16), whole[AT : 16_000 - by]]), None
    return np.concatenate([whole[:AT], whole[AT - by :]]), whole[AT : AT - by]


@pytest.mark.parametrize("by", [-5, -2, -1, 1, 2, 5])
@pytest.mark.parametrize(("hz", "noise_db"), [(300, -80), (1000, -80), (3400, -78), (7000, -35)])
def test_slip_is_a_smooth_change_of_speed(hz: float, noise_db: float, by: int) -> None:
    """The tone goes through without a jump, and what differs from the ideal is far below it."""
    pcm, taken_out = slipped(hz, by)
    smoothed = smooth(pcm, AT, by, REACH_FRAMES, taken_out)
    length = 2 * REACH_FRAMES + max(0, by)
    progress = np.arange(length) / length
    ideal = tone(AT - REACH_FRAMES + np.arange(length) - by * progress**2 * (3 - 2 * progress), hz)
    error = smoothed[AT - REACH_FRAMES :][:length] - ideal
    assert 20 * np.log10(np.sqrt(np.mean(error**2)) / (10_000 / np.sqrt(2))) < noise_db


@pytest.mark.parametrize("by", [-2, 2])
def test_everything_farther_away_stays_bit_for_bit(by: int) -> None:
    """50 ms around the slip are worked on and nothing else."""
    pcm, taken_out = slipped(440, by)
    smoothed = smooth(pcm, AT, by, REACH_FRAMES, taken_out)
    np.testing.assert_array_equal(smoothed[: AT - REACH_FRAMES], pcm[: AT - REACH_FRAMES])
    after = AT + max(0, by) + REACH_FRAMES
    np.testing.assert_array_equal(smoothed[after:], pcm[after:])
    assert len(smoothed) == len(pcm)


def test_frames_that_were_taken_out_and_lost_are_bridged() -> None:
    """A straight line in their place: no click."""
    pcm, _ = slipped(440, -2)
    smoothed = smooth(pcm, AT, -2, REACH_FRAMES).astype(np.int64)
    steps = np.abs(np.diff(smoothed[AT - REACH_FRAMES : AT + REACH_FRAMES]))
    assert steps.max() < 10_000 * 2 * np.pi * 440 / 16_000 * 1.1


def test_slip_too_near_to_an_end_leaves_the_stretch_alone() -> None:
    """There is nothing to read on the other side."""
    pcm, _ = slipped(440, 2)
    assert smooth(pcm, 10, 2, REACH_FRAMES) is pcm

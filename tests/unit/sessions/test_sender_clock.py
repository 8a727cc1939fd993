"""A sender's clock through a network that delays: how it is followed, and when it is not."""

import random

import pytest

from recorder_service.sessions.sender_clock import STEP_FRAMES, Observation, SenderClock

SECOND = 16_000


def follow(clock: SenderClock, seconds: int, ppm: float, late_s: float = 0.0, seed: int = 1) -> list[float]:
    """Let a sender send for some time; gives the error of each second, in frames: positive is late."""
    chance, errors = random.Random(seed), []
    for second in range(seconds):
        # The least of ten arrivals of a second: a few milliseconds of network, sometimes a stall.
        delay_s = min(chance.expovariate(1 / 0.01) + (0.3 if chance.random() < 0.1 else 0) for _ in range(10))
        frame = second * SECOND
        truth = -frame * ppm * 1e-6 - late_s * SECOND
        steps = clock.observe(Observation(frame, int(truth + delay_s * SECOND)))
        clock.shift_frames += steps * STEP_FRAMES
        errors.append(clock.shift_frames - truth)
    return errors


@pytest.mark.parametrize("ppm", [-200, -30, 0, 30, 200])
def test_drift_is_followed_within_three_milliseconds_for_two_hours(ppm: float) -> None:
    """And it is known to a few parts in a million."""
    clock = SenderClock()
    errors = follow(clock, 7200, ppm)
    assert max(map(abs, errors)) < 3 * 16 + 1
    assert clock.drift_ppb == pytest.approx(ppm * 1000, abs=15_000)


@pytest.mark.parametrize("ppm", [-150, 0, 180])
def test_sender_that_speaks_once_in_five_seconds_is_within_five_milliseconds(ppm: float) -> None:
    """From two minutes on, whatever the network did to its first words: one message at a time is all there is."""
    for seed in range(30):
        chance, clock = random.Random(seed), SenderClock()
        told_late = chance.expovariate(1 / 0.003) * SECOND
        for frame in range(0, 1200 * SECOND, 5 * SECOND):
            truth = -frame * ppm * 1e-6 - told_late
            if frame > 120 * SECOND:
                assert abs(clock.shift_frames - truth) < 5 * 16, (seed, frame)
            delay = chance.expovariate(1 / 0.003) * SECOND
            if chance.random() > 0.02:
                steps = clock.observe(Observation(int(frame + delay), int(truth + delay)))
                clock.shift_frames += steps * STEP_FRAMES


def test_clock_that_is_right_is_left_alone() -> None:
    """Jitter and stalls move nothing: the samples stay what was sent."""
    clock = SenderClock()
    follow(clock, 600, 0)
    assert clock.shift_frames == 0


def test_stream_whose_begin_was_told_late_is_brought_back() -> None:
    """Audio that comes before it can have been sent shows that `join` was held up."""
    clock = SenderClock()
    errors = follow(clock, 120, 0, late_s=0.1)
    assert abs(errors[-1]) < 3 * 16


def test_sender_that_follows_no_clock_is_not_followed() -> None:
    """A file sent ten times as fast as it plays has no drift."""
    clock = SenderClock()
    for second in range(300):
        assert clock.observe(Observation(second * SECOND, -9 * second * SECOND)) == 0
    assert clock.drift_ppb is None


def test_jump_of_a_clock_is_no_drift() -> None:
    """After a jump of a minute the stream stays where it is."""
    clock = SenderClock()
    for second in range(400):
        late = 0 if second < 60 else 60 * SECOND
        clock.shift_frames += clock.observe(Observation(second * SECOND, late)) * STEP_FRAMES
    assert abs(clock.shift_frames) <= 40 * 16

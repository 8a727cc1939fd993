"""Senders that are ahead of real time, and the loop that has to stay prompt."""

import asyncio
import re
import time

import pytest

from recorder_service.errors import Overloaded, Reason
from recorder_service.sessions.pace import Brake, Pace

RATE_HZ = 16_000
FAR_FRAMES = 60 * RATE_HZ


def braking(wait_s: float = 0.2) -> Brake:
    """A brake that is on."""
    brake = Brake()
    brake.wait_s = wait_s
    return brake


def test_prompt_loop_makes_nobody_wait() -> None:
    """A sender that catches up on an idle machine is not slowed down."""
    assert Pace(Brake(), 0, 1).wait_s(FAR_FRAMES, 100) == 0


def test_sender_in_real_time_never_waits() -> None:
    """What is within two seconds of the clock on the wall is live, however late the loop is."""
    assert Pace(braking(), 0, 1).wait_s(RATE_HZ, 51) == 0


def test_sender_that_is_ahead_waits() -> None:
    """A minute of audio at once is not live."""
    assert Pace(braking(), 0, 1).wait_s(FAR_FRAMES, 2) == pytest.approx(0.2)


def test_sender_that_is_ahead_stays_faster_than_real_time() -> None:
    """The wait is bounded by the media time of what was sent: who catches up arrives."""
    pace = Pace(braking(1.0), 0, 1)
    pace.wait_s(FAR_FRAMES, 2)
    assert 0 < pace.wait_s(FAR_FRAMES + 1600, 3) < 0.1


def test_many_small_messages_count_as_ahead() -> None:
    """Messages cost even if they move nothing on: repeats, key presses, audio that is there already."""
    assert Pace(braking(), 0, 1).wait_s(0, 10_000) > 0


def test_two_legs_in_messages_of_their_own_are_real_time() -> None:
    """A hundred messages a second are what two legs of 20 ms make."""
    pace = Pace(braking(), 0, 1)
    pace._began_s = time.monotonic() - 60
    assert pace.wait_s(60 * RATE_HZ, 6001) == 0


def test_wait_grows_while_the_loop_is_late_and_goes_away_afterwards() -> None:
    """It doubles up to a second and eases off to nothing."""
    brake = Brake()
    for _ in range(20):
        brake.adapt(0.05)
    assert brake.wait_s == 1.0
    for _ in range(40):
        brake.adapt(0.0)
    assert brake.wait_s == 0


def test_nobody_may_begin_while_the_loop_is_late_for_a_while() -> None:
    """Who comes then is told how late it is, and when to come back; soon after it is prompt again, all may."""
    brake = Brake()
    for _ in range(30):
        brake.adapt(0.2)
    refused = brake.refusal()
    assert isinstance(refused, Overloaded)
    assert refused.reason is Reason.OVERLOADED
    assert re.search(r"is 1\d\d ms late", refused.message)
    assert refused.retry_after_s is not None
    for _ in range(10):
        brake.adapt(0.0)
    assert brake.refusal() is None


@pytest.mark.parametrize("late_s", [0.03, 0.09])
def test_busy_loop_turns_nobody_away(late_s: float) -> None:
    """It is late by some of what an acknowledgement may take, and nothing more."""
    brake = Brake()
    for _ in range(1000):
        brake.adapt(late_s)
    assert brake.refusal() is None


def test_single_pause_turns_nobody_away() -> None:
    """A second in which the machine did something else says nothing of the load."""
    brake = Brake()
    brake.adapt(0.9)
    assert brake.refusal() is None


async def test_loop_that_is_held_up_sets_the_brake() -> None:
    """The watch notices a loop that somebody holds."""
    brake = Brake()
    watch = asyncio.create_task(brake.run())
    async with asyncio.timeout(10):
        while not brake.wait_s:
            time.sleep(0.08)
            await asyncio.sleep(0)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)

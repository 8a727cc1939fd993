"""Senders that are ahead of real time, and the loop that has to stay prompt."""

import asyncio
import itertools
import re
import time

import pytest

from recorder_service.errors import Overloaded, Reason
from recorder_service.sessions.pace import Brake, Pace

RATE_HZ = 16_000
FAR_FRAMES = 60 * RATE_HZ


def braking() -> Brake:
    """A brake that is on."""
    brake = Brake()
    brake.adapt(0.05)
    assert brake.on
    return brake


def senders(brake: Brake, count: int, most_s: float = 10.0) -> list[asyncio.Task[None]]:
    """Put senders into the line."""
    return [asyncio.create_task(brake.turn(most_s)) for _ in range(count)]


async def gone_on(line: list[asyncio.Task[None]]) -> int:
    """Say how many are through, once all that was decided has happened."""
    for _ in range(3):
        await asyncio.sleep(0)
    return sum(task.done() for task in line)


async def leave(line: list[asyncio.Task[None]]) -> None:
    for task in line:
        task.cancel()
    await asyncio.gather(*line, return_exceptions=True)


def test_prompt_loop_makes_nobody_wait() -> None:
    """A sender that catches up on an idle machine is not slowed down."""
    assert not Pace(Brake(), 0, 1).waits(FAR_FRAMES, 100)


def test_sender_in_real_time_never_waits() -> None:
    """What is within two seconds of the clock on the wall is live, however late the loop is."""
    assert not Pace(braking(), 0, 1).waits(RATE_HZ, 51)


async def test_sender_that_is_ahead_waits_for_its_turn() -> None:
    """A minute of audio at once is not live."""
    brake = braking()
    keeping = asyncio.create_task(Pace(brake, 0, 1).keep(FAR_FRAMES, 2))
    assert await gone_on([keeping]) == 0
    brake.adapt(0.0)
    assert await gone_on([keeping]) == 1


async def test_sender_that_is_ahead_stays_faster_than_real_time() -> None:
    """The wait is bounded by the media time of what was sent: who catches up arrives, though its turn never comes."""
    pace = Pace(braking(), FAR_FRAMES, 1)
    pace._began_s -= 57
    await asyncio.wait_for(pace.keep(FAR_FRAMES + 60 * RATE_HZ, 2), 5)
    began_s = time.monotonic()
    await pace.keep(FAR_FRAMES + 60 * RATE_HZ + RATE_HZ // 5, 3)
    assert 0.1 < time.monotonic() - began_s < 0.2


def test_many_small_messages_count_as_ahead() -> None:
    """Messages cost even if they move nothing on: repeats, key presses, audio that is there already."""
    assert Pace(braking(), 0, 1).waits(0, 10_000)


def test_two_legs_in_messages_of_their_own_are_real_time() -> None:
    """A hundred messages a second are what two legs of 20 ms make."""
    pace = Pace(braking(), 0, 1)
    pace._began_s = time.monotonic() - 60
    assert not pace.waits(60 * RATE_HZ, 6001)


async def test_line_goes_on_in_order_and_never_all_at_once() -> None:
    """Fewer at each turn while the loop is late, down to one; one more each time when it is not."""
    brake = braking()
    line = senders(brake, 200)
    passed = [await gone_on(line)]
    for late_s in (0.05, 0.05, 0.05, 0.05, 0.05, 0.0, 0.0):
        brake.adapt(late_s)
        passed.append(await gone_on(line))
        assert all(task.done() for task in line[: passed[-1]])
    assert [after - before for before, after in itertools.pairwise(passed)] == [16, 8, 4, 2, 1, 2, 3]
    await leave(line)


async def test_line_goes_away_when_the_loop_has_been_prompt_for_a_while() -> None:
    """Then nobody has to wait any more."""
    brake = braking()
    line = senders(brake, 10_000)
    await gone_on(line)
    for _ in range(64):
        brake.adapt(0.0)
    assert await gone_on(line) == 10_000
    assert not brake.on


async def test_sender_that_left_the_line_takes_nobody_s_turn() -> None:
    """Its line was cut, or it had waited long enough."""
    brake = braking()
    line = senders(brake, 40)
    await gone_on(line)
    await leave(line[:30])
    brake.adapt(0.05)
    assert await gone_on(line[30:]) == 10


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


def test_pauses_that_return_every_half_second_turn_callers_away() -> None:
    """However many short looks lie between them."""
    brake = Brake()
    for _ in range(20):
        brake.adapt(0.4, 0.01)
        for _ in range(6):
            brake.adapt(0.0, 0.01)
    assert brake.refusal() is not None


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
        while not brake.on:
            time.sleep(0.08)
            await asyncio.sleep(0)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)

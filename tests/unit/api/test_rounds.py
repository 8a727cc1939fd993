"""Rounds: streams that wait go on together, and soon."""

import asyncio
import time

from recorder_service.api.rounds import Rounds

INTERVAL_S = 0.05


async def test_those_that_wait_go_on_at_once() -> None:
    """Whenever within the round they came; whoever comes after it waits for the next."""
    rounds = Rounds(INTERVAL_S)
    first = rounds.next()
    await asyncio.sleep(INTERVAL_S / 2)
    second = rounds.next()
    assert not first.done()
    await first
    assert second.done()
    late = rounds.next()
    await asyncio.sleep(0)
    assert not late.done()
    await late


async def test_first_that_waits_goes_on_after_the_interval() -> None:
    """Not sooner, and not a multiple of it later."""
    rounds, began_s = Rounds(INTERVAL_S), time.monotonic()
    await rounds.next()
    assert INTERVAL_S - 0.005 <= time.monotonic() - began_s < 20 * INTERVAL_S


async def test_stream_that_is_cancelled_leaves_the_others_waiting() -> None:
    """A task that is cancelled cancels what it waits for."""
    rounds = Rounds(INTERVAL_S)
    gone = asyncio.ensure_future(rounds.next())
    stays = rounds.next()
    gone.cancel()
    await asyncio.wait_for(stays, 5)


async def test_arrival_is_that_of_the_first_that_waited_and_now_where_nobody_did() -> None:
    """What is measured from there is never too good."""
    rounds, began_s = Rounds(INTERVAL_S), time.monotonic()
    assert rounds.arrival_s() >= began_s
    first = rounds.next()
    await asyncio.sleep(0.01)
    await asyncio.gather(first, rounds.next())
    assert began_s <= rounds.arrival_s() < began_s + 0.01
    await asyncio.sleep(0.02)
    assert rounds.arrival_s() > began_s + INTERVAL_S


def test_interval_of_zero_holds_none() -> None:
    """Then nobody waits."""
    assert not Rounds(0).held
    assert Rounds(INTERVAL_S).held
